"""Templates that operators and authors write, filled with data that others send."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import minijinja

from prompts.errors import RenderingFailed

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
_TEXT = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_BLOCK = re.compile(
    r"\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}|\{#.*?#\}"
    rf"|(\{{\{{(?:{_TEXT}|[^'\"])*?\}}\}}|\{{%(?:{_TEXT}|[^'\"])*?%\}})",
    re.DOTALL,
)
"""What minijinja leaves alone, or, as its group, reads."""
_FILTERS = re.compile(r"\|\s*([A-Za-z_]\w*)|\{%[-+]?\s*filter\s+([A-Za-z_]\w*)")
_TESTS = re.compile(r"\bis\s+(?:not\s+)?([A-Za-z_]\w*)")


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


def misnamed(made: minijinja.Environment, text: str) -> Iterator[str]:
    """What is wrong with the names in a template that compiles: filters and tests that there are none of, which
    minijinja finds only when it comes to them, and functions where a value should be."""
    functions = set(made.globals) & made.undeclared_variables_in_str(text)
    for found in _BLOCK.finditer(text):
        read = re.sub(_TEXT, "''", found[1] or "")
        names = [("filter", name) for pair in _FILTERS.findall(read) for name in pair if name]
        for kind, name in [*names, *(("test", name) for name in _TESTS.findall(read))]:
            if not made.eval_expr(f"name is {kind}", name=name):
                yield f"minijinja has no {kind} '{name}'; mend its name, or leave it out"
        for name in functions:
            if re.search(rf"(?<![\w.]){name}\b(?!\s*[(=])", read):
                yield (
                    f"'{name}' is a function of minijinja's; call it, or give the placeholder another name, and in the "
                    f"legend the field '{name}'"
                )


def value_of(value: Any) -> Any:
    """What an expression made, if it is data.

    Raises:
        RenderingFailed: when it is a function: then the field that was meant is not there.
    """
    if callable(value):
        raise RenderingFailed(f"'{getattr(value, '__name__', value)}' is a function, and no value")
    return value


class Fields(dict[str, Any]):
    """An object of which a template reaches the fields, and of what Python's own has beside them only ``items``, by
    which minijinja goes through it."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name == "items" or name.startswith("__"):
            return super().__getattribute__(name)
        raise AttributeError(name)


class Elements(list[Any]):
    """A list of which a template reaches the elements alone."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return super().__getattribute__(name)
        raise AttributeError(name)


def plain(value: Any) -> Any:
    """The value as plain data. Objects become their text, so that a template cannot reach what is inside them."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return Fields((str(name), plain(item)) for name, item in value.items())
    return Elements(map(plain, value)) if isinstance(value, (list, tuple)) else str(value)
