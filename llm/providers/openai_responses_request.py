"""A chat request in the words of OpenAI's Responses API (https://platform.openai.com/docs/api-reference/responses).

- The ``system`` and ``developer`` messages at the start become ``instructions``; later ones stay where they are.
- Tool calls and their results become items of their own, tools and ``tool_choice`` lose a level, ``response_format``
  becomes ``text.format``, ``reasoning_effort`` ``reasoning.effort``, and both limits ``max_output_tokens``.
- ``store`` is false where the request does not say, as in the chat API; ``reasoning_items`` of an assistant's message,
  which hold its thoughts in encrypted form, go back where they came from.
- What would change the answer's shape (``n``, audio, the deprecated functions) is refused. All else goes as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from llm.chat import ChatRequest, Message, text_of
from llm.chat.validation import wrong_type
from llm.errors import InvalidRequest

TRANSLATED = frozenset(
    {
        "max_tokens",
        "max_completion_tokens",
        "tools",
        "tool_choice",
        "response_format",
        "reasoning_effort",
        "verbosity",
        "logprobs",
        "top_logprobs",
        "include",
        "n",
        "modalities",
    }
)
UNSUPPORTED = frozenset(("functions", "function_call", "audio", "web_search_options"))
LOGPROBS = "message.output_text.logprobs"


def response_body(model: str, request: ChatRequest) -> dict[str, Any]:
    """The body of ``POST /responses`` for a request.

    Raises:
        InvalidRequest: naming what the Responses API has no counterpart for.
    """
    given = request.parameters
    _check(given)
    leading = len(list(takewhile(_instructs, request.messages)))
    if leading == len(request.messages):
        leading = 0
    body: dict[str, Any] = {
        "model": model,
        "input": list(_items(request.messages, leading)),
        "store": False,
        **({"instructions": "\n\n".join(map(text_of, request.messages[:leading]))} if leading else {}),
        **{name: value for name, value in given.items() if name not in TRANSLATED},
        **dict(_output(given)),
        **dict(_tools(given)),
    }
    return {**body, "stream": True} if request.stream else body


def _instructs(message: Message) -> bool:
    return message["role"] in ("system", "developer")


def _check(given: Mapping[str, Any]) -> None:
    """Refuses what would change the answer's shape."""
    wrong = next((name for name in given if name in UNSUPPORTED), None)
    if given.get("n", 1) != 1:
        wrong = "n"
    elif "audio" in _list("modalities", given.get("modalities")):
        wrong = "modalities"
    if wrong:
        message = f"Unsupported parameter: '{wrong}' is not supported with this model; leave it out."
        raise InvalidRequest(message, param=wrong, code="unsupported_parameter")


