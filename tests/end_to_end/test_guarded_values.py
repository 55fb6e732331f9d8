"""Policies over what is no conversation: texts that become vectors, and tensors and rows of models of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from llm.testing import ScriptedUpstream
from llm.testing.upstream import Json, answer, embeddings
from tests.serving import Gateway, serving, serving_upstream

HERE = "tests.end_to_end.own_models"
MAIL = "anna.smith@example.org"
STRICT = {
    "name": "strict",
    "refusal": "I cannot.",
    "replacement": "[ended]",
    "rules": [{"rule": "terms", "terms": ["nightjar"], "message": "Not this."}],
}
SOFT = {"name": "soft", "rules": [{"rule": "personal_data"}]}
ATTACHED: Mapping[str, dict[str, Any]] = {
    "key": {"key": ["strict"]},
    "model": {"model": ["strict"]},
    "everywhere": {"policies": [{**STRICT, "everywhere": True}]},
}


def own(
    *kinds: str, policies: Any = (STRICT, SOFT), model: Any = (), key: Any = (), graphs: Any = ()
) -> dict[str, Any]:
    """The settings of models of one's own, by the name of their class, under policies."""
    rows = [{"name": kind.lower(), "class": f"{HERE}:{kind}", "guardrails": model} for kind in kinds]
    demo = [{"name": "demo", "provider": "mini"}] if graphs else []
    keys = [{"name": "app", "key": "sk-app-key", "role": "admin", "guardrails": key}]
    return {"models": [*demo, *rows], "graphs": graphs, "guardrails": policies, "auth": {"keys": keys}}


async def asked(gateway: Gateway, path: str, body: Any, **headers: str) -> tuple[int, str]:
    """Status and every byte of an answer."""
    data = {"data": body} if isinstance(body, bytes) else {"json": body}
    headers = {"authorization": "Bearer sk-app-key", **headers}
    async with gateway.http.post(gateway.address + path, headers=headers, **data) as made:
        return made.status, (await made.read()).decode("utf-8", "replace")


def texts(*elements: str) -> dict[str, Any]:
    return {"name": "x", "shape": [len(elements)], "datatype": "BYTES", "data": list(elements)}


def framed(*elements: bytes, **more: Any) -> tuple[bytes, dict[str, str]]:
    """A request in binary tensor data, and its header."""
    raw = b"".join(len(each).to_bytes(4, "little") + each for each in elements)
    tensor = {
        "name": "x",
        "shape": [len(elements)],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(raw)},
    }
    head = orjson.dumps({"inputs": [tensor], **more})
    return head + raw, {"Inference-Header-Content-Length": str(len(head))}


# --- embeddings


@pytest.mark.parametrize("given", ["A nightjar.", ["harmless", "a nightjar"]])
async def test_a_text_that_may_not_be_said_is_not_embedded(given: Any) -> None:
    """One of several is enough; it is an error, as no words can be a vector, and no model is asked."""
    async with serving_upstream(guardrails=[{**STRICT, "everywhere": True}]) as (gateway, upstream):
        status, _, refused = await gateway.post("/v1/embeddings", {"model": "up", "input": given})
        (run,) = await gateway.runs()
    assert (status, refused["error"]["code"], refused["error"]["message"]) == (400, "content_filter", "Not this.")
    assert (upstream.received, run["outcome"]) == ([], "refused")


async def test_what_is_embedded_is_redacted_or_flagged() -> None:
    """The upstream sees the placeholder, in texts and in what stands beside them; the record says what was found."""
    flag = {"name": "flag", "rules": [{"rule": "terms", "terms": ["nightjar"], "action": "flag"}]}
    policies = [{**SOFT, "everywhere": True}, {**flag, "everywhere": True}]
    async with serving_upstream(embeddings([1.0], [0.5]), guardrails=policies) as (gateway, upstream):
        body = {"model": "up", "input": [f"Ask {MAIL}", "A nightjar"], "user": MAIL}
        status, _, made = await gateway.post("/v1/embeddings", body)
        (run,) = await gateway.runs()
    sent = upstream.received[0].body
    assert (status, [row["embedding"] for row in made["data"]]) == (200, [[1.0], [0.5]])
    assert (sent["input"], sent["user"]) == (["Ask [EMAIL]", "A nightjar"], "[EMAIL]")
    assert run["guardrails"]["found"] == {"personal_data/email": 2, "terms/terms": 1}


