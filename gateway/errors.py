"""ONE table from exception classes to what callers see, and the bodies of OpenAI's API, of Anthropic's and of V2.

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
    ├── NoSuchKey            there is no key of this name in the store
    ├── KeyChangeRefused     the key stands in the settings, or is revoked, or its name is taken
    ├── ModelUnloaded        the model is out of service until an admin loads it
    ├── LoadFailed           the model could not be loaded; what was in service before still is
    ├── SettingsRefused      the settings that were read again cannot be used; those before still are
    └── NotReady             the gateway is starting or stopping

    StoreUnavailable (gateway.store)

    UnknownModel (llm)
    └── NotAChatModel        the model takes inputs of V2, and no messages

An exception that is in no row is a 500, and its words stay in the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from gateway.config_faults import InvalidSettings
from gateway.store.protocol import StoreUnavailable
from graph import (
    GraphError,
    InvalidInput,
    LimitExceeded,
    MaxIterationsExceeded,
    MaxStepsExceeded,
    ModelRunnerError,
    MoneyExceeded,
    PriceUnknown,
    RunTimeout,
    StepTimeout,
    TokensExceeded,
    ToolsetUnavailable,
    UnknownRoute,
)
from guardrails import ContentRefused, GuardrailError, GuardrailUnavailable
from llm import (
    InvalidRequest,
    ModelError,
    ModelNotLoaded,
    QuestionRefused,
    UnknownModel,
    UpstreamAnswerInvalid,
    UpstreamAnswerTooLong,
    UpstreamBrokeOff,
    UpstreamCredentialsRefused,
    UpstreamError,
    UpstreamGarbled,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamRequestRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from llm.providers.anthropic_errors import TYPES
from prompts import PromptError


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


class NoSuchKey(GatewayError):
    """There is no key of this name in the store."""


class KeyChangeRefused(GatewayError):
    """A key cannot be made or changed so: it stands in the settings, is revoked, or its name is taken."""


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


@dataclass(frozen=True, slots=True)
class Row:
    """What callers see of an error class. Without ``message`` they see the error's own words."""

    status: int
    type: str
    code: str | None = None
    message: str | None = None
    hopeless: bool = False
    """Whether a client that tries again would only fail again, although the status lets it."""


CALLER, SERVER = "invalid_request_error", "server_error"
OVERLOADED = TYPES[529]
INTERNAL = Row(500, SERVER, None, "The server had an error while processing your request. Sorry about that!")
UPSTREAM = "The upstream provider {}."

