"""Endpoints of one's own: rows of the settings that lead from a path to a graph or a model."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson
import pytest
from yarl import URL

from llm.testing import Hang
from llm.testing.upstream import answer
from tests.serving import Gateway, serving_upstream

NAMES = ("echo", "respond", "spelling", "routed", "beside")
GRAPHS = [
    *({"name": name, "build": f"tests.end_to_end.mapped_graphs:{name}"} for name in NAMES),
    {"name": "relay", "build": "tests.end_to_end.own_graphs:relay"},
    {"name": "nested", "build": "tests.end_to_end.own_graphs:nested"},
    {"name": "failing", "build": "tests.end_to_end.own_graphs:failing"},
]
KEYS = {
    "keys": [
        {"name": "app", "key": "app-key-123", "models": ["echo"]},
        {"name": "ops", "key": "ops-key-123", "role": "admin"},
    ]
}
APP = {"Authorization": "Bearer app-key-123"}
OPS = {"Authorization": "Bearer ops-key-123"}


def serving_rows(*rows: Any, replies: Any = (), **tree: Any) -> Any:
    """A gateway with these rows, over graphs that show what they were given."""
    return serving_upstream(*replies, graphs=GRAPHS, api=list(rows), **tree)


async def ask(
    gateway: Gateway, path: str, body: Any = b"", method: str = "POST", **headers: str
) -> tuple[int, Any, bytes]:
    """Status, headers and body of an answer; the path goes out as it is written."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    url = URL(gateway.address + path, encoded=True)
    async with gateway.http.request(method, url, data=data, headers=headers) as response:
        return response.status, response.headers, await response.read()


async def given(gateway: Gateway, path: str, body: Any = b"", method: str = "POST") -> Any:
    """What the graph behind a path was given: it answers just that."""
    status, _, content = await ask(gateway, path, body, method)
    assert status == 200, content
    return orjson.loads(content)


async def test_case_41_exact_goes_before_template_before_star() -> None:
    """Of several rows the most exact one answers; unlisted is 404, another method 405, FORBID 403."""
    rows = (
        {"path": "/trips/*", "graph": "echo", "input": {}, "output": {"by": "$.star"}},
        {"path": "/trips/{city}", "graph": "echo", "input": {}},
        {"path": "/trips/all", "graph": "echo", "input": {"all": "$.all"}},
        {"path": "/trips/far/*", "graph": "respond", "input": {"status": {"source_path": "$.status"}}},
        {"path": "/trips/no", "action": "forbid"},
        {"path": "/shut", "graph": "echo", "action": "FORBID"},
    )
    async with serving_rows(*rows) as (gateway, _):
        assert await given(gateway, "/trips/all", {"all": 1}) == {"all": 1}
        assert await given(gateway, "/trips/rome") == {"city": "rome"}
        assert await given(gateway, "/trips/rome/sights") == {"by": None}
        assert (await ask(gateway, "/trips/far/away", {"status": 201}))[0] == 201
        assert (await ask(gateway, "/trips/no"))[0] == (await ask(gateway, "/shut"))[0] == 403
        assert (await ask(gateway, "/trips"))[0] == (await ask(gateway, "/travels/rome"))[0] == 404
        status, headers, _ = await ask(gateway, "/trips/rome", method="PUT")
    assert (status, headers["allow"]) == (405, "POST")


async def test_routers_and_ensembles_answer_below_a_path_of_ones_own() -> None:
    """A router is told by the URL which model is meant, and ParallelRun takes any body."""
    rows = ({"path": "/mine/*", "graph": "routed"}, {"path": "/beside", "graph": "beside"})
    async with serving_rows(*rows) as (gateway, _):
        for path, said in (("one/infer", [1, 1]), ("a%20b/versions/v2/infer", [2, 2])):
            assert (await given(gateway, f"/mine/{path}", {"inputs": [0, 0]}))["outputs"] == said
        assert (await given(gateway, "/mine/one", {"inputs": [0]}))["outputs"] == [1]
        status, _, content = await ask(gateway, "/mine/two/infer", {"inputs": [0]})
        assert (status, b"has no model 'two'" in content) == (404, True)
        assert await given(gateway, "/beside", [1, 2]) == {"number": 2, "type": "list"}


