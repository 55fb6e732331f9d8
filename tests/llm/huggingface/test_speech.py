"""Speech: text that is certain, stop strings that are cut, tool calls in their many forms. Needs no torch."""

from __future__ import annotations

from typing import Any

import pytest

from llm import ChatChunk, ChatCompletion
from llm.huggingface import Speech

END = 256


class Bytes:
    """A tokenizer whose ids are bytes."""

    all_special_ids = (END,)

    def decode(self, ids: list[int], **_: Any) -> str:
        return "<|end|>" if ids == [END] else bytes(ids).decode("utf-8", "replace")


def said(text: str, stop: tuple[str, ...] = (), tools: str = "") -> tuple[ChatCompletion, list[ChatChunk]]:
    """What becomes of a text that a model writes a byte at a time."""
    speech, chunks = Speech(Bytes(), frozenset([END]), stop, frozenset(tools)), []
    for token in [*text.encode(), END]:
        chunks += list(speech.hear(token))
        if speech.ended:
            break
    chunks += list(speech.rest())
    return ChatCompletion.of(chunks), chunks


def test_characters_are_whole() -> None:
    """A character of several tokens is one chunk, and never a half."""
    completion, chunks = said("Grüße 東京")
    assert completion.content == "Grüße 東京"
    assert [chunk.content for chunk in chunks] == [*"Grüße 東京"]


@pytest.mark.parametrize(("text", "seen"), [("abc STOP def", "abc "), ("ST ST STO", "ST ST STO"), ("STOP", "")])
def test_stop_strings_are_never_seen(text: str, seen: str) -> None:
    """Their start is held back until it is certain that it is none."""
    completion, chunks = said(text, ("STOP", "zzz"))
    assert completion.content == seen
    assert not any("STO" in (chunk.content or "") for chunk in chunks[:-1])


F, G = '{"name": "f", "arguments": {"x": "é"}}', '{"name": "g", "arguments": {}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{F}\n</tool_call>\n<tool_call>\n{G}\n</tool_call>",
        f"<|tool_call|>{F}<|tool_call|>{G}",
        f"[TOOL_CALLS] [{F}, {G}]",
        f"<|python_tag|>{F}; {G}".replace("arguments", "parameters"),
        f"{F}\n{G}",
    ],
)
def test_calls_in_every_form(text: str) -> None:
    """Each call has its name and its arguments as JSON text; no marker is left in the content."""
    completion, _ = said(text, tools="fg")
    assert [(call.name, call.arguments) for call in completion.tool_calls] == [("f", '{"x": "é"}'), ("g", "{}")]
    assert len({call.id for call in completion.tool_calls}) == 2
    assert completion.content == ""


@pytest.mark.parametrize("text", ['{"a": 1} is JSON', "a < b", f"<tool_call>{G}", "[TOOL_CALLS] no", '{"name": "f"'])
def test_what_is_no_call_of_a_declared_tool_is_text(text: str) -> None:
    """Nothing is swallowed."""
    completion, _ = said(text, tools="f")
    assert (completion.content, completion.tool_calls) == (text, [])


def test_without_tools_nothing_is_a_call() -> None:
    """An answer about calls is an answer."""
    assert said(f"<tool_call>{F}")[0].content == f"<tool_call>{F}"