TABLE: Mapping[type[BaseException], Row] = {
    Unauthenticated: Row(401, CALLER),
    UnknownKey: Row(401, CALLER, "invalid_api_key"),
    Forbidden: Row(403, CALLER, "forbidden"),
    NoSuchEndpoint: Row(404, CALLER),
    NoSuchAnswer: Row(404, CALLER),
    MethodNotAllowed: Row(405, CALLER, "method_not_supported"),
    BodyTooLarge: Row(413, CALLER, "body_too_large"),
    BodyTimeout: Row(408, CALLER, "body_timeout"),
    UnknownEncoding: Row(415, CALLER, "unsupported_encoding"),
    InvalidHTTP: Row(400, CALLER),
    HeadTooLarge: Row(431, CALLER, "head_too_large"),
    InvalidBody: Row(400, CALLER),
    MissingParameter: Row(422, CALLER, "missing_required_parameter"),
    AmbiguousParameter: Row(400, CALLER, "ambiguous_parameter"),
    IncompleteAnswer: Row(500, SERVER, "answer_incomplete", hopeless=True),
    UnusableResponse: INTERNAL,
    TooManyInBackground: Row(429, "rate_limit_error", "rate_limit_exceeded"),
    LimitReached: Row(429, "rate_limit_error", "rate_limit_exceeded"),
    RequestsReached: Row(429, "requests", "rate_limit_exceeded"),
    TokensReached: Row(429, "tokens", "rate_limit_exceeded"),
    BudgetReached: Row(429, "insufficient_quota", "insufficient_quota", hopeless=True),
    PriceNeeded: Row(500, SERVER, "price_needed", hopeless=True),
    StoreUnavailable: Row(503, SERVER, "store_unavailable", "The gateway cannot reach its store now."),
    NoSuchKey: Row(404, CALLER),
    KeyChangeRefused: Row(409, CALLER, "key_change_refused"),
    UnknownVersion: Row(404, CALLER, "version_not_found"),
    ModelUnloaded: Row(503, SERVER, "model_unloaded", hopeless=True),
    LoadFailed: Row(500, SERVER, "load_failed", hopeless=True),
    SettingsRefused: Row(500, SERVER, "settings_refused", hopeless=True),
    NotReady: Row(503, SERVER, "not_ready"),
    GatewayError: INTERNAL,
    InvalidSettings: INTERNAL,
    InvalidRequest: Row(400, CALLER),
    UnknownModel: Row(404, CALLER, "model_not_found"),
    UpstreamUnreachable: Row(502, SERVER, "upstream_unreachable", UPSTREAM.format("cannot be reached")),
    UpstreamTimeout: Row(504, SERVER, "upstream_timeout", UPSTREAM.format("did not answer in time")),
    UpstreamCredentialsRefused: Row(
        502, SERVER, "upstream_credentials_refused", UPSTREAM.format("does not accept the gateway's key"), hopeless=True
    ),
    UpstreamRequestRefused: Row(400, CALLER),
    QuestionRefused: Row(
        502, SERVER, "upstream_refused", UPSTREAM.format("refuses what this graph asks of it"), hopeless=True
    ),
    UpstreamRateLimited: Row(429, "rate_limit_error", "rate_limit_exceeded", UPSTREAM.format("limits our rate")),
    UpstreamQuotaExceeded: Row(
        429, "insufficient_quota", "insufficient_quota", UPSTREAM.format("has no quota left for us"), hopeless=True
    ),
    UpstreamUnavailable: Row(503, SERVER, "upstream_unavailable", UPSTREAM.format("failed or is overloaded")),
    UpstreamGarbled: Row(502, SERVER, "upstream_garbled", UPSTREAM.format("answered something that is no answer")),
    UpstreamAnswerInvalid: Row(
        502, SERVER, "answer_invalid", UPSTREAM.format("answered twice with something that does not fit the schema")
    ),
    UpstreamAnswerTooLong: Row(
        502, SERVER, "answer_too_long", UPSTREAM.format("answered more than can be checked"), hopeless=True
    ),
    UpstreamBrokeOff: Row(502, SERVER, "upstream_broke_off", UPSTREAM.format("broke off in the middle of its answer")),
    ModelNotLoaded: INTERNAL,
    ModelError: INTERNAL,
    MaxIterationsExceeded: Row(500, SERVER, "max_iterations_exceeded", hopeless=True),
    MaxStepsExceeded: Row(500, SERVER, "max_steps_exceeded", hopeless=True),
    RunTimeout: Row(504, SERVER, "run_timeout", hopeless=True),
    TokensExceeded: Row(500, SERVER, "max_tokens_exceeded", hopeless=True),
    MoneyExceeded: Row(500, SERVER, "max_usd_exceeded", hopeless=True),
    PriceUnknown: Row(500, SERVER, "price_unknown", hopeless=True),
    StepTimeout: Row(504, SERVER, "step_timeout"),
    InvalidInput: Row(400, CALLER),
    UnknownRoute: Row(404, CALLER),
    ToolsetUnavailable: Row(502, SERVER, "tools_unavailable", "A server of tools cannot be used."),
    LimitExceeded: Row(500, SERVER, "limit_exceeded", hopeless=True),
    GraphError: INTERNAL,
    ContentRefused: Row(400, CALLER, "content_filter"),
    GuardrailUnavailable: Row(503, SERVER, "guardrail_unavailable", "A guardrail that must be asked did not answer."),
    GuardrailError: INTERNAL,
    PromptError: INTERNAL,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as callers see it."""

    status: int
    message: str
    type: str
    code: str | None
    param: str | None
    headers: Mapping[str, str]

    @classmethod
    def of(cls, error: BaseException) -> Fault:
        """The fault that the table makes of an error; where a single model failed, of that."""
        if isinstance(error, ModelRunnerError) and len(error.errors) == 1:
            return cls.of(next(iter(error.errors.values())))
        row = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), INTERNAL)
        status, code, param = row.status, row.code, None
        if isinstance(error, UpstreamRequestRefused):
            status = error.upstream_status or status
        if isinstance(error, (InvalidRequest, UpstreamRequestRefused)):
            code, param = error.code or code, error.param
        elif isinstance(error, (MissingParameter, AmbiguousParameter)):
            param = error.param
        return cls(status, row.message or str(error), row.type, code, param, dict(_headers(error, row)))

    @property
    def is_ours(self) -> bool:
        """Whether somebody should look at the log."""
        return self.status >= 500

    def openai(self) -> dict[str, Any]:
        """The body that OpenAI's SDKs raise as an exception."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def v2(self) -> dict[str, Any]:
        """The body of the Open Inference Protocol: a string, not an object."""
        return {"error": self.message}

    def anthropic(self, request_id: str | None) -> dict[str, Any]:
        """The body of Anthropic's API, which is also the data of an ``error`` event."""
        kind = OVERLOADED if self.status == 503 else TYPES.get(self.status, "api_error" if self.is_ours else CALLER)
        return {"type": "error", "error": {"type": kind, "message": self.message}, "request_id": request_id}

    def body_for(self, path: str, request_id: str | None = None) -> dict[str, Any]:
        """The body in the language of the API that a path belongs to."""
        if _is_under("/v1/messages", path):
            return self.anthropic(request_id)
        return self.v2() if _is_under("/v2", path) else self.openai()


def _is_under(root: str, path: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def _headers(error: BaseException, row: Row) -> list[tuple[str, str]]:
    headers = []
    if isinstance(error, UpstreamError) and error.retry_after is not None:
        headers.append(("retry-after", str(max(1, ceil(error.retry_after)))))
    if isinstance(error, LimitReached):
        headers.extend(error.headers.items())
    if row.hopeless:
        headers.append(("x-should-retry", "false"))
    if isinstance(error, UnknownEncoding):
        headers.append(("accept-encoding", "gzip, deflate"))
    if isinstance(error, MethodNotAllowed):
        headers.append(("allow", ", ".join(error.allowed)))
    return headers