ROW = {
    "path": "/trips/{city}",
    "graph": "echo",
    "input": {"city": "$.city", "days": {"source_path": "$.stay.days", "mandatory": True}, "q": {}},
}


@pytest.mark.parametrize(
    ("path", "body", "values"),
    [
        ("/trips/rome", {"stay": {"days": 3}}, {"city": "rome", "days": 3}),
        ("/trips/rome?days=3", b"", {"city": "rome", "days": "3"}),
        ("/trips/rome?days=3&q=", {"q": "not from here"}, {"city": "rome", "days": "3", "q": ""}),
        ("/trips/rome?days=3&x=1&utm_source=y", {}, {"city": "rome", "days": "3"}),
        ("/trips/rome", {"stay": {"days": None}}, {"city": "rome", "days": None}),
        ("/trips/rome", {"stay": {"days": 0}, "more": 1}, {"city": "rome", "days": 0}),
    ],
)
async def test_case_42_values_come_from_path_query_and_body(path: str, body: Any, values: Any) -> None:
    """Each declared name has one from one of the three; what nobody declared is ignored, null and 0 are values."""
    async with serving_rows(ROW) as (gateway, _):
        assert await given(gateway, path, body) == values


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "message"),
    [
        ("/trips/rome", {}, 422, "days", "Missing required parameter: 'days'."),
        ("/trips/rome", b"", 422, "days", "Missing required parameter: 'days'."),
        ("/trips/rome", [1], 422, "days", "Missing required parameter: 'days'."),
        ("/trips/rome?days=1", {"stay": {"days": 1}}, 400, "days", "given twice, by the query and the body"),
        ("/trips/rome?days=1", {"city": "x"}, 400, "city", "given twice, by the path and the body"),
        ("/trips/rome?days=1&city=x", b"", 400, "city", "given twice, by the path and the query"),
        ("/trips/rome", b"{", 400, None, "could not parse"),
        ("/trips/rome?" + "&".join(["x=1"] * 201), b"", 400, None, "more than 200 parameters"),
    ],
)
async def test_case_42_what_is_missing_or_given_twice_is_named(
    path: str, body: Any, status: int, param: str | None, message: str
) -> None:
    """Missing is 422, twice is 400, in OpenAI's form with the name in ``param``."""
    async with serving_rows(ROW) as (gateway, _):
        answered, _, content = await ask(gateway, path, body)
    error = orjson.loads(content)["error"]
    assert (answered, error["param"]) == (status, param)
    assert message in error["message"]


async def test_without_input_the_body_is_what_the_graph_is_given() -> None:
    """As it is, whatever it is; with placeholders in the path an object, which has their values too."""
    rows = ({"path": "/echo", "graph": "echo"}, {"path": "/echo/{id}", "graph": "echo"})
    async with serving_rows(*rows) as (gateway, _):
        assert await given(gateway, "/echo", [1, {"a": 2}]) == [1, {"a": 2}]
        assert await given(gateway, "/echo/5", {"a": 2}) == {"id": "5", "a": 2}
        refused = [(await ask(gateway, "/echo/5", body))[0] for body in ([1], {"id": 6})]
    assert refused == [400, 400]


async def test_case_43_output_reshapes_answers_below_300_only() -> None:
    """An answer of 201 is mapped, one of 404 goes out as the graph made it, with its own headers."""
    row = {"path": "/say", "graph": "respond", "output": {"name": "$.user.name", "all": "$.list[*].x"}}
    body = {"user": {"name": "Ada"}, "list": [{"x": 1}, {}, {"x": 2}]}
    async with serving_rows(row) as (gateway, _):
        made, headers, mapped = await ask(gateway, "/say", {"status": 201, "headers": {"X-Own": "1"}, "body": body})
        missing, own, whole = await ask(gateway, "/say", {"status": 404, "headers": {"X-Own": "2"}, "body": body})
    assert (made, headers["x-own"], orjson.loads(mapped)) == (201, "1", {"name": "Ada", "all": [1, 2]})
    assert (missing, own["x-own"], orjson.loads(whole)) == (404, "2", body)
    assert own["content-type"] == "application/json"
    assert own["x-request-id"].startswith("req_")


