"""How people really type: no capitals, no full stops, typos. Slots in braces stay as they are."""

import re
from dataclasses import dataclass
from random import Random

_SLOT = re.compile(r"(\{\w+\})")
_SENTENCE_START = re.compile(r"(?:^|[.!?]\s+)([a-z])")
_SHORT = {
    "you": "u",
    "please": "pls",
    "are": "r",
    "thanks": "thx",
    "with": "w/",
    "weekend": "wknd",
    "tomorrow": "tmrw",
    "what's": "whats",
    "I'm": "im",
    "I'd": "id",
    "don't": "dont",
    "we're": "were",
    "going to": "gonna",
    "want to": "wanna",
    "because": "cause",
    "something": "sth",
}


@dataclass(frozen=True)
class Style:
    """How one message is typed. `lower`: no capitals at all, names and dates included."""

    lower: bool
    tidy: bool
    typos: int
    short: bool
    bare_end: bool
    loud: bool


TIDY = Style(lower=False, tidy=True, typos=0, short=False, bare_end=False, loud=False)


def style(random: Random) -> Style:
    lower = random.random() < 0.2
    return Style(
        lower=lower,
        tidy=not lower and random.random() < 0.8,
        typos=random.choice([1, 1, 2]) if random.random() < 0.1 else 0,
        short=random.random() < (0.25 if lower else 0.05),
        bare_end=random.random() < (0.5 if lower else 0.12),
        loud=random.random() < 0.03,
    )


def typed(text: str, how: Style, random: Random) -> str:
    """The text in a style; its slots are left for the caller, who lowers their values too where `lower` is set."""
    if how.short:
        text = _shortened(text, random)
    for _ in range(how.typos):
        text = _with_typo(text, random)
    if how.tidy:
        text = _SENTENCE_START.sub(lambda match: match.group(0)[:-1] + match.group(1).upper(), text)
    if how.lower:
        text = "".join(part if _SLOT.fullmatch(part) else part.lower() for part in _SLOT.split(text))
    if how.bare_end:
        text = text.rstrip(".!?")
    return text + random.choice(["!!", "!!!", "??", " :)", " ;)", " 😊", " 🙏", "…"]) if how.loud else text


def _shortened(text: str, random: Random) -> str:
    for long, short in _SHORT.items():
        if random.random() < 0.6:
            text = re.sub(rf"\b{re.escape(long)}\b", short, text)
    return text


def _with_typo(text: str, random: Random) -> str:
    """One slip in one word of four letters or more: a letter lost, doubled, swapped or hit beside."""
    words = [match for match in re.finditer(r"[a-z]{4,}", text) if not _in_slot(text, match.start())]
    if not words:
        return text
    match = random.choice(words)
    word, at = match.group(), random.randint(0, len(match.group()) - 2)
    slips = [
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        word[:at] + random.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :],
    ]
    return text[: match.start()] + random.choice(slips) + text[match.end() :]


def _in_slot(text: str, position: int) -> bool:
    return text.rfind("{", 0, position) > text.rfind("}", 0, position)
