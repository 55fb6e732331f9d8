"""A chat request in Anthropic's words (https://docs.anthropic.com/en/api/messages).

- ``system`` and ``developer`` messages become ``system``, wherever they stand; ``tool`` messages become ``tool_result``
  blocks of a user's message; neighbours of one role become one message.
- Images go as base64 or as an address, PDF files as documents; blocks and tools that are Anthropic's own already, and
  its own members (``cache_control``, …) of any block or tool, go as they are.
- ``max_tokens`` is always sent, because Anthropic wants it. A ``temperature`` above 1 becomes 1, the highest there is.
- What has no counterpart and only nudges (``seed``, penalties, …) is left out; what would change the answer's shape
  (``n``, ``logprobs``, audio) is refused. Unknown parameters go as they are: ``thinking``, ``top_k``, ….
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from llm.chat import ChatRequest, Message, text_of
from llm.errors import InvalidRequest

DEFAULT_MAX_TOKENS = 4096
"""The most that every model there is can answer with."""
NUDGES = frozenset(
    {
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "seed",
        "top_logprobs",
        "store",
        "prediction",
        "verbosity",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "moderation",
    }
)
TRANSLATED = frozenset(
    {
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "stop",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "user",
        "metadata",
        "service_tier",
        "n",
        "logprobs",
        "modalities",
    }
)
UNSUPPORTED = frozenset(("functions", "function_call", "audio", "web_search_options"))
CHOICES = {"auto": "auto", "required": "any", "none": "none"}
TIERS = {"auto": "auto", "default": "standard_only"}
OWN_MEMBERS = (
    "cache_control",
    "caller",
    "citations",
    "context",
    "is_error",
    "title",
    "toolset_name",
    "transformations",
)
"""What a part, a tool call or a result of a tool may have besides OpenAI's members."""
DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.ASCII)
ONLY_JSON = {"type": "text", "text": "Answer with one JSON object and nothing else."}


def message_body(model: str, request: ChatRequest, max_tokens: int = DEFAULT_MAX_TOKENS) -> dict[str, Any]:
    """The body of ``POST /v1/messages`` for a request.

    Raises:
        InvalidRequest: naming what Anthropic's API has no counterpart for.
    """
    given = request.parameters
    _check(given)
    turns, system = list(_turns(request.messages)), list(_system(request.messages))
    if given.get("response_format", {}).get("type") == "json_object":
        system.append(ONLY_JSON)
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": given.get("max_completion_tokens", given.get("max_tokens", max_tokens)),
        "messages": turns,
        **({"system": system} if system else {}),
        **{name: value for name, value in given.items() if name not in TRANSLATED | NUDGES},
        **dict(_sampling(given)),
        **dict(_tools(given)),
        **dict(_output(given)),
    }
    return {**body, "stream": True} if request.stream else body


def _check(given: Mapping[str, Any]) -> None:
    """Refuses what would change the answer's shape."""
    wrong = next((name for name in given if name in UNSUPPORTED), None)
    if given.get("n", 1) != 1:
        wrong = "n"
    elif given.get("logprobs"):
        wrong = "logprobs"
    elif "audio" in given.get("modalities", ()):
        wrong = "modalities"
    if wrong:
        message = f"Unsupported parameter: '{wrong}' is not supported with this model; leave it out."
        raise InvalidRequest(message, param=wrong, code="unsupported_parameter")


