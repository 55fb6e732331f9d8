"""Speech: text that is certain, stop strings that are cut, tool calls in their many forms. Needs no torch."""

from __future__ import annotations

from typing import Any

import pytest

from llm import ChatChunk, ChatCompletion
from llm.huggingface import Speech
from llm.huggingface.forms import CLOSINGS, OPENINGS

END = 256


class Bytes:
    """A tokenizer whose ids are bytes."""

    all_special_ids = (END,)

    def decode(self, ids: list[int], **_: Any) -> str:
        return "<|end|>" if ids == [END] else bytes(ids).decode("utf-8", "replace")


class Pieces:
    """A tokenizer whose ids stand for pieces of a text."""

    all_special_ids = (END,)

    def __init__(self, *pieces: str) -> None:
        self._pieces = pieces

    def decode(self, ids: list[int], **_: Any) -> str:
        return "<|end|>" if ids == [END] else "".join(self._pieces[token] for token in ids)


def said(
    text: str, stop: tuple[str, ...] = (), tools: str = "", *, ends: bool = True
) -> tuple[ChatCompletion, list[ChatChunk]]:
    """What becomes of a text that a model writes a byte at a time, and ends."""
    return heard(Bytes(), [*text.encode(), *([END] if ends else [])], stop, tools)


def heard(
    tokenizer: Any, ids: list[int], stop: tuple[str, ...] = (), tools: str = ""
) -> tuple[ChatCompletion, list[ChatChunk]]:
    speech, chunks = Speech(tokenizer, frozenset([END]), stop, frozenset(tools)), []
    for token in ids:
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


F, G = '{"name": "f", "arguments": {"x": "é}\\""}}', '{"name": "g", "arguments": {}}'
HERMES = f"<tool_call>\n{F}\n</tool_call>\n<tool_call>\n{G}\n</tool_call>"


def called(completion: ChatCompletion) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in completion.tool_calls]


@pytest.mark.parametrize(
    "text",
    [
        HERMES,
        f"<|tool_call|>{F}<|tool_call|>{G}",
        f"[TOOL_CALLS] [{F}, {G}]",
        f"<|python_tag|>{F}; {G}".replace("arguments", "parameters"),
        f"{F}\n{G}",
        '\n\n<tool_call>{"arguments": {"x": "é}\\""}, "name": "f"}</tool_call>{"id": "1", "name":"g"}',
        f'[TOOL_CALLS][{F[:-1]}, "id": "abc"}},{G}]',
    ],
)
def test_calls_in_every_form(text: str) -> None:
    """Each call has its name and its arguments as JSON text; no marker is left in the content."""
    completion, _ = said(text, tools="fg")
    assert called(completion) == [("f", '{"x": "é}\\""}'), ("g", "{}")]
    assert len({call.id for call in completion.tool_calls}) == 2
    assert completion.content == ""


def test_arguments_that_are_a_string() -> None:
    """Some models write the JSON text of the arguments as a string."""
    completion, _ = said('<tool_call>{"name": "f", "arguments": "{\\"x\\": 1}"}', tools="f")
    assert called(completion) == [("f", '{"x": 1}')]


def test_a_call_comes_while_it_is_written() -> None:
    """Its name once it is known, then its arguments sign by sign, all before the answer has ended."""
    speech = Speech(Bytes(), frozenset([END]), tools=frozenset("fg"))
    before = len(b'<tool_call>\n{"name": "f", "arguments": ')
    chunks = [list(speech.hear(token)) for token in HERMES.encode()]
    first = next(index for index, said in enumerate(chunks) if said)
    assert first == before  # the brace of the arguments, as they may be a string
    opened, began = (chunk.tool_calls[0] for chunk in chunks[first])
    assert (opened.index, opened.name, opened.arguments, began.arguments) == (0, "f", "", "{")
    assert opened.id
    assert [chunk.tool_calls[0].arguments for said in chunks[first + 1 : first + 4] for chunk in said] == [*'"x"']
    assert list(speech.rest()) == []
    assert speech.calls == 2


