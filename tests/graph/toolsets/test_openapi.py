"""Operations of an OpenAPI document as tools, against a real server on a loopback socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from graph import InvalidStep, InvalidTool
from graph.toolsets.openapi import OpenApiToolset
from tests.graph.steps.test_remote import serving

PET = {"type": "object", "properties": {"name": {"type": "string"}, "tag": {"$ref": "#/components/schemas/Tag"}}}
LIMIT = {"name": "limit", "in": "query", "schema": {"type": "integer"}, "description": "how\x07 many"}
TAGS = {"name": "tag[]", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "servers": [{"url": "http://127.0.0.1:1/evil"}],
    "paths": {
        "/pets": {
            "get": {"operationId": "list", "summary": "Lists pets.", "parameters": [LIMIT, TAGS]},
            "post": {
                "operationId": "add",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                },
            },
            "delete": {"operationId": "clear"},
        },
        "/pets/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {"parameters": [{"name": "x-trace", "in": "header", "schema": {"type": "string"}}]},
            "put": {"operationId": "rename", "requestBody": {"content": {"application/json": {"schema": PET}}}},
            "patch": {"operationId": "touch"},
            "delete": {"operationId": "drop"},
            "head": {"operationId": "peek"},
        },
    },
    "components": {
        "parameters": {"Id": {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}},
        "schemas": {"Pet": PET, "Tag": {"type": "string", "nullable": True, "maxLength": 3}},
    },
}


async def echo(request: web.Request) -> web.Response:
    """Tells what came."""
    body = await request.text()
    if request.headers.get("x-key") != "k":
        return web.Response(status=401, text="secret words")
    if request.path.endswith("/none"):
        return web.Response(status=404, text="no such pet")
    if request.path.endswith("/text"):
        return web.Response(text="words")
    return web.json_response({"method": request.method, "url": request.raw_path, "body": body})


def tools_at(url: str, **options: Any) -> dict[str, Any]:
    made = OpenApiToolset("pets", DOCUMENT, f"{url}/api", **{"headers": {"x-key": "k"}, **options})
    return {tool.name: tool for tool in made}


async def test_operations_are_called_where_the_author_says() -> None:
    """Arguments stand in the path, the query and the body, and nowhere else."""
    async with serving(echo) as url:
        tools = tools_at(url)
        assert list(tools) == [
            *("pets_list", "pets_add", "pets_clear", "pets_get_pets_id", "pets_rename", "pets_touch", "pets_drop")
        ]
        listed = await tools["pets_list"].call('{"limit": 2, "tag[]": ["a b", "c&d=e"]}', 5)
        assert listed == {"method": "GET", "url": "/api/pets?limit=2&tag%5B%5D=a%20b&tag%5B%5D=c%26d%3De", "body": ""}
        assert (await tools["pets_list"].call("{}", 5))["url"] == "/api/pets"
        added = await tools["pets_add"].call('{"body": {"name": "{{ 1 }}", "tag": null}}', 5)
        assert (added["method"], json.loads(added["body"])) == ("POST", {"name": "{{ 1 }}", "tag": None})
        assert (await tools["pets_get_pets_id"].call('{"id": "text"}', 5)) == {"result": "words"}


@pytest.mark.parametrize(
    ("tool", "arguments", "came"),
    [
        ("pets_rename", {"id": "7", "body": {"name": "Rex"}}, ("PUT", "/api/pets/7", '{"name":"Rex"}')),
        ("pets_touch", {"id": "a b"}, ("PATCH", "/api/pets/a%20b", "{}")),
        ("pets_drop", {"id": "7"}, ("DELETE", "/api/pets/7", "")),
    ],
)
async def test_every_method_that_changes_something(tool: str, arguments: Any, came: tuple[str, ...]) -> None:
    """PUT, PATCH and DELETE, as the document has them; a DELETE without a body sends none."""
    async with serving(echo) as url:
        said = await tools_at(url)[tool].call(json.dumps(arguments), 5)
    sent = json.dumps(json.loads(said["body"]), separators=(",", ":")) if said["body"] else ""
    assert (said["method"], said["url"], sent) == came


@pytest.mark.parametrize(
    "value", ["../admin", "..", "a/b", "a?x=1", "a#b", "//evil", "{{ v0 }}", "%2e%2e", ".", "\r\nx"]
)
async def test_no_value_leads_elsewhere(value: str) -> None:
    """It is one segment of the path, or an error to read."""
    async with serving(echo) as url:
        said = await tools_at(url)["pets_get_pets_id"].call(json.dumps({"id": value}), 5)
    if "error" in said:
        assert value in (".", "..", "../admin", "a/b", "//evil", "%2e%2e")
    else:
        assert said["url"].startswith("/api/pets/")
        assert said["url"].count("/") == 3
        assert not set("?#{}\r\n") & set(said["url"])


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("pets_list", {"limit": "x"}, 'wrong arguments: limit: "x" is not of type "integer"'),
        ("pets_list", {"x-trace": "1"}, "wrong arguments: Additional properties"),
        ("pets_get_pets_id", {"id": "1", "x-trace": "1"}, "wrong arguments: Additional properties"),
        ("pets_add", {"body": {"name": 1}}, "wrong arguments: body.name"),
        ("pets_add", {"body": {"tag": "long"}}, "wrong arguments: body.tag"),
        ("pets_get_pets_id", {}, 'wrong arguments: "id" is a required'),
        ("pets_get_pets_id", {"id": ""}, "a value in the path is empty"),
        ("pets_get_pets_id", {"id": "none"}, "answered 404: no such pet"),
    ],
)
async def test_faults_are_told_to_the_model(tool: str, arguments: Any, said: str) -> None:
    """Those of the arguments before the service is called."""
    async with serving(echo) as url:
        assert said in (await tools_at(url)[tool].call(json.dumps(arguments), 5))["error"]


def query(name: str, **said: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "array", "items": {"type": "string"}}, **said}


async def test_lists_in_a_query_are_written_as_the_document_says() -> None:
    """One after the other by default, or in one value, with what the document puts between."""
    lists = [
        query("each"),
        query("comma", explode=False),
        query("pipe", style="pipeDelimited"),
        query("space", style="spaceDelimited"),
    ]
    document = changed(_a={"operationId": "a", "parameters": lists})
    async with serving(echo) as url:
        (tool,) = OpenApiToolset("pets", document, url, headers={"x-key": "k"})
        came = await tool.call(json.dumps({each["name"]: ["x,&", "y"] for each in lists}), 5)
    assert came["url"] == "/a?comma=x%2C%26,y&each=x%2C%26&each=y&pipe=x%2C%26%7Cy&space=x%2C%26%20y"


async def test_objects_in_a_query_are_written_as_the_document_says() -> None:
    """A parameter for each member, by its name or inside that of the object, or all in one value."""
    objects = [
        query("members", schema={"type": "object"}),
        query("deep", schema={"type": "object"}, style="deepObject", explode=True),
        query("comma", schema={"type": "object"}, explode=False),
    ]
    document = changed(_a={"operationId": "a", "parameters": objects})
    async with serving(echo) as url:
        (tool,) = OpenApiToolset("pets", document, url, headers={"x-key": "k"})
        given = {"members": {"b": 1, "c&": True}, "deep": {"gt": 5, "of": "x y"}, "comma": {"d": 2, "e": "f"}}
        came = await tool.call(json.dumps(given), 5)
        assert came["url"] == "/a?comma=d,2,e,f&deep%5Bgt%5D=5&deep%5Bof%5D=x%20y&b=1&c%26=true"
        refused = await tool.call(json.dumps({"deep": {"in": {"a": 1}}}), 5)
    assert refused == {"error": "deep: only text and numbers can stand in an address"}


async def test_what_documents_in_the_wild_say() -> None:
    """Ids that no model can call are written otherwise, a header that the author gives is nobody's to give, JSON may
    name its charset, and what an operation says of a parameter goes before what its path says."""
    shared = {"name": "at", "in": "query", "required": True, "schema": {"type": "string"}}
    put = {
        "operationId": "pets/put.one",
        "parameters": [{**HEADER, "name": "X-Key"}, {**shared, "required": False}],
        "requestBody": {"content": {"application/json; charset=utf-8": {"schema": {"type": "object"}}}},
    }
    document = {**DOCUMENT, "paths": {"/a": {"parameters": [shared], "put": put}}}
    async with serving(echo) as url:
        (tool,) = OpenApiToolset("pets", document, url, headers={"x-key": "k"}, only=["pets/put.one"])
        assert tool.name == "pets_pets_put_one"
        assert await tool.call('{"body": {"a": 1}}', 5) == {"method": "PUT", "url": "/a", "body": '{"a":1}'}


def test_what_documents_in_the_wild_leave_out() -> None:
    """A path without operations has none; what stands in a path is required, whatever is said of it."""
    get = {"operationId": "one", "parameters": [{"name": "id", "in": "path"}]}
    (tool,) = OpenApiToolset("pets", {**DOCUMENT, "paths": {"/a": None, "/b/{id}": {"get": get}}}, "http://127.0.0.1:1")
    assert tool.parameters["required"] == ["id"]


async def test_keys_and_long_answers_are_not_told() -> None:
    """The words of a 401 may hold a key; an answer has a bound."""
    async with serving(echo) as url:
        refused = await tools_at(url, headers={})["pets_list"].call("{}", 5)
        assert "401" in refused["error"]
        assert "secret" not in refused["error"]
        long = await tools_at(url, max_result_bytes=10)["pets_list"].call("{}", 5)
        assert "longer than 10 bytes" in long["error"]


def test_schemas_stand_by_themselves() -> None:
    """With the definitions that they need; what a document says is data."""
    tools = tools_at("http://127.0.0.1:1")
    parameters = tools["pets_add"].to_wire()["function"]["parameters"]
    assert parameters["properties"]["body"] == {"$ref": "#/$defs/Pet"}
    assert parameters["$defs"]["Tag"] == {"type": ["string", "null"], "maxLength": 3}
    assert parameters["required"] == ["body"]
    limit = tools["pets_list"].to_wire()["function"]["parameters"]["properties"]["limit"]
    assert limit["description"] == "how many"


def changed(**paths: Any) -> dict[str, Any]:
    return {**DOCUMENT, "paths": {path.replace("_", "/"): {"get": operation} for path, operation in paths.items()}}


HEADER = {"name": "x", "in": "header", "required": True}


@pytest.mark.parametrize(
    ("document", "options", "said"),
    [
        ({"swagger": "2.0"}, {}, "only documents of OpenAPI 3"),
        (DOCUMENT, {"only": ["peek"]}, "no operation is called 'peek'"),
        (changed(_a={"parameters": [HEADER]}), {}, "GET /a: the header parameter 'x' is not a model's to give"),
        (changed(_a={"parameters": [{"$ref": "http://x/y"}]}), {}, "GET /a: 'http://x/y' lies outside the document"),
        ({**DOCUMENT, "paths": {"/a/{id}": {"get": {}}}}, {}, "the path has a place 'id' that no parameter fills"),
        (changed(_a={"operationId": "a" * 64}), {}, "its name must be"),
        (changed(_a={"operationId": "a"}, _b={"operationId": "a"}), {}, "two operations have the id 'a'"),
        (
            changed(_a={"operationId": "a.b"}, _b={"operationId": "a/b"}),
            {},
            "two operations would be called 'pets_a_b'",
        ),
        (
            changed(_a={"parameters": [{"name": "id", "in": "path"}, {"name": "id", "in": "query"}]}),
            {},
            "GET /a: two parameters are called 'id'",
        ),
        (
            {**DOCUMENT, "paths": {"/a": {"put": {"requestBody": {"content": {"text/csv": {}}}}}}},
            {},
            "PUT /a: its body is no JSON but text/csv; leave it out with only=",
        ),
    ],
)
def test_documents_that_cannot_be_used_are_refused(document: Any, options: Any, said: str) -> None:
    """When the toolset is made, with the operation."""
    with pytest.raises(InvalidTool, match=said):
        OpenApiToolset("pets", document, "http://127.0.0.1:1", **options)


def test_a_document_may_be_a_file(tmp_path: Path) -> None:
    """YAML or JSON; one that is none is named, and so is an address that is none."""
    path = tmp_path / "pets.json"
    path.write_text(json.dumps(DOCUMENT))
    assert len(list(OpenApiToolset("pets", path, "https://pets.example/api", only=["list"]))) == 1
    with pytest.raises(InvalidStep, match="write the url as an address"):
        OpenApiToolset("pets", path, "file:///etc")
    path.write_text("- 1")
    with pytest.raises(InvalidTool, match=r"pets\.json: the file holds no OpenAPI document"):
        OpenApiToolset("pets", path, "https://pets.example/api")
