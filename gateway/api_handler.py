"""APIHandler: the one table of endpoints. What is not listed does not exist.

A path is its segments, each percent-decoded by itself, so that an encoded slash stays inside its segment and every
spelling of a path is the same path. Empty segments, ``.`` and ``..`` are none: such a path is not listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

from gateway.config import ApiRow, Role
from gateway.config_faults import InvalidSettings
from gateway.errors import Forbidden, MethodNotAllowed, NoSuchEndpoint

RANK: Mapping[Role, int] = {"anyone": 0, "user": 1, "admin": 2}
ANY = "*"
Segments: TypeAlias = tuple[str, ...]


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

    @property
    def path(self) -> str:
        """The path as the endpoint's own app should see it: one spelling, values percent-encoded."""
        if not self.params:
            return self.endpoint.path
        segments = self.endpoint.path.split("/")
        return "/".join(quote(self.params[part[1:-1]], safe="") if part[:1] == "{" else part for part in segments)


class APIHandler:
    """Endpoints, and over them the operator's rules: FORBID for everybody, or ALLOW, perhaps for another role.

    Raises:
        InvalidSettings: for a rule that no endpoint is under, which would be a rule about nothing.
    """

    def __init__(self, endpoints: Iterable[Endpoint], rules: Iterable[ApiRow] = ()) -> None:
        self.endpoints = tuple(endpoints)
        self._endpoints = PathTable((endpoint.path, endpoint) for endpoint in self.endpoints)
        rules = tuple(rules)
        for rule in rules:
            self._check(rule)
        self._rules = PathTable((rule.path, rule) for rule in rules)
        self._exact: dict[tuple[str, str], Match] = {}
        for endpoint in self.endpoints:
            with suppress(Forbidden):
                if "{" not in endpoint.path:
                    self._exact[endpoint.method, endpoint.path] = self._match(endpoint.method, endpoint.path)

    def match(self, method: str, path: str) -> Match:
        """The endpoint for a request line, ``path`` as it came over the wire.

        Raises:
            Forbidden: when a rule forbids it to everybody.
            NoSuchEndpoint, MethodNotAllowed: when no row lists it.
        """
        return self._exact.get((method, path)) or self._match(method, path)

    def _match(self, method: str, path: str) -> Match:
        segments = _decoded(path)
        if segments is None:
            raise NoSuchEndpoint(f"Invalid URL ({method} {path})")
        rule = next((rule for rule, _ in self._rules.find(segments) if rule.method in (method, ANY)), None)
        if rule is not None and rule.action == "FORBID":
            raise Forbidden(f"{method} {path} is forbidden on this gateway.")
        rows = list(self._endpoints.find(segments))
        for endpoint, params in rows:
            if endpoint.method == method:
                return Match(endpoint, (rule and rule.role) or endpoint.role, params)
        if not rows:
            raise NoSuchEndpoint(f"Invalid URL ({method} {path})")
        raise MethodNotAllowed(method, path, tuple(sorted({endpoint.method for endpoint, _ in rows})))

    def _check(self, rule: ApiRow) -> None:
        for endpoint in self.endpoints:
            if rule.method in (endpoint.method, ANY) and _overlap(rule.path.split("/"), endpoint.path.split("/")):
                return
        raise InvalidSettings(f"api: no endpoint is under {rule.method} {rule.path}, so this row does nothing")


class PathTable:
    """Rows by path. An exact path goes before a template ``{x}``, that before the longest ``/*``."""

    def __init__(self, rows: Iterable[tuple[str, Any]]) -> None:
        self._exact: dict[Segments, list[Any]] = {}
        self._templates: list[tuple[Segments, Any]] = []
        self._stars: list[tuple[Segments, Any]] = []
        for path, row in rows:
            segments = tuple(path.split("/"))
            if segments[-1] == ANY:
                self._stars.append((segments[:-1], row))
            elif "{" in path:
                self._templates.append((segments, row))
            else:
                self._exact.setdefault(segments, []).append(row)
        self._stars.sort(key=lambda star: len(star[0]), reverse=True)

    def find(self, segments: Segments) -> Iterator[tuple[Any, Mapping[str, str]]]:
        """The rows that a path is under, the most exact first, and what it gives for their placeholders."""
        for row in self._exact.get(segments, ()):
            yield row, {}
        for template, row in self._templates:
            params = _capture(template, segments)
            if params is not None:
                yield row, params
        for prefix, row in self._stars:
            if len(segments) > len(prefix) and segments[: len(prefix)] == prefix and segments[len(prefix)]:
                yield row, {}


def _decoded(path: str) -> Segments | None:
    """The segments of a path; None where one of them is none. Only the very last may be empty (``/v2/models/``)."""
    try:
        segments = tuple(unquote(segment, errors="strict") for segment in path.split("/"))
    except UnicodeDecodeError:
        return None
    inner = segments[1:-1] + segments[-1:] * (segments[-1] != "")
    if segments[0] != "" or len(segments) < 2 or any(segment in ("", ".", "..") for segment in inner):
        return None
    return segments


def _capture(template: Segments, segments: Segments) -> dict[str, str] | None:
    if len(template) != len(segments):
        return None
    params = {}
    for expected, segment in zip(template, segments, strict=True):
        if expected.startswith("{"):
            if not segment:
                return None
            params[expected[1:-1]] = segment
        elif expected != segment:
            return None
    return params


def _overlap(one: list[str], other: list[str]) -> bool:
    """Whether some path is under both of these patterns."""
    for mine, theirs in zip(one, other, strict=False):
        if ANY in (mine, theirs):
            return True
        if mine != theirs and not mine.startswith("{") and not theirs.startswith("{"):
            return False
    return len(one) == len(other)
