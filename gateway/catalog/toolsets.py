"""The toolsets that the settings ask for."""

from __future__ import annotations

from gateway.catalog.own_code import named
from gateway.config.tools import ToolsEntry
from graph import Tool
from graph.toolset import Toolset
from graph.toolsets.mcp import McpToolset
from graph.toolsets.openapi import OpenApiToolset


def toolset_of(entry: ToolsEntry) -> Toolset:
    """The tools of a row; those of an MCP server are asked for when it is started.

    Raises:
        GraphError: when the row cannot be used.
        Exception: whatever goes wrong while a module of it is imported.
    """
    most, seconds = entry.max_calls, entry.timeout_seconds
    if entry.kind == "python":
        found = [named(reference) for reference in entry.functions]
        limits = {"timeout_seconds": ("timeout", seconds), "max_calls": ("max_calls", most)}
        said = dict(limits[name] for name in limits if name in entry.model_fields_set)
        tools = [
            each.having(**said) if isinstance(each, Tool) else Tool.of(each, timeout=seconds, max_calls=most)
            for each in found
        ]
        return Toolset(entry.name, tools)
    headers = {name: value.get_secret_value() for name, value in entry.headers.items()}
    if entry.kind == "openapi" and entry.document is not None:
        return OpenApiToolset(
            entry.name,
            entry.document,
            entry.base_url,
            headers=headers,
            only=entry.only,
            timeout=seconds,
            max_calls=most,
            max_result_bytes=int(entry.max_result_kb * 1024),
        )
    return McpToolset(
        entry.name,
        command=entry.command,
        url=entry.url,
        env={name: value.get_secret_value() for name, value in entry.env.items()},
        cwd=str(entry.cwd) if entry.cwd else None,
        headers=headers,
        only=entry.only,
        timeout=seconds,
        max_calls=most,
        max_result_bytes=int(entry.max_result_kb * 1024),
    )
