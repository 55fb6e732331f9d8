"""The rows under ``tools``: where the tools of graphs come from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from gateway.config.fields import HeaderName, Section, check_kind, written

OPTIONS: Mapping[str, frozenset[str]] = {
    "functions": frozenset({"python"}),
    **dict.fromkeys(("command", "url", "env", "cwd"), frozenset({"mcp"})),
    **dict.fromkeys(("document", "base_url"), frozenset({"openapi"})),
    **dict.fromkeys(("headers", "max_result_kb", "only"), frozenset({"mcp", "openapi"})),
}
"""The kinds of tools that each option is for."""
OF_MCP: Mapping[str, str] = {"env": "command", "cwd": "command", "headers": "url"}
"""Of MCP's, the way to the server that each is for."""
NEEDED: Mapping[str, Mapping[str, str]] = {
    "python": {"functions": "such as [my_tools:get_weather]"},
    "openapi": {"document": "the file of the OpenAPI document", "base_url": "such as https://shop.example/api"},
}
"""What a kind cannot do without, and how to write it."""


def _one_line(value: SecretStr) -> SecretStr:
    if re.search(r"[\x00-\x1f\x7f]", value.get_secret_value()):
        raise ValueError("the value holds a line break or another control character; write it in one line")
    return value


Line = Annotated[SecretStr, AfterValidator(_one_line)]


class ToolsEntry(Section):
    """Tools that graphs are given by name: ``parts.tools(name)``."""

    name: Annotated[str, written(r"[a-zA-Z0-9-]{1,32}", "a name of 1 to 32 letters, digits or -")]
    kind: Literal["python", "mcp", "openapi"]
    functions: tuple[Annotated[str, written(r"[\w.]+:\w+", "module:function")], ...] = ()
    """``module:function`` each."""
    command: tuple[str, ...] = ()
    """The program of an MCP server over stdio, and its arguments."""
    url: str = ""
    """The address of an MCP server over streamable HTTP."""
    env: Mapping[str, Line] = Field(default_factory=dict)
    """What stands in the environment of the program, besides PATH, HOME and the like."""
    cwd: Path | None = None
    document: Path | None = None
    """An OpenAPI document, YAML or JSON."""
    base_url: str = ""
    """Where the service of the document is; what the document itself says of it is not used."""
    headers: Mapping[HeaderName, Line] = Field(default_factory=dict)
    """Sent with every request; keys go here."""
    only: tuple[str, ...] = ()
    """The tools to take, by the names that the server or the document gives them; without, all."""
    timeout_seconds: Annotated[float, Field(gt=0)] = 30
    """How long one call may take; where it is said, also for functions that are tools with a time of their own."""
    max_calls: Annotated[int, Field(ge=1)] | None = None
    """How often each of the tools may be called in one run, likewise."""
    max_result_kb: Annotated[float, Field(gt=0, le=65536)] = 64
    """The longest result; the step that calls the tools has a bound of its own, ``max_result``."""

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        check_kind(self, self.kind, OPTIONS, NEEDED)
        if self.kind == "mcp" and bool(self.command) is bool(self.url):
            raise ValueError("kind mcp needs either command, for stdio, or url, for streamable HTTP")
        for option, way in OF_MCP.items():
            if self.kind == "mcp" and option in self.model_fields_set and not getattr(self, way):
                raise ValueError(f"'{option}' says nothing to an MCP server without {way}: leave it out")
        return self