async def test_case_43_a_graph_may_answer_with_bytes_texts_or_nothing() -> None:
    """A text is text/plain unless it says what it is; 204 has no body."""
    async with serving_rows({"path": "/say", "graph": "respond"}) as (gateway, _):
        _, plain, text = await ask(gateway, "/say", {"status": 200, "body": "grün"})
        _, page, _ = await ask(
            gateway, "/say", {"status": 500, "body": "<p>", "headers": {"Content-Type": "text/html"}}
        )
        empty, headers, nothing = await ask(gateway, "/say", {"status": 204, "body": "x"})
    assert (plain["content-type"], text.decode()) == ("text/plain; charset=utf-8", "grün")
    assert page["content-type"] == "text/html"
    assert (empty, nothing, "content-length" in headers) == (204, b"", False)


@pytest.mark.parametrize(
    "response",
    [
        {"status": 99},
        {"status": 200, "headers": {"x-own": "1\r\nset-cookie: a=b"}},
        {"status": 200, "headers": {"x own": "1"}},
        {"status": 200, "headers": {"Content-Length": "1"}},
        {"status": 200, "headers": {"x-own": "☃"}},
    ],
)
async def test_no_value_of_a_graph_becomes_another_header(response: Any) -> None:
    """A status or header that cannot be sent is a 500 that tells nothing; the next request is served."""
    async with serving_rows({"path": "/say", "graph": "respond"}) as (gateway, _):
        status, headers, body = await ask(gateway, "/say", response)
        assert (await ask(gateway, "/say", {"status": 200}))[0] == 200
    assert (status, "set-cookie" in headers, b"own" in body) == (500, False, False)


async def test_case_43_a_mandatory_part_of_the_answer_is_an_error_when_it_is_missing() -> None:
    """The client sees which; others are null."""
    output = {"a": "$.a", "b": {"source_path": "$.b", "mandatory": True}}
    async with serving_rows({"path": "/e", "graph": "echo", "output": output}) as (gateway, _):
        assert await given(gateway, "/e", {"b": 1}) == {"a": None, "b": 1}
        status, _, body = await ask(gateway, "/e", {"a": 1})
    error = orjson.loads(body)["error"]
    assert (status, error["code"], error["message"]) == (500, "answer_incomplete", "The graph answered without 'b'.")


async def test_case_44_an_encoded_slash_stays_in_its_segment_and_a_name_may_have_several_values() -> None:
    """``a%2Fb`` is one value; a query name that stands twice is a list of texts, in order."""
    row = {"path": "/items/{id}", "method": "GET", "graph": "echo", "input": {"q": "$.q"}}
    async with serving_rows(row) as (gateway, _):
        assert await given(gateway, "/items/a%2Fb?q=1&q=2", method="GET") == {"id": "a/b", "q": ["1", "2"]}
        assert await given(gateway, "/items/%C3%BC?q=%26+x", method="GET") == {"id": "ü", "q": "& x"}
        assert (await ask(gateway, "/items/a/b?q=1", method="GET"))[0] == 404


@pytest.mark.parametrize("graph", ["relay", "nested"])
async def test_a_graph_of_chat_steps_is_given_the_values_as_what_a_user_says(graph: str) -> None:
    """A value alone as it is, several a line each; the answer is an object: the words, why they end, their usage."""
    rows = (
        {"path": "/trips/{city}", "graph": graph, "input": {"city": "$.city"}},
        {"path": "/stays/{city}", "graph": graph, "input": {"days": "$.days"}, "output": {"plan": "$.answer"}},
    )
    async with serving_rows(*rows, replies=[answer("Go."), answer("Stay.")]) as (gateway, upstream):
        first = await given(gateway, "/trips/rome")
        second = await given(gateway, "/stays/rome", {"days": 3})
    assert (first["answer"], first["finish_reason"], first["usage"]["total_tokens"] > 0) == ("Go.", "stop", True)
    assert second == {"plan": "Stay."}
    said = [received.body["messages"] for received in upstream.received]
    assert said == [[{"role": "user", "content": "rome"}], [{"role": "user", "content": "city: rome\ndays: 3"}]]


