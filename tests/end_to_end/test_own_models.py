"""Models of one's own over HTTP: both forms, versions, operations, the repository, and what they are not."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app
from gateway.catalog.catalog import Catalog
from gateway.config import Settings
from gateway.config.faults import InvalidSettings
from tests.serving import Gateway, serving, serving_upstream

HERE = "tests.end_to_end.own_models"
ADMIN = {"name": "ops", "key": "key-of-the-admin", "role": "admin"}
USER = {"name": "app", "key": "key-of-the-user"}


def row(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "class": f"{HERE}:{kind}", **more}


@asynccontextmanager
async def serving_models(*models: Any, graphs: Any = (), **tree: Any) -> AsyncGenerator[Gateway, None]:
    """A gateway with these models, and one that chats if there are graphs."""
    chat = [{"name": "demo", "provider": "mini"}] if graphs else []
    async with serving(models=[*chat, *models], graphs=graphs, **tree) as gateway:
        yield gateway


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    path = tmp_path / "ten.txt"
    path.write_text("10")
    return path


async def test_rows_in_and_outputs_out(ten: Path) -> None:
    """The loose form: id, model_name, outputs, timestamp; the operation stands in the URL, in the body or nowhere."""
    async with serving_models(row("sums", "Sums", path=str(ten))) as gateway:
        for path, body in {
            "/v2/models/sums/infer": {"id": "mine", "inputs": [[1, 2], [3, 4]]},
            "/v2/models/sums/predict": {"id": "mine", "inputs": [[1, 2], [3, 4]], "operation": "explain"},
            "/v2/models/sums": {"id": "mine", "inputs": [[1, 2], [3, 4]]},
            "/v2/models": {"id": "mine", "inputs": [[1, 2], [3, 4]], "model": "sums"},
            "/v2/models/sums/infer_dict": {"id": "mine", "inputs": [{"a": 1, "b": 2}, {"b": 4, "a": 3}]},
        }.items():
            status, _, answer = await gateway.post(path, body)
            assert (status, len(answer.pop("timestamp"))) == (200, 26)
            assert answer == {"id": "mine", "model_name": "sums", "outputs": [13.0, 17.0]}
        _, _, explained = await gateway.post("/v2/models/sums/explain", {"inputs": [[1, 2]]})
        _, _, by_body = await gateway.post("/v2/models/sums", {"operation": "explain", "inputs": [[1, 2]]})
        runs = await gateway.runs(7)
    assert explained["outputs"] == by_body["outputs"] == {"features": [2]}
    assert explained["id"]
    assert {run["graph"] for run in runs} == {"sums"}


async def test_operations_of_ones_own(ten: Path) -> None:
    """op_xx is called by its name, with whatever body, or none; what is no operation lists those there are."""
    async with serving_models(row("sums", "Sums", path=str(ten))) as gateway:
        _, _, about = await gateway.post("/v2/models/sums/about", {"x": [{"y": 1}]})
        _, _, bare = await gateway.post("/v2/models/sums/about", b"")
        _, _, by_body = await gateway.post("/v2/models", {"model": "sums", "operation": "about", "x": 1})
        status, _, unknown = await gateway.post("/v2/models/sums/load", {})
    assert about == {"adds": 10.0, "asked": {"x": [{"y": 1}]}, "by": "local", "at": "/v2/models/sums/about"}
    assert bare["asked"] == {}
    assert by_body["asked"] == {"operation": "about", "x": 1}
    assert status == 404
    assert "it has infer, predict, infer_dict, predict_dict, explain, ready, about" in unknown["error"]


async def test_tensors_in_and_tensors_out(ten: Path) -> None:
    """A tensor is rows for the model, and what it returns is a tensor; the id comes back only if there was one."""
    tensor = {"name": "x", "shape": [2, 2], "datatype": "INT32", "data": [1, 2, 3, 4]}
    async with serving_models(row("sums", "Sums", path=str(ten))) as gateway:
        _, _, answer = await gateway.post("/v2/models/sums/infer", {"inputs": [tensor]})
        _, _, named = await gateway.post("/v2/models/sums/infer", {"id": "7", "inputs": [tensor]})
        _, _, explained = await gateway.post("/v2/models/sums/explain", {"inputs": [tensor]})
    output = {"name": "output", "shape": [2], "datatype": "FP64", "data": [13.0, 17.0]}
    assert answer == {"model_name": "sums", "outputs": [output]}
    assert named == {"model_name": "sums", "id": "7", "outputs": [output]}
    assert explained["outputs"] == [{"name": "features", "shape": [2], "datatype": "INT64", "data": [2, 2]}]


async def test_several_tensors_are_rows_with_members() -> None:
    """Row by row; they must have as many rows."""
    a = {"name": "a", "shape": [2], "datatype": "INT32", "data": [1, 2]}
    b = {"name": "b", "shape": [2, 1], "datatype": "BYTES", "data": ["x", "y"]}
    async with serving_models(row("echo", "Echo")) as gateway:
        _, _, answer = await gateway.post("/v2/models/echo/infer", {"inputs": [a, b]})
        status, _, refused = await gateway.post("/v2/models/echo/infer", {"inputs": [a, {**b, "shape": [1, 2]}]})
    assert answer["outputs"][0]["data"] == ['{"a":1,"b":["x"]}', '{"a":2,"b":["y"]}']
    assert (status, refused["error"][:14]) == (400, "several inputs")


A = {"name": "a", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4]]}
B = {"name": "b", "shape": [2], "datatype": "INT64", "data": [2, 3]}


async def test_what_a_model_declares_is_told_and_held_to() -> None:
    """Metadata tells it, requests in tensors are checked, outputs have the datatypes that it says."""
    async with serving_models(row("declared", "Declared")) as gateway:
        _, _, metadata = await gateway.get("/v2/models/declared")
        _, _, answer = await gateway.post("/v2/models/declared/infer", {"inputs": [B, A]})
        wanted = {"inputs": [A, B], "outputs": [{"name": "big"}]}
        _, _, one = await gateway.post("/v2/models/declared/infer", wanted)
    assert [row["name"] for row in metadata["inputs"]] == ["a", "b"]
    assert [(row["name"], row["datatype"], row["shape"], row["data"]) for row in answer["outputs"]] == [
        ("product", "FP32", [2, 2], [2.0, 4.0, 9.0, 12.0]),
        ("label", "BYTES", [2], ["<4>", "<12>"]),
        ("big", "BOOL", [2], [False, True]),
    ]
    assert one["outputs"] == answer["outputs"][2:]


async def test_rows_of_models_that_take_arrays() -> None:
    """They are an array too, if they are as long as each other; several tensors are no rows, and numbers no text."""
    async with serving_models(row("declared", "Declared"), row("echo", "Echoes")) as gateway:
        path = "/v2/models/echo/infer"
        _, _, numbers = await gateway.post(path, {"inputs": [[1, 2], [3, 4]]})
        _, _, texts = await gateway.post(f"{path}_dict", {"inputs": [{"a": "x", "b": 1}]})
        ragged, _, told = await gateway.post(path, {"inputs": [[1, 2], [3]]})
        several, _, words = await gateway.post("/v2/models/declared/infer", {"inputs": [[1, 2]]})
        text, _, no_text = await gateway.post("/v2/models/declared/generate", {"text_input": "x"})
    assert (numbers["outputs"], texts["outputs"]) == ([[1, 2], [3, 4]], [["x", 1]])
    assert (ragged, told) == (400, {"error": "the rows of inputs must all have the same length"})
    assert (several, words) == (400, {"error": "model 'declared' takes the tensors a (FP32), b (INT64), and no rows"})
    assert (text, no_text) == (400, {"error": "model 'declared' takes a (FP32), b (INT64), and no text"})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([A], "the inputs must be a, b; there are a"),
        ([A, B, {**A, "name": "c"}], "the inputs must be a, b; there are a, b, c"),
        ([{**A, "datatype": "FP64"}, B], "input 'a' has datatype FP64; FP32 is expected"),
        ([{**A, "shape": [4]}, B], "input 'a' has shape [4]; [-1, 2] is expected"),
        ([{**A, "shape": [4, 1]}, B], "input 'a' has shape [4, 1]; [-1, 2] is expected"),
    ],
)
async def test_what_a_model_does_not_declare_is_refused(inputs: Any, message: str) -> None:
    """A 400 that says what is expected."""
    async with serving_models(row("declared", "Declared")) as gateway:
        status, _, body = await gateway.post("/v2/models/declared/infer", {"inputs": inputs})
    assert (status, body["error"]) == (400, message)


async def test_versions(ten: Path) -> None:
    """Rows of one name are its versions; without one in the URL or the body the last row answers."""
    five = ten.with_name("five.txt")
    five.write_text("5")
    models = [row("sums", "Sums", path=str(ten), version="1"), row("sums", "Sums", path=str(five), version="2")]
    async with serving_models(*models) as gateway:
        body = {"inputs": [[1]]}
        first, second, last = [
            (await gateway.post(f"/v2/models/sums{at}/infer", body))[2] for at in ("/versions/1", "/versions/2", "")
        ]
        _, _, by_body = await gateway.post("/v2/models", {"model": "sums", "version": "1", **body})
        _, _, metadata = await gateway.get("/v2/models/sums/versions/1")
        ready, _, _ = await gateway.get("/v2/models/sums/versions/1/ready")
        _, _, listed = await gateway.get("/v2/models")
        missing, _, told = await gateway.get("/v2/models/sums/versions/3")
    assert [answer["outputs"] for answer in (first, second, last, by_body)] == [[11.0], [6.0], [6.0], [11.0]]
    assert [answer["model_version"] for answer in (first, second, last)] == ["1", "2", "2"]
    assert (metadata["name"], metadata["versions"], ready, listed) == ("sums", ["1", "2"], 200, {"models": ["sums"]})
    assert (missing, told) == (404, {"error": "model 'sums' has no version '3'; versions are: 1, 2"})


async def test_any_class_will_do() -> None:
    """Without anything of ours, its predict plain or async; its constructor gets what it asks for."""
    models = [row("echo", "Echo"), row("loud", "Echo", parameters={"shout": True}), row("later", "Later")]
    async with serving_models(*models) as gateway:
        answers = [
            (await gateway.post(f"/v2/models/{name}/infer", {"inputs": ["a"]}))[2]["outputs"]
            for name in ("echo", "loud", "later")
        ]
    assert answers == [["a"], ["A"], ["aa"]]


async def test_predicting_does_not_stop_the_loop() -> None:
    """What blocks is in a thread: two requests that wait for each other both answer."""
    async with serving_models(row("meets", "Meets")) as gateway:
        asked = [gateway.post("/v2/models/meets/infer", {"inputs": ["x"]}) for _ in range(2)]
        answers = await asyncio.wait_for(asyncio.gather(*asked), 20)
    assert [answer[2]["outputs"] for answer in answers] == [["x"], ["x"]]


async def test_what_a_model_says_is_wrong_is_a_400_and_a_mistake_tells_nothing() -> None:
    """InvalidInput is for the caller; any other exception stays in the log."""
    async with serving_models(row("picky", "Picky")) as gateway:
        refused, _, words = await gateway.post("/v2/models/picky/infer", {"inputs": ["refuse"]})
        failed, _, silence = await gateway.post("/v2/models/picky/infer", {"inputs": ["fail"]})
        none, _, no_inputs = await gateway.post("/v2/models/picky/infer", {"rows": 1})
    assert (refused, words) == (400, {"error": "three features, please"})
    assert failed == 500
    assert "secret" not in silence["error"]
    assert (none, no_inputs) == (400, {"error": 'Expected key "inputs" in request body'})


async def test_outputs_that_are_no_numbers() -> None:
    """Rows of anything are BYTES of JSON, what is no number is null, and bytes that are no text need binary data."""
    async with serving_models(row("picky", "Picky")) as gateway:

        async def asked(what: str) -> Any:
            tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "data": [what]}
            return (await gateway.post("/v2/models/picky/infer", {"inputs": [tensor]}))[2]

        rows, none, raw = [await asked(what) for what in ("rows", "none", "raw")]
    assert rows["outputs"][0]["data"] == ['{"a":1}', '[1,"b"]']
    assert none["outputs"][0] == {"name": "output", "shape": [1], "datatype": "FP64", "data": [None]}
    assert "ask for it with the parameter binary_data" in raw["error"]


async def test_routers_and_ensembles_as_graphs() -> None:
    """They are given the body: the router finds the route in it, the ensemble lets all vote, and both take tensors."""
    graphs = [{"name": name, "build": f"{HERE}:{name}"} for name in ("zoo", "votes")]
    async with serving_models(graphs=graphs) as gateway:
        _, _, routed = await gateway.post("/v2/models/zoo/infer", {"model": "negative", "inputs": [2]})
        _, _, single = await gateway.post("/v2/models/votes/infer", {"model": "double", "inputs": [2]})
        _, _, voted = await gateway.post("/v2/models/votes/predict", {"inputs": [2]})
        tensor = {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}
        _, _, tensors = await gateway.post("/v2/models/votes/infer", {"inputs": [tensor]})
        unknown, _, told = await gateway.post("/v2/models/zoo/infer", {"model": "lion", "inputs": [2]})
        chat, _, _ = await gateway.post("/v1/chat/completions", {"model": "zoo", "messages": MESSAGES})
    assert (routed["model_name"], routed["outputs"]) == ("negative", [-2])
    assert (single["outputs"], voted["outputs"]) == ([4.0], [1.0])
    assert tensors["outputs"][0]["data"] == [0.5, 1.0]
    assert unknown == 404
    assert "double, negative" in told["error"]
    assert chat == 404


MESSAGES = [{"role": "user", "content": "x"}]


def test_a_row_with_a_text_is_none_for_what_does_not_chat() -> None:
    """Each request to it would have been a 400, in words about another body."""
    rows = [{"path": "/say", "model": "add", "text": "{x}", "input": {"x": "$.x"}}]
    tree = {"models": [row("add", "Echo")], "graphs": [], "api": rows}
    with pytest.raises(InvalidSettings, match=r"^api\.0: text: model 'add' does not chat, it is given inputs; leave"):
        create_app(Settings.model_validate(tree))


async def test_they_do_not_chat() -> None:
    """On chat they are a 404 that says where they are; the list of models says so too. Admins see them as graphs."""
    async with serving_models(row("echo", "Echo")) as gateway:
        status, _, body = await gateway.post("/v1/chat/completions", {"model": "echo", "messages": MESSAGES})
        retrieved, _, model = await gateway.get("/v1/models/echo")
        _, _, listed = await gateway.get("/v1/models")
        _, _, models = await gateway.get("/v2/models")
        _, _, graphs = await gateway.get("/admin/graphs")
        shown, _, _ = await gateway.get("/admin/graphs/echo")
    assert (status, retrieved, shown) == (404, 200, 200)
    assert (model["kind"], model["endpoints"]) == ("own_model", ["v2"])
    assert body["error"]["code"] == "model_not_found"
    assert "/v2/models/echo/infer" in body["error"]["message"]
    assert (listed["data"], models["models"]) == ([model], ["echo"])
    assert [graph["name"] for graph in graphs["graphs"]] == ["echo"]


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, lambda body: zlib.compress(body, wbits=-15)])
async def test_bodies_may_be_compressed(compress: Any) -> None:
    """As gzip or deflate; what they become is bounded like any body, and what is no such thing is a 400."""
    name = "gzip" if compress is gzip.compress else "deflate"
    path = "/v2/models/echo/infer"
    async with serving_models(row("echo", "Echo"), server={"port": 0, "max_body_mb": 1}) as gateway:
        headers = {"Content-Encoding": name}
        fine, _, answer = await gateway.post(path, compress(b'{"inputs": ["a"]}'), **headers)
        large, _, _ = await gateway.post(path, compress(b'{"inputs": ["' + b"a" * 2_000_000 + b'"]}'), **headers)
        cut, _, _ = await gateway.post(path, compress(b'{"inputs": ["a"]}')[:-5], **headers)
        junk, _, _ = await gateway.post(path, b'{"inputs": ["a"]}', **headers)
        after, _, _ = await gateway.post(path, compress(b'{"inputs": ["a"]}') + b"x", **headers)
        unknown, _, told = await gateway.post(path, b"{}", **{"Content-Encoding": "br"})
    assert (fine, answer["outputs"]) == (200, ["a"])
    assert (large, cut, junk, after, unknown) == (413, 400, 400, 400, 415)
    assert "Content-Encoding 'br' is not served" in told["error"]


async def test_the_repository(ten: Path) -> None:
    """What is unloaded answers 503 everywhere; loading reads it anew; what cannot be loaded changes nothing."""
    async with serving_upstream() as (gateway, _):
        _, _, index = await gateway.post("/v2/repository/index", {})
        await posted(gateway, "/v2/repository/models/up/unload", {"parameters": {"unload_dependents": False}})
        chat, _, _ = await gateway.post("/v1/chat/completions", {"model": "up", "messages": MESSAGES})
        _, _, chats = await gateway.get("/v1/models")
    assert index == [{"name": "up", "version": "", "state": "READY", "reason": ""}]
    assert (chat, chats["data"]) == (503, [])
    async with serving_models(row("sums", "Sums", path=str(ten), version="1")) as gateway:
        await posted(gateway, "/v2/repository/models/sums/unload")
        gone = [(await gateway.get(f"/v2/models/sums{at}"))[0] for at in ("", "/ready", "/versions/1/ready")]
        _, _, told = await gateway.post("/v2/models/sums/infer", {"inputs": [[1]]})
        _, _, index = await gateway.post("/v2/repository/index", b"")
        _, _, ready = await gateway.post("/v2/repository/index", {"ready": True})
        ten.write_text("20")
        await posted(gateway, "/v2/repository/models/sums/load")
        _, _, answer = await gateway.post("/v2/models/sums/infer", {"inputs": [[1]]})
        ten.write_text("twenty")
        failed, _, because = await gateway.post("/v2/repository/models/sums/load", {})
        _, _, still = await gateway.post("/v2/models/sums/infer", {"inputs": [[1]]})
    assert gone == [503, 503, 503]
    assert told == {"error": "model 'sums' is unloaded; POST /v2/repository/models/sums/load loads it"}
    assert index == [{"name": "sums", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}]
    assert ready == []
    assert answer["outputs"] == still["outputs"] == [21.0]
    assert failed == 500
    assert "ValueError: could not convert string to float" in because["error"]


async def posted(gateway: Gateway, path: str, body: Any = None) -> None:
    """A POST that is answered with nothing."""
    async with gateway.http.post(gateway.address + path, json=body) as answer:
        assert (answer.status, await answer.read()) == (200, b"")


@pytest.mark.parametrize("parameter", ["config", "file:1/model.py"])
async def test_loading_takes_no_configuration(parameter: str) -> None:
    """Nothing that comes over HTTP says what is loaded."""
    async with serving_models(row("echo", "Echo")) as gateway:
        body = {"parameters": {parameter: "{}"}}
        status, _, told = await gateway.post("/v2/repository/models/echo/load", body)
    assert (status, parameter in told["error"]) == (400, True)


async def test_only_admins_load_and_unload() -> None:
    """A user may look, and no more; nor may it see a model that its key does not name."""
    keys = [ADMIN, {**USER, "models": ["echo"]}]
    async with serving_models(row("echo", "Echo"), row("other", "Echo"), auth={"keys": keys}) as gateway:
        user = {"Authorization": f"Bearer {USER['key']}"}
        _, _, index = await gateway.post("/v2/repository/index", {}, **user)
        hidden, _, _ = await gateway.post("/v2/models", {"model": "other", "inputs": ["a"]}, **user)
        refused = [
            (await gateway.post(f"/v2/repository/models/echo/{what}", {}, **user))[0] for what in ("load", "unload")
        ]
        nobody, _, _ = await gateway.post("/v2/repository/index", {})
    assert [row["name"] for row in index] == ["echo"]
    assert (hidden, refused, nobody) == (404, [403, 403], 401)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (row("m", "NotLoading", path="/x"), rf"model 'm' \({HERE}:NotLoading\): OSError: nothing at /x"),
        (row("m", "Sums", path="/nope", version="2"), r"model 'm:2' .*FileNotFoundError"),
        (row("m", "NotPredicting"), r"NotPredicting has no predict\(inputs\); write one"),
        (row("m", "Nope"), r"own_models.py\) has no 'Nope'"),
        (row("m", "zoo"), "zoo is no class"),
        (row("m", "Echo", parameters={"loud": 1}), r"Echo.__init__\(\) got an unexpected keyword argument 'loud'"),
        ({"name": "m", "class": "nothing_there:X"}, r": No module named 'nothing_there'; modules are looked for in"),
    ],
)
def test_a_model_that_cannot_be_loaded_stops_the_start(model: Any, message: str) -> None:
    """In one sentence: which model, which class, what went wrong."""
    with pytest.raises(InvalidSettings, match=message):
        Catalog.of(Settings.model_validate({"models": [model], "graphs": []}))
