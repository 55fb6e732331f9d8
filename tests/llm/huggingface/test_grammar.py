"""Guides: what a model of random weights may say, in the form of calls that its own template shows."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from llm import ChatCompletion, ChatRequest, InvalidRequest
from llm.chat import ToolChoice
from llm.embedded import FOLDER
from llm.huggingface import Grammars, Guide, Speech
from llm.huggingface.forms import HERMES, LLAMA, MISTRAL, OURS, CallForm, form_of

torch = pytest.importorskip("torch", reason="needs the extra huggingface")
transformers = pytest.importorskip("transformers", reason="needs the extra huggingface")
pytestmark = [pytest.mark.huggingface, pytest.mark.filterwarnings("default")]
SCHEMA = {
    "type": "object",
    "properties": {
        "place": {"type": "string", "maxLength": 8},
        "days": {"type": "integer", "minimum": 1, "maximum": 30},
        "tags": {"type": "array", "items": {"enum": ["food", "art"]}, "minItems": 1, "maxItems": 2},
    },
    "required": ["place", "days", "tags"],
}
TRIP, NOW = (
    {"type": "function", "function": {"name": name, **more}}
    for name, more in {"trip": {"parameters": SCHEMA}, "now": {}}.items()
)
FORMS = [
    pytest.param(HERMES, True, id="hermes"),
    pytest.param(HERMES, False, id="hermes, spelled"),
    pytest.param(OURS, True, id="ours"),
    pytest.param(MISTRAL, True, id="mistral"),
    pytest.param(LLAMA, True, id="llama"),
]


class Writer:
    """Random weights: any id that may come is as likely as any other."""

    def __init__(self, form: CallForm, *, tokens: bool = True) -> None:
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
        self.tokenizer.chat_template = f"shows {form.opening}"
        if tokens and form is not OURS:
            self.tokenizer.add_tokens([text for text in (form.opening, form.closing) if text])
        self.end = int(self.tokenizer.eos_token_id)
        self.size = len(self.tokenizer) + 3
        self.grammars = Grammars(self.tokenizer, self.size, frozenset([self.end]))

    def guide(self, request: ChatRequest) -> Guide | None:
        return self.grammars.guide(request, ToolChoice.of(request))

    def write(self, request: ChatRequest, seed: int, first: str = "", longest: int = 400) -> ChatCompletion:
        """An answer that begins as it is told to, and ends sooner or later where it may."""
        random = torch.Generator().manual_seed(seed)
        guide = self.guide(request)
        speech = Speech(self.tokenizer, frozenset([self.end]), (), ToolChoice.of(request).names)
        chunks, told = [], self.tokenizer(first, add_special_tokens=False)["input_ids"]
        for _ in range(longest):
            logits = torch.rand(self.size, generator=random) * 4
            logits[self.end] = 6
            logits = guide.narrow(torch, logits) if guide else logits
            token = told.pop(0) if told else int(logits.argmax())
            assert logits[token] > -torch.inf
            if guide:
                guide.advance(token)
            chunks += list(speech.hear(token))
            if speech.ended:
                break
        return ChatCompletion.of([*chunks, *speech.rest()])


def asked(*tools: Any, **parameters: Any) -> ChatRequest:
    return ChatRequest.of_text("m", "Hi").having(tools=list(tools) or None, **parameters)


def check(completion: ChatCompletion) -> list[str]:
    """The names of the calls, whose arguments are what their schemas say."""
    schemas: dict[str, dict[str, Any]] = {"trip": SCHEMA, "now": {"maxProperties": 0}}
    for call in completion.tool_calls:
        assert jsonschema_rs.is_valid(schemas[call.name], json.loads(call.arguments)), call
    return [call.name for call in completion.tool_calls]


@pytest.mark.parametrize(("form", "tokens"), FORMS)
def test_a_required_call(form: CallForm, tokens: bool) -> None:
    """Whatever the weights: calls of declared tools, valid arguments, no text and no marker."""
    writer = Writer(form, tokens=tokens)
    assert form_of(writer.tokenizer.chat_template) is form
    for seed in range(8):
        completion = writer.write(asked(TRIP, NOW, tool_choice="required"), seed)
        assert completion.content == ""
        assert check(completion)


@pytest.mark.parametrize(("form", "tokens"), FORMS)
def test_a_call_by_name(form: CallForm, tokens: bool) -> None:
    """Of this tool, and one only."""
    writer = Writer(form, tokens=tokens)
    named = {"type": "function", "function": {"name": "trip"}}
    for seed in range(4):
        completion = writer.write(asked(TRIP, NOW, tool_choice=named), seed)
        assert (completion.content, check(completion)) == ("", ["trip"])


@pytest.mark.parametrize(("form", "tokens"), FORMS)
def test_several_calls_in_one_answer(form: CallForm, tokens: bool) -> None:
    """As many as the model likes, each after the other as it writes them, unless one at a time is asked for."""
    call = '{"name": "now", "arguments": {}}'.replace("arguments", form.arguments)
    between = {HERMES: "\n</tool_call>\n<tool_call>\n", OURS: "<|tool_call|>", MISTRAL: ", ", LLAMA: "; "}[form]
    before = {HERMES: "<tool_call>\n", OURS: "<|tool_call|>", MISTRAL: "[TOOL_CALLS][", LLAMA: ""}[form]
    writer = Writer(form, tokens=tokens)
    request = asked(NOW, tool_choice="required")
    completion = writer.write(request, 0, f"{before}{call}{between}{call}")
    assert check(completion)[:2] == ["now", "now"]
    with pytest.raises(AssertionError):
        writer.write(request.having(parallel_tool_calls=False), 0, f"{before}{call}{between}{call}")


@pytest.mark.parametrize("form", [HERMES, OURS, MISTRAL])
def test_a_call_that_the_model_decides_on(form: CallForm) -> None:
    """Text is free; from the marker on a call is held to its tool."""
    for seed in range(4):
        completion = Writer(form).write(asked(TRIP), seed, f"I look. {form.opening}")
        assert (completion.content, check(completion)[:1]) == ("I look. ", ["trip"])


@pytest.mark.parametrize("form", [HERMES, OURS, MISTRAL])
def test_none_bars_the_marker(form: CallForm) -> None:
    """Where no tool may be called, the token that opens calls cannot come; without tools nothing is held."""
    writer = Writer(form)
    guide = writer.guide(asked(TRIP, tool_choice="none"))
    assert guide
    logits = guide.narrow(torch, torch.zeros(writer.size))
    opening = writer.tokenizer.convert_tokens_to_ids(form.opening)
    assert (logits == -torch.inf).nonzero().flatten().tolist() == [opening]
    assert writer.guide(asked()) is None


@pytest.mark.parametrize(("form", "tokens"), FORMS)
def test_an_answer_that_is_held_or_a_call(form: CallForm, tokens: bool) -> None:
    """With a schema for the answer and tools beside it, it is the one or the other."""
    only = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": only}}
    writer = Writer(form, tokens=tokens)
    for seed in range(6):
        completion = writer.write(asked(NOW, response_format=wanted), seed)
        assert check(completion) or json.loads(completion.content)["n"] in (1, 2)
        alone = writer.write(asked(NOW, response_format=wanted, tool_choice="none"), seed)
        assert json.loads(alone.content)["n"] in (1, 2)


def test_only_allowed_tools_are_called() -> None:
    """The others are declared all the same."""
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "now"}}]}
    request = asked(TRIP, NOW, tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    for seed in range(4):
        assert set(check(Writer(OURS).write(request, seed))) == {"now"}


def test_keywords_that_cannot_be_followed() -> None:
    """They are passed over in a tool that is not strict, and refused in one that is, by place."""
    odd = {"type": "object", "properties": {"a": {"not": {"type": "string"}}}, "required": ["a"]}
    function = {"name": "f", "parameters": odd}
    writer = Writer(OURS)
    assert writer.guide(asked({"type": "function", "function": function}, tool_choice="required"))
    with pytest.raises(InvalidRequest) as raised:
        writer.guide(asked({"type": "function", "function": {**function, "strict": True}}, tool_choice="required"))
    assert (raised.value.param, raised.value.code) == ("tools", "invalid_json_schema")
