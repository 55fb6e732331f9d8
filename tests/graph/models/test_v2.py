"""V2ModelServer: case 39 of the behaviour of serving graphs."""

from __future__ import annotations

import multiprocessing
import os
import re
from typing import Any

import pytest

from graph import (
    Event,
    Flow,
    Hooks,
    Instrument,
    InvalidInput,
    InvalidStep,
    ModelCall,
    UnknownRoute,
    V2ModelServer,
)


class Doubles(V2ModelServer):
    """Says which of its hooks were called."""

    def load(self) -> None:
        self.model = f"from {self.model_path}"
        self.trace: list[str] = []

    def preprocess(self, request: dict[str, Any], operation: str) -> dict[str, Any]:
        self.trace.append(f"preprocess {operation}")
        return {"inputs": request["rows"], **request} if "rows" in request else request

    def validate(self, request: dict[str, Any], operation: str) -> dict[str, Any]:
        self.trace.append("validate")
        return super().validate(request, operation)

    def predict(self, request: dict[str, Any]) -> list[Any]:
        self.trace.append("predict")
        return [row * 2 for row in request["inputs"]]

    def explain(self, request: dict[str, Any]) -> list[str]:
        self.trace.append("explain")
        return [f"twice {row}" for row in request["inputs"]]

    def postprocess(self, response: dict[str, Any]) -> dict[str, Any]:
        self.trace.append("postprocess")
        return {**response, "unit": self.get_param("unit", "")}

    def logged_results(self, request: Any, response: Any, op: str) -> Any:
        self.trace.append("logged_results")
        return {"inputs": request["inputs"]}, {"outputs": response["outputs"]}

    def op_trace(self, event: Event) -> dict[str, Any]:
        return {"trace": self.trace, "body": event.body, "model": self.model}


class Sums(V2ModelServer):
    """Adds up, later."""

    async def predict(self, request: dict[str, Any]) -> list[Any]:
        return [sum(row) for row in request["inputs"]]


def of(kind: type, **options: Any) -> Flow:
    flow = Flow("v2")
    flow.to(kind, name="m1", **options).respond()
    return flow


def asked(body: Any, operation: str = "infer", method: str = "POST") -> Event:
    return Event(body, id="r1", path=f"/v2/models/m1/{operation}".rstrip("/"), method=method)


async def test_39_the_hooks_are_called_in_their_order() -> None:
    """preprocess, validate, predict, postprocess, logged_results; the answer is V2's."""
    flow = of(Doubles, model_path="/models/m1", unit="cm")
    answer = await flow.run(asked({"rows": [1, 2]}))
    stamp = answer.pop("timestamp")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", stamp)
    assert answer == {"id": "r1", "model_name": "m1", "outputs": [2, 4], "unit": "cm"}
    seen = await flow.run(asked({"x": 1}, "trace"))
    hooks = ["preprocess infer", "validate", "predict", "postprocess", "logged_results"]
    assert seen == {"trace": hooks, "body": {"x": 1}, "model": "from /models/m1"}


async def test_39_the_id_of_the_client_is_echoed() -> None:
    """Its own id comes back."""
    assert (await of(Doubles).run(asked({"id": "mine", "inputs": [1]})))["id"] == "mine"


async def test_39_explain() -> None:
    """The operation explain calls explain; a model without one does not have it."""
    assert (await of(Doubles).run(asked({"inputs": [3]}, "explain")))["outputs"] == ["twice 3"]
    with pytest.raises(UnknownRoute, match="model 'm1' has no operation 'explain'; it has infer, predict"):
        await of(Sums).run(asked({"inputs": [[3]]}, "explain"))


async def test_39_operations_are_in_the_path_or_in_the_body() -> None:
    """The end of the URL, behind a version too, or the key operation; nothing is infer."""
    flow = of(Doubles)
    for path, body in (
        ("/v2/models/m1/versions/3/explain", {"inputs": [3]}),
        ("/", {"operation": "explain", "inputs": [3]}),
    ):
        assert (await flow.run(Event(body, path=path)))["outputs"] == ["twice 3"]
    for path in ("/", "/v2/models/m1", "/v2/models/m1/predict"):
        assert (await flow.run(Event({"inputs": [3]}, path=path)))["outputs"] == [6]


