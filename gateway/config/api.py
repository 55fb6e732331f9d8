"""The rows under ``api``: rules over the table of endpoints, and endpoints of one's own onto graphs and models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, model_validator

from gateway.config.fields import Section, written
from gateway.json_path import JSONPath

Role: TypeAlias = Literal["anyone", "user", "admin"]
Method: TypeAlias = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "*"]
Action: TypeAlias = Literal["ALLOW", "FORBID"]
OF_ENDPOINTS = ("input", "output", "text", "stream")
"""What only rows with a graph or a model have."""
PLACEHOLDER = re.compile(r"\{(\w+)\}")


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _path(value: str) -> str:
    JSONPath(value)
    return value


class Source(Section):
    """Where the value of a name comes from. Written as a string it is the path alone."""

    source_path: Annotated[str, AfterValidator(_path)] | None = None
    """A JSONPath into the body of the request, or for ``output`` into the answer."""
    mandatory: bool = False
    """Whether the request is refused, or for ``output`` the answer an error, when it is missing."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        return {"source_path": given} if isinstance(given, str) else given


Word = Annotated[str, written(r"\w{1,100}", "a name of letters, digits and _")]
Sources: TypeAlias = Mapping[Word, Source]


class ApiRow(Section):
    """A rule over the table of endpoints; with ``graph`` or ``model`` an endpoint, which that answers.

    ``/*`` at the end of a path stands for everything under it.
    """

    path: Annotated[str, written(r"(?=.)(/([^/*{}]+|\{\w+\}))*(/\*?)?", "a path such as /v1/models/{id} or /admin/*")]
    method: Annotated[Method, BeforeValidator(_upper)] = "*"
    """Of an endpoint it is one method, by default POST."""
    action: Annotated[Action, BeforeValidator(_upper)] = "ALLOW"
    role: Role | None = None
    """Who may call it; by default whoever the endpoint itself says, and for one's own whoever has a key. What is
    forbidden is so for everybody."""
    graph: str = ""
    """The name of the graph that answers."""
    model: str = ""
    """The name of the model that answers."""
    description: str = ""
    input: Sources | None = None
    """What the graph is given, by name; without it the values of the body as they are."""
    output: Sources | None = None
    """What the answer has, by name; without it all that the graph answers."""
    text: str = ""
    """What the user says to the graph, with ``{name}`` where values of path and ``input`` stand."""
    stream: bool = False
    """Whether clients that accept ``text/event-stream`` get the answer as it is made."""

    @model_validator(mode="before")
    @classmethod
    def _posts(cls, tree: Any) -> Any:
        """An endpoint of one's own is called by POST, unless it says otherwise."""
        if isinstance(tree, dict) and (tree.get("graph") or tree.get("model")):
            return {"method": "POST", **tree}
        return tree

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.graph and self.model:
            raise ValueError("a row has either graph or model; leave one of them out")
        if self.target:
            self._check_endpoint()
        elif given := [key for key in OF_ENDPOINTS if key in self.model_fields_set]:
            raise ValueError(f"'{given[0]}' is for rows with a graph or a model; add one, or leave it out")
        return self

    @property
    def target(self) -> str:
        """The name of what answers; empty for a rule."""
        return self.graph or self.model

    @property
    def captures(self) -> tuple[str, ...]:
        """The names of the placeholders in the path."""
        return tuple(PLACEHOLDER.findall(self.path))

    @property
    def said(self) -> tuple[str, ...]:
        """The names of the placeholders in the text, each once."""
        return tuple(dict.fromkeys(PLACEHOLDER.findall(self.text)))

    def _check_endpoint(self) -> None:
        if self.method == "*":
            raise ValueError("a row with a graph or a model answers one method; write it, such as POST")
        twice = next((name for name in self.captures if self.captures.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the path has {{{twice}}} twice; give each placeholder a name of its own")
        named = {*self.captures, *(self.input or {})}
        unknown = next((name for name in self.said if name not in named), None)
        if unknown is not None:
            known = ", ".join(sorted(named)) or "none"
            raise ValueError(f"text: {{{unknown}}} is neither in the path nor under input; there are: {known}")
        if self.text and "messages" in (self.input or {}):
            raise ValueError("text is what the user says, and input has messages; leave one of them out")
        if self.output is not None and self.stream:
            raise ValueError("output is made of a whole answer, and stream sends its parts; leave one of them out")
        pathless = next((name for name, source in (self.output or {}).items() if source.source_path is None), None)
        if pathless is not None:
            raise ValueError(f"output.{pathless} needs source_path, a JSONPath such as $.answer")
