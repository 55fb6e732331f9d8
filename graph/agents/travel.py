"""The tools of the trip planner, over tables that ship (see ``data/SOURCES.md``): the typical weather, and sights."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from graph.agents.months import MONTHS, month_of
from graph.tool import Copied

INDOOR_WEATHER = frozenset({"rain", "heavy rain", "snow", "cold", "cold and dry"})
SIGHTS = 3


@dataclass(frozen=True, slots=True)
class Normal:
    """What a month is usually like in a city."""

    temp_c: float
    precip_mm: float

    @property
    def condition(self) -> str:
        """The month in a word or two."""
        for condition, holds in _CONDITIONS:
            if holds(self):
                return condition
        return "sunny"


_CONDITIONS: tuple[tuple[str, Callable[[Normal], bool]], ...] = (
    ("snow", lambda normal: normal.temp_c < 1 and normal.precip_mm >= 25),
    ("cold and dry", lambda normal: normal.temp_c < 4 and normal.precip_mm < 25),
    ("heavy rain", lambda normal: normal.precip_mm >= 220),
    ("hot and humid", lambda normal: normal.temp_c >= 26 and normal.precip_mm >= 80),
    ("rain", lambda normal: normal.precip_mm >= 110),
    ("hot and dry", lambda normal: normal.temp_c >= 28 and normal.precip_mm < 15),
    ("light rain", lambda normal: normal.precip_mm >= 65),
    ("cold", lambda normal: normal.temp_c < 6),
    ("partly cloudy", lambda normal: normal.precip_mm >= 40),
    ("mostly sunny", lambda normal: normal.precip_mm >= 20),
)


@dataclass(frozen=True, slots=True)
class Atlas:
    """The bundled tables, by the casefolded names of cities."""

    names: Mapping[str, str]
    countries: Mapping[str, str]
    """The country of each city."""
    country_names: Mapping[str, str]
    normals: Mapping[tuple[str, int], Normal]
    sights: Mapping[str, list[tuple[str, str]]]

    def city(self, place: str) -> str | None:
        """The city that a place names. What stands behind a comma must be where it lies: Paris, Texas is unknown."""
        whole = " ".join(place.casefold().split())
        name, _, behind = (part.strip() for part in whole.partition(","))
        city = self.names.get(whole) or self.names.get(name)
        if city is None or whole in self.names or not behind:
            return city
        land = behind.rpartition(",")[2].strip()
        return city if self.country_names.get(land) == self.countries[city] else None


@cache
def atlas() -> Atlas:
    """The tables, read at first use (about 10 ms)."""
    normals = {
        (row["city"], int(row["month"])): Normal(float(row["temp_mean_c"]), float(row["precip_mm"]))
        for row in _rows("climate_normals.csv")
    }
    sights: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in _rows("attractions.csv"):
        sights[row["city"]].append((row["name"], row["kind"]))
    names = {city.casefold(): city for city, _ in normals}
    names |= {row["alias"].casefold(): row["city"] for row in _rows("city_aliases.csv")}
    countries = {row["city"]: row["country"] for row in _rows("climate_normals.csv")}
    country_names = {country.casefold(): country for country in countries.values()}
    country_names |= {row["alias"].casefold(): row["country"] for row in _rows("country_aliases.csv")}
    return Atlas(names, countries, country_names, normals, dict(sights))


def _rows(name: str) -> Iterator[dict[str, str]]:
    with files("graph.agents").joinpath("data", name).open(encoding="utf-8") as file:
        yield from csv.DictReader(file)


class TravelTools:
    """The two tools. ``today`` is what relative dates are counted from."""

    def __init__(self, today: Callable[[], date] = date.today) -> None:
        self._today = today

    def get_weather(self, location: Annotated[str, Copied], date: Annotated[str, Copied]) -> dict[str, Any]:
        """The typical weather of a place at a date, from monthly climate normals."""
        asked = {"location": location, "date": date}
        city = atlas().city(location)
        if city is None:
            return {**asked, "error": "no climate data for this place"}
        month = month_of(date, self._today())
        if month is None:
            return {**asked, "error": "no month could be read from this date"}
        normal = atlas().normals[city, month]
        known_as = {} if city.casefold() == location.casefold() else {"known_as": city}
        weather = {"condition": normal.condition, "temp_c": round(normal.temp_c), "typical_for": MONTHS[month - 1]}
        return {**asked, **known_as, **weather}

    def search_attractions(self, location: Annotated[str, Copied], weather: Annotated[str, Copied]) -> dict[str, Any]:
        """Things to see in a place; in bad weather those under a roof come first."""
        city = atlas().city(location)
        if city is None:
            return {"location": location, "attractions": [], "error": "no attractions known for this place"}
        first = "indoor" if weather.casefold() in INDOOR_WEATHER else "outdoor"
        sights = sorted(atlas().sights[city], key=lambda sight: sight[1] != first)
        return {"location": location, "attractions": [name for name, _ in sights[:SIGHTS]]}