@pytest.mark.parametrize("given", [[1, 2], [[1, 2], [3]]])
@pytest.mark.parametrize(("mode", "status"), [("enforce", 400), ("shadow", 200)])
async def test_token_ids_are_not_embedded_where_somebody_must_look(given: Any, mode: str, status: int) -> None:
    """A rule that only records lets them pass, and records that it could not look."""
    rule = {"rule": "terms", "terms": ["nightjar"], "mode": mode}
    policy = {"name": "strict", "everywhere": True, "rules": [rule]}
    replies = [embeddings(*[[1.0]] * (1 if given == [1, 2] else 2))] if status == 200 else []
    async with serving_upstream(*replies, guardrails=[policy]) as (gateway, _):
        said, _, body = await gateway.post("/v1/embeddings", {"model": "up", "input": given})
        (run,) = await gateway.runs()
    assert said == status
    assert status == 200 or body["error"]["message"] == "An input of token ids cannot be looked at; send text."
    assert (run["guardrails"]["rule"] or run["guardrails"]["flags"]) in ("token_ids", ["token_ids"])


async def test_a_graph_that_embeds_is_held_to_its_policies() -> None:
    """Those of its row too, and those of a key."""
    graph = {"name": "doubled", "build": "tests.end_to_end.test_embeddings:doubled", "embeddings": True}
    body = {"model": "doubled", "input": "a nightjar"}
    told = []
    for settings in (own(graphs=[{**graph, "guardrails": ["strict"]}]), own(graphs=[graph], key=["strict"])):
        async with serving(**settings) as gateway:
            told.append((await asked(gateway, "/v1/embeddings", body))[0])
    assert told == [400, 400]


async def test_judges_see_what_is_embedded() -> None:
    """All texts of the input; of vectors there is nothing to judge."""
    async with ScriptedUpstream(Json({"allowed": True}), Json({"allowed": False, "reason": "Birds."})) as server:
        rule = {"rule": "http", "url": f"{server.base_url}/guard", "places": ["input", "output"]}
        policy = {"name": "judged", "everywhere": True, "rules": [rule]}
        async with serving_upstream(embeddings([1.0], [1.0]), embeddings([1.0]), guardrails=[policy]) as (gateway, _):
            allowed, _, _ = await gateway.post("/v1/embeddings", {"model": "up", "input": ["a", "b"]})
            refused, _, _ = await gateway.post("/v1/embeddings", {"model": "up", "input": "c"})
    assert (allowed, refused) == (200, 400)
    assert [each.body["text"] for each in server.received] == ["a\nb", "c"]


# --- models of one's own


@pytest.mark.parametrize("attached", ATTACHED.values(), ids=ATTACHED)
async def test_no_form_of_a_request_gets_a_text_past(attached: dict[str, Any]) -> None:
    """In tensors, in JSON or binary, in rows, in objects, in parameters, by whatever URL: it is a 400."""
    body, header = framed(b"fine", b"a nightjar")
    hidden, _ = framed(b"\xff\xfe", b"a nightjar")
    forms: list[tuple[str, Any, dict[str, str]]] = [
        ("/infer", {"inputs": [texts("fine", "a nightjar")]}, {}),
        ("/infer", {"inputs": [texts("fine")], "parameters": {"about": "a nightjar"}}, {}),
        ("/infer", {"inputs": [texts("fine"), {**texts("a nightjar"), "name": "y"}]}, {}),
        ("/infer", {"inputs": [{**texts("fine"), "name": "a nightjar"}, texts("fine")]}, {}),
        ("/infer", {"inputs": ["a nightjar"]}, {}),
        ("/infer", {"inputs": [[1, ["a nightjar"]]]}, {}),
        ("/infer", {"inputs": ["fine"], "id": "a nightjar"}, {}),
        ("/infer_dict", {"inputs": [{"a": "a nightjar"}]}, {}),
        ("/infer_dict", {"inputs": [{"a nightjar": 1}]}, {}),
        ("/predict", {"inputs": ["a nightjar"]}, {}),
        ("", {"inputs": ["a nightjar"], "operation": "infer"}, {}),
        ("/generate", {"text_input": "a nightjar"}, {}),
        ("/generate_stream", {"text_input": "a nightjar"}, {}),
        ("/infer", body, header),
        ("/infer", hidden, header),
    ]
    async with serving(**own("Echo", "Echoes", **attached)) as gateway:
        for name in ("echo", "echoes"):
            for path, sent, headers in forms:
                status, said = await asked(gateway, f"/v2/models/{name}{path}", sent, **headers)
                assert (name, path, sent, status) == (name, path, sent, 400)
                assert "nightjar" not in said


