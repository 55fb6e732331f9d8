"""What users ask for: a trip or the weather, with a place and a date or without, in one message or in several."""

from dataclasses import dataclass
from random import Random
from typing import Literal

from llm.embedded.training.corpus import names, noise, phrases
from llm.embedded.training.corpus.conversation import Message, assistant, user
from llm.embedded.training.corpus.dates import Date, date

Kind = Literal["travel", "weather"]
Lacks = Literal["", "date", "place", "both"]

_SLOTS = ("place", "on", "date", "told")


@dataclass(frozen=True)
class Request:
    """A conversation up to the user's last message. `place` and `date` are verbatim what the user typed, or None."""

    kind: Kind
    messages: list[Message]
    place: str | None
    date: str | None
    told: str  # the date as an answer says it, "" without one

    @property
    def lacks(self) -> Lacks:
        if self.place is None:
            return "place" if self.date else "both"
        return "" if self.date else "date"

    @property
    def asked(self) -> str:
        """The user's turns as a judge sees them."""
        return " / ".join(message["content"] for message in self.messages if message["role"] == "user")


@dataclass(frozen=True)
class Typed:
    """A message with its slots filled in, and what was filled in for place and date."""

    text: str
    place: str
    date: str


def kind(random: Random) -> Kind:
    return "travel" if random.random() < 0.68 else "weather"


def request(random: Random, kind: Kind) -> Request:
    """With place and date: mostly in one message, sometimes in two, sometimes a change of an earlier wish."""
    where, when, form = names.place(random), date(random), random.random()
    if form < 0.78:
        said = fill(_decorated(kind, random), where, when, random)
        return Request(kind, [user(said.text)], said.place, said.date, told(when, said.date))
    if form < 0.91:
        return _answered(random, kind, where, when)
    return _changed(random, kind, where, when) if form < 0.96 else _another(random, kind, where, when)


def incomplete(random: Random, kind: Kind) -> Request:
    """Without place, date or both."""
    bank = random.choice(["undated", "undated", "unplaced", "bare"])
    where, when = names.place(random), date(random)
    said = fill(_decorated(kind, random, f"_{bank}"), where, when, random)
    place = said.place if bank == "undated" else None
    day = said.date if bank == "unplaced" else None
    return Request(kind, [user(said.text)], place, day, told(when, said.date) if day else "")


def _answered(random: Random, kind: Kind, where: str, when: Date) -> Request:
    """The assistant asked for what was missing, and the user says it."""
    lacking = random.choice(["date", "date", "place", "place", "both"])
    bank, asked = {"date": "undated", "place": "unplaced", "both": "bare"}[lacking], f"asked_{lacking}"
    first = fill(_decorated(kind, random, f"_{bank}"), where, when, random)
    reply = fill(
        phrases.expand(asked, random, _SLOTS), where, when, random, noise.Style(False, True, 0, False, False, False)
    )
    second = fill(phrases.expand(f"answer_{lacking}", random, _SLOTS), where, when, random)
    place = second.place if lacking in {"place", "both"} else first.place
    day = second.date if lacking in {"date", "both"} else first.date
    messages = [user(first.text), unlearnt(reply.text.strip("! ")), user(second.text)]
    return Request(kind, messages, place, day, told(when, day))


def _changed(random: Random, kind: Kind, where: str, when: Date) -> Request:
    """A first wish was answered, and the user names another place or another date."""
    earlier = fill(_decorated(kind, random), where, when, random)
    changes_place = random.random() < 0.5
    where, when = (names.place(random), when) if changes_place else (where, date(random))
    later = fill(phrases.expand("next_place" if changes_place else "next_date", random, _SLOTS), where, when, random)
    place, day = (later.place, earlier.date) if changes_place else (earlier.place, later.date)
    answer = phrases.expand("earlier_answer", random, _SLOTS).replace("{place}", earlier.place)
    return Request(kind, [user(earlier.text), unlearnt(answer), user(later.text)], place, day, told(when, day))


def _another(random: Random, kind: Kind, where: str, when: Date) -> Request:
    """A first wish was answered, and the user has a new one; only the new one counts."""
    earlier = fill(_decorated(random.choice(["travel", "weather"]), random), names.place(random), date(random), random)
    answer = phrases.expand("earlier_answer", random, _SLOTS).replace("{place}", earlier.place)
    said = fill(_decorated(kind, random), where, when, random)
    messages = [user(earlier.text), unlearnt(answer), user(said.text)]
    return Request(kind, messages, said.place, said.date, told(when, said.date))


def unlearnt(text: str) -> Message:
    """An assistant message that is context only."""
    return assistant(text) | {"learn": False}


def told(when: Date, typed: str) -> str:
    """The date as an answer says it, in the user's spelling; "Next Friday" becomes "next Friday"."""
    usual = when.bare if typed == when.bare[0].upper() + when.bare[1:] else typed
    return when.told.replace(when.bare, usual)


def _decorated(kind: Kind, random: Random, suffix: str = "") -> str:
    """A template with something before and after it, slots unfilled."""
    text = phrases.expand(("trip" if kind == "travel" else "weather") + suffix, random, _SLOTS)
    chatter = "chatter" if kind == "travel" else "weather_chatter"
    form = random.random()
    if form < 0.22:
        text = phrases.expand("opener", random) + text
    elif form < 0.30:
        text = f"{phrases.expand(chatter, random)} {text}"
    if random.random() < 0.28:
        text = f"{text if text.endswith(('.', '?', '!')) else text + '.'} {phrases.expand(chatter, random)}"
    if random.random() < 0.03:
        text = f"{phrases.expand(random.choice(['people', 'sport', 'finance', 'home']), random)} {text}"
    return text.replace("<", "").replace(">", "")


def fill(template: str, where: str, when: Date, random: Random, how: noise.Style | None = None) -> Typed:
    """Type a template and fill its slots; says what stands there for place and date in the end."""
    how = how or noise.style(random)
    text = noise.typed(template, how, random)
    place, said, bare = (value.lower() if how.lower else value for value in (where, when.said, when.bare))
    if how.tidy or (not how.lower and random.random() < 0.5):
        text, bare = _with_capital_dates(text, said, bare)
    text = text.replace("{place}", place).replace("{on}", said).replace("{date}", bare)
    return Typed(text, place, bare)


def _with_capital_dates(text: str, said: str, bare: str) -> tuple[str, str]:
    """Fill in dates that begin a sentence with a capital; the bare date gets it where it is what begins."""
    for slot, value in (("{on}", said), ("{date}", bare)):
        start = text.find(slot)
        if start >= 0 and (start == 0 or text[:start].rstrip(" ").endswith((".", "!", "?"))):
            capital = value[0].upper() + value[1:]
            text = text.replace(slot, capital, 1)
            bare = capital if value == bare else bare
    return text, bare
