"""Checks of health: what they find, and what they leave to requests."""

from __future__ import annotations

import pickle
import time

from gateway.routing.health import HealthChecks
from llm import UpstreamUnreachable
from llm.testing import ScriptedProvider
from tests.gateway.routing.parts import Clock, deployment


class Listing(ScriptedProvider):
    """A provider that lists its models, unless it is gone."""

    gone = False

    async def models(self) -> list[str]:
        """The list."""
        if self.gone:
            raise UpstreamUnreachable("nobody there")
        return ["m"]


async def test_a_check_that_fails_is_a_failure_and_one_that_succeeds_is_no_answer() -> None:
    """The third failure opens; when somebody is there again, the next request probes, and only its answer closes."""
    clock, provider = Clock(), Listing.of()
    one = deployment("one", provider, clock)
    checks = HealthChecks([one, deployment("cannot list", clock=clock)], 1)
    provider.gone = True
    for state in ("closed", "closed", "open"):
        await checks.check()
        assert one.breaker.state == state
    assert one.last_error == "UpstreamUnreachable: nobody there"
    provider.gone = False
    await checks.check()
    assert (one.breaker.state, one.breaker.wait) == ("half_open", 0)


async def test_it_begins_and_ends_and_may_be_copied_in_between() -> None:
    """Steps in processes are sent the model, and their copy checks nothing."""
    checks = HealthChecks([deployment("one", Listing.of(), time.monotonic)], 60)
    checks.start()
    copy = pickle.loads(pickle.dumps(checks))
    await copy.close()
    copy.start()
    await copy.close()
    await checks.close()
    await checks.close()
