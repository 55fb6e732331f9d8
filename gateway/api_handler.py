"""APIHandler: the one table of endpoints. What is not listed does not exist.

Paths are compared as they came over the wire, percent-encoded, so that an encoded slash stays inside its segment and
nothing that is written in another way can stand for a listed path. Only captured values are decoded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote

from gateway.config import ApiRow
from gateway.errors import Forbidden, MethodNotAllowed, NoSuchEndpoint

Role: TypeAlias = Literal["anyone", "user", "admin"]
RANK: Mapping[Role, int] = {"anyone": 0, "user": 1, "admin": 2}
ANY = "*"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A row of the table: who may call what, and which ASGI app answers."""

    method: str
    path: str
    role: Role
    app: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Match:
    """The endpoint of a request, the role that it takes, and the values captured from its path, decoded."""

    endpoint: Endpoint
    role: Role
    params: Mapping[str, str]


class APIHandler:
    """Endpoints, and over them the operator's rules: FORBID for everybody, or ALLOW for another role."""

    def __init__(self, endpoints: Iterable[Endpoint], rules: Iterable[ApiRow] = ()) -> None:
        self.endpoints = tuple(endpoints)
        self._endpoints = PathTable((endpoint.path, endpoint.method, endpoint) for endpoint in self.endpoints)
        self._rules = PathTable((rule.path, rule.method, rule) for rule in rules)

    def match(self, method: str, path: str) -> Match:
        """The endpoint for a request line, ``path`` as it came over the wire.

        Raises:
            Forbidden: when a rule forbids it to everybody.
            NoSuchEndpoint, MethodNotAllowed: when no row lists it.
        """
        rules, _ = self._rules.find(path)
        rule: ApiRow | None = rules.get(method) or rules.get(ANY)
        if rule is not None and rule.action == "FORBID":
            raise Forbidden(f"{method} {path} is forbidden on this gateway.")
        rows, params = self._endpoints.find(path)
        if not rows:
            raise NoSuchEndpoint(f"Invalid URL ({method} {path})")
        if method not in rows:
            raise MethodNotAllowed(method, path, tuple(sorted(rows)))
        endpoint: Endpoint = rows[method]
        return Match(endpoint, rule.role if rule else endpoint.role, params)


class PathTable:
    """Values by path and method. An exact path goes before a template ``{x}``, that before the longest ``/*``."""

    def __init__(self, rows: Iterable[tuple[str, str, Any]]) -> None:
        self._exact: dict[str, dict[str, Any]] = defaultdict(dict)
        self._templates: dict[tuple[str, ...], dict[str, Any]] = defaultdict(dict)
        self._stars: dict[str, dict[str, Any]] = defaultdict(dict)
        for path, method, value in rows:
            if path.endswith("/*"):
                self._stars[path[:-1]][method] = value
            elif "{" in path:
                self._templates[tuple(path.split("/"))][method] = value
            else:
                self._exact[path][method] = value
        self._prefixes = sorted(self._stars, key=len, reverse=True)

    def find(self, path: str) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """The values for a path by method, and what the path gives for the placeholders. Empty when there is none."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact, {}
        segments = path.split("/")
        for template, values in self._templates.items():
            params = _capture(template, segments)
            if params is not None:
                return values, params
        for prefix in self._prefixes:
            if path.startswith(prefix) and len(path) > len(prefix):
                return self._stars[prefix], {}
        return {}, {}


def _capture(template: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    if len(template) != len(segments):
        return None
    params = {}
    for expected, segment in zip(template, segments, strict=True):
        if expected.startswith("{"):
            if not segment or segment in (".", ".."):
                return None
            params[expected[1:-1]] = unquote(segment)
        elif expected != segment:
            return None
    return params
