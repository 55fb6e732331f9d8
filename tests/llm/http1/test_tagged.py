"""No answer reaches another request, whatever upstreams do and clients leave undone."""

from __future__ import annotations

from tests.llm.http1.tagged import HOW, run


async def test_no_answer_reaches_another_request() -> None:
    """Ten thousand requests here on each loop; ``python -m tests.llm.http1.tagged`` sends a million."""
    tally = await run(10_000, seed=7)
    assert tally.wrong == []
    assert {*HOW} - {"gives_up"} < {*tally.came}
    assert {"UpstreamBrokeOff", "UpstreamGarbled", "UpstreamUnreachable"} < {*tally.came}
