"""Schema: a JSON Schema that values are checked against. It fetches nothing, and its patterns cannot run away."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import orjson

if TYPE_CHECKING:
    import jsonschema_rs

MAX_BYTES = 256 * 1024
"""The longest schema, as JSON."""
MAX_FAULTS = 5
"""How many faults of one value are told."""
MAX_FAULT = 300
"""How many characters of one fault are told."""


class Schema:
    """A compiled JSON Schema. References into the schema itself are followed, all others are refused."""

    def __init__(self, validator: Any) -> None:
        self._validator = validator

    @classmethod
    def of(cls, schema: Mapping[str, Any] | bool) -> Self:
        """The schema, compiled.

        Raises:
            ValueError: when it is no schema, is longer than :data:`MAX_BYTES`, or refers to something outside itself.
        """
        import jsonschema_rs  # noqa: PLC0415 - most gateways check no values

        try:
            written = orjson.dumps(schema)
        except TypeError as error:
            raise ValueError(f"the schema is not JSON: {error}") from None
        if len(written) > MAX_BYTES:
            raise ValueError(f"the schema is longer than {MAX_BYTES} bytes")
        options = jsonschema_rs.RegexOptions()
        try:
            return cls(jsonschema_rs.validator_for(written.decode(), offline=True, pattern_options=options))
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise ValueError(f"the schema cannot be used: {_short(error)}") from None

    def faults(self, value: Any) -> list[str]:
        """What is wrong with a value, a sentence each with its place (``rows.0.name: …``); at most
        :data:`MAX_FAULTS`, and none when it is valid."""
        try:
            return [_told(fault) for fault in islice(self._validator.iter_errors(value), MAX_FAULTS)]
        except ValueError as error:
            return [_short(error)]


def _told(fault: jsonschema_rs.ValidationError) -> str:
    place = ".".join(map(str, fault.instance_path))
    return f"{place}: {_short(fault.message)}" if place else _short(fault.message)


def _short(said: object) -> str:
    text = " ".join(str(said).split())
    return text if len(text) <= MAX_FAULT else f"{text[:MAX_FAULT]} …"
