"""The one table of errors: what callers see, and which headers tell them when to come back."""

from __future__ import annotations

import pytest

from gateway.errors import MethodNotAllowed
from gateway.faults import Fault
from graph import MaxIterationsExceeded
from llm import UpstreamError, UpstreamQuotaExceeded, UpstreamRateLimited, UpstreamUnavailable


@pytest.mark.parametrize(("kind", "status"), [(UpstreamRateLimited, 429), (UpstreamUnavailable, 503)])
@pytest.mark.parametrize(
    ("asked", "told"),
    [(0, "1"), (0.0, "1"), (0.2, "1"), (1, "1"), (1.01, "2"), (30, "30"), (86400.5, "86401")],
)
def test_retry_after_is_a_whole_second_at_least(
    kind: type[UpstreamError], status: int, asked: float, told: str
) -> None:
    """Rounded up, as a client that comes back too early is refused again, and never 0, which some take for no wait."""
    fault = Fault.of(kind("busy", retry_after=asked))
    assert (fault.status, fault.headers) == (status, {"retry-after": told})


@pytest.mark.parametrize("kind", [UpstreamRateLimited, UpstreamUnavailable])
def test_nothing_is_said_about_when_if_nobody_knows(kind: type[UpstreamError]) -> None:
    """Clients have a rule of their own, which is better than a number out of the air."""
    assert Fault.of(kind("busy")).headers == {}


def test_what_another_try_cannot_mend_is_told_so() -> None:
    """The official SDKs try again after a 429 and a 5xx unless a header says that it is of no use."""
    for error in (UpstreamQuotaExceeded("used up"), MaxIterationsExceeded("too often")):
        assert Fault.of(error).headers == {"x-should-retry": "false"}


def test_the_methods_that_are_allowed_are_listed() -> None:
    """As RFC 9110 wants it: separated by commas."""
    assert Fault.of(MethodNotAllowed("PUT", "/items", ("GET", "POST"))).headers == {"allow": "GET, POST"}


@pytest.mark.parametrize(
    ("path", "v2"), [("/v2", True), ("/v2/models", True), ("/v20", False), ("/v1/models", False), ("/", False)]
)
def test_every_api_is_answered_in_its_own_form(path: str, v2: bool) -> None:
    """A string on V2, an object everywhere else."""
    fault = Fault.of(UpstreamUnavailable("words of the upstream"))
    assert isinstance(fault.body_for(path)["error"], str if v2 else dict)
    assert "words of the upstream" not in str(fault.body_for(path))


@pytest.mark.parametrize(
    ("path", "anthropics"),
    [("/v1/messages", True), ("/v1/messages/count_tokens", True), ("/v1/messagesx", False), ("/v1", False)],
)
def test_anthropics_clients_are_answered_in_its_form(path: str, anthropics: bool) -> None:
    """With the id of the request, by which its SDK knows it."""
    body = Fault.of(UpstreamRateLimited("words of the upstream")).body_for(path, "req_1")
    assert (body.get("type") == "error", body.get("request_id")) == (anthropics, "req_1" if anthropics else None)
    assert body["error"]["type"] == "rate_limit_error"
