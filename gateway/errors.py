"""What goes wrong in the gateway. What callers see of it is said in :mod:`gateway.faults`.

::

    GatewayError
    ├── Unauthenticated      no key
    │   └── UnknownKey       one that nobody has
    ├── Forbidden            the key may not do this, or nobody may
    ├── NoSuchEndpoint       the path is in no row of the table of endpoints
    ├── NoSuchAnswer         no answer of this id is kept, or not for this caller
    ├── MethodNotAllowed     the path is, the method is not
    ├── BodyTooLarge         the body is longer than the settings allow
    ├── BodyTimeout          the body did not come in time
    ├── UnknownEncoding      the body is compressed in a way that is not served
    ├── InvalidHTTP          the bytes of the request are not HTTP as it should be
    │   └── HeadTooLarge     its head is longer than is read
    ├── InvalidBody          the body is not JSON, or not what the V2 protocol says
    ├── MissingParameter     a value that an endpoint of one's own needs is nowhere in the request
    ├── AmbiguousParameter   the same name has a value in two places of the request
    ├── IncompleteAnswer     a graph answered without something that its endpoint must have
    ├── UnusableResponse     a graph answered with a status or headers that cannot be sent
    ├── TooManyInBackground  so many responses are being made already
    ├── UnknownVersion       the model is served, and not in this version
    ├── LimitReached         the key or its team has no place among the requests that are under way
    │   ├── RequestsReached  … has sent its requests of this minute
    │   ├── TokensReached    … has had its tokens of this minute
    │   └── BudgetReached    … has not so much money left as this may cost
    ├── PriceNeeded          a budget cannot be held, as nobody has said what a model costs
    ├── PolicyMissing        the key is under a policy that has gone from the settings
    ├── NoSuchKey            there is no key of this name in the store
    ├── KeyChangeRefused     the key stands in the settings, or is revoked, or its name is taken
    ├── KeyReused            the Idempotency-Key stands for another request
    ├── PoliciesChanged      … for an answer that was made under other policies of guardrails
    ├── AnswerGone           what the client comes back for is not kept, or no longer
    ├── AnswerLost           an answer broke off, as the worker that made it is gone
    ├── ModelUnloaded        the model is out of service until an admin loads it
    ├── LoadFailed           the model could not be loaded; what was in service before still is
    ├── SettingsRefused      the settings that were read again cannot be used; those before still are
    └── NotReady             the gateway is starting or stopping

    StoreUnavailable (gateway.store)

    UnknownModel (llm)
    └── NotAChatModel        the model takes inputs of V2, and no messages
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm import UnknownModel


class GatewayError(Exception):
    """What the gateway itself refuses, before any graph runs."""


class Unauthenticated(GatewayError):
    """The caller shows no key where one is needed."""


class UnknownKey(Unauthenticated):
    """The caller shows a key that nobody has."""


class Forbidden(GatewayError):
    """The caller is known and may not do this, or nobody may."""


class NoSuchEndpoint(GatewayError):
    """The path is in no row of the table of endpoints."""


class MethodNotAllowed(GatewayError):
    """The path is in the table of endpoints, the method is not."""

    def __init__(self, method: str, path: str, allowed: tuple[str, ...]) -> None:
        super().__init__(
            f"Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)"
        )
        self.allowed = allowed


class BodyTooLarge(GatewayError):
    """The body is longer than the settings allow."""


class BodyTimeout(GatewayError):
    """The client took longer to send its body than the settings allow."""


class UnknownEncoding(GatewayError):
    """The body is compressed in a way that is not served."""


class InvalidHTTP(GatewayError):
    """The bytes of a request are not HTTP as it should be."""


class HeadTooLarge(InvalidHTTP):
    """The head of a request is longer than is read."""


class InvalidBody(GatewayError):
    """The body is not JSON, or not what the protocol says."""


class MissingParameter(GatewayError):
    """Values that an endpoint of one's own needs are neither in the path, nor in the query, nor in the body."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"Missing required parameter: {_listed(names)}.")
        self.param = names[0]


class AmbiguousParameter(GatewayError):
    """The same name has a value in two places of a request."""

    def __init__(self, name: str, places: Sequence[str]) -> None:
        super().__init__(f"Parameter '{name}' is given twice, by {' and '.join(places)}; give it once.")
        self.param = name


class IncompleteAnswer(GatewayError):
    """A graph answered without something that its endpoint must have."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"The graph answered without {_listed(names)}.")


class UnusableResponse(GatewayError):
    """A graph answered with a status or headers that cannot be sent. The words are for the log."""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


class NoSuchAnswer(GatewayError):
    """No answer of this id is kept, or not for this caller."""


class TooManyInBackground(GatewayError):
    """So many responses are being made in the background already; a later try may succeed."""


class UnknownVersion(GatewayError):
    """The model is served, and not in this version."""


class ModelUnloaded(GatewayError):
    """The model is out of service until an admin loads it."""


class LimitReached(GatewayError):
    """A key or its team may not have so many requests under way at once.

    Attributes:
        headers: what the answer says of the limits, and when to try again.
    """

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.headers = headers


class RequestsReached(LimitReached):
    """A key or its team may not send so many requests a minute."""


class TokensReached(LimitReached):
    """A key or its team may not have so many tokens a minute."""


class BudgetReached(LimitReached):
    """A key or its team has not so much money left as this request may cost."""


class PriceNeeded(GatewayError):
    """A budget limits the caller, and what a model costs nobody has said. The model is named."""

    def __init__(self, model: str) -> None:
        super().__init__(f"The model `{model}` has no price, so it cannot be used by a key or team with a budget.")


class PolicyMissing(GatewayError):
    """The caller is under a policy of guardrails that is not in the settings, so nobody can look at what it asks."""

    def __init__(self, key: str, policy: str) -> None:
        super().__init__(
            f"The key '{key}' is under the policy '{policy}', which is not in the settings: until an admin puts it "
            "there or changes the key, its requests are refused."
        )


class NoSuchKey(GatewayError):
    """There is no key of this name in the store."""


class KeyChangeRefused(GatewayError):
    """A key cannot be made or changed so: it stands in the settings, is revoked, or its name is taken."""


class KeyReused(GatewayError):
    """The Idempotency-Key stands for another request of the same caller."""


class PoliciesChanged(GatewayError):
    """The Idempotency-Key stands for an answer that was made under other policies than hold for the caller now."""


class AnswerGone(GatewayError):
    """What a client comes back for is not kept, or no longer."""


class AnswerLost(GatewayError):
    """An answer broke off, as the worker that made it is gone."""


class LoadFailed(GatewayError):
    """The model could not be loaded. The message is for an admin and says why; what was in service before still is."""


class SettingsRefused(GatewayError):
    """The settings that were read again cannot be used. The message is for an admin; those before stay in force."""


class NotAChatModel(UnknownModel):
    """The model takes inputs of V2, and no messages."""

    def __init__(self, name: str) -> None:
        Exception.__init__(self, f"The model `{name}` is no chat model; ask it with POST /v2/models/{name}/infer.")


class NotReady(GatewayError):
    """The gateway is starting or stopping."""