async def test_bytes_that_are_no_text_are_refused_where_somebody_must_look() -> None:
    """And pass where nobody does; numbers are no text."""
    body, header = framed(b"\xff\xfe", outputs=[{"name": "output", "parameters": {"binary_data": True}}])
    numbers = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1.5, 2.5]}]}
    async with serving(**own("Echo", "Echoes", key=["strict"])) as gateway:
        for name in ("echo", "echoes"):
            path = f"/v2/models/{name}/infer"
            status, said = await asked(gateway, path, body, **header)
            assert (status, "Bytes cannot be looked at" in said) == (400, True)
            assert orjson.loads((await asked(gateway, path, numbers))[1])["outputs"][0]["data"] == [1.5, 2.5]
    async with serving(**own("Echo")) as gateway:
        assert (await asked(gateway, "/v2/models/echo/infer", body, **header))[0] == 200


@pytest.mark.parametrize("name", ["echo", "echoes"])
async def test_a_model_is_given_what_is_redacted(name: str) -> None:
    """In tensors of both forms and in rows; what comes out has the shape of what went in."""
    body, header = framed(b"fine", MAIL.encode())
    policy = {**SOFT, "rules": [{"rule": "personal_data", "places": ["input"]}]}
    async with serving(**own("Echo", "Echoes", policies=[policy], key=["soft"])) as gateway:
        path = f"/v2/models/{name}/infer"
        tensors = [
            await asked(gateway, path, {"inputs": [{**texts("fine", MAIL, "x", "y"), "shape": [2, 2]}]}),
            await asked(gateway, path, body, **header),
        ]
        _, rows = await asked(gateway, path, {"inputs": [f"Ask {MAIL}"]})
    outputs = [orjson.loads(said)["outputs"][0] for _, said in tensors]
    assert [(output["datatype"], output["shape"], output["data"]) for output in outputs] == [
        ("BYTES", [2, 2], ["fine", "[EMAIL]", "x", "y"]),
        ("BYTES", [2], ["fine", "[EMAIL]"]),
    ]
    assert orjson.loads(rows)["outputs"] == ["Ask [EMAIL]"]


async def test_what_a_model_answers_is_looked_at() -> None:
    """Refused, it is an error and nothing of it leaves, in any form; redacted, the placeholder stands there."""
    place = {"places": ["output"]}
    strict = {**STRICT, "rules": [{**STRICT["rules"][0], **place}]}  # type: ignore[dict-item]
    soft = {"name": "soft", "rules": [{"rule": "personal_data", **place}]}
    body, header = framed(b"a nightjar", outputs=[{"name": "output", "parameters": {"binary_data": True}}])
    async with serving(**own("Echo", "Echoes", "Tells", policies=[strict, soft], model=["strict", "soft"])) as gateway:
        for name in ("echo", "echoes", "tells"):
            path = f"/v2/models/{name}"
            for sent, headers in (
                ({"inputs": [texts("a nightjar")]}, {}),
                (body, header),
                ({"inputs": ["a nightjar"]}, {}),
            ):
                status, said = await asked(gateway, f"{path}/infer", sent, **headers)
                assert (name, status, "nightjar" in said) == (name, 400, False)
            for end in ("generate", "generate_stream"):
                status, said = await asked(gateway, f"{path}/{end}", {"text_input": "a nightjar"})
                assert (name, status, "nightjar" in said) == (name, 400, False)
            _, told = await asked(gateway, f"{path}/infer", {"inputs": [f"Ask {MAIL}"]})
            assert ("[EMAIL]" in told, "anna" in told) == (True, False)
        for operation in ("answers", "says", "raw"):
            status, said = await asked(gateway, f"/v2/models/tells/{operation}", {"text": "a nightjar"})
            assert (operation, status, "nightjar" in said) == (operation, 400, False)
            status, said = await asked(gateway, f"/v2/models/tells/{operation}", {"text": "fine"})
            assert (operation, status, "fine" in said) == (operation, 200, True)