def test_text_before_a_call_comes_live() -> None:
    """What was said first is there before the call is, and only the blanks between may wait."""
    speech = Speech(Bytes(), frozenset([END]), tools=frozenset("f"))
    said = [chunk.content for token in b"I look. " for chunk in speech.hear(token)]
    assert "".join(word or "" for word in said) == "I look. "
    completion, _ = heard(Bytes(), [*f"I look. <tool_call>{F}</tool_call>".encode(), END], tools="f")
    assert (completion.content, len(completion.tool_calls)) == ("I look. ", 1)


@pytest.mark.parametrize("marker", [*OPENINGS, *CLOSINGS])
def test_markers_never_leak_however_they_are_split(marker: str) -> None:
    """Into two tokens at every place, with text before and behind in the same tokens, or into single signs."""
    for at in range(len(marker) + 1):
        pieces = Pieces(f"Hi {marker[:at]}", f"{marker[at:]}{F}", "!")
        completion, chunks = heard(pieces, [0, 1, 2, END], tools="f")
        assert "".join(chunk.content or "" for chunk in chunks).startswith("Hi ")
        assert not any(sign in completion.content for sign in "<>[]|")
        assert (len(completion.tool_calls), completion.content) == (
            (1, "Hi ") if marker in OPENINGS else (0, f"Hi {F}!")
        )


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ('{"a": 1} is JSON', '{"a": 1} is JSON'),
        ('{"name": "x", "arguments": {}} is JSON', '{"name": "x", "arguments": {}} is JSON'),
        ("a < b", "a < b"),
        (f"<tool_call>{G}</tool_call>", G),
        ("[TOOL_CALLS] no", " no"),
        ('{"name": "f"', '{"name": "f"'),
        ('{"name": "f", "arguments": 1, "', '{"name": "f", "arguments": 1, "'),
        ("  ", "  "),
    ],
)
def test_what_is_no_call_of_a_declared_tool_is_text(text: str, seen: str) -> None:
    """Nothing is swallowed but markers."""
    completion, _ = said(text, tools="f")
    assert (completion.content, completion.tool_calls) == (seen, [])


def test_text_that_is_json_comes_live() -> None:
    """Once its first name shows that it is no call."""
    _, chunks = said('{"place": "Rome"}', tools="f")
    assert [chunk.content for chunk in chunks][:3] == ['{"place":', " ", '"']


def test_a_call_after_one_that_was_none() -> None:
    """It is a call all the same, and stop strings hold for the text before it."""
    text = f"<tool_call>{G}</tool_call> so <tool_call>{F}</tool_call>"
    assert called(said(text, tools="f")[0]) == [("f", '{"x": "é}\\""}')]
    completion, _ = said(text, (" so",), tools="f")
    assert (completion.content, completion.tool_calls) == (G, [])


def test_a_call_that_is_cut_off() -> None:
    """Before its name is known nothing is said of it, after that the arguments that came."""
    assert said('Hi <tool_call>{"name": "f', tools="f", ends=False)[0].content == "Hi "
    completion, _ = said('<tool_call>{"name": "f", "arguments": {"x": "', tools="f", ends=False)
    assert (completion.content, called(completion)) == ("", [("f", '{"x": "')])


def test_nothing_comes_after_a_stop_string() -> None:
    """Not even half a character that was held back."""
    assert said("abcSTOP", ("STOP",))[0].content == "abc"
    completion, _ = heard(Bytes(), [*b"ab", *"STOPé".encode()[:-1]], ("STOP",))
    assert completion.content == "ab"


def test_without_tools_nothing_is_a_call() -> None:
    """An answer about calls is an answer."""
    assert said(f"<tool_call>{F}")[0].content == f"<tool_call>{F}"