async def test_a_text_says_it_in_the_operators_words() -> None:
    """Values stand where their names stand, and are never text to fill in; the others are parameters of the request."""
    row = {
        "path": "/ask/{city}",
        "model": "up",
        "text": "In {city}, {question} As {json: 1}.",
        "input": {"question": "$.q", "temperature": "$.t"},
    }
    async with serving_rows(row, replies=[answer("Yes.")]) as (gateway, upstream):
        assert (await given(gateway, "/ask/rome", {"q": "is it {city} or {{ x }}?", "t": 0}))["answer"] == "Yes."
        missing, _, told = await ask(gateway, "/ask/rome", {"t": 0})
        wrong, _, refused = await ask(gateway, "/ask/rome", {"q": "?", "t": 9})
    sent = upstream.received[0].body
    assert sent["messages"] == [{"role": "user", "content": "In rome, is it {city} or {{ x }}? As {json: 1}."}]
    assert (sent["temperature"], sent["model"]) == (0, "upstream-model")
    assert (missing, orjson.loads(told)["error"]["param"]) == (422, "question")
    assert (wrong, orjson.loads(refused)["error"]["param"]) == (400, "temperature")


async def test_values_with_messages_are_a_chat_request() -> None:
    """Without ``input`` that is the body; the row says which model answers, whatever the body says."""
    row = {"path": "/users/{id}/chat", "model": "up"}
    chat = {"model": "other", "messages": [{"role": "user", "content": "hi"}], "seed": 1, "stream": True}
    async with serving_rows(row, replies=[answer("Hello")]) as (gateway, upstream):
        body = await given(gateway, "/users/7/chat", chat)
    assert body["answer"] == "Hello"
    assert (upstream.received[0].body["seed"], "id" in upstream.received[0].body) == (1, False)


@pytest.mark.parametrize("number", [2, 0])
async def test_a_row_answers_with_one_choice(number: int) -> None:
    """More of them would be paid for, and are nowhere in the answer; so they are refused before anybody is asked."""
    rows = ({"path": "/chat", "model": "up"}, {"path": "/say", "model": "up", "text": "hi", "input": {"n": "$.n"}})
    chat = {"messages": [{"role": "user", "content": "hi"}], "n": number}
    async with serving_rows(*rows) as (gateway, _):
        told = [await ask(gateway, "/chat", chat), await ask(gateway, "/say", {"n": number})]
    assert [(status, orjson.loads(body)["error"]["param"]) for status, _, body in told] == [(400, "n")] * 2


async def test_a_row_may_stream() -> None:
    """To a client that accepts events, part by part: texts as ``answer``, other values as they are, then [DONE]."""
    row = {"path": "/spell/{word}", "graph": "spelling", "stream": True}
    events = {"Accept": "text/event-stream"}
    async with serving_rows(row) as (gateway, _):
        status, headers, body = await ask(gateway, "/spell/ab", **events)
        _, _, broken = await ask(gateway, "/spell/a!b", **events)
        failed, _, early = await ask(gateway, "/spell/!", **events)
        whole = await given(gateway, "/spell/ab")
    frames = [b'data: {"answer":"a"}', b'data: {"answer":"b"}', b'data: {"letters":2}', b"data: [DONE]", b""]
    assert (status, headers["content-type"], body.split(b"\n\n")) == (200, "text/event-stream; charset=utf-8", frames)
    first, second, rest = broken.split(b"\n\n")
    assert (first, rest, b"secret" in broken) == (b'data: {"answer":"a"}', b"", False)
    assert orjson.loads(second.removeprefix(b"data: "))["error"]["type"] == "server_error"
    assert (failed, b"secret" in early) == (500, False)
    assert whole == {"letters": 2}


async def test_a_client_that_leaves_ends_the_run() -> None:
    """The upstream sees its connection closed, and the run is recorded as left, under the graph's name."""
    row = {"path": "/ask", "graph": "relay"}
    async with serving_rows(row, replies=[Hang()]) as (gateway, upstream):
        asked = asyncio.create_task(ask(gateway, "/ask", {"q": 1}))
        while not upstream.received:
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait_for(upstream.left.wait(), 5)
        (run,) = await gateway.runs()
    assert (run["outcome"], run["graph"], run["caller"]) == ("left", "relay", "local")


