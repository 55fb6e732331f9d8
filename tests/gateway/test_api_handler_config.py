"""Endpoints built in code: the rows of a settings file, by the names that serving graphs have for them."""

from __future__ import annotations

from http import HTTPMethod
from typing import Any

import pytest

from gateway.api_handler_config import APIHandlerConfig, BodyMappings
from gateway.app import create_app
from gateway.config import Settings
from gateway.config.api import ApiRow
from gateway.config.faults import InvalidSettings
from gateway.errors import Forbidden

SETTINGS = Settings.model_validate({"api": [{"path": "/first", "model": "penstock-demo"}]})


def config() -> APIHandlerConfig:
    asked, answered = BodyMappings(), BodyMappings()
    asked.add_mapping("$.stay.days", "days", mandatory=True)
    answered.add_mapping("usage.total_tokens", destination_path="tokens")
    made = APIHandlerConfig()
    made.add_endpoint_handler(
        "trips/{city}",
        HTTPMethod.POST,
        description="Plans.",
        input_body_mappings=asked,
        output_body_mappings=answered,
        graph="trip-planner",
    )
    made.add_endpoint_handler("/admin/*", "*", action="forbid")
    return made


def test_what_code_builds_is_what_a_file_says() -> None:
    """The same class makes both, so the same is checked."""
    own = {
        "path": "/trips/{city}",
        "graph": "trip-planner",
        "description": "Plans.",
        "input": {"days": {"source_path": "$.stay.days", "mandatory": True}},
        "output": {"tokens": "$.usage.total_tokens"},
    }
    assert config().rows == (ApiRow.model_validate(own), ApiRow(path="/admin/*", action="FORBID"))


def test_case_41_an_app_takes_endpoints_that_were_built_in_code() -> None:
    """Behind those of the settings, in the one table; a rule of theirs forbids."""
    table = create_app(SETTINGS, api=config()).table
    match = table.match("POST", "/trips/a%2Fb")
    assert (match.endpoint.app.answers, match.params, match.role) == ("graph trip-planner", {"city": "a/b"}, "user")
    assert table.match("POST", "/first").endpoint.app.answers == "model penstock-demo"
    with pytest.raises(Forbidden):
        table.match("GET", "/admin/runs")


def test_what_was_added_can_be_taken_away() -> None:
    """Rows and mappings; what is not there is not missed."""
    made = config()
    made.remove_endpoint_handler("trips/{city}")
    made.remove_endpoint_handler("/nope", "get")
    mappings = BodyMappings()
    mappings.add_mapping("$.a", "a")
    mappings.remove_mapping("a")
    mappings.remove_mapping("b")
    assert [row.path for row in made.rows] == ["/admin/*"]
    assert mappings.to_dict() == {}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"path": "/trips/{city}", "graph": "x"}, "POST /trips/{city} has a row already"),
        ({"path": "/a/*/b"}, "POST /a/*/b: path: '/a/*/b' will not do; write a path such as"),
        ({"path": "/a", "http_method": "FETCH"}, "FETCH /a: method: 'FETCH' will not do; write one of GET"),
        ({"path": "/a", "text": "x"}, "POST /a: /a: 'text' is for rows with a graph or a model"),
        ({"path": "/a", "model": "m", "speed": 1}, "POST /a: unknown key 'speed'; known are path, method"),
    ],
)
def test_a_row_that_cannot_be_is_refused_where_it_is_added(row: dict[str, Any], message: str) -> None:
    """By its method and path, with the remedy that a settings file would get."""
    with pytest.raises(InvalidSettings) as raised:
        config().add_endpoint_handler(**row)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"path": "/a", "graph": "nope"}, "api.1: there is no graph 'nope'; there are: trip-planner, reviewed-answer"),
        ({"path": "/a", "model": "trip-planner"}, "api.1: there is no model 'trip-planner'; there are: penstock-demo"),
        ({"path": "/first", "model": "penstock-demo"}, "api.1: POST /first is answered already, by /first"),
    ],
)
def test_what_the_app_lacks_is_named_when_it_is_built(row: dict[str, Any], message: str) -> None:
    """A graph that is not served, or a path that is taken."""
    made = APIHandlerConfig()
    made.add_endpoint_handler(**row)
    with pytest.raises(InvalidSettings) as raised:
        create_app(SETTINGS, api=made)
    assert str(raised.value).startswith(message)


def test_a_bad_path_of_a_mapping_is_refused() -> None:
    """And so is a second mapping for the same name."""
    mappings, made = BodyMappings(), APIHandlerConfig()
    mappings.add_mapping("$..a", "a")
    with pytest.raises(InvalidSettings, match="'a' has a mapping already"):
        mappings.add_mapping("$.b", "a")
    with pytest.raises(InvalidSettings, match=r"POST /a: input\.a\.source_path: .*names, indexes, slices and stars"):
        made.add_endpoint_handler("/a", input_body_mappings=mappings, model="m")
