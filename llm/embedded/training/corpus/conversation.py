"""What the corpus is made of: conversations in OpenAI's form, with what their task knows about them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]


@dataclass(frozen=True)
class Conversation:
    """Messages and tools; every assistant message is something to learn. `task` names the file that made it."""

    task: str
    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def system(text: str | None) -> list[Message]:
    """A list, so that there may be none."""
    return [{"role": "system", "content": text}] if text else []


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def call(tool_name: str, /, **arguments: str) -> Message:
    """An assistant message that calls one tool."""
    function = {"name": tool_name, "arguments": dump(arguments)}
    return {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}]}


def result(value: Any) -> Message:
    """What a tool returned, as JSON."""
    return {"role": "tool", "content": dump(value)}


def dump(value: Any) -> str:
    """JSON as the model reads and writes it: ", " and ": " between, accents as they are."""
    return json.dumps(value, ensure_ascii=False)


def tool(name: str, *parameters: str) -> dict[str, Any]:
    """The declaration of a tool whose parameters are all required strings."""
    schema = {
        "type": "object",
        "properties": {parameter: {"type": "string"} for parameter in parameters},
        "required": list(parameters),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "parameters": schema}}


GET_WEATHER = tool("get_weather", "location", "date")
SEARCH_ATTRACTIONS = tool("search_attractions", "location", "weather")
