"""What guardrails cost a stream: 50 patterns and 5,000 terms, in chunks of four characters. CPU time, as ratios too.

``python -m benchmarks.guardrails`` prints a table; the text is this project's own documentation.
"""

from __future__ import annotations

import random
import string
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from guardrails import Policy
from guardrails.answer import AnswerWindow
from guardrails.guardrail import Guardrail
from guardrails.policy import Placed
from guardrails.rules.personal import personal_data
from guardrails.rules.secrets import secrets
from guardrails.rules.words import patterns, terms
from guardrails.vault import Vault
from llm import ChatChunk

CHUNK = 4
BOTH = "50 patterns and 5,000 terms"
ALL = "all of these, and personal data, secrets"
ROOT = Path(__file__).parent.parent


def main() -> None:
    """Measures and prints."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").rglob("*.md")))
    made = _guardrails()
    _print_chunks(made, _cut(text))
    _print_other_signs(made[BOTH], len(text))
    everything = Guardrail("all", [*made[ALL].rules, _NESTED])
    _print_pathological(everything)
    _print_whole(everything)


def _print_chunks(made: Mapping[str, Guardrail], pieces: Sequence[str]) -> None:
    """What a chunk costs, the first time a policy meets a text and then."""
    bare = _best(lambda: [piece.encode() for piece in pieces]) / len(pieces)
    print(f"{len(pieces)} chunks of {CHUNK} characters; encoding one costs {bare * 1e6:.2f} µs\n")
    print(f"{'rules':44} {'first time':>12} {'µs a chunk':>12} {'x encoding':>12}")
    chunks = [ChatChunk(piece) for piece in pieces]
    policy = Policy([Placed(rule, ("output",)) for rule in made[BOTH].rules])
    works = {name: partial(_stream, guardrail, pieces) for name, guardrail in made.items()}
    for name, work in {**works, f"{BOTH}, an answer, timed": partial(_answer, policy, chunks)}.items():
        first, then = _seconds(work) / len(pieces), _best(work) / len(pieces)
        print(f"{name:44} {first * 1e6:12.2f} {then * 1e6:12.2f} {then / bare:12.1f}")


def _print_other_signs(guardrail: Guardrail, length: int) -> None:
    """What a chunk costs that is looked at as it is read, too."""
    print(f"\n{f'streams in other signs, {BOTH}':51} {'µs a chunk':>12}")
    for name, sign in {"French": "Où est l'été? ", "Russian": "Где ночь? ", "full-width": "Ｎｉｇｈｔ "}.items():
        pieces = _cut(sign * (length // len(sign)))
        then = _best(partial(_stream, guardrail, pieces)) / len(pieces)
        print(f"{name:51} {then * 1e6:12.2f}")


def _print_pathological(guardrail: Guardrail) -> None:
    """Whether four times the text takes four times as long, also of the worst texts."""
    print(f"\n{'pathological text, by all rules':44} {'250 kB, s':>12} {'1 MB, s':>12} {'ratio':>12}")
    for name, letter in {
        "one letter": "a",
        "one digit": "7",
        "half an address": "a@",
        "quotes": '"=',
        "addresses": "a@b.co, ",
    }.items():
        short, long = (letter * (size // len(letter)) for size in (250_000, 1_000_000))
        few, many = (_seconds(partial(_stream, guardrail, _cut(text))) for text in (short, long))
        print(f"{name:44} {few:12.2f} {many:12.2f} {many / few:12.1f}")


def _print_whole(guardrail: Guardrail) -> None:
    """What looking at a whole text as it is read costs beside looking at it as it is written."""
    print(f"\n{'whole texts, by all rules':44} {'as written, s':>12} {'as read, s':>12} {'4 times, s':>12}")
    written = Guardrail("written", guardrail.rules, lookalikes=False)
    for name, sign in {
        "ASCII": "The night. ",
        "French": "Où est l'été? ",
        "Russian": "Где ночь? ",
        "full-width": "Ｎｉｇｈｔ ",
        "hidden signs": "n\u200b",
        "marks": "n\u0336\u0301",
        "one letter and many marks": "\u0336\u0301",
        "letters that become many": "ﷺ",
    }.items():
        short, long = (sign * (size // len(sign)) for size in (100_000, 400_000))
        guardrail.check(short)
        times = [
            _seconds(partial(each.check, text))
            for each, text in ((written, short), (guardrail, short), (guardrail, long))
        ]
        print(f"{name:44} {times[0]:12.2f} {times[1]:12.2f} {times[2]:12.2f}")


_NESTED = patterns(r"(?:(?:a{1,3}){1,3}){1,3}b", r"(?:x+x+){1,9}y", name="nested")


def _guardrails() -> dict[str, Guardrail]:
    random.seed(7)
    fifty = patterns(*(rf"\b{word(3, 5)}-[a-z]{{2,8}}\d{{1,4}}\b" for _ in range(50)))
    five_thousand = terms(*(word(5, 12) for _ in range(5000)))
    return {
        "50 patterns": Guardrail("patterns", [fifty]),
        "5,000 terms": Guardrail("terms", [five_thousand]),
        BOTH: Guardrail("both", [fifty, five_thousand]),
        "personal data": Guardrail("personal", [personal_data()]),
        "secrets": Guardrail("secrets", [secrets()]),
        ALL: Guardrail("all", [fifty, five_thousand, personal_data(), secrets()]),
    }


def word(least: int, most: int) -> str:
    """A word of so many letters, drawn at random."""
    return "".join(random.choices(string.ascii_lowercase, k=random.randint(least, most)))


def _cut(text: str) -> list[str]:
    return [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)]


def _stream(guardrail: Guardrail, pieces: Sequence[str]) -> None:
    window = guardrail.window()
    for piece in pieces:
        window.feed(piece)
    window.end()


def _answer(policy: Policy, chunks: Sequence[ChatChunk]) -> None:
    window = AnswerWindow(policy, Vault())
    for chunk in chunks:
        window.feed(chunk)
    window.end()


def _seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _best(work: Callable[[], object]) -> float:
    return min(_seconds(work) for _ in range(3))


if __name__ == "__main__":
    main()
