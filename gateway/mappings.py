"""What a graph is given by an endpoint of one's own, and what becomes of its answer: as its row says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from gateway.choices import of_one_choice
from gateway.config.api import PLACEHOLDER, ApiRow, Sources
from gateway.errors import AmbiguousParameter, IncompleteAnswer, InvalidBody, MissingParameter
from gateway.json_path import MISSING, JSONPath
from llm import ChatRequest

MAX_QUERY = 200
"""How many parameters a query may have."""


def query_of(query_string: bytes) -> dict[str, str | list[str]]:
    """The parameters of a query: a text each, or a list of texts where one stands there several times.

    Raises:
        InvalidBody: when there are more than :data:`MAX_QUERY`.
    """
    try:
        values = parse_qs(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_QUERY)
    except ValueError:
        raise InvalidBody(f"The query of your request has more than {MAX_QUERY} parameters.") from None
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


class Input:
    """The values of a request by name: from its path, its query, and its body."""

    def __init__(self, row: ApiRow) -> None:
        self._row = row
        self._paths = _paths(row.input or {})
        mandatory = [name for name, source in (row.input or {}).items() if source.mandatory]
        self._mandatory = tuple(dict.fromkeys((*mandatory, *row.said)))
        self._declared = (*row.captures, *(name for name in row.input or {} if name not in row.captures))

    def values(self, captured: Mapping[str, str], query: Mapping[str, Any], body: Any) -> Any:
        """What the request says for each name; without ``input`` the body, with what the path gave.

        Args:
            captured: the values of the placeholders, decoded.
            query: its parameters; those that nobody declared are ignored.
            body: the parsed body, :data:`MISSING` when there is none.

        Raises:
            AmbiguousParameter: when two of the three give a value for the same name.
            MissingParameter: when none of them gives one that is mandatory.
            InvalidBody: when what the path gave cannot be added to the body, which is no object.
        """
        found: dict[str, Any] = {}
        for name in self._declared:
            path = self._paths.get(name)
            places = {
                "the path": captured.get(name, MISSING),
                "the query": query.get(name, MISSING),
                "the body": MISSING if path is None else path.find(body),
            }
            given = {place: value for place, value in places.items() if value is not MISSING}
            if len(given) > 1:
                raise AmbiguousParameter(name, tuple(given))
            if given:
                (found[name],) = given.values()
        missing = [name for name in self._mandatory if name not in found]
        if missing:
            raise MissingParameter(missing)
        return found if self._row.input is not None or body is MISSING else _joined(found, body)

    def given(self, values: Any, *, chat: bool) -> Any:
        """What the graph is given of these values: a chat request where the row has a text or the values have messages,
        or where the graph begins with a step that takes nothing else (``chat``); otherwise the values themselves.

        Raises:
            InvalidRequest: when they are no chat request, or one for several choices.
        """
        row = self._row
        if row.text:
            members = {name: values[name] for name in row.input or {} if name in values and name not in row.said}
            said = PLACEHOLDER.sub(lambda found: _text(values[found[1]]), row.text)
            return _chat({**members, "messages": [{"role": "user", "content": said}]}, row)
        if isinstance(values, dict) and "messages" in values:
            unasked = set(row.captures) - set(row.input or {})
            return _chat({name: value for name, value in values.items() if name not in unasked}, row)
        return ChatRequest.of_text(row.target, _lines(values)) if chat else values


class Output:
    """The JSON answer, made of what a graph has answered."""

    def __init__(self, sources: Sources | None) -> None:
        self._paths = _paths(sources) if sources is not None else None
        self._mandatory = [name for name, source in (sources or {}).items() if source.mandatory]

    def of(self, answer: Any) -> Any:
        """The answer by the names of the mapping; null where something is missing that need not be there.

        Raises:
            IncompleteAnswer: when something is missing that must be there.
        """
        if self._paths is None:
            return answer
        found = {name: path.find(answer) for name, path in self._paths.items()}
        missing = [name for name in self._mandatory if found[name] is MISSING]
        if missing:
            raise IncompleteAnswer(missing)
        return {name: None if value is MISSING else value for name, value in found.items()}


def _paths(sources: Sources) -> dict[str, JSONPath]:
    return {name: JSONPath(source.source_path) for name, source in sources.items() if source.source_path is not None}


def _joined(captured: Mapping[str, Any], body: Any) -> Any:
    if not captured:
        return body
    if not isinstance(body, dict):
        raise InvalidBody("The body of your request must be a JSON object.")
    for name in captured:
        if name in body:
            raise AmbiguousParameter(name, ("the path", "the body"))
    return {**body, **captured}


def _chat(members: Mapping[str, Any], row: ApiRow) -> ChatRequest:
    return of_one_choice(ChatRequest.from_wire({**members, "model": row.target}))


def _lines(values: Any) -> str:
    """Values as what a user says: one of them as it is, several a line each."""
    if isinstance(values, dict) and len(values) != 1:
        return "\n".join(f"{name}: {_text(value)}" for name, value in values.items())
    return _text(next(iter(values.values())) if isinstance(values, dict) else values)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