def _sampling(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if "temperature" in given:
        yield "temperature", min(given["temperature"], 1)
    if stop := given.get("stop"):
        yield "stop_sequences", [stop] if isinstance(stop, str) else stop
    if user := given.get("user") or given.get("metadata", {}).get("user_id"):
        yield "metadata", {"user_id": user}
    if tier := TIERS.get(given.get("service_tier", "")):
        yield "service_tier", tier


def _output(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """``response_format`` and ``reasoning_effort``."""
    config = dict(given.get("output_config", {}))
    wanted = given.get("response_format", {})
    if wanted.get("type") == "json_schema":
        config["format"] = {"type": "json_schema", "schema": wanted["json_schema"].get("schema") or {"type": "object"}}
    effort = given.get("reasoning_effort")
    if effort == "none":
        yield "thinking", {"type": "disabled"}
    elif effort:
        config["effort"] = "low" if effort == "minimal" else effort
    if config:
        yield "output_config", config


def _tools(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if not given.get("tools"):
        return
    tools, choice = given["tools"], given.get("tool_choice", "auto")
    chosen: dict[str, Any] = {"type": CHOICES.get(choice)} if isinstance(choice, str) else {"type": "tool"}
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        allowed = {_name(tool) for tool in choice["allowed_tools"].get("tools", ())}
        tools = [tool for tool in tools if _name(tool) in allowed]
        chosen["type"] = CHOICES.get(choice["allowed_tools"].get("mode"), "auto")
    elif isinstance(choice, dict):
        chosen["name"] = _name(choice)
    if given.get("parallel_tool_calls") is False and chosen["type"] != "none":
        chosen["disable_parallel_tool_use"] = True
    yield "tools", [_tool(f"tools[{index}]", tool) for index, tool in enumerate(tools)]
    if chosen != {"type": "auto"}:
        yield "tool_choice", chosen


def _name(tool: Mapping[str, Any]) -> str:
    return str((tool.get("function") or tool.get("custom") or tool).get("name"))


def _tool(place: str, tool: Mapping[str, Any]) -> dict[str, Any]:
    if "custom" in tool:
        message = f"Unsupported value: '{place}.type' is '{tool['type']}'; this model takes functions only."
        raise InvalidRequest(message, param=f"{place}.type", code="unsupported_value")
    if tool["type"] != "function":
        return dict(tool)
    function = tool["function"]
    schema = function.get("parameters") or {}
    made: dict[str, Any] = {"name": function["name"], "input_schema": {"type": "object", **schema}}
    made |= {name: function[name] for name in ("description", "strict") if function.get(name)}
    return made | {name: value for name, value in tool.items() if name not in ("type", "function")}


def _own(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part[name] for name in OWN_MEMBERS if part.get(name)}


def _system(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    for index, message in enumerate(messages):
        if message["role"] in ("system", "developer"):
            yield from _blocks(f"messages[{index}].content", message.get("content"))


def _turns(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """The messages of user and assistant, in turns."""
    turn: dict[str, Any] | None = None
    for index, message in enumerate(messages):
        role, place = message["role"], f"messages[{index}]"
        if role in ("system", "developer"):
            continue
        said = list(_said(place, message))
        speaker = "assistant" if role == "assistant" else "user"
        if turn is not None and turn["role"] == speaker:
            turn["content"] += said
            continue
        if turn is not None and turn["content"]:
            yield turn
        turn = {"role": speaker, "content": said}
    if turn is not None:
        yield _without_space_at_the_end(turn)


def _without_space_at_the_end(turn: dict[str, Any]) -> dict[str, Any]:
    """The last message; where it is the start of the answer, Anthropic refuses white space at its end."""
    blocks = turn["content"]
    if turn["role"] == "assistant" and blocks and blocks[-1].get("type") == "text":
        text = blocks[-1]["text"].rstrip()
        blocks[-1:] = [{**blocks[-1], "text": text}] if text else []
    return turn


def _said(place: str, message: Message) -> Iterator[dict[str, Any]]:
    """The blocks of one message."""
    role, content = message["role"], message.get("content")
    if role == "tool":
        yield {"type": "tool_result", "tool_use_id": message["tool_call_id"]} | _result(place, message)
        return
    if role == "function":
        raise InvalidRequest(
            f"Unsupported value: '{place}.role' is 'function'; write it as 'tool' with a tool_call_id.",
            param=f"{place}.role",
            code="unsupported_value",
        )
    yield from message.get("thinking_blocks") or ()
    yield from _blocks(f"{place}.content", content)
    if message.get("refusal"):
        yield {"type": "text", "text": message["refusal"]}
    for index, call in enumerate(message.get("tool_calls") or ()):
        yield _tool_use(f"{place}.tool_calls[{index}]", call)


def _result(place: str, message: Message) -> dict[str, Any]:
    content = message.get("content")
    said = content if isinstance(content, str) else list(_blocks(f"{place}.content", content))
    return {"content": said, **_own(message)} if said else _own(message)


def _tool_use(place: str, call: Mapping[str, Any]) -> dict[str, Any]:
    if call.get("type") == "custom":
        message = f"Unsupported value: '{place}.type' is 'custom'; this model calls functions only."
        raise InvalidRequest(message, param=f"{place}.type", code="unsupported_value")
    function = call.get("function") or {}
    try:
        given = orjson.loads(function.get("arguments") or "{}")
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        param = f"{place}.function.arguments"
        raise InvalidRequest(f"Invalid '{param}': expected a JSON object as text.", param=param, code="invalid_value")
    return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": given, **_own(call)}


def _blocks(place: str, content: Any) -> Iterator[dict[str, Any]]:
    """The blocks of a message's content; empty texts are left out, as Anthropic refuses them."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
    for index, part in enumerate(parts):
        block = _block(f"{place}[{index}]", part)
        if block.get("type") != "text" or block["text"]:
            yield block


def _block(place: str, part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal") or text_of({"content": [part]})}
    if kind == "image_url":
        address = part["image_url"]["url"] if isinstance(part.get("image_url"), dict) else part.get("image_url")
        return {"type": "image", "source": _source(f"{place}.image_url.url", address), **_own(part)}
    if kind == "file":
        data = (part.get("file") or {}).get("file_data")
        return {"type": "document", "source": _source(f"{place}.file.file_data", data), **_own(part)}
    if kind == "input_audio":
        message = f"Unsupported value: '{place}.type' is 'input_audio'; this model does not listen."
        raise InvalidRequest(message, param=f"{place}.type", code="unsupported_value")
    return dict(part)


def _source(place: str, address: object) -> dict[str, Any]:
    """An image or a document, by its data or by its address; the upstream fetches that, never the gateway."""
    if isinstance(address, str) and (head := DATA_URL.match(address)):
        return {"type": "base64", "media_type": head[1], "data": address[head.end() :]}
    if isinstance(address, str) and address.startswith(("https://", "http://")):
        return {"type": "url", "url": address}
    message = f"Invalid '{place}': expected a data URL in base64, or an http(s) address."
    raise InvalidRequest(message, param=place, code="invalid_value")