async def test_39_unknown_operations_list_what_there_is() -> None:
    """Also what is no operation although the class has it."""
    for operation in ("nope", "load", "../load", "_infer"):
        with pytest.raises(UnknownRoute, match="explain, ready, trace"):
            await of(Doubles).run(asked({"inputs": []}, operation))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, 'Expected key "inputs" in request body'),
        (None, 'Expected key "inputs" in request body'),
        ({"inputs": 3}, 'Expected key "inputs" to be a list'),
        ([1], "the body must be an object"),
        (b"{", "the body is not JSON"),
    ],
)
async def test_39_what_is_no_request(body: Any, message: str) -> None:
    """No inputs, no list, no object, no JSON."""
    with pytest.raises(InvalidInput, match=message):
        await of(Doubles).run(asked(body))


async def test_39_json_text_and_inputs_that_are_objects() -> None:
    """A body may be JSON still; the _dict operations are given objects, which must have the same keys."""
    flow = of(Sums)
    assert (await flow.run(asked(b'{"inputs": [[1, 2]]}')))["outputs"] == [3]
    body = {"inputs": [{"a": 1, "b": 2}, {"b": 20, "a": 10}]}
    assert (await flow.run(asked(body, "infer_dict")))["outputs"] == [3, 30]
    with pytest.raises(InvalidInput, match="input 1 has a, and the first has a, b"):
        await flow.run(asked({"inputs": [{"a": 1, "b": 2}, {"a": 1}]}, "predict_dict"))
    with pytest.raises(InvalidInput, match="takes inputs as objects"):
        await flow.run(asked({"inputs": [1]}, "predict_dict"))


async def test_39_metadata_and_ready() -> None:
    """A GET of the model, and of ready."""
    flow = of(Sums, version="2")
    assert await flow.run(asked(None, "", "GET")) == {"name": "m1", "version": "2", "inputs": [], "outputs": []}
    assert await flow.run(asked(None, "ready", "GET")) == {"name": "m1", "ready": True}
    assert (await flow.run(asked({"inputs": [[1]]})))["model_version"] == "2"


async def test_39_in_a_process_it_is_loaded_there() -> None:
    """load is called where the model runs."""
    flow = of(Where, execution_mechanism="dedicated_process")
    assert (await flow.run(asked({"inputs": [1]})))["outputs"] == [True]
    flow.close()
    assert multiprocessing.active_children() == []


class Where(V2ModelServer):
    def load(self) -> None:
        self.model = os.getpid()

    def predict(self, request: dict[str, Any]) -> list[bool]:
        return [self.model == os.getpid() != os.getppid() for _ in request["inputs"]]


async def test_39_what_is_logged_is_told_to_those_who_watch() -> None:
    """They see what logged_results made of the request and the answer."""
    calls: list[ModelCall] = []

    class Monitor(Instrument):
        def after_model(self, run: Any, event: Event, call: ModelCall) -> None:
            calls.append(call)

    await of(Doubles).run(asked({"inputs": [1]}), hooks=Hooks.of([Monitor()]))
    assert [(call.endpoint.name, call.body, call.result) for call in calls] == [
        ("m1", {"inputs": [1]}, {"outputs": [2]})
    ]


def test_39_a_model_that_does_not_predict_is_refused() -> None:
    """Found when the graph is built."""
    with pytest.raises(InvalidStep, match=r"V2ModelServer has no predict\(request\); write one"):
        of(V2ModelServer).validate()


async def test_39_a_model_may_be_given_as_it_is() -> None:
    """Then it is not loaded."""
    flow = of(Doubles, model="there")
    answer = await flow.run(Event(None, path="/v2/models/m1/ready", method="GET"))
    assert answer["ready"] is True
    instance: Any = flow.plan.nodes["m1"].instance
    assert (instance.model, hasattr(instance, "trace")) == ("there", False)
