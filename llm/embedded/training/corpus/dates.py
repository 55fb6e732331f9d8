"""Dates as people write them: the bare words, and how they stand in a sentence.

A `Date` keeps `bare`, which is what a tool call must copy: no preposition, no article. `said` is how a request says it
("on the 3rd of May"), `told` how an answer does ("on the 3rd of May", "next Friday").
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

MONTHS = "January February March April May June July August September October November December".split()
SHORT_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sept Sep Oct Nov Dec".split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
SHORT_WEEKDAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
SEASONS = "spring summer autumn winter fall".split()
HOLIDAYS = ["Christmas", "Easter", "New Year", "New Year's Eve", "Boxing Day", "Halloween", "Carnival", "Pentecost"]
HOLIDAYS += ["Christmas Eve", "Valentine's Day", "Thanksgiving", "Easter Monday", "Labour Day", "Diwali", "Ramadan"]


@dataclass(frozen=True)
class Date:
    """`bare` is verbatim part of `said` and of `told`."""

    bare: str
    said: str
    told: str


def date(random: Random) -> Date:
    """Any of the forms below."""
    (maker,) = random.choices([form for form, _ in FORMS], [weight for _, weight in FORMS])
    return maker(random)


def _day(random: Random) -> int:
    return random.randint(1, 31)


def ordinal(day: int) -> str:
    """1st, 2nd, 3rd, 4th …"""
    ending = "th" if day in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _month(random: Random) -> str:
    return random.choice(SHORT_MONTHS) if random.random() < 0.15 else random.choice(MONTHS)


def _on(random: Random, bare: str, article: str = "") -> Date:
    """A single day: mostly "on", sometimes "for", "around" or nothing at all."""
    said = random.choice(["on ", "on ", "on ", "on ", "for ", "around ", ""])
    return Date(bare, f"{said}{article if said else ''}{bare}", f"on {article}{bare}")


def _day_month(random: Random) -> Date:
    day, month = _day(random), _month(random)
    bare = random.choice(
        [f"{day} {month}", f"{day} {month}", f"{month} {day}", f"{month} {ordinal(day)}", f"{day}. {month}"]
    )
    year = f"{random.choice([' ', ', '])}{random.randint(2024, 2035)}" if random.random() < 0.12 else ""
    return _on(random, bare + year)


def _ordinal_of(random: Random) -> Date:
    day = ordinal(_day(random))
    return _on(random, random.choice([f"{day} of {_month(random)}", f"{day} {_month(random)}"]), "the ")


def _iso(random: Random) -> Date:
    return _on(random, f"{random.randint(2024, 2036)}-{random.randint(1, 12):02d}-{random.randint(1, 31):02d}")


def _numbers(random: Random) -> Date:
    day, month, year = random.randint(1, 31), random.randint(1, 12), random.randint(2024, 2036)
    forms = [
        f"{day}/{month}/{year}",
        f"{day:02d}/{month:02d}/{year}",
        f"{day}.{month}.{year}",
        f"{day:02d}.{month:02d}.",
    ]
    return _on(
        random,
        random.choice([*forms, f"{month}/{day}", f"{day}-{month}-{year}", f"{day:02d}/{month:02d}/{year % 100}"]),
    )


def _weekday(random: Random) -> Date:
    day = random.choice(WEEKDAYS) if random.random() < 0.9 else random.choice(SHORT_WEEKDAYS)
    part = random.choice([" morning", " afternoon", " evening", " night"]) if random.random() < 0.1 else ""
    return Date(day + part, random.choice(["on ", "on ", "on ", "for ", ""]) + day + part, f"on {day}{part}")


def _relative(random: Random) -> Date:
    """Words that need no preposition."""
    word = random.choice(["this", "next", "next", "this coming", "the coming"])
    unit = random.choice([*WEEKDAYS, *WEEKDAYS, "weekend", "weekend", "weekend", "weekend", "week", "month", *SEASONS])
    article, word = ("the ", "coming") if word == "the coming" else ("", word)
    bare = f"{word} {unit}"
    return Date(bare, random.choice(["", "", "", "", "for "]) + article + bare, article + bare)


def _near(random: Random) -> Date:
    bare = random.choice(["tomorrow", "tomorrow", "tomorrow", "today", "today", "tonight", "tomorrow morning"])
    bare = bare if random.random() < 0.85 else random.choice(["tomorrow evening", "this afternoon", "tomorrow night"])
    return Date(bare, random.choice(["", "", "", "", "for "]) + bare, bare)


def _day_after(random: Random) -> Date:
    bare = random.choice(["day after tomorrow", "day after tomorrow", "week after next", "weekend after next"])
    return Date(bare, random.choice(["the ", "the ", "the ", "for the ", ""]) + bare, f"the {bare}")


def _month_alone(random: Random) -> Date:
    bare = random.choice([*MONTHS, *MONTHS, *SEASONS])
    year = f" {random.randint(2025, 2032)}" if random.random() < 0.15 else ""
    return Date(bare + year, random.choice(["in ", "in ", "in ", "for ", "during "]) + bare + year, f"in {bare}{year}")


def _part_of_month(random: Random) -> Date:
    part = random.choice(["early ", "mid ", "late ", "mid-", "mid-", "early ", "late ", "early-", "late-"])
    bare = part + random.choice([*MONTHS, *MONTHS, *SEASONS])
    return Date(bare, random.choice(["in ", "in ", "in ", "for ", "around ", ""]) + bare, f"in {bare}")


def _end_of_month(random: Random) -> Date:
    part = random.choice(["end", "beginning", "start", "middle", "end"])
    bare = f"{part} of {random.choice(['the month', 'the year', *MONTHS, *MONTHS])}"
    preposition = "in" if part == "middle" else "at"
    said = random.choice(
        [f"{preposition} the ", f"{preposition} the ", "around the ", "for the ", "for ", "", "by the "]
    )
    return Date(bare, said + bare, f"{preposition} the {bare}")


def _week_of(random: Random) -> Date:
    which = random.choice(["first", "second", "third", "last", "first", "last", "1st", "2nd"])
    unit = random.choice(["week", "week", "weekend", random.choice(WEEKDAYS)])
    bare = f"{which} {unit} {random.choice(['of', 'of', 'in'])} {random.choice(MONTHS)}"
    preposition = "in" if " week " in bare else "on"
    said = random.choice([f"{preposition} the ", f"{preposition} the ", "for the ", "the ", "during the ", ""])
    return Date(bare, said + bare, f"{preposition} the {bare}")


def _range(random: Random) -> Date:
    start = random.randint(1, 27)
    end, month = min(31, start + random.randint(1, 9)), _month(random)
    dash = random.choice([" to ", " to ", " to ", "-", "-", "–", " - ", " until ", " till ", "/", " and "])
    days = random.choice([f"{start}{dash}{end}", f"{start}{dash}{end}", f"{ordinal(start)}{dash}{ordinal(end)}"])
    bare = random.choice([f"{days} {month}", f"{days} {month}", f"{month} {days}", f"{days} of {month}"])
    if dash == " and ":
        return Date(bare, f"between {bare}", f"between {bare}")
    return Date(bare, random.choice(["from ", "from ", "", "", "for ", "on "]) + bare, random.choice(["from "]) + bare)


def _long_range(random: Random) -> Date:
    days = f"{_day(random)} {_month(random)}", f"{_day(random)} {_month(random)}"
    bare = random.choice([" to ", " - ", " until ", "–"]).join(days)
    return Date(bare, random.choice(["from ", "", "for "]) + bare, f"from {bare}")


def _full_day(random: Random) -> Date:
    weekday = random.choice([*WEEKDAYS, *SHORT_WEEKDAYS])
    day = random.choice([ordinal(_day(random)), str(_day(random))])
    return _on(random, f"{weekday}{random.choice([' ', ', ', ' the '])}{day} {_month(random)}")


def _holiday(random: Random) -> Date:
    bare = random.choice(HOLIDAYS)
    return Date(bare, random.choice(["at ", "over ", "for ", "around ", "on ", "during "]) + bare, f"at {bare}")


def _in_time(random: Random) -> Date:
    number = random.choice(["two", "three", "a", "four", "2", "3", "10", "five", "six"])
    unit = (
        random.choice(["weeks", "days", "months"]) if number != "a" else random.choice(["week", "month", "fortnight"])
    )
    bare = f"in {number} {unit}" if number != "a" else f"in a {unit}"
    return Date(bare, bare, bare)


Form = Callable[[Random], Date]
FORMS: list[tuple[Form, float]] = [
    (_day_month, 20),
    (_ordinal_of, 8),
    (_iso, 7),
    (_numbers, 4),
    (_weekday, 8),
    (_relative, 14),
    (_near, 9),
    (_day_after, 3),
    (_month_alone, 8),
    (_part_of_month, 9),
    (_end_of_month, 4),
    (_week_of, 4),
    (_range, 10),
    (_long_range, 1.5),
    (_full_day, 2),
    (_holiday, 3),
    (_in_time, 1.5),
]
