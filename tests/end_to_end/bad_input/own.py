"""What is wrong in requests of endpoints of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.end_to_end.bad_input.kind import MISSING, TYPE, Bad

TRIPS = "/trips/rome"
ROWS: Any = (
    {
        "path": "/trips/{city}",
        "model": "up",
        "text": "{days} days in {city}",
        "input": {
            "city": "$.city",
            "days": {"source_path": "$.stay.days", "mandatory": True},
            "temperature": "$.temperature",
            "n": {},
        },
    },
    {"path": "/v2/trips/{city}", "model": "up", "text": "{city} in {month}", "input": {"month": "$.month"}},
    {"path": "/asked", "model": "up"},
    {"path": "/asked/{user}", "model": "up"},
    {"path": "/v2/repository/models/{model}/unload", "action": "FORBID"},
)
"""The rows under ``api``, of the gateway that is asked."""
_VALUES: Mapping[str, tuple[Any, int, str | None, str | None]] = {
    "no value that is needed": ({}, 422, "days", MISSING),
    "a body that is a list where names are taken from it": ([], 422, "days", MISSING),
    "a body that is text where names are taken from it": ("days", 422, "days", MISSING),
    "a list on the way to a value": ({"stay": [{"days": 2}]}, 422, "days", MISSING),
    "a value in path and body": ({"city": "oslo", "stay": {"days": 2}}, 400, "city", "ambiguous_parameter"),
    "a value of a chat with a wrong type": ({"stay": {"days": 2}, "temperature": "x"}, 400, "temperature", TYPE),
    "a value of a chat that is too high": (
        {"stay": {"days": 2}, "temperature": 9},
        400,
        "temperature",
        "decimal_above_max_value",
    ),
}
_QUERIES: Mapping[str, tuple[str, str | None, str | None]] = {
    "a value in path and query": ("days=2&city=oslo", "city", "ambiguous_parameter"),
    "a number of a chat in the query": ("days=2&n=1", "n", TYPE),
    "a number of a chat in the query, twice": ("days=2&n=1&n=2", "n", TYPE),
    "a query of too many parameters": ("&".join(f"a{number}=1" for number in range(201)), None, None),
}
_ASKED: Mapping[str, tuple[Any, str, str]] = {
    "messages that are a number": ({"messages": 5}, "messages", TYPE),
    "messages that are an empty list": ({"messages": []}, "messages", "empty_array"),
    "messages without a role": ({"messages": [{"content": "hi"}]}, "messages[0].role", MISSING),
}


def own() -> Iterator[Bad]:
    """Values that are missing, double or of no chat, in path, query and body."""
    for kind, (body, status, param, code) in _VALUES.items():
        yield Bad(kind, TRIPS, body, status, param, code)
    for kind, (query, param, code) in _QUERIES.items():
        yield Bad(kind, f"{TRIPS}?{query}", None, 400, param, code)
    for kind, (asked, param, code) in _ASKED.items():
        yield Bad(f"{kind}, of an endpoint of one's own", "/asked", asked, 400, param, code)
    yield Bad("no value that is needed, under /v2", "/v2/trips/rome", {}, 422, says="month")
    yield Bad("a list beside a value of the path", "/asked/me", [], 400, says="object")
    yield Bad("a path that is forbidden", "/v2/repository/models/up/unload", {}, 403)
    yield Bad(
        "another method of an endpoint of one's own", TRIPS, None, 405, None, "method_not_supported", method="GET"
    )
    yield Bad("more of a path than was asked for", f"{TRIPS}/x", {}, 404, says="Invalid URL")
