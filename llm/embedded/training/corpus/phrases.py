"""Phrase banks: text files of templates, one a line, that expand to endlessly many phrases.

    [Plan|Organise] a trip to {place}, {interest} [please|]     # one of each bracket; another bank; a slot that is kept

`[a|b|]` chooses one alternative, brackets nest. `{name}` is an entry of the bank `phrases/name.txt`, or stays as it is
where the caller keeps that slot. `<…>` marks the topic of a phrase. Lines that begin with # are comments.
"""

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from random import Random

FOLDER = Path(__file__).parent / "phrases"

_TOKENS = re.compile(r"[\[\]|]|\{\w+\}|[^\[\]|{]+")

Sequence = list["str | Choice"]


class Choice(list[Sequence]):
    """The alternatives of one bracket."""


@cache
def bank(name: str) -> list[Sequence]:
    """The parsed templates of a bank, in the order of its file."""
    lines = (FOLDER / f"{name}.txt").read_text("utf-8").splitlines()
    return [_parse(line.strip()) for line in lines if line.strip() and not line.startswith("#")]


def names() -> list[str]:
    """All banks."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def expand(name: str, random: Random, keep: Collection[str] = ()) -> str:
    """A random phrase of a bank; slots in `keep` are left as `{slot}`."""
    return _expand(random.choice(bank(name)), random, keep)


def _expand(sequence: Sequence, random: Random, keep: Collection[str]) -> str:
    return "".join(_item(item, random, keep) for item in sequence)


def _item(item: "str | Choice", random: Random, keep: Collection[str]) -> str:
    if isinstance(item, Choice):
        return _expand(random.choice(item), random, keep)
    if item.startswith("{"):
        return item if item[1:-1] in keep else expand(item[1:-1], random, keep)
    return item


def _parse(line: str) -> Sequence:
    stack: list[Choice] = [Choice([[]])]
    for token in _TOKENS.findall(line):
        if token == "[":
            stack.append(Choice([[]]))
        elif token == "]":
            closed = stack.pop()
            stack[-1][-1].append(closed)
        elif token == "|" and len(stack) > 1:
            stack[-1].append([])
        else:
            stack[-1][-1].append(token)
    if len(stack) != 1:
        raise ValueError(f"unbalanced brackets: {line}")
    return stack[0][0]
