"""The forms in which models write tool calls. A model's own is the one that its chat template shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallForm:
    """One form: rules of llguidance's Lark over ``opening``, ``closing`` and ``call``, a JSON object."""

    opening: str
    """What stands before a call and never in a text; nothing where a call stands bare."""
    one: str
    several: str
    closing: str = ""
    arguments: str = "arguments"
    """What the object calls the arguments."""

    def rules(self, marker: Callable[[str], str], *, parallel: bool) -> Iterator[str]:
        """The rule ``calls`` and its markers; ``marker`` says how a marker is written in a rule."""
        yield f"calls: {self.several if parallel else self.one}"
        for name, text in (("opening", self.opening), ("closing", self.closing)):
            if text:
                yield f"{name}: {marker(text)}"


HERMES = CallForm(
    "<tool_call>",
    r'opening "\n" call "\n" closing',
    r'opening "\n" call "\n" closing ("\n" opening "\n" call "\n" closing)*',
    closing="</tool_call>",
)
"""Hermes and Qwen."""
OURS = CallForm("<|tool_call|>", "opening call", "(opening call)+")
MISTRAL = CallForm("[TOOL_CALLS]", 'opening " "? "[" call "]"', 'opening " "? "[" call (", " call)* "]"')
LLAMA = CallForm("", "call", 'call ("; " call)*', arguments="parameters")
"""Llama 3, and whoever shows no marker."""

OPENINGS = (HERMES.opening, OURS.opening, MISTRAL.opening, "<|python_tag|>")
"""What models write before a call. Llama 3 writes the last, or nothing."""
CLOSINGS = (HERMES.closing,)


def form_of(chat_template: object) -> CallForm:
    """The form that a chat template, or one of several, shows."""
    shown = str(chat_template)
    return next((form for form in (HERMES, OURS, MISTRAL) if form.opening in shown), LLAMA)