def _output(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the answer shall be like."""
    if most := given.get("max_completion_tokens", given.get("max_tokens")):
        yield "max_output_tokens", most
    if effort := given.get("reasoning_effort"):
        yield "reasoning", {**_object("reasoning", given.get("reasoning")), "effort": effort}
    text = dict(_object("text", given.get("text")))
    if wanted := given.get("response_format"):
        text["format"] = {"type": wanted["type"], **wanted.get("json_schema", {})}
    if verbosity := given.get("verbosity"):
        text["verbosity"] = verbosity
    if text:
        yield "text", text
    include = [*_list("include", given.get("include")), *([LOGPROBS] if given.get("logprobs") else ())]
    if include:
        yield "include", include
    if "top_logprobs" in given:
        yield "top_logprobs", given["top_logprobs"]


def _tools(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if given.get("tools"):
        yield "tools", [_tool(f"tools[{index}]", tool) for index, tool in enumerate(given["tools"])]
    choice = given.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        allowed, place = choice["allowed_tools"], "tool_choice.allowed_tools.tools"
        named = [_named(_object(place, tool)) for tool in _list(place, allowed.get("tools"))]
        yield "tool_choice", {**allowed, "type": "allowed_tools", "tools": named}
    elif choice:
        yield "tool_choice", choice if isinstance(choice, str) else _named(choice)


def _named(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(tool.get("type"))
    return {"type": kind, "name": tool[kind].get("name")} if isinstance(tool.get(kind), dict) else dict(tool)


def _tool(place: str, tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool without the level of its kind; others than chats have go as they are. Functions are not strict where they
    do not say, as in the chat API."""
    if tool["type"] == "function":
        function = tool["function"]
        schema = function.get("parameters") or {"type": "object", "properties": {}}
        return {"type": "function", **function, "parameters": schema, "strict": bool(function.get("strict"))}
    if not isinstance(tool.get("custom"), dict):
        return dict(tool)
    custom = {"type": "custom", **tool["custom"]}
    if isinstance(custom.get("format"), dict):
        grammar = _object(f"{place}.custom.format.grammar", custom["format"].get("grammar"))
        custom["format"] = {"type": custom["format"].get("type"), **grammar}
    return custom


def _items(messages: Sequence[Message], leading: int) -> Iterator[dict[str, Any]]:
    """The items of the messages after those that lead."""
    custom: set[str] = set()
    for index, message in enumerate(messages[leading:], leading):
        place, role = f"messages[{index}]", message["role"]
        if role == "assistant":
            custom.update(call["id"] for call in message.get("tool_calls") or () if call.get("type") == "custom")
            yield from _said(place, message)
        elif role == "tool":
            kind = "custom_tool_call_output" if message["tool_call_id"] in custom else "function_call_output"
            output = _content(f"{place}.content", message.get("content"))
            yield {"type": kind, "call_id": message["tool_call_id"], "output": output}
        elif role == "function":
            raise _unsupported(f"{place}.role", "'function'; write it as 'tool' with a tool_call_id.")
        else:
            yield {"role": role, "content": _content(f"{place}.content", message.get("content"))}


def _said(place: str, message: Message) -> Iterator[dict[str, Any]]:
    """What the assistant thought, said and called. Ids are left out: nothing is stored that they could name."""
    for item in _list(f"{place}.reasoning_items", message.get("reasoning_items")):
        thought = _object(f"{place}.reasoning_items", item)
        yield {name: value for name, value in thought.items() if name not in ("id", "status")}
    if text := text_of(message) + (message.get("refusal") or ""):
        yield {"role": "assistant", "content": text}
    for index, call in enumerate(message.get("tool_calls") or ()):
        if call.get("type") == "custom":
            custom = _object(f"{place}.tool_calls[{index}].custom", call.get("custom"))
            yield {"type": "custom_tool_call", "call_id": call["id"], **custom}
        else:
            function = call["function"]
            called = {"name": function["name"], "arguments": function["arguments"]}
            yield {"type": "function_call", "call_id": call["id"], **called}


def _content(place: str, content: Any) -> str | list[dict[str, Any]]:
    if not isinstance(content, list):
        return content or ""
    return [_part(f"{place}[{index}]", part) for index, part in enumerate(content)]


def _part(place: str, part: Mapping[str, Any]) -> dict[str, Any]:
    match part["type"]:
        case "text":
            return {"type": "input_text", "text": part["text"]}
        case "image_url":
            image = part.get("image_url")
            given = image if isinstance(image, dict) else {"url": image}
            return {"type": "input_image", "image_url": given.get("url"), "detail": given.get("detail") or "auto"}
        case "file":
            return {"type": "input_file", **_object(f"{place}.file", part.get("file"))}
        case "input_audio":
            raise _unsupported(f"{place}.type", "'input_audio'; this model does not listen.")
        case _:
            return dict(part)


def _object(place: str, value: Any) -> Mapping[str, Any]:
    """A member that chats do not have or is not looked at there; nothing is the same as an empty one."""
    if not isinstance(value, (dict, type(None))):
        raise wrong_type(place, "an object", value)
    return value or {}


def _list(place: str, value: Any) -> list[Any]:
    if not isinstance(value, (list, type(None))):
        raise wrong_type(place, "an array", value)
    return value or []


def _unsupported(place: str, is_what: str) -> InvalidRequest:
    return InvalidRequest(f"Unsupported value: '{place}' is {is_what}", param=place, code="unsupported_value")
