"""Recordings of runs with judges: what these asked is played again, in whatever order it had come."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.telemetry.recordings import replay
from llm.testing import ScriptedUpstream
from llm.testing.upstream import Json, Pause, Reply, Stream, answer, embeddings
from tests.serving import serving

CHAT: dict[str, Any] = {"model": "up", "messages": [{"role": "user", "content": "Who knows?"}], "stream": True}
UNCOUNTED = {name: value for name, value in answer('{"allowed": true}').body.items() if name != "usage"}
"""An answer without usage: its tokens are counted once it is there, which is one more thing on the tape."""


def settings(addresses: dict[str, str], *rules: dict[str, Any]) -> dict[str, Any]:
    """Models at these addresses, under a policy of these rules."""
    return {
        "providers": [
            {"name": name, "kind": "openai", "base_url": address, "api_key": "sk-of-nobody"}
            for name, address in addresses.items()
        ],
        "models": [{"name": name, "provider": name} for name in addresses],
        "graphs": [],
        "guardrails": [{"name": "judged", "everywhere": True, "rules": rules}],
    }


def judge(model: str, **said: Any) -> dict[str, Any]:
    """A rule that asks a model."""
    return {"rule": "judge", "model": model, "rubric": "No birds.", **said}


async def replayed(
    folder: Path, *rules: dict[str, Any], runs: int = 1, heard: Callable[[], object] = bool, **scripts: list[Reply]
) -> None:
    """Asks so often, and plays the last recording again, with nobody there and by catalogues that have asked nobody.
    ``heard`` is called once the words are there; judges may leave some of their script."""
    async with AsyncExitStack() as stack:
        there = {name: await stack.enter_async_context(ScriptedUpstream(*each)) for name, each in scripts.items()}
        tree = settings({name: each.base_url for name, each in there.items()}, *rules)
        async with serving(**tree, record={"path": folder}) as gateway:
            for _ in range(runs):
                sent = b""
                async with gateway.http.post(f"{gateway.address}/v1/chat/completions", json=CHAT) as response:
                    async for part in response.content.iter_any():
                        sent += part
                        if b"knows." in sent:
                            heard()
        for each in there.values():
            each.script.clear()
    path = folder / f"{response.headers['x-request-id']}.json"
    nobody = settings(dict.fromkeys(scripts, "http://127.0.0.1:1/v1"), *rules)
    for _ in range(5):
        assert await replay(path, Catalog.of(Settings.model_validate(nobody))) == sent


async def test_judges_may_answer_in_any_order(tmp_path: Path) -> None:
    """That of the request answers when that of the answer has; of a replay all that came is there at once."""
    later = Pause()
    slow: list[Reply] = [Stream([later, orjson.dumps(UNCOUNTED)])]
    rules = [judge("slow", mode="shadow"), judge("quick", places=["output"])]
    up: list[Reply] = [Stream.of_text("Nobody", " knows.")]
    await replayed(tmp_path, *rules, heard=later.set, up=up, slow=slow, quick=[Json(UNCOUNTED)])


@pytest.mark.parametrize("place", ["input", "output"])
async def test_a_sample_is_the_same_again(tmp_path: Path, place: str) -> None:
    """Who was asked then is asked now, and nobody else."""
    rules = [judge("judge", name=name, mode="shadow", sample=0.5, places=[place]) for name in ("one", "two", "three")]
    await replayed(tmp_path, *rules, up=[Stream.of_text("Nobody.")], judge=[Json(UNCOUNTED)] * 3)


async def test_examples_of_topics_are_asked_for_in_each_recording(tmp_path: Path) -> None:
    """Also where the gateway knows their embeddings by then, as who replays does not."""
    rule = {"rule": "topics", "model": "embedder", "examples": ["Who?"], "threshold": 0.5, "mode": "shadow"}
    vectors: list[Reply] = [embeddings([1.0])] * 4
    await replayed(tmp_path, rule, runs=2, up=[Stream.of_text("Nobody.")] * 2, embedder=vectors)
