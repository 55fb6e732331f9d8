"""Answers that are kept: for whom, how many, and in what order they are found."""

from __future__ import annotations

from typing import Any

from gateway.kept import AnswersInMemory, KeptAnswer, Kind, Page

ASKED = [{"role": "user", "content": "hi"}]


def kept(answer_id: str, owner: str = "me", kind: Kind = "chat.completion", **members: Any) -> KeptAnswer:
    return KeptAnswer(owner, {"id": answer_id, "object": kind, "model": "m", **members}, ASKED)


async def ids_of(store: AnswersInMemory, *ids: str) -> list[str]:
    """Those of the ids that are still kept."""
    return [name for name in ids if await store.get("chat.completion", "me", name) is not None]


def listed(page: Page | None) -> tuple[str, bool]:
    """The ids of a page, and whether there are more."""
    assert page is not None
    return "".join(answer.id for answer in page.answers), page.has_more


async def test_an_answer_is_kept_for_its_owner() -> None:
    """As it was put, the latest of its kind and id; for nobody else, and under no other kind."""
    store = AnswersInMemory()
    await store.put(kept("a", status="queued"))
    await store.put(kept("a"))
    assert await store.get("chat.completion", "me", "a") == kept("a")
    assert await store.get("chat.completion", "you", "a") is None
    assert await store.get("response", "me", "a") is None
    assert await store.delete("chat.completion", "you", "a") is False
    assert [await store.delete("chat.completion", "me", "a") for _ in range(2)] == [True, False]


async def test_the_oldest_go_first() -> None:
    """When there are too many, and when they are too large; what is put again is the newest."""
    few = AnswersInMemory(most=2)
    for name in "abac":
        await few.put(kept(name))
    assert await ids_of(few, *"abc") == ["a", "c"]
    small = AnswersInMemory(max_bytes=3 * (len(kept("a").to_json()) + len("modelm")))
    for name in "abcd":
        await small.put(kept(name))
    assert await ids_of(small, *"abcd") == ["b", "c", "d"]
    await small.put(kept("e", metadata={"text": "x" * 1000}))
    assert await ids_of(small, *"abcde") == []
    await small.put(kept("f"))
    assert await ids_of(small, "f") == ["f"]


async def test_pages_are_in_the_order_of_making() -> None:
    """From either end, behind any of them, also one that was changed since; nothing is listed behind one unknown."""
    store = AnswersInMemory()
    for name in "abcd":
        await store.put(kept(name))
    await store.put(kept("b", metadata={"changed": "yes"}))
    await store.put(kept("x", owner="you"))
    await store.put(kept("y", kind="response"))
    assert listed(await store.page("chat.completion", "me", {})) == ("abcd", False)
    assert listed(await store.page("chat.completion", "me", {}, limit=3)) == ("abc", True)
    assert listed(await store.page("chat.completion", "me", {}, after="b", limit=2)) == ("cd", False)
    assert listed(await store.page("chat.completion", "me", {}, after="c", newest_first=True)) == ("ba", False)
    assert await store.page("chat.completion", "me", {}, after="x") is None


async def test_answers_are_found_by_their_labels() -> None:
    """All of those asked for; what was changed is found as it now is."""
    store = AnswersInMemory()
    await store.put(kept("a", metadata={"topic": "rain", "for": "me"}))
    await store.put(kept("b", metadata={"topic": "sun", "for": "me"}))
    await store.put(kept("c", model="n", metadata=None))
    assert listed(await store.page("chat.completion", "me", {"metadata.for": "me"})) == ("ab", False)
    assert listed(await store.page("chat.completion", "me", {"metadata.for": "me", "metadata.topic": "sun"}))[0] == "b"
    assert listed(await store.page("chat.completion", "me", {"model": "n"}))[0] == "c"
    await store.put(kept("a", metadata={"topic": "sun"}))
    assert listed(await store.page("chat.completion", "me", {"metadata.topic": "sun"}))[0] == "ab"
