"""Templates that operators and authors write, filled with data that others send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import minijinja

FUEL = 100_000
"""Template instructions that one rendering may spend; a template cannot loop for ever."""


def environment(**options: Any) -> minijinja.Environment:
    """A strict environment: what is not there is an error, and the effort of a rendering is bounded."""
    return minijinja.Environment(undefined_behavior="strict", fuel=FUEL, keep_trailing_newline=True, **options)


def plain(value: Any) -> Any:
    """The value as plain data. Objects become their text, so that a template cannot reach what is inside them."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else str(value)
