"""ONE table from exception classes to what callers see, and the bodies of OpenAI's API, of Anthropic's and of V2.

An exception that is in no row is a 500, and its words stay in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from gateway.config.faults import InvalidSettings
from gateway.errors import (
    AmbiguousParameter,
    AnswerGone,
    AnswerLost,
    BodyTimeout,
    BodyTooLarge,
    BudgetReached,
    Forbidden,
    GatewayError,
    HeadTooLarge,
    IncompleteAnswer,
    InvalidBody,
    InvalidHTTP,
    KeyChangeRefused,
    KeyReused,
    LimitReached,
    LoadFailed,
    MethodNotAllowed,
    MissingParameter,
    ModelUnloaded,
    NoSuchAnswer,
    NoSuchEndpoint,
    NoSuchKey,
    NotReady,
    PoliciesChanged,
    PolicyMissing,
    PriceNeeded,
    RequestsReached,
    SettingsRefused,
    TokensReached,
    TooManyInBackground,
    Unauthenticated,
    UnknownEncoding,
    UnknownKey,
    UnknownVersion,
    UnusableResponse,
)
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
    PolicyMissing: Row(500, SERVER, "policy_missing", hopeless=True),
    StoreUnavailable: Row(503, SERVER, "store_unavailable", "The gateway cannot reach its store now."),
    NoSuchKey: Row(404, CALLER),
    KeyChangeRefused: Row(409, CALLER, "key_change_refused"),
    KeyReused: Row(422, CALLER, "idempotency_key_reused"),
    PoliciesChanged: Row(409, CALLER, "policies_changed"),
    AnswerGone: Row(410, CALLER, "answer_gone"),
    AnswerLost: Row(503, SERVER, "answer_lost"),
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
        """The fault that the table makes of an error; where models failed, the gravest of theirs."""
        if isinstance(error, ModelRunnerError) and error.errors:
            return max(map(cls.of, error.errors.values()), key=lambda fault: fault.status)
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
