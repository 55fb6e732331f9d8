"""The table of endpoints: what is listed, what is not, what is forbidden, and nothing that only looks like it."""

from __future__ import annotations

import pytest

from gateway.api_handler import APIHandler, Endpoint
from gateway.config.api import ApiRow
from gateway.config.faults import InvalidSettings
from gateway.errors import Forbidden, MethodNotAllowed, NoSuchEndpoint


def table(*rules: ApiRow) -> APIHandler:
    return APIHandler(
        [
            Endpoint("GET", "/items", "user", "list"),
            Endpoint("POST", "/items", "admin", "make"),
            Endpoint("GET", "/items/{id}", "user", "show"),
            Endpoint("GET", "/items/special", "user", "special"),
            Endpoint("GET", "/items/{id}/parts/{part}", "user", "part"),
            Endpoint("GET", "/files/*", "user", "file"),
            Endpoint("GET", "/files/secret/*", "admin", "secret file"),
        ],
        rules,
    )


@pytest.mark.parametrize(
    ("path", "app", "params"),
    [
        ("/items", "list", {}),
        ("/items/special", "special", {}),
        ("/items/5", "show", {"id": "5"}),
        ("/items/a%2Fb", "show", {"id": "a/b"}),
        ("/items/%C3%BC", "show", {"id": "ü"}),
        ("/%69tems", "list", {}),
        ("/items/5/parts/6", "part", {"id": "5", "part": "6"}),
        ("/files/a/b", "file", {}),
        ("/files/secret/a", "secret file", {}),
    ],
)
def test_exact_goes_before_template_before_the_longest_star(path: str, app: str, params: dict[str, str]) -> None:
    """Every spelling of a segment is that segment, and an encoded slash stays inside its segment."""
    match = table().match("GET", path)
    assert (match.endpoint.app, match.params) == (app, params)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "", "/nope", "/items/", "//items", "/items//", "/ITEMS", "/items/.", "/items/..", "/./items"),
        *(
            "/items;x",
            "/%2569tems",
            "/items%2F5",
            "/items/%2E%2E",
            "/items/5/",
            "/files",
            "/files/",
            "/items/5/parts",
            "items",
            "/items/5/../special",
        ),
    ],
)
def test_what_is_not_listed_does_not_exist(path: str) -> None:
    """Empty segments, dots, other cases and encoded slashes make other paths; nothing is decoded twice."""
    with pytest.raises(NoSuchEndpoint):
        table().match("GET", path)


def test_another_method_of_a_listed_path() -> None:
    """The error says which methods there are."""
    with pytest.raises(MethodNotAllowed) as raised:
        table().match("DELETE", "/items")
    assert raised.value.allowed == ("GET", "POST")


def test_a_rule_forbids_to_everybody() -> None:
    """FORBID goes before the endpoint, and before what is not listed under it; for its method or for all."""
    handler = table(
        ApiRow(path="/items/*", action="FORBID"),
        ApiRow.model_validate({"path": "/files/{name}", "method": "get", "action": "FORBID"}),
    )
    for path in ("/items/special", "/items/5", "/items/no/such/thing", "/files/a"):
        with pytest.raises(Forbidden):
            handler.match("GET", path)
    assert handler.match("GET", "/items").endpoint.app == "list"
    assert handler.match("GET", "/files/a/b").endpoint.app == "file"


def test_a_rule_may_give_an_endpoint_another_role() -> None:
    """ALLOW with a role stands over the role of the endpoint; a more exact rule over a wider one."""
    handler = table(
        ApiRow(path="/items/*", role="admin"), ApiRow(path="/items/special", role="anyone"), ApiRow(path="/items")
    )
    assert handler.match("GET", "/items/5").role == "admin"
    assert handler.match("GET", "/items/special").role == "anyone"
    assert handler.match("POST", "/items").role == "admin"


@pytest.mark.parametrize("rule", [{"path": "/more"}, {"path": "/item"}, {"path": "/items", "method": "delete"}])
def test_a_rule_about_nothing_is_refused(rule: dict[str, str]) -> None:
    """A misspelt rule protects nothing, so the gateway does not start with it."""
    with pytest.raises(InvalidSettings, match=r"^api\.0: no endpoint is under .*correct its path .*or add a graph"):
        table(ApiRow.model_validate(rule))


def own(path: str, **row: str) -> ApiRow:
    """A row that is an endpoint of one's own."""
    return ApiRow.model_validate({"path": path, "method": "GET", "graph": "g", **row})


def test_case_41_own_rows_take_their_place_among_the_others() -> None:
    """Exact before template before star, whoever the row is from; another method is still another method."""
    handler = table(own("/{x}/{id}/parts/first"), own("/file/{name}", role="admin"), own("/*"), own("/item"))
    assert handler.match("GET", "/items/5/parts/first").endpoint.path == "/items/{id}/parts/{part}"
    assert handler.match("GET", "/file/a").role == "admin"
    assert handler.match("GET", "/files/a/b").endpoint.app == "file"
    assert handler.match("GET", "/nowhere/at/all").endpoint.path == "/*"
    assert handler.match("GET", "/item").role == "user"
    with pytest.raises(MethodNotAllowed):
        handler.match("POST", "/item")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([own("/items")], "api.0: GET /items is answered already, by /items; choose another path"),
        ([own("/items/{name}")], "api.0: GET /items/{name} is answered already, by /items/{id}"),
        ([own("/items/mine")], "api.0: GET /items/mine is answered already, by /items/{id}"),
        ([own("/files/{x}", method="POST"), own("/files/a")], "api.1: GET /files/a is answered already, by /files/*"),
        ([own("/a/{x}"), own("/a/{y}")], "api.1: GET /a/{y} is answered already, by /a/{x}"),
    ],
)
def test_an_own_row_takes_no_path_from_another(rows: list[ApiRow], message: str) -> None:
    """Neither the same path, nor with another name in it, nor a part of what an endpoint of the gateway is for."""
    with pytest.raises(InvalidSettings) as raised:
        table(*rows)
    assert str(raised.value).startswith(message)


def test_own_rows_may_be_forbidden() -> None:
    """By a rule for the same path, whichever stands first; a wider one goes behind the row itself."""
    for rows in ([own("/a/{x}"), ApiRow(path="/a/{y}", action="FORBID")], [own("/a/{x}", action="FORBID")]):
        with pytest.raises(Forbidden):
            table(*rows).match("GET", "/a/1")
    assert table(own("/a/{x}"), ApiRow(path="/a/*", action="FORBID")).match("GET", "/a/1").role == "user"


def test_the_table_as_the_rules_leave_it() -> None:
    """Each endpoint with the role and the action that hold for all of its paths, not for some of them."""
    handler = table(
        ApiRow(path="/items/*", role="admin"),
        ApiRow(path="/items/5", action="FORBID"),
        ApiRow(path="/files/{name}", action="FORBID"),
        ApiRow(path="/files/secret/*", action="FORBID"),
    )
    rows = {(row.endpoint.method, row.endpoint.path): (row.role, row.action) for row in handler.listed()}
    assert rows == {
        ("GET", "/items"): ("user", "ALLOW"),
        ("POST", "/items"): ("admin", "ALLOW"),
        ("GET", "/items/{id}"): ("admin", "ALLOW"),
        ("GET", "/items/special"): ("admin", "ALLOW"),
        ("GET", "/items/{id}/parts/{part}"): ("admin", "ALLOW"),
        ("GET", "/files/*"): ("user", "ALLOW"),
        ("GET", "/files/secret/*"): ("admin", "FORBID"),
    }
