"""What an assistant tells: the final answer from what the tools returned, and tips that fit the weather."""

import re
from collections.abc import Sequence
from random import Random

from llm.embedded.training.corpus import phrases
from llm.embedded.training.corpus.results import NO_MONTH, Result

_SLOTS = ("place", "told", "date", "condition", "temp", "typical", "attractions", "tip", "month")
_TIPS = [
    (r"rain|shower|drizzl|storm|hail|wet|sleet", "Take an umbrella."),
    (r"snow|ic[ye]|frost|freez|cold", "Dress warmly."),
    (r"wind|breez|gale", "Bring a windproof jacket."),
    (r"sun|hot|clear|bright|dry", "Take sunglasses."),
    (r"fog|mist|haz", "Take care on the roads."),
]


def tip(condition: str) -> str:
    """A piece of advice, always the same for a condition."""
    return next((advice for pattern, advice in _TIPS if re.search(pattern, condition)), "A light jacket is enough.")


def listed(items: Sequence[str]) -> str:
    """A, B and C."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def answer(random: Random, told: str, weather: Result, attractions: Result | None) -> str:
    """The final answer. `told` is the date as an answer says it; `attractions` None for a question of weather alone."""
    if weather.get("error"):
        unknown = "told_unknown_date" if weather["error"] == NO_MONTH else "told_unknown_place"
        return _fill(phrases.expand(unknown, random, _SLOTS), weather, told, [], random)
    if attractions is None:
        return _fill(phrases.expand("told_weather", random, _SLOTS), weather, told, [], random)
    bank = "told_trip" if attractions["attractions"] else "told_unknown_sights"
    return _fill(phrases.expand(bank, random, _SLOTS), weather, told, attractions["attractions"], random)


def _fill(template: str, weather: Result, told: str, sights: Sequence[str], random: Random) -> str:
    month = weather.get("typical_for")
    values = {
        "{typical}": phrases.expand("typical", random, _SLOTS) if month else "",
        "{month}": month or "",
        "{place}": weather["location"],
        "{told}": told,
        "{date}": weather.get("date", ""),
        "{condition}": weather.get("condition", ""),
        "{temp}": str(weather.get("temp_c", "")),
        "{attractions}": listed(sights) if sights else "",
        "{tip}": tip(weather.get("condition", "")),
    }
    for slot, value in values.items():
        template = template.replace(slot, value)
    return template


def asking(random: Random, kind: str, lacks: str, place: str | None, told: str) -> str:
    """A question for what is missing: the place, the date or both."""
    bank = f"ask_{lacks}{'_weather' if kind == 'weather' else ''}"
    return phrases.expand(bank, random, _SLOTS).replace("{place}", place or "").replace("{told}", told)
