"""What can go wrong between a request and a model, sorted by who must act.

::

    ModelError
    ├── InvalidRequest                   the caller: the request cannot be served as it is
    │   └── ContextLengthExceeded        … because it does not fit into the model's context
    ├── UnknownModel                     the caller: no model of that name
    ├── ModelNotLoaded                   the operator: the files of a model cannot be used
    ├── UpstreamError                    the provider behind the gateway
    │   ├── UpstreamUnreachable          no connection, or it broke before an answer began
    │   ├── UpstreamTimeout              no answer, or no further chunk, within the deadline
    │   │   └── UpstreamConnectTimeout   not even a connection; nothing was asked
    │   ├── UpstreamCredentialsRefused   it does not accept the gateway's own key
    │   ├── UpstreamRequestRefused       it finds fault with the request (status, code and param are kept)
    │   ├── QuestionRefused              it finds fault with what a graph asked by itself, not the caller
    │   ├── UpstreamRateLimited          too many requests or tokens; may say when to come back
    │   ├── UpstreamQuotaExceeded        the gateway's account there is empty: coming back does not help
    │   ├── UpstreamUnavailable          it failed or is overloaded (5xx)
    │   ├── UpstreamGarbled              its answer is not what the protocol says
    │   │   ├── UpstreamAnswerInvalid    it is not the JSON that was asked for, after a repair turn either
    │   │   └── UpstreamAnswerTooLong    it is longer than what is kept for the check
    │   └── UpstreamBrokeOff             its stream ended before the answer did
    └── ScriptError                      a scripted provider was asked more, or less, than its script holds

Words of an upstream's 401 or 403 are never repeated: they quote keys.
"""

from __future__ import annotations


class ModelError(Exception):
    """Anything that goes wrong between a request and a model.

    Attributes:
        hopeless: whether the next try would only repeat it.
        costs: whether the work may have been done before, and so may have to be paid.
    """

    hopeless = False
    costs = False


class InvalidRequest(ModelError):
    """The caller's request cannot be served as it is.

    Attributes:
        param: the place in the request, such as ``messages[1].role``; None when it is the whole.
        code: OpenAI's code for the fault, such as ``invalid_type``.
    """

    hopeless = True

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class ContextLengthExceeded(InvalidRequest):
    """The request does not fit into the model's context."""

    def __init__(self, tokens: int, limit: int, param: str = "messages") -> None:
        super().__init__(
            f"This model's maximum context length is {limit} tokens, but the {param} have {tokens}.",
            param=param,
            code="context_length_exceeded",
        )


class UnknownModel(ModelError):
    """No model of this name is served, or not to this caller; ``meant`` is the nearest that it may use."""

    hopeless = True

    def __init__(self, name: str, meant: str | None = None) -> None:
        hint = f" Did you mean `{meant}`?" if meant else ""
        super().__init__(f"The model `{name}` does not exist or you do not have access to it.{hint}")


class ModelNotLoaded(ModelError):
    """The files of a model cannot be used. The message names them and says why; the operator must act."""

    hopeless = True


class UpstreamError(ModelError):
    """The provider behind the gateway failed us.

    Attributes:
        upstream_status: the HTTP status that it answered with, if it answered.
        retry_after: seconds after which it wants to be asked again, if it said so.
    """

    def __init__(self, message: str, *, upstream_status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.upstream_status = upstream_status
        self.retry_after = retry_after


class UpstreamUnreachable(UpstreamError):
    """No connection to the provider, or it broke before an answer began."""


class UpstreamTimeout(UpstreamError):
    """The provider did not answer, or did not go on, within the deadline."""

    costs = True


class UpstreamConnectTimeout(UpstreamTimeout):
    """There was no connection within the deadline, and so nothing was asked."""

    costs = False


class UpstreamCredentialsRefused(UpstreamError):
    """The provider does not accept the gateway's key. The operator must act, not the caller."""

    hopeless = True


class UpstreamRequestRefused(UpstreamError):
    """The provider finds fault with the request; its status, code and param are the caller's to see."""

    hopeless = True

    def __init__(self, message: str, *, upstream_status: int, param: str | None, code: str | None) -> None:
        super().__init__(message, upstream_status=upstream_status)
        self.param = param
        self.code = code


class QuestionRefused(UpstreamError):
    """The provider finds fault with a request that a graph made by itself. Its author or the operator must act."""

    hopeless = True


class UpstreamRateLimited(UpstreamError):
    """Too many requests or tokens for the provider; a later try may succeed."""


class UpstreamQuotaExceeded(UpstreamError):
    """The gateway's account with the provider is used up; a later try does not help."""

    hopeless = True


class UpstreamUnavailable(UpstreamError):
    """The provider failed or is overloaded."""


class UpstreamGarbled(UpstreamError):
    """The provider's answer is not what its protocol says."""

    costs = True


class UpstreamAnswerInvalid(UpstreamGarbled):
    """The model's answer is not the JSON that was asked for, and neither is that of the repair turn."""


class UpstreamAnswerTooLong(UpstreamGarbled):
    """The model's answer is to be checked, and longer than what is kept for that; nothing of what was kept has left."""

    hopeless = True


class UpstreamBrokeOff(UpstreamError):
    """The provider's stream ended before its answer did."""

    costs = True


class ScriptError(ModelError):
    """A scripted provider was asked for more than its script holds, or was left with some of it."""