async def test_what_is_taken_out_of_rows_is_put_back_into_the_outputs() -> None:
    """The model sees the placeholder."""
    policy = {**SOFT, "reversible": True, "rules": [{"rule": "personal_data", "places": ["input"]}]}
    async with serving(**own("Echo", "Lengths", policies=[policy], key=["soft"])) as gateway:
        said = [await asked(gateway, f"/v2/models/{name}/infer", {"inputs": [MAIL]}) for name in ("echo", "lengths")]
    assert [orjson.loads(body)["outputs"] for _, body in said] == [[MAIL], [len("[EMAIL_1]")]]


async def test_a_model_that_is_loaded_again_is_under_its_policies_still() -> None:
    """And so is a router of models, by its row."""
    async with serving(**own("Echo", model=["strict"])) as gateway:
        assert (await asked(gateway, "/v2/repository/models/echo/load", {}))[0] == 200
        assert (await asked(gateway, "/v2/models/echo/infer", {"inputs": ["a nightjar"]}))[0] == 400
    graphs = [{"name": "zoo", "build": f"{HERE}:zoo", "guardrails": ["strict"]}]
    async with serving(**own(graphs=graphs)) as gateway:
        status, said = await asked(gateway, "/v2/models/zoo/infer", {"inputs": ["a nightjar"], "model": "double"})
    assert (status, "Not this." in said) == (400, True)


async def test_judges_see_rows_and_outputs() -> None:
    """All texts of the request, and all of the answer before it leaves."""
    refused = Json({"allowed": False, "reason": "Birds."})
    async with ScriptedUpstream(Json({"allowed": True}), Json({"allowed": True}), refused) as server:
        rule = {"rule": "http", "url": f"{server.base_url}/guard", "places": ["input", "output"]}
        settings = own("Echo", policies=[{"name": "judged", "rules": [rule]}], model=["judged"])
        async with serving(**settings) as gateway:
            path = "/v2/models/echo/infer"
            told = [await asked(gateway, path, {"inputs": [texts(word)]}) for word in ("one", "two")]
    assert [status for status, _ in told] == [200, 400]
    seen = [each.body["text"] for each in server.received]
    assert ["one" in seen[0], "one" in seen[1], "two" in seen[2]] == [True] * 3


# --- how long it takes


async def test_the_time_of_each_rule_is_told() -> None:
    """By rule and place: judges each time, whole texts by rule, patterns and terms together."""
    async with ScriptedUpstream(*[Json({"allowed": True})] * 3) as server:
        judge = {"rule": "http", "url": f"{server.base_url}/guard", "places": ["input", "output"]}
        terms, injection = {"rule": "terms", "terms": ["nightjar"]}, {"rule": "prompt_injection", "places": ["input"]}
        policy = {"name": "all", "everywhere": True, "rules": [terms, injection, judge]}
        async with serving_upstream(answer("One. "), embeddings([1.0]), guardrails=[policy]) as (gateway, _):
            await gateway.post("/v1/chat/completions", {"model": "up", "messages": [{"role": "user", "content": "Hi"}]})
            await gateway.post("/v1/embeddings", {"model": "up", "input": "text"})
            async with gateway.http.get(f"{gateway.address}/metrics") as metrics:
                lines = (await metrics.text()).splitlines()
    counts = dict(line.rsplit(" ", 1) for line in lines if line.startswith("penstock_guardrail_seconds_count"))
    assert counts == {
        f'penstock_guardrail_seconds_count{{place="{place}",rule="{rule}"}}': number
        for place, rule, number in (
            ("input", "compiled", "2.0"),
            ("input", "prompt_injection", "2.0"),
            ("input", "http", "2.0"),
            ("output", "compiled", "2.0"),
            ("output", "http", "1.0"),
        )
    }
