"""An MCP server for tests: ``python -m tests.graph.toolsets.mcp_server`` serves it over stdio."""

from __future__ import annotations

import os
from typing import Any

import anyio
from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError


def server() -> MCPServer[Any]:
    """A server with tools of many kinds."""
    made: MCPServer[Any] = MCPServer("shop")

    @made.tool(description="Adds\u202e two\x07 numbers.")
    def add(a: int, b: int) -> int:
        return a + b

    @made.tool()
    def look(name: str) -> str:
        """What the environment says."""
        return os.environ.get(name, "")

    @made.tool(structured_output=False)
    def draw() -> list[Any]:
        """A picture."""
        return ["a line", Image(data=b"png", format="png")]

    @made.tool()
    def much(size: int) -> str:
        """So many letters."""
        return "x" * size

    @made.tool()
    def broken() -> str:
        """Fails."""
        raise ToolError("no such article")

    @made.tool()
    async def never() -> str:
        """Never ends."""
        await anyio.sleep_forever()
        return ""

    @made.tool()
    def end() -> str:
        """Ends the server."""
        os._exit(3)

    return made


if __name__ == "__main__":
    server().run("stdio")
