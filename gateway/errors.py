"""ONE table from exception classes to what callers see, and the bodies of OpenAI's API and of V2.

::

    GatewayError
    ├── Unauthenticated      no key
    │   └── UnknownKey       one that nobody has
    ├── Forbidden            the key may not do this, or nobody may
    ├── NoSuchEndpoint       the path is in no row of the table of endpoints
    ├── MethodNotAllowed     the path is, the method is not
    ├── BodyTooLarge         the body is longer than the settings allow
    ├── BodyTimeout          the body did not come in time
    ├── InvalidBody          the body is not JSON, or not what the V2 protocol says
    ├── UnknownVersion       the model is served, and not in this version
    ├── ModelUnloaded        the model is out of service until an admin loads it
    ├── LoadFailed           the model could not be loaded; what was in service before still is
    └── NotReady             the gateway is starting or stopping

    UnknownModel (llm)
    └── NotAChatModel        the model takes inputs of V2, and no messages

An exception that is in no row is a 500, and its words stay in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from gateway.config_faults import InvalidSettings
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
from llm import (
    InvalidRequest,
    ModelError,
    ModelNotLoaded,
    QuestionRefused,
    UnknownModel,
    UpstreamAnswerInvalid,
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


class InvalidBody(GatewayError):
    """The body is not JSON, or not what the protocol says."""


class UnknownVersion(GatewayError):
    """The model is served, and not in this version."""


class ModelUnloaded(GatewayError):
    """The model is out of service until an admin loads it."""


class LoadFailed(GatewayError):
    """The model could not be loaded. The message is for an admin and says why; what was in service before still is."""


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
INTERNAL = Row(500, SERVER, None, "The server had an error while processing your request. Sorry about that!")
UPSTREAM = "The upstream provider {}."

TABLE: Mapping[type[BaseException], Row] = {
    Unauthenticated: Row(401, CALLER),
    UnknownKey: Row(401, CALLER, "invalid_api_key"),
    Forbidden: Row(403, CALLER, "forbidden"),
    NoSuchEndpoint: Row(404, CALLER),
    MethodNotAllowed: Row(405, CALLER, "method_not_supported"),
    BodyTooLarge: Row(413, CALLER, "body_too_large"),
    BodyTimeout: Row(408, CALLER, "body_timeout"),
    InvalidBody: Row(400, CALLER),
    UnknownVersion: Row(404, CALLER, "version_not_found"),
    ModelUnloaded: Row(503, SERVER, "model_unloaded", hopeless=True),
    LoadFailed: Row(500, SERVER, "load_failed", hopeless=True),
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

    def body_for(self, path: str) -> dict[str, Any]:
        """The body in the language of the API that a path belongs to."""
        return self.v2() if path == "/v2" or path.startswith("/v2/") else self.openai()


def _headers(error: BaseException, row: Row) -> list[tuple[str, str]]:
    headers = []
    if isinstance(error, UpstreamError) and error.retry_after is not None:
        headers.append(("retry-after", str(max(1, ceil(error.retry_after)))))
    if row.hopeless:
        headers.append(("x-should-retry", "false"))
    if isinstance(error, MethodNotAllowed):
        headers.append(("allow", ", ".join(error.allowed)))
    return headers
