"""ToolsStep: runs the tools that the last message calls, in parallel, and appends what they return."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from functools import partial
from typing import Any

from graph.event import Event
from graph.tool import Tool
from llm import ChatRequest, Message

TIMEOUT_SECONDS = 30.0


class ToolsStep:
    """Answers every tool call of the last message with a tool message, in the order of the calls.

    Wrong arguments, unknown tools, timeouts and failures are told to the model as ``{"error": …}``.
    """

    full_event = True
    needs_whole = True

    def __init__(self, tools: Iterable[Tool], timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._timeout = timeout_seconds

    async def do(self, event: Event) -> None:
        request: ChatRequest = event.body
        calls = request.messages[-1].get("tool_calls") or []
        request.messages += await asyncio.gather(*(self._answer(call, event) for call in calls))

    async def _answer(self, call: Message, event: Event) -> Message:
        name = call["function"]["name"]
        tool = self._tools.get(name)
        returned: Any = {"error": f"there is no tool '{name}'; there are {', '.join(self._tools)}"}
        if tool is not None:
            work = partial(tool.call, call["function"]["arguments"], self._timeout)
            returned = await work() if event.tape is None else await event.tape.value(event.at, call, work)
        return {"role": "tool", "tool_call_id": call["id"], "content": _json(returned)}


def _json(value: Any) -> str:
    """JSON with a space after commas and colons, as models are used to see it."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        return '{"error": "the tool returned something that is not JSON"}'
