"""Values that are copies: grammars that hold them to words of a text, as so small a model misspells what it copies.

A copy is up to 80 characters of the text as they stand there, on one line, whole words at both ends, with no quotes,
backslashes and emoji. `12/11/2026` and `Aix-en-Provence` are one word; of `Lisbon's` the `Lisbon` can be copied, `s`
cannot. Of a long text the end counts. Several texts are values to choose from, each as a whole. Where there are no
words and no values, copies are free.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llm.embedded.schema import Schema
from llm.grammar import json_rule, literal

Source = str | Sequence[str]

MAX_COPY = 80
MAX_SOURCE = 3000  # characters, about what a prompt can hold; a grammar compiles in 3 to 10 ms
MAX_VALUES = 100

_BETWEEN = r" !#-\[\]-~–—‘’·"  # what may stand between the letters and digits of a copy
_UNCOPIED = re.compile(rf"[^\w\u0300-\u036f{_BETWEEN}]+")
_LONE = re.compile("[\ud800-\udfff]")  # half a character
_SIGNS = r"(?:[^\W_]|[\u0300-\u036f])+"
_WORD = re.compile(rf"{_SIGNS}(?:-{_SIGNS}|(?<=\d)[/.:–](?=\d){_SIGNS})*")
_CHUNK = re.compile(rf"(?<=[^\W_])['’]{_SIGNS}|{_WORD.pattern}|[\s\S]")
_CLOSING = {".", ")"}  # may end a copy: D.C., Paris (Texas)
_PLAIN_OBJECT = {"type", "properties", "required", "additionalProperties", "title", "description", "$defs"}
_PLAIN_STRING = {"type", "title", "description", "default", "maxLength"}


class Copying:
    """The Lark rules of objects that have copies among their properties; one for a grammar.

    `options` are llguidance's for the values that are no copies. `rules` are the lines so far.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.rules: list[str] = []
        self._options = options
        self._terminals: dict[str, str] = {}

    def add(self, name: str, schema: Schema, sources: Mapping[str, Source], empty: bool) -> bool:
        """Write the rule `name` for a bounded schema. False, and nothing is written, if it has no copies.

        `sources`: what each copied property is copied from. `empty`: a copy may be "" as well.
        """
        properties = schema.get("properties", {})
        copies = {key: _copies(properties[key], source) for key, source in sources.items() if key in properties}
        plain = _PLAIN_OBJECT.issuperset(schema) and set(properties).issuperset(_required(schema))
        if not plain or not any(copies.values()):
            return False
        definitions = {"$defs": schema["$defs"]} if "$defs" in schema else {}
        for index, (key, value) in enumerate(properties.items()):
            copy = copies.get(key)
            written = self._copy(copy, empty) if copy else json_rule(definitions | value, self._options)
            self.rules.append(f"{name}_{index}: {literal(json.dumps(key, ensure_ascii=False) + ': ')} {written}")
        self.rules += _members(name, [key in _required(schema) for key in properties])
        return True

    def _copy(self, copies: str, empty: bool) -> str:
        """Such a copy in quotes."""
        if copies not in self._terminals:
            self._terminals[copies] = f"COPY{len(self._terminals)}"
            self.rules.append(f"{self._terminals[copies]}: {copies}")
        return rf'"\"" {self._terminals[copies]}{"?" if empty else ""} "\""'


def _copies(schema: Any, source: Source) -> str:
    """The definition of a terminal; "" if there is nothing to copy, or the schema asks for more than a length."""
    if not isinstance(schema, dict) or schema.get("type") != "string" or not _PLAIN_STRING.issuperset(schema):
        return ""
    longest = min(MAX_COPY, int(schema.get("maxLength", MAX_COPY)))
    return _words(source, longest) if isinstance(source, str) else _values(source, longest)


def _words(text: str, longest: int) -> str:
    """Words and what stands between them, with newlines for what cannot be copied."""
    chunks = _CHUNK.findall(_UNCOPIED.sub("\n", text[-MAX_SOURCE:]))[len(text) > MAX_SOURCE :]
    if not any(len(chunk) <= longest and _WORD.fullmatch(chunk) for chunk in chunks):
        return ""
    signs = {chunk[0] for chunk in chunks if not _WORD.fullmatch(chunk)} | {"\n"}
    first, last = _none_of(signs), _none_of(signs - _CLOSING)
    source = json.dumps({"substring_chunks": chunks}, ensure_ascii=False)
    return rf"%regex {source} & /{first}([^\n]{{0,{max(0, longest - 2)}}}{last})?/"


def _none_of(signs: Iterable[str]) -> str:
    """A class of characters; by exception, as those of Unicode take long to compile."""
    escaped = [rf"\x{{{ord(sign):x}}}" for sign in sorted(signs)]
    return f"[^{''.join(escaped)}]"


def _values(values: Sequence[str], longest: int) -> str:
    """One of these, as JSON."""
    fitting = [value for value in dict.fromkeys(values) if 0 < len(value) <= longest and not _LONE.search(value)]
    return " | ".join(literal(json.dumps(value, ensure_ascii=False)[1:-1]) for value in fitting[:MAX_VALUES])


def _required(schema: Schema) -> Sequence[str]:
    required: Sequence[str] = schema.get("required", ())
    return required


def _members(name: str, needed: Sequence[bool]) -> Iterator[str]:
    """Rules that put members `name_0`, `name_1`, … into braces in this order, those that are not needed or not."""
    yield f'{name}: "{{" {name}_first0 "}}"'
    for index, need in enumerate(needed):
        for kind, comma in (("first", ""), ("next", '", " ')):
            skipped = "" if need else f" | {name}_{kind}{index + 1}"
            yield f"{name}_{kind}{index}: {comma}{name}_{index} {name}_next{index + 1}{skipped}"
    yield from (f'{name}_{kind}{len(needed)}: ""' for kind in ("first", "next"))
