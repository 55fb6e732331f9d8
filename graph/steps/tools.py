"""ToolsStep: runs the tools that the last message calls, in parallel, and appends what they return."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from graph.errors import InvalidTool
from graph.event import Event
from graph.instrument import ToolCall
from graph.tool import Outcome, Told, Tool
from graph.toolset import ToolSource, kept, tools_of
from guardrails import ContentRefused
from llm import ChatRequest, Message

if TYPE_CHECKING:
    from graph.running.run import ToolGuard

TIMEOUT_SECONDS = 30.0
MAX_PARALLEL = 8
MAX_CALLS = 64
MAX_RESULT = 64 * 1024
CALLS, EACH = "calls", "calls of each"
"""Where the calls so far stand in the step's notes, and, where no run is known, those of each tool."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a model reads of a call, and what is told to those who watch."""

    content: str
    outcome: Outcome
    error: Exception | None = None
    seconds: float = 0.0
    begun: int = field(default_factory=time.time_ns)


class ToolsStep:
    """Answers every tool call of the last message with a tool message, in the order of the calls.

    Wrong arguments, unknown tools, timeouts, failures and limits are told to the model as ``{"error": …}``.

    Args:
        tools: tools, and sets of tools such as ``parts.tools("name")``.
        timeout_seconds: for one call of a tool that has no ``timeout`` of its own.
        max_parallel: how many tools run side by side; the others wait for their turn, which is not part of their time.
        max_calls: how many calls this step makes in one run. A tool's own ``max_calls`` is for all steps of a run, and
            those of the flows inside it.
        max_result: how many characters of JSON one call may return.

    Raises:
        InvalidTool: when two tools have the same name, or nothing could be called within the limits.
    """

    full_event = True
    needs_whole = True
    needs_run = True
    """The policies of a run hold for the calls, and its tape keeps them; a process would know of neither."""

    def __init__(
        self,
        tools: Iterable[ToolSource],
        timeout_seconds: float = TIMEOUT_SECONDS,
        *,
        max_parallel: int = MAX_PARALLEL,
        max_calls: int = MAX_CALLS,
        max_result: int = MAX_RESULT,
    ) -> None:
        if min(max_parallel, max_calls, max_result) < 1:
            raise InvalidTool("ToolsStep: max_parallel, max_calls and max_result must be 1 or more")
        if timeout_seconds <= 0:
            raise InvalidTool(f"ToolsStep: timeout_seconds={timeout_seconds:g} must be more than 0")
        self._sources = kept(tools)
        self._timeout = timeout_seconds
        self._max_parallel, self._max_calls, self._max_result = max_parallel, max_calls, max_result

    async def do(self, event: Event) -> None:
        request: ChatRequest = event.body
        calls = request.messages[-1].get("tool_calls") or []
        tools = {tool.name: tool for tool in tools_of(self._sources, event.tape)}
        refused = [self._refusal(call, tools, event) for call in calls]
        places = asyncio.Semaphore(self._max_parallel)
        answers = [self._answer(call, tools, told, event, places) for call, told in zip(calls, refused, strict=True)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = list(map(group.create_task, answers))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        request.messages += [task.result() for task in tasks]

    def _refusal(self, call: Message, tools: Mapping[str, Tool], event: Event) -> str:
        """Why a call is not made, or nothing; it counts either way."""
        name, notes = _name_of(call), event.own_notes
        if notes.get(CALLS, 0) >= self._max_calls:
            return f"no more tools may be called; {self._max_calls} calls are all that there are"
        if name not in tools:
            return f"there is no tool '{name}'; there are {', '.join(tools)}"
        notes[CALLS] = notes.get(CALLS, 0) + 1
        counted = event.run.tool_calls if event.run is not None else notes.setdefault(EACH, {})
        counted[name] = counted.get(name, 0) + 1
        most = tools[name].max_calls
        if most is not None and counted[name] > most:
            return f"{name} may not be called any more; {most} {'call is' if most == 1 else 'calls are'} all it has"
        return ""

    async def _answer(
        self, call: Message, tools: Mapping[str, Tool], refused: str, event: Event, places: asyncio.Semaphore
    ) -> Message:
        tool = tools.get(_name_of(call))
        if refused or tool is None:
            content = _refused(event, call, tool, refused)
        else:
            async with places:
                content = await self._guarded(tool, call, event)
        return {"role": "tool", "tool_call_id": call["id"], "content": content}

    async def _guarded(self, tool: Tool, call: Message, event: Event) -> str:
        """What a model may read of a call that may be made, under the policies of the run."""
        guard = event.run.tool_guard if event.run is not None else None
        arguments = call["function"]["arguments"]
        try:
            if guard is not None:
                arguments = await guard.arguments(call["function"])
        except ContentRefused as reason:
            return _refused(event, call, tool, str(reason))
        calls: list[Made] = []
        work = partial(self._called, tool, arguments, calls)
        read = ""
        try:
            content = await work() if event.tape is None else await event.tape.value(event.at, call, work)
            read = content if guard is None else await _readable(guard, content)
        finally:
            for made in calls:
                _tell(event, call, tool, replace(made, content=read))
        return read

    async def _called(self, tool: Tool, arguments: str, calls: list[Made]) -> str:
        """What a tool says; ``calls`` has how it went, on whatever way it ends."""
        made, begun, at = Made("", "left"), time.perf_counter(), time.time_ns()
        try:
            made = self._made(await tool.told(arguments, self._timeout))
        finally:
            calls.append(replace(made, seconds=time.perf_counter() - begun, begun=at))
        return made.content

    def _made(self, told: Told) -> Made:
        """What a tool returned as JSON that a model can read."""
        try:
            content = _json(told.result)
        except Exception as error:  # what it returned may have serializers of its own
            return Made('{"error": "the tool returned something that is not JSON"}', "failed", error)
        if len(content) > self._max_result:
            said = f"the result has {len(content)} characters, and {self._max_result} may be read; ask for less"
            return Made(_json({"error": said}), "error")
        return Made(content, told.outcome, told.error)


def _name_of(call: Message) -> str:
    """The function that a call names; a custom tool, which none of ours is, has a name of its own."""
    return str((call.get("function") or call.get("custom") or {}).get("name", ""))


def _json(value: Any) -> str:
    """JSON with a space after commas and colons, as models are used to see it; objects as Pydantic would write them.
    Halves of characters, as in names of files that are no UTF-8, are written as escapes: nobody could send them.

    Raises:
        Exception: when a value has no form in it, or cannot be written.
    """
    written = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_written)
    return written.encode(errors="backslashreplace").decode()


def _written(value: Any) -> Any:
    if isinstance(value, Iterator):
        raise TypeError(f"a {type(value).__name__} would have to run to its end, which need not come")
    return to_jsonable_python(value)


def _refused(event: Event, call: Message, tool: Tool | None, why: str) -> str:
    """What a model is told of a call that is not made."""
    content = _json({"error": why})
    _tell(event, call, tool, Made(content, "refused" if tool else "unknown"))
    return content


async def _readable(guard: ToolGuard, content: str) -> str:
    """What a model may read of what a tool said."""
    try:
        return await guard.result(content)
    except ContentRefused as reason:
        return _json({"error": str(reason)})


def _tell(event: Event, call: Message, tool: Tool | None, made: Made) -> None:
    if event.run is None or not event.run.hooks.after_tool:
        return
    arguments = str((call.get("function") or {}).get("arguments", ""))
    name = tool.name if tool is not None else ""
    over = ToolCall(name, call["id"], arguments, made.content, made.outcome, made.error, made.seconds, made.begun)
    for hook in event.run.hooks.after_tool:
        hook(event.run, event, over)
