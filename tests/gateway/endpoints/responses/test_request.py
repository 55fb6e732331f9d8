"""Requests of the Responses API as chat requests; what is wrong is told by its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.answers import Ending
from gateway.endpoints.responses.checks import CHECKS
from gateway.endpoints.responses.items import ITEMS, items_of, shown
from gateway.endpoints.responses.request import ResponsesApi
from graph import Event
from llm import ChatCompletion, ChatRequest, InvalidRequest, Usage
from tests.gateway.endpoints.responses.bad import BAD

TEXTS = some.sampled_from(("", "a", "auto", "type", "name", "json_schema", "function", "\u2028"))
JSON = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**63), 2**63) | some.floats(allow_nan=False) | TEXTS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    "role",
    "content",
    "call_id",
    "name",
    "arguments",
    "output",
    "input",
    "id",
    "status",
    "summary",
    "text",
    "type",
)
ITEM = some.dictionaries(
    some.sampled_from(NAMES),
    JSON | some.sampled_from(("user", "assistant", *ITEMS)) | some.lists(some.just({"type": "input_text", "text": ""})),
)


def request(**members: Any) -> ChatRequest:
    return ResponsesApi().request({"model": "m", "input": "hi", **members})


@pytest.mark.parametrize(
    ("body", "param", "code"), [bad for bad in BAD if "not_found" not in f"{bad[2]}" and "id" not in f"{bad[1]}"[-4:]]
)
def test_what_is_wrong_is_told_by_its_place(body: Any, param: str | None, code: str | None) -> None:
    """In OpenAI's words for it."""
    with pytest.raises(InvalidRequest) as raised:
        ResponsesApi().request(body)
    assert (raised.value.param, raised.value.code) == (param, code)


def test_null_is_absence() -> None:
    """For every member that the API has."""
    nothing = request(**dict.fromkeys(CHECKS))
    assert (nothing.parameters, nothing.stream) == ({}, False)


def test_tools_and_choices_are_flat_here_and_not_there() -> None:
    """Functions, custom tools with a grammar, a choice of some of them."""
    function = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": None}
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}
    custom = {"type": "custom", "name": "g", "description": "d", "format": grammar}
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}
    parameters = request(tools=[function, custom], tool_choice=choice).parameters
    assert parameters["tools"] == [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
        {
            "type": "custom",
            "custom": {
                "name": "g",
                "description": "d",
                "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /a/"}},
            },
        },
    ]
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}
    assert parameters["tool_choice"] == {"type": "allowed_tools", "allowed_tools": allowed}
    plain = request(tools=[{"type": "custom", "name": "g", "format": {"type": "text"}}], tool_choice="auto").parameters
    assert plain["tools"] == [{"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}}]
    assert plain["tool_choice"] == "auto"


def test_nothing_is_said_about_tools_where_there_are_none() -> None:
    """Upstreams refuse a choice of nothing."""
    assert request(tools=[], tool_choice="auto", parallel_tool_calls=True).parameters == {}


@pytest.mark.parametrize(
    ("asked", "most"), [({"top_logprobs": 3}, 3), ({"include": ["message.output_text.logprobs"]}, 0)]
)
def test_logprobs_are_asked_for_in_two_ways(asked: Any, most: int) -> None:
    """By how many, or by including them."""
    assert request(**asked).parameters == {"logprobs": True, "top_logprobs": most}


def test_a_refusal_is_what_it_says() -> None:
    """Other members of the part are no text of it."""
    content = [{"type": "output_text", "text": "Well. "}, {"type": "refusal", "refusal": "No.", "text": True}]
    asked = request(input=[{"role": "assistant", "content": content}])
    assert asked.messages == [{"role": "assistant", "content": "Well. No."}]


@given(some.dictionaries(some.sampled_from([*CHECKS, "input"]), JSON, max_size=3))
def test_any_members_are_taken_or_refused(members: dict[str, Any]) -> None:
    """Nothing that is JSON breaks it in another way; what is taken can be answered."""
    taken_or_refused({"model": "m", "input": "hi", **members})


@given(some.lists(ITEM, min_size=1, max_size=4))
def test_any_items_are_taken_or_refused(items: list[Any]) -> None:
    """The same for the items of the input; what is taken can be shown."""
    taken_or_refused({"model": "m", "input": items})


def taken_or_refused(body: dict[str, Any]) -> None:
    """Reads a request, and answers it if it can be read."""
    try:
        asked = ResponsesApi().request(body)
    except InvalidRequest:
        return
    event = Event(asked, id="req_1")
    ResponsesApi().dialect(event, body).whole(ChatCompletion(), Ending("stop", Usage()))
    references = [
        item for item in items_of(body) if "role" not in item and item.get("type") in (None, "item_reference")
    ]
    assert references or len(shown(items_of(body), "1")) == len(items_of(body))
