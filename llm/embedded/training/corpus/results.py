"""What the tools return: weather by climate, attractions, and their honest errors. Values are open, keys are fixed."""

from random import Random
from typing import Any

from llm.embedded.training.corpus import names, phrases
from llm.embedded.training.corpus.dates import MONTHS

Result = dict[str, Any]

NO_CLIMATE = "no climate data for this place"
NO_MONTH = "no month could be read from this date"
NO_ATTRACTIONS = "no attractions known for this place"


def weather(random: Random, place: str, day: str) -> Result:
    """The result of get_weather; at times with more keys than the answer needs."""
    found: Result = {"location": place, "date": day}
    if random.random() < 0.15:
        found["known_as"] = random.choice([place, place.title(), names.place(random)])
    found |= {"condition": condition(random), "temp_c": _temperature(random)}
    if random.random() < 0.85:
        found["typical_for"] = random.choice(MONTHS)
    if random.random() < 0.1:
        found["wind_kmh"] = random.randint(0, 90)
    return found


def unknown_place(random: Random, place: str, day: str) -> Result:
    date = {"date": day} if random.random() < 0.8 else {}
    return {"location": place, **date, "error": NO_CLIMATE}


def unknown_date(place: str, day: str) -> Result:
    return {"location": place, "date": day, "error": NO_MONTH}


def attractions(random: Random, place: str) -> Result:
    """The result of search_attractions: two to four names, rarely one or five."""
    count = random.choice([1, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 5])
    found: Result = {"location": place, "attractions": [names.attraction(random) for _ in range(count)]}
    if random.random() < 0.08:
        found["known_as"] = place.title()
    return found


def no_attractions(place: str) -> Result:
    return {"location": place, "attractions": [], "error": NO_ATTRACTIONS}


def condition(random: Random) -> str:
    """One to four words; mostly real weather, sometimes any words at all, so that copying does not hang on a list."""
    if random.random() < 0.06:
        return " ".join(random.choices(names.vocabulary(), k=random.randint(1, 3)))
    return phrases.expand("condition", random)


def _temperature(random: Random) -> int | float:
    degrees = random.randint(-25, 43)
    return round(degrees + random.random(), 1) if random.random() < 0.05 else degrees
