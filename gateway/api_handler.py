"""APIHandler: the one table of endpoints. What is not listed does not exist.

A row that has a graph or a model is an endpoint of the operator's own, and lets it be called; all others are rules.

A path is its segments, each percent-decoded by itself, so that an encoded slash stays inside its segment and every
spelling of a path is the same path. Empty segments, ``.`` and ``..`` are none: such a path is not listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

from gateway.config.api import PLACEHOLDER, Action, ApiRow, Role
from gateway.config.faults import InvalidSettings
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


@dataclass(frozen=True, slots=True)
class Listed:
    """An endpoint as the rules leave it."""

    endpoint: Endpoint
    role: Role
    action: Action

    def to_json(self) -> dict[str, str]:
        """The row as ``penstock routes`` prints it."""
        answers = getattr(self.endpoint.app, "answers", "the gateway")
        row = {"method": self.endpoint.method, "path": self.endpoint.path, "role": self.role}
        return {**row, "action": self.action, "answers": answers}


class APIHandler:
    """Endpoints, and over them the operator's rules: FORBID for everybody, or ALLOW, perhaps for another role.

    Args:
        endpoints: those that the gateway itself has.
        rows: the operator's rows.
        answering: makes the app of a row that is an endpoint; ValueError says why it cannot.
        where: where the row of a number stands, for whoever must mend it.

    Raises:
        InvalidSettings: for a rule that no endpoint is under, which would be a rule about nothing; for an endpoint that
            cannot be made, or whose path is answered already.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        rows: Sequence[ApiRow] = (),
        answering: Callable[[ApiRow], Any] | None = None,
        where: Callable[[int], str] = "api.{}".format,
    ) -> None:
        given = tuple(endpoints)
        self.endpoints = given + tuple(_own(given, rows, answering, where))
        self._endpoints = PathTable((endpoint.path, endpoint) for endpoint in self.endpoints)
        for at, row in enumerate(rows):
            self._check(row, where(at))
        rules = sorted(rows, key=lambda row: bool(row.target))
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
        rule = self._rule(method, segments)
        if rule is not None and rule.action == "FORBID":
            raise Forbidden(f"{method} {path} is forbidden on this gateway.")
        rows = list(self._endpoints.find(segments))
        for endpoint, params in rows:
            if endpoint.method == method:
                return Match(endpoint, (rule and rule.role) or endpoint.role, params)
        if not rows:
            raise NoSuchEndpoint(f"Invalid URL ({method} {path})")
        raise MethodNotAllowed(method, path, tuple(sorted({endpoint.method for endpoint, _ in rows})))

    def listed(self) -> list[Listed]:
        """Every endpoint with the role and the action that the rules give it. Rules about a part of what is under its
        path are not told."""
        rows = []
        for endpoint in self.endpoints:
            rule = self._rule(endpoint.method, tuple(endpoint.path.split("/")))
            action: Action = rule.action if rule is not None else "ALLOW"
            rows.append(Listed(endpoint, (rule and rule.role) or endpoint.role, action))
        return rows

    def _rule(self, method: str, segments: Segments) -> ApiRow | None:
        """The rule for a path; a path that ends in a star is under others of them only."""
        found = (rule for rule, _ in self._rules.find(segments) if rule.method in (method, ANY))
        if segments[-1] == ANY:
            found = (rule for rule in found if rule.path.endswith(ANY))
        return next(found, None)

    def _check(self, rule: ApiRow, where: str) -> None:
        for endpoint in self.endpoints:
            if rule.method in (endpoint.method, ANY) and _overlap(rule.path.split("/"), endpoint.path.split("/")):
                return
        raise InvalidSettings(
            f"{where}: no endpoint is under {rule.method} {rule.path}, so this row does nothing; correct its path (see "
            "penstock routes), or add a graph or a model that answers"
        )


def _own(
    given: Iterable[Endpoint],
    rows: Sequence[ApiRow],
    answering: Callable[[ApiRow], Any] | None,
    where: Callable[[int], str],
) -> Iterator[Endpoint]:
    """The endpoints that rows add."""
    taken = PathTable((endpoint.path, endpoint) for endpoint in given)
    shapes = {(endpoint.method, _shape(endpoint.path)): endpoint.path for endpoint in given}
    for at, row in enumerate(rows):
        if not row.target:
            continue
        above = (endpoint for endpoint, _ in taken.find(tuple(row.path.split("/"))) if endpoint.method == row.method)
        other = shapes.get((row.method, _shape(row.path))) or next((endpoint.path for endpoint in above), None)
        if other is not None:
            raise InvalidSettings(
                f"{where(at)}: {row.method} {row.path} is answered already, by {other}; choose another path"
            )
        shapes[row.method, _shape(row.path)] = row.path
        try:
            app = answering(row) if answering is not None else None
        except ValueError as error:
            raise InvalidSettings(f"{where(at)}: {error}") from None
        yield Endpoint(row.method, row.path, row.role or "user", app)


def _shape(path: str) -> str:
    """The same for all paths that differ only in the names of their placeholders."""
    return PLACEHOLDER.sub("{}", path)


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
