"""McpToolset: the tools of an MCP server, over stdio or streamable HTTP. Needs the extra ``mcp``."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import orjson

from graph.errors import InvalidTool, ToolError, ToolsetNotStarted, ToolsetUnavailable
from graph.steps.remote_template import checked_url
from graph.tool import NAME, Tool
from graph.toolset import Toolset

if TYPE_CHECKING:
    import mcp
    from mcp_types import CallToolResult
    from mcp_types import Tool as Offer

MAX_TOOLS = 128
MAX_PAGES = 32
MAX_DESCRIPTION = 2048
MAX_REASON = 200
"""How much is told of what a server, or its package, says went wrong."""
MAX_RESULT_BYTES = 256 * 1024
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""The longest message that a server may send over HTTP."""
SESSION_OVER = "Session terminated"
"""What a call is told when the server has forgotten us."""
SET_NAME = re.compile(r"[a-zA-Z0-9-]{1,32}")
"""What a set of tools may be called; without ``_``, which stands behind it in the names of its tools."""
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
"""Characters that a reader does not see, or that turn the text around."""


@dataclass(slots=True)
class _Session:
    """A connection to the server, and the task that holds it: what opened it must close it."""

    client: mcp.Client
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is needed no longer."""


class McpToolset(Toolset):
    """The tools that an MCP server offers, each as ``<name>_<tool>``.

    They are asked for once, at the start, and stay what they were then, whatever the server says later. Names,
    descriptions and schemas of a server are data: names are checked, descriptions cut and freed of characters that
    nobody sees, schemas may refer to nothing outside themselves. The server is offered nothing of ours to call: no
    sampling, no roots, no questions to the user. A lost connection is opened again by the next call.

    Args:
        name: 1 to 32 letters, digits or ``-``.
        command: the program of a server over stdio, and its arguments. It gets ``PATH``, ``HOME`` and the like of our
            environment, and ``env``.
        url: the address of a server over streamable HTTP. Redirects to another origin are not followed.
        env, cwd: for ``command``.
        headers: for ``url``; keys go here.
        only: the server's own names of the tools to take; without, all of them.
        timeout: seconds for one call, and for the start.
        max_calls: how often each tool may be called in one run.
        max_result_bytes: the longest result, as it is given to the model.

    Raises:
        InvalidTool: when the arguments do not fit together.
    """

    outside = True

    def __init__(
        self,
        name: str,
        *,
        command: Sequence[str] = (),
        url: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        headers: Mapping[str, str] | None = None,
        only: Sequence[str] = (),
        timeout: float = 30.0,
        max_calls: int | None = None,
        max_result_bytes: int = MAX_RESULT_BYTES,
    ) -> None:
        super().__init__(check_name(name))
        if bool(command) is bool(url):
            raise InvalidTool(f"tools '{name}': write either command, for stdio, or url, for streamable HTTP")
        self._command, self._env, self._cwd = list(command), dict(env or {}), cwd
        self._url, self._headers = checked_url(url) if url else "", dict(headers or {})
        self._only = list(only)
        self._timeout, self._max_calls, self._max_result = timeout, max_calls, max_result_bytes
        self._session: _Session | None = None
        self._held: set[asyncio.Task[None]] = set()
        self._started = False
        self._opening = asyncio.Lock()

    def __iter__(self) -> Any:
        if not self._started:
            raise ToolsetNotStarted(f"tools '{self.name}' are not there before the start; write 'async with' around it")
        return super().__iter__()

    async def start(self) -> None:
        """Connects, and asks for the tools.

        Raises:
            ToolsetUnavailable: when the server cannot be reached, or offers what cannot be used.
        """
        if find_spec("mcp") is None:
            raise ToolsetUnavailable(f"tools '{self.name}': mcp must be installed: pip install 'penstock[mcp]'")
        _quiet()
        session = await self._open()
        try:
            async with asyncio.timeout(self._timeout):
                offers = await _offers(session.client, self.name)
            self._tools = tuple(map(self._tool, self._wanted(offers)))
        except (InvalidTool, ToolsetUnavailable) as error:
            await self.close()
            raise ToolsetUnavailable(f"tools '{self.name}': {error}") from error
        except Exception as error:
            await self.close()
            raise self._unavailable(error) from error
        self._started = True

    async def close(self) -> None:
        """Ends the connection; a server over stdio is asked to end, and after some seconds made to."""
        self._leave(self._session)
        if self._held:
            await asyncio.wait(self._held)

    def _wanted(self, offers: Sequence[Offer]) -> list[Offer]:
        if not self._only:
            return list(offers)
        offered = {offer.name: offer for offer in offers}
        for name in self._only:
            if name not in offered:
                raise ToolsetUnavailable(f"the server has no tool '{name}'; it has: {', '.join(offered) or 'none'}")
        return [offered[name] for name in self._only]

    def _tool(self, offer: Offer) -> Tool:
        name = f"{self.name}_{offer.name}"
        if not NAME.fullmatch(name):
            raise InvalidTool(f"the tool {offer.name!r} has a name that models cannot call; leave it out with only=")
        description = clean(offer.description or offer.title or "")
        call = partial(self._call, offer.name)
        return Tool(name, description, offer.input_schema, _by_name(call), (), self._timeout, self._max_calls)

    async def _call(self, name: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
        from mcp import MCPError  # noqa: PLC0415 - an extra
        from mcp_types import CONNECTION_CLOSED  # noqa: PLC0415

        session = await self._open()
        try:
            result = await session.client.session.call_tool(name, arguments)
        except MCPError as error:
            if error.code == CONNECTION_CLOSED or error.message == SESSION_OVER:
                self._leave(session)
            raise ToolError(f"{self.name}_{name} failed: {clean(error.message)}") from None
        return self._result(name, result)

    def _result(self, name: str, result: CallToolResult) -> Mapping[str, Any]:
        """What a model reads of a result: its structured content if it has any, else its texts."""
        texts = [
            block.text if block.type == "text" else f"[{block.type}, which is left out]" for block in result.content
        ]
        structured = result.structured_content
        if result.is_error:
            returned: dict[str, Any] = {"error": "\n".join(texts) or f"{name} failed"}
        elif structured is not None:
            returned = structured if isinstance(structured, dict) else {"result": structured}
        else:
            returned = {"result": "\n".join(texts)}
        size = len(orjson.dumps(returned))
        if size > self._max_result:
            raise ToolError(f"the result of {self.name}_{name} has {size} bytes, and {self._max_result} may be read")
        return returned

    def _leave(self, session: _Session | None) -> None:
        """Has a connection closed; the next call opens another one."""
        if session is not None:
            session.left.set()
        if self._session is session:
            self._session = None

    async def _open(self) -> _Session:
        """The connection, opened if there is none.

        Raises:
            ToolsetUnavailable: when it cannot be.
        """
        async with self._opening:
            if self._session is None:
                opened: asyncio.Future[_Session] = asyncio.get_running_loop().create_future()
                task = asyncio.create_task(self._hold(opened), name=f"tools {self.name}")
                self._held.add(task)
                task.add_done_callback(self._held.discard)
                try:
                    async with asyncio.timeout(self._timeout):
                        self._session = await opened
                except Exception as error:
                    raise self._unavailable(error) from error
                finally:
                    if self._session is None:
                        task.cancel()
            return self._session

    def _unavailable(self, error: Exception) -> ToolsetUnavailable:
        """What went wrong, whose tools are missing, and where to look."""
        if self._command:
            where = f"run its command by hand ({self._command[0]} …) to see whether an MCP server starts"
        else:
            where = f"look whether an MCP server answers at {self._url}, and which headers it wants"
        return ToolsetUnavailable(f"tools '{self.name}': {_said(error)}; {where}")

    async def _hold(self, opened: asyncio.Future[_Session]) -> None:
        """Opens a connection and holds it until it is left, in one task, as what opens it must close it."""
        from mcp import Client  # noqa: PLC0415 - an extra

        try:
            async with self._transport() as transport, Client(transport, cache=None) as client:
                session = _Session(client)
                opened.set_result(session)
                await session.left.wait()
        except Exception as error:
            if not opened.done():
                opened.set_exception(error)

    @asynccontextmanager
    async def _transport(self) -> AsyncGenerator[Any, None]:
        """What carries messages to the server and back."""
        if self._command:
            from mcp import StdioServerParameters, stdio_client  # noqa: PLC0415 - an extra

            program, *arguments = self._command
            yield stdio_client(StdioServerParameters(command=program, args=arguments, env=self._env, cwd=self._cwd))
            return
        from mcp.client import streamable_http  # noqa: PLC0415 - an extra
        from mcp.shared._httpx_utils import create_mcp_http_client  # noqa: PLC0415

        async with create_mcp_http_client({**self._headers, "accept-encoding": "identity"}) as http:
            http.event_hooks = {"response": [_bound]}
            yield streamable_http.streamable_http_client(
                self._url, http_client=http, max_sse_event_size=MAX_MESSAGE_BYTES
            )


def check_name(name: str) -> str:
    """The name of a set of tools.

    Raises:
        InvalidTool: when it is none.
    """
    if not SET_NAME.fullmatch(name):
        raise InvalidTool(f"tools '{name}': the name must be 1 to 32 letters, digits or -")
    return name


def clean(text: str) -> str:
    """What somebody else says, without characters that nobody sees, and no longer than :data:`MAX_DESCRIPTION`."""
    seen = _CONTROLS.sub("", text).strip()
    return seen if len(seen) <= MAX_DESCRIPTION else f"{seen[:MAX_DESCRIPTION]} …"


def _quiet() -> None:
    """Leaves what the package logs, with all that a program prints by mistake, to whoever has set up logging."""
    log = logging.getLogger("mcp")
    if not log.handlers:
        log.addHandler(logging.NullHandler())


def _by_name(call: Any) -> Any:
    async def called(**arguments: Any) -> Any:
        return await call(arguments)

    return called


async def _offers(client: mcp.Client, name: str) -> list[Offer]:
    """All tools that a server offers, page by page."""
    offers: list[Offer] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        offers += page.tools
        cursor = page.next_cursor
        if cursor is None or len(offers) > MAX_TOOLS:
            break
    if len(offers) > MAX_TOOLS or cursor is not None:
        raise ToolsetUnavailable(f"the server offers more than {MAX_TOOLS} tools")
    return offers


async def _bound(response: Any) -> None:
    """Has an answer end at the bound, so that it is no JSON. Streams are bounded event by event."""
    read = response.aiter_raw

    async def bounded(chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        size = 0
        async with aclosing(read(chunk_size)) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > MAX_MESSAGE_BYTES:
                    return
                yield piece

    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        response.aiter_raw = bounded


def _said(error: BaseException) -> str:
    """What went wrong, in one line; of several things the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = clean(" ".join(str(error).split()))
    return (f"{said[:MAX_REASON]} …" if len(said) > MAX_REASON else said) or type(error).__name__
