"""ToolChoice: which tools may be called, whether one must be, and how many calls."""

from __future__ import annotations

from typing import Any

import pytest

from llm import ChatRequest, InvalidRequest
from llm.chat import ToolChoice

F, G = ({"type": "function", "function": {"name": name}} for name in "fg")
CUSTOM = {"type": "custom", "custom": {"name": "c"}}


def choice(**parameters: Any) -> ToolChoice:
    return ToolChoice.of(ChatRequest.of_text("m", "Hi").having(**parameters))


def allowed(mode: str, *tools: Any) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}


@pytest.mark.parametrize(
    ("tool_choice", "names", "required", "parallel"),
    [
        (None, "fg", False, True),
        ("auto", "fg", False, True),
        ("required", "fg", True, True),
        ("none", "", False, True),
        (G, "g", True, False),
        (allowed("auto", G), "g", False, True),
        (allowed("required", F, G), "fg", True, True),
        (allowed("auto"), "", False, True),
    ],
)
def test_every_choice(tool_choice: Any, names: str, required: bool, parallel: bool) -> None:
    """In OpenAI's words; a tool that is chosen by name is called once."""
    made = choice(tools=[F, G], tool_choice=tool_choice)
    assert (made.names, made.required, made.parallel) == (frozenset(names), required, parallel)


def test_calls_one_at_a_time() -> None:
    """As asked for."""
    assert not choice(tools=[F], tool_choice="required", parallel_tool_calls=False).parallel


@pytest.mark.parametrize("tool_choice", ["required", F, allowed("required"), allowed("auto", F), CUSTOM])
def test_what_is_not_there_cannot_be_chosen(tool_choice: Any) -> None:
    """Nor can something be called where nothing was declared."""
    for tools in ([], None) if tool_choice == "required" else ([G], None):
        with pytest.raises(InvalidRequest) as raised:
            choice(tools=tools, tool_choice=tool_choice)
        assert raised.value.param == "tool_choice"


def test_tools_that_are_no_functions_are_refused_by_place() -> None:
    """A model that decodes here is held to JSON arguments; what is not to be called is no matter."""
    with pytest.raises(InvalidRequest) as raised:
        choice(tools=[F, CUSTOM])
    assert raised.value.param == "tools[1].type"
    assert choice(tools=[F, CUSTOM], tool_choice="none").tools == ()
