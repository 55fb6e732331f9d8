"""Vault: what was taken out of a request, by the placeholders that stand in for it, to be put back into the answer."""

from __future__ import annotations

import json
from functools import cache

import orjson

from guardrails.guardrail import Guardrail
from guardrails.rules.words import patterns
from guardrails.texts import with_texts
from guardrails.window import Window

FORM = r"\[[A-Z][A-Z_]{1,40}_\d{1,6}\]"
"""What a placeholder looks like: ``[EMAIL_1]``."""


class Vault:
    """The texts that one request was rid of. It lives as long as the request."""

    def __init__(self) -> None:
        self._placeholders: dict[tuple[str, str], str] = {}
        self._texts: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._texts)

    def keep(self, kind: str, text: str) -> str:
        """The placeholder for a text: one of its own, and the same each time."""
        if (kind, text) not in self._placeholders:
            number = self._numbers[kind] = self._numbers.get(kind, 0) + 1
            placeholder = f"[{kind.upper()}_{number}]"
            self._placeholders[kind, text] = placeholder
            self._texts[placeholder] = text
        return self._placeholders[kind, text]

    def window(self) -> Window:
        """What an answer goes through to have its texts again; placeholders that nobody made stay as they are."""
        return _placeholders().window(lambda _, placeholder: self._texts.get(placeholder, placeholder))

    def restored(self, text: str) -> str:
        """A whole text with what its placeholders stand for."""
        window = self.window()
        return window.feed(text) + window.end()

    def restored_in_json(self, text: str) -> str:
        """The same of JSON, in the texts in it; of what is none, as a text."""
        if not self:
            return text
        try:
            return orjson.dumps(with_texts(orjson.loads(text), self.restored)).decode()
        except orjson.JSONDecodeError:
            return self.restored(text)

    def hidden(self, text: str) -> str:
        """A whole text without what has been taken out before: with the same placeholders. It may be JSON, which writes
        line ends and quotes in another way."""
        kept = self._placeholders.items()
        written = {form: placeholder for (_, said), placeholder in kept for form in _forms(said)}
        for form in sorted(written, key=len, reverse=True):
            text = text.replace(form, written[form])
        return text


def _forms(text: str) -> tuple[str, str, str]:
    """A text as it is, as JSON writes it, and as JSON writes JSON, which tools return as a text."""
    once = _in_json(text)
    return text, once, _in_json(once)


def _in_json(text: str) -> str:
    """Without the quotes around it."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


@cache
def _placeholders() -> Guardrail:
    return Guardrail("placeholders", [patterns(FORM, name="placeholder", action="redact")], lookalikes=False)
