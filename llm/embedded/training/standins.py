"""Stand-ins for the tools of the trip-planner graph: deterministic, in the shape of the real ones' results."""

import zlib
from collections.abc import Collection
from random import Random
from typing import Any

from llm.embedded.training.corpus.dates import MONTHS
from llm.embedded.training.corpus.results import NO_CLIMATE

CONDITIONS = [
    "mostly sunny",
    "light rain",
    "partly cloudy",
    "hot and dry",
    "cool and windy",
    "light snow",
    "mild",
    "foggy",
]
SIGHTS = [
    ["Belém Tower", "Jerónimos Monastery", "National Tile Museum"],
    ["Old Town Hall", "Museum of Applied Arts"],
    ["Botanical Garden", "St. Mary's Church", "Charles Bridge", "Market Hall"],
    ["Maritime Museum", "Upper Lake", "House of Music"],
    ["Parc Güell", "Picasso Museum", "Tibidabo"],
]


class Tools:
    """`get_weather` and `search_attractions`; places in `unknown` get an honest error."""

    def __init__(self, unknown: Collection[str] = ()) -> None:
        self._unknown = {place.casefold() for place in unknown}

    def call(self, name: str, arguments: dict[str, str]) -> dict[str, Any]:
        location = arguments["location"]
        if location.casefold() in self._unknown:
            return arguments | {"error": NO_CLIMATE}
        return self.weather(location, arguments["date"]) if name == "get_weather" else self.attractions(location)

    def weather(self, location: str, date: str) -> dict[str, Any]:
        random = _random(location, date)
        return {
            "location": location,
            "date": date,
            "condition": random.choice(CONDITIONS),
            "temp_c": random.randint(-8, 35),
            "typical_for": random.choice(MONTHS),
        }

    def attractions(self, location: str) -> dict[str, Any]:
        return {"location": location, "attractions": _random(location).choice(SIGHTS)}


def _random(*key: str) -> Random:
    return Random(zlib.crc32("/".join(key).encode()))
