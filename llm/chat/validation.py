"""What a value of a request must look like, and how to say that it does not.

The wording and the codes are those that OpenAI's API answers with, because clients match on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llm.errors import InvalidRequest

Check = Callable[[str, Any], None]
MAX_MESSAGES = 2048
MAX_PAIRS, MAX_NAME, MAX_VALUE = 16, 64, 512
"""How many pairs ``metadata`` may hold, and how long a name and a value may be, in characters."""
KINDS = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array", dict: "an object"}


def wrong_type(param: str, expected: str, value: object) -> InvalidRequest:
    """The error for a value of the wrong JSON type."""
    got = KINDS.get(type(value), "null")
    message = f"Invalid type for '{param}': expected {expected}, but got {got} instead."
    return InvalidRequest(message, param=param, code="invalid_type")


def wrong_value(param: str, value: object, supported: Sequence[str]) -> InvalidRequest:
    """The error for a value that is none of those supported."""
    listed = ", ".join(f"'{name}'" for name in supported)
    return InvalidRequest(
        f"Invalid value: '{value}'. Supported values are: {listed}.", param=param, code="invalid_value"
    )


def missing(param: str) -> InvalidRequest:
    """The error for a required member that is absent."""
    return InvalidRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def _bounded(param: str, kind: str, value: float, low: float | None, high: float | None) -> None:
    if low is not None and value < low:
        side, code, relation = "below minimum", "below_min", f">= {low}"
    elif high is not None and value > high:
        side, code, relation = "above maximum", "above_max", f"<= {high}"
    else:
        return
    raise InvalidRequest(
        f"Invalid '{param}': {kind} {side} value. Expected a value {relation}, but got {value} instead.",
        param=param,
        code=f"{kind}_{code}_value",
    )


def decimal(low: float, high: float) -> Check:
    """A number from ``low`` to ``high``; true and false are no numbers."""

    def check(param: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong_type(param, "a decimal", value)
        _bounded(param, "decimal", value, low, high)

    return check


def integer(low: int | None = None, high: int | None = None) -> Check:
    """A whole number from ``low`` to ``high``."""

    def check(param: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(param, "an integer", value)
        _bounded(param, "integer", value, low, high)

    return check


def of_type(kind: type) -> Check:
    """A value of one JSON type."""

    def check(param: str, value: Any) -> None:
        if type(value) is not kind:
            raise wrong_type(param, KINDS[kind], value)

    return check


def text_of_at_most(most: int) -> Check:
    """A string of so many characters, or fewer."""

    def check(param: str, value: Any) -> None:
        of_type(str)(param, value)
        if len(value) > most:
            raise InvalidRequest(
                f"Invalid '{param}': string too long. Expected a string with maximum length {most}, "
                f"but got a string with length {len(value)} instead.",
                param=param,
                code="string_above_max_length",
            )

    return check


def one_of(*supported: str) -> Check:
    """One of a few strings."""

    is_text = of_type(str)

    def check(param: str, value: Any) -> None:
        is_text(param, value)
        if value not in supported:
            raise wrong_value(param, value, supported)

    return check


def array_of(check_item: Check, most: int | None = None, *, least: int = 0) -> Check:
    """An array of at least ``least`` and at most ``most`` such values."""

    is_array = of_type(list)

    def check(param: str, value: Any) -> None:
        is_array(param, value)
        if len(value) < least:
            raise InvalidRequest(
                f"Invalid '{param}': empty array. Expected an array with minimum length {least}, "
                "but got an empty array instead.",
                param=param,
                code="empty_array",
            )
        if most is not None and len(value) > most:
            raise InvalidRequest(
                f"Invalid '{param}': array too long. Expected an array with maximum length {most}, "
                f"but got an array with length {len(value)} instead.",
                param=param,
                code="array_above_max_length",
            )
        for index, item in enumerate(value):
            check_item(f"{param}[{index}]", item)

    return check


def check_metadata(param: str, value: Any) -> None:
    """Checks pairs of strings that a caller marks its answers with."""
    of_type(dict)(param, value)
    if len(value) > MAX_PAIRS:
        raise InvalidRequest(
            f"Invalid '{param}': too many properties. Expected an object with at most {MAX_PAIRS} properties, "
            f"but got an object with {len(value)} properties instead.",
            param=param,
            code="object_above_max_properties",
        )
    for name, item in value.items():
        shown = f"{param}.{name[:MAX_NAME]}"
        text_of_at_most(MAX_NAME)(shown, name)
        text_of_at_most(MAX_VALUE)(shown, item)


def require(param: str, value: Mapping[str, Any], name: str, check: Check) -> None:
    """Checks a member that must be there, of the object at ``param``; of the body itself that is ``""``."""
    if value.get(name) is None:
        raise missing(f"{param}.{name}" if param else name)
    check(f"{param}.{name}" if param else name, value[name])


def optional(param: str, value: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    """Checks members that may be there; a null is the same as absence."""
    for name, check in checks.items():
        if value.get(name) is not None:
            check(f"{param}.{name}", value[name])
