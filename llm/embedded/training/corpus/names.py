"""Names of places, real and invented, and of attractions. Many makers invent, so that copying is general."""

import tomllib
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

from llm.embedded.training.corpus import phrases

_LETTERS = "abcdefghijklmnopqrstuvwxyz"

Maker = Callable[[Random], str]


class Nameless(Random):
    """A Random for which every name is a few letters: a tokenizer that learns from it learns no names."""

    def letters(self) -> str:
        return self.choice("ABCDEFGHIJKLMNOPRSTUVWXYZ") + "".join(self.choices("aeionrtlsmkdghu", k=self.randint(0, 2)))


@cache
def _parts(key: str) -> list[str]:
    """A list of name_parts.toml."""
    parts: dict[str, list[str]] = tomllib.loads((Path(__file__).parent / "name_parts.toml").read_text("utf-8"))
    return parts[key]


@cache
def _chains() -> dict[str, list[str]]:
    """Which letter follows which two, in real places and plain words: a Markov chain of names."""
    followers = defaultdict(list)
    text = (phrases.FOLDER / "real_place.txt").read_text("utf-8").partition("\n")[2]
    for name in [*text.lower().replace("[", "|").replace("]", "|").replace("\n", "|").split("|"), *_parts("plain")]:
        letters = f"^^{name.strip()}$"
        for start in range(len(letters) - 2):
            followers[letters[start : start + 2]].append(letters[start + 2])
    return dict(followers)


def _chained(random: Random) -> str:
    name = "^^"
    while len(name) < 16:
        letter = random.choice(_chains().get(name[-2:], ["$"]))
        if letter == "$" and len(name) > 5:
            break
        name += letter if letter != "$" else random.choice("aeionrls")
    return name[2:].strip(" -'.").title().replace("'S", "'s")


def _syllables(random: Random) -> str:
    count = random.choice([0, 0, 1, 1, 2])
    return (
        random.choice(_parts("starts"))
        + "".join(random.choices(_parts("middles"), k=count))
        + random.choice(_parts("ends"))
    )


def _sounds(random: Random) -> str:
    pairs = (
        random.choice(_parts("consonants"))
        + random.choice(_parts("vowels"))
        + (random.choice("nrlstkmdg") if random.random() < 0.35 else "")
        for _ in range(random.randint(1, 4))
    )
    return "".join(pairs).capitalize()


def _compound(random: Random) -> str:
    return (
        random.choice(_parts("plain")) + random.choice([*_parts("plain"), *_parts("suffixes"), *_parts("suffixes"), ""])
    ).capitalize()


def _letters(random: Random) -> str:
    return "".join(random.choices(_LETTERS, k=random.randint(3, 9))).capitalize()


def _fragments(random: Random) -> str:
    """Pieces of ordinary words of the corpus, so that every common piece has been part of a name."""
    pieces = []
    for _ in range(random.randint(1, 3)):
        word = random.choice(vocabulary())
        start = random.randint(0, max(0, len(word) - 3))
        pieces.append(word[start : start + random.randint(2, 6)])
    return "".join(pieces).capitalize()


@cache
def vocabulary() -> list[str]:
    """The lower-case words of all phrase banks."""
    words: set[str] = set()
    for name in phrases.names():
        text = (phrases.FOLDER / f"{name}.txt").read_text("utf-8")
        for sign in "[]|{}<>.,!?:;\"'()-#/":
            text = text.replace(sign, " ")
        words |= {word for word in text.split() if word.isascii() and word.isalpha() and word.islower()}
    return sorted(words)


_MAKERS: list[tuple[Maker, float]] = [
    (_chained, 28),
    (_syllables, 28),
    (_sounds, 10),
    (_compound, 12),
    (_letters, 6),
    (_fragments, 12),
]


def word(random: Random) -> str:
    """One invented name, one word mostly."""
    if isinstance(random, Nameless):
        return random.letters()
    (maker,) = random.choices([maker for maker, _ in _MAKERS], [weight for _, weight in _MAKERS])
    return maker(random)


def invented_place(random: Random) -> str:
    """An invented place: mostly one word, sometimes two or three, with hyphens, apostrophes or a country."""
    name, kind = word(random), random.random()
    if kind < 0.10:
        name = f"{random.choice(_parts('before'))} {name}"
    elif kind < 0.15:
        name += random.choice(_parts("after"))
    elif kind < 0.18:
        name += f"-{word(random)}"
    elif kind < 0.22:
        name += f" {word(random)}"
    elif kind < 0.24:
        name = f"{word(random)} {random.choice(['de', 'del', 'da', 'la', 'am', 'an der', 'of', 'na', 'y', 'e'])} {name}"
    elif kind < 0.25:
        name = f"{random.choice(['L', 'D', 'O'])}'{name}"
    return name


def place(random: Random) -> str:
    """A place as a request names it: invented in two of three cases."""
    if isinstance(random, Nameless):
        return random.letters()
    name = (
        invented_place(random) if random.random() < 0.62 else phrases.expand("real_place", random).removeprefix("the ")
    )
    return f"{name}, {random.choice(_parts('countries'))}" if random.random() < 0.015 else name


def attraction(random: Random) -> str:
    """Something to visit: "National Tile Museum", "Museum of Veldamor", "a walk along the harbour"."""
    kind = random.random()
    sight = phrases.expand("sight", random)
    if kind < 0.25:
        return f"{phrases.expand('sight_adjective', random)} {sight}"
    if kind < 0.55:
        return f"{invented_place(random)} {sight}"
    if kind < 0.65:
        return f"{sight} of {random.choice([word(random), phrases.expand('sight_subject', random)])}"
    if kind < 0.75:
        return f"{phrases.expand('sight_adjective', random)} {word(random)} {sight}"
    if kind < 0.88:
        return phrases.expand("sight_phrase", random).replace("NAME", word(random))
    return f"{word(random)}'s {sight}" if kind < 0.91 else invented_place(random)
