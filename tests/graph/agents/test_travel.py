"""The tools of the trip planner: honest about what the tables do not hold."""

from __future__ import annotations

from datetime import date

import pytest

from graph.agents.months import month_of
from graph.agents.travel import TravelTools, atlas

TODAY = date(2026, 11, 21)


@pytest.mark.parametrize(
    ("words", "month"),
    [
        ("14 May", 5),
        ("May 14th", 5),
        ("the first week of March", 3),
        ("early july", 7),
        ("Sept 9", 9),
        ("12 to 15 June", 6),
        ("28 June to 3 July", 6),
        ("2027-04-02", 4),
        ("2027-04", 4),
        ("3/4/2027", 4),
        ("5/23/2027", 5),
        ("24.12.", 12),
        ("2027/04/02", 4),
        ("28 May to 3 June", 5),
        ("the 3rd of May", 5),
        ("mid May or June", 5),
        ("I may go in July", 7),
        ("it may rain on 3 August", 8),
        ("may", 5),
        ("today", 11),
        ("tonight", 11),
        ("tomorrow", 11),
        ("next Friday", 11),
        ("on Sunday", 11),
        ("this weekend", 11),
        ("next week", 11),
        ("in two weeks", 12),
        ("in 10 days", 12),
        ("in a month", 12),
        ("next month", 12),
        ("someday", None),
        ("maybe", None),
        ("", None),
        ("soon", None),
        ("99/99/2027", None),
    ],
)
def test_the_month_of_a_date_in_words(words: str, month: int | None) -> None:
    """Every usual form of a date gives its month; what names none gives none."""
    assert month_of(words, TODAY) == month


def test_the_year_turns() -> None:
    """The month after December is January."""
    assert month_of("next month", date(2026, 12, 31)) == 1
    assert month_of("tomorrow", date(2026, 12, 31)) == 1


def test_the_weather_of_a_known_place() -> None:
    """The typical month, under the name that was asked for."""
    weather = TravelTools(lambda: TODAY).get_weather("Reykjavik", "14 January")
    assert weather["location"] == "Reykjavik"
    assert weather["date"] == "14 January"
    assert weather["typical_for"] == "January"
    assert -3 <= weather["temp_c"] <= 4
    assert weather["condition"] in {"snow", "rain", "cold", "light rain"}


def test_other_names_of_a_place() -> None:
    """Aliases and case do not matter, a country behind a comma neither; what it is known as is said."""
    tools = TravelTools(lambda: TODAY)
    assert tools.get_weather("NYC", "May")["known_as"] == "New York"
    assert "known_as" not in tools.get_weather("lisbon", "May")
    assert tools.get_weather("Lisbon, Portugal", "May")["temp_c"] == tools.get_weather("Lisbon", "May")["temp_c"]


@pytest.mark.parametrize(
    ("place", "city"),
    [
        *[("Paris, France", "Paris"), ("Paris, Texas", None), ("Paris, Texas, USA", None), ("Paris,", "Paris")],
        *[("London, UK", "London"), ("London, England", "London"), ("London, Ontario", None)],
        *[("Chicago, IL", "Chicago"), ("Chicago, Illinois, USA", "Chicago"), ("Portland, Maine", None)],
        *[("  new   york , ny", None), ("new york, ny", "New York"), ("NYC, USA", "New York")],
    ],
)
def test_what_stands_behind_the_comma_must_be_where_the_city_lies(place: str, city: str | None) -> None:
    """The weather of another city of the same name would be a wrong answer."""
    assert atlas().city(place) == city


def test_every_country_alias_is_of_a_country_that_is_there() -> None:
    """The tables fit each other."""
    countries = set(atlas().countries.values())
    assert set(atlas().country_names.values()) == countries


def test_what_is_not_known_is_said() -> None:
    """An unknown place and an unreadable date are errors that repeat what was asked, never a guess."""
    tools = TravelTools(lambda: TODAY)
    assert tools.get_weather("Vellamoor", "May") == {
        "location": "Vellamoor",
        "date": "May",
        "error": "no climate data for this place",
    }
    assert tools.get_weather("Lisbon", "someday")["error"] == "no month could be read from this date"
    sights = tools.search_attractions("Vellamoor", "sunny")
    assert (sights["attractions"], sights["error"]) == ([], "no attractions known for this place")


def test_bad_weather_leads_under_a_roof() -> None:
    """Indoor sights come first when it rains, outdoor ones when the sun shines."""
    tools = TravelTools(lambda: TODAY)
    kinds = {name: kind for sights in atlas().sights.values() for name, kind in sights}
    for place in ("Lisbon", "Tokyo", "Vienna"):
        assert kinds[tools.search_attractions(place, "heavy rain")["attractions"][0]] == "indoor"
        assert kinds[tools.search_attractions(place, "mostly sunny")["attractions"][0]] == "outdoor"
        assert 2 <= len(tools.search_attractions(place, "sunny")["attractions"]) <= 3


def test_the_tables_are_whole() -> None:
    """At least 150 cities, each with twelve plausible months and with sights."""
    cities = set(atlas().names.values())
    assert len(cities) >= 150
    assert set(atlas().sights) == cities
    for city in cities:
        temperatures = [atlas().normals[city, month].temp_c for month in range(1, 13)]
        assert -45 <= min(temperatures) <= max(temperatures) <= 45
        assert {kind for _, kind in atlas().sights[city]} == {"indoor", "outdoor"}


@pytest.mark.parametrize(
    ("place", "month", "lowest", "highest"),
    [
        ("London", 7, 16, 20),
        ("Cairo", 7, 26, 31),
        ("Singapore", 1, 25, 28),
        ("Sydney", 1, 21, 25),
        ("Moscow", 1, -9, -4),
        ("Lisbon", 8, 21, 25),
    ],
)
def test_the_tables_are_plausible(place: str, month: int, lowest: float, highest: float) -> None:
    """Well known months are where they are known to be."""
    assert lowest <= atlas().normals[place, month].temp_c <= highest
