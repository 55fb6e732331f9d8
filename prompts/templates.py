"""Templates that operators and authors write, filled with data that others send."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import minijinja

FUEL = 100_000
"""Template instructions that one rendering may spend; a template cannot loop for ever."""
_SINGLE = re.compile(
    r"\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}|\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|\{([A-Za-z_]\w*)\}",
    re.ASCII | re.DOTALL,
)
"""What minijinja itself would read, and beside it a name alone in single braces."""
_WORDS = frozenset(
    [
        *("true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else", "loop"),
        *("self", "super", "cycler", "debug", "dict", "joiner", "namespace", "range"),
    ]
)
"""Names that are minijinja's own, and so stay text in single braces."""


def environment(**options: Any) -> minijinja.Environment:
    """A strict environment: what is not there is an error, and the effort of a rendering is bounded."""
    return minijinja.Environment(undefined_behavior="strict", fuel=FUEL, keep_trailing_newline=True, **options)


def doubled(text: str) -> str:
    """The template in which ``{x}``, MLRun's form of a placeholder, is written ``{{ x }}``. Only a name alone in
    braces is one: all other single braces are text, and so is everything inside of minijinja's own braces."""

    def double(found: re.Match[str]) -> str:
        name = found[1]
        return found[0] if name is None or name in _WORDS else f"{{{{ {name} }}}}"

    return _SINGLE.sub(double, text)


def plain(value: Any) -> Any:
    """The value as plain data. Objects become their text, so that a template cannot reach what is inside them."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else str(value)