async def test_roles_and_models_of_keys_hold_for_own_rows() -> None:
    """A row is for those with a key unless it says otherwise, and a graph that a key does not cover is not there."""
    rows = (
        {"path": "/echo", "graph": "echo"},
        {"path": "/say", "graph": "respond"},
        {"path": "/open", "graph": "echo", "role": "anyone"},
        {"path": "/ops", "graph": "echo", "role": "admin"},
    )
    async with serving_rows(*rows, auth=KEYS) as (gateway, _):
        with_key = [(await ask(gateway, path, {}, **APP))[0] for path in ("/echo", "/say", "/open", "/ops")]
        without = [(await ask(gateway, path, {}))[0] for path in ("/echo", "/say", "/open", "/ops")]
        assert (await ask(gateway, "/ops", {}, **OPS))[0] == 200
    assert with_key == [200, 404, 200, 403]
    assert without == [401, 401, 200, 401]


async def test_a_graph_that_fails_tells_nothing() -> None:
    """A 500 in OpenAI's form, or in V2's under its path."""
    rows = ({"path": "/fail", "graph": "failing"}, {"path": "/v2/fail", "graph": "failing"})
    async with serving_rows(*rows) as (gateway, _):
        status, _, body = await ask(gateway, "/fail", {})
        _, _, v2 = await ask(gateway, "/v2/fail", {})
    assert (status, orjson.loads(body)["error"]["type"]) == (500, "server_error")
    assert isinstance(orjson.loads(v2)["error"], str)


async def test_openapi_shows_what_the_caller_may_use() -> None:
    """Own rows with placeholders, query and body; hot routes; by role; and nothing that is forbidden."""
    rows = (
        {**ROW, "output": {"plan": "$.answer"}, "description": "Plans a trip."},
        {"path": "/ops", "graph": "echo", "role": "admin"},
        {"path": "/v2/*", "action": "FORBID"},
        {"path": "/v2/health/live"},
    )
    async with serving_rows(*rows, auth=KEYS) as (gateway, _):
        _, _, seen = await gateway.get("/openapi.json", **APP)
        _, _, by_ops = await gateway.get("/openapi.json", **OPS)
    of_openai = {path for path in seen["paths"] if path.startswith("/v1/")}
    assert {"/v1/chat/completions", "/v1/models", "/v1/models/{id}", "/v1/responses", "/v1/messages"} <= of_openai
    assert set(seen["paths"]) - of_openai == {"/openapi.json", "/v2", "/v2/", "/v2/health/live", "/trips/{city}"}
    of_ops = set(by_ops["paths"]) - set(seen["paths"])
    assert {"/ops", "/metrics", "/admin/keys/{name}", "/admin/runs/{id}"} <= of_ops
    assert {path for path in of_ops if not path.startswith("/admin/")} == {"/ops", "/metrics"}
    own = seen["paths"]["/trips/{city}"]["post"]
    assert own["summary"] == "Plans a trip."
    assert [(one["name"], one["in"]) for one in own["parameters"]] == [
        *(("city", "path"), ("days", "query"), ("q", "query"))
    ]
    assert "days is taken from $.stay.days" in str(own["requestBody"])
    assert own["responses"]["200"]["content"]["application/json"]["schema"]["required"] == ["plan"]
    assert seen["paths"]["/v1/chat/completions"]["post"]["requestBody"]["required"] is True
    assert seen["paths"]["/v1/models/{id}"]["get"]["parameters"][0]["name"] == "id"
    assert [one["name"] for one in by_ops["paths"]["/admin/runs"]["get"]["parameters"]] == ["limit"]
    assert seen["paths"]["/v2/health/live"]["get"]["security"] == []


async def test_openapi_holds_together() -> None:
    """Every reference leads somewhere, every placeholder is a parameter, and no two operations have the same id."""
    async with serving_rows(ROW, {"path": "/files/*", "graph": "echo", "stream": True}) as (gateway, _):
        _, _, document = await gateway.get("/openapi.json")
    text = orjson.dumps(document).decode()
    for name in {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
        assert name in document["components"]["schemas"]
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)
    assert [name for name in ids if re.fullmatch(r"[\w.-]+", name) is None] == []
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
