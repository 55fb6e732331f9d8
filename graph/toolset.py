"""Toolset: tools under one name, which may be there only after the start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from graph.errors import InvalidTool
from graph.tool import Tool

if TYPE_CHECKING:
    from graph.recording.tape import Tape


class Toolset(Iterable[Tool]):
    """Tools under one name. Steps keep the set and not the tools in it, and look into it in every run.

    Whoever builds one starts it before the first run and closes it after the last; the gateway does so by itself, and
    elsewhere it is a context manager: ``async with toolset: …``.

    Attributes:
        outside: whether it is somebody else who says what tools there are. Then a recorded run keeps what was offered,
            and a replay needs nobody to offer it.
    """

    outside = False

    def __init__(self, name: str, tools: Iterable[Tool] = ()) -> None:
        self.name = name
        self._tools = tuple(tools)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools)

    def offered(self, tape: Tape | None) -> Iterable[Tool]:
        """The tools of a run.

        Raises:
            ToolsetNotStarted: when they have not been asked for yet.
        """
        if tape is None or not self.outside:
            return self
        live: list[Tool] = []

        def told() -> list[dict[str, Any]]:
            live.extend(self)
            return [tool.to_record() for tool in live]

        records = tape.once(f"the tools of '{self.name}'", told)
        return live or [Tool.from_record(record) for record in records]

    async def start(self) -> None:
        """Makes the tools ready."""

    async def close(self) -> None:
        """Gives back what the tools hold."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


ToolSource: TypeAlias = Tool | Toolset
"""A tool, or a set of them."""


def kept(sources: Iterable[ToolSource]) -> Sequence[ToolSource]:
    """The sources as a step keeps them, with the sets unopened.

    Raises:
        InvalidTool: when one is neither a tool nor a set of them, or two tools have the same name.
    """
    kept = [sources] if isinstance(sources, Toolset) else list(sources)
    for source in kept:
        if not isinstance(source, (Tool, Toolset)):
            raise InvalidTool(f"{source!r} is no tool; of a function make one with Tool.of(function)")
    tools_of([source for source in kept if isinstance(source, Tool)])
    return kept


def tools_of(sources: Iterable[ToolSource], tape: Tape | None = None) -> list[Tool]:
    """The tools in some sources, in order, as a run with this tape sees them.

    Raises:
        InvalidTool: when two have the same name.
        ToolsetNotStarted: when a set of tools has not been started.
    """
    tools: dict[str, Tool] = {}
    for source in sources:
        for tool in (source,) if isinstance(source, Tool) else source.offered(tape):
            if tool.name in tools:
                raise InvalidTool(f"two tools are called '{tool.name}'; give one another name with having(name=…)")
            tools[tool.name] = tool
    return list(tools.values())
