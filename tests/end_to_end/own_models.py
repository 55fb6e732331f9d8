"""Models of one's own, for the tests of V2."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from graph import Event, Flow, InvalidInput, ModelRouter, V2ModelServer, VotingEnsemble


class Sums(V2ModelServer):
    """Adds up the features of each row, and what stands in its file."""

    def load(self) -> None:
        with open(str(self.model_path)) as file:
            self.model = float(file.read())

    def predict(self, request: dict[str, Any]) -> list[float]:
        return [sum(row) + self.model for row in request["inputs"]]

    def explain(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"features": [len(row) for row in request["inputs"]]}

    def op_about(self, event: Event) -> dict[str, Any]:
        return {"adds": self.model, "asked": event.body, "by": event.caller, "at": event.path}


class Echo:
    """Knows nothing of Penstock: gives back what it is given."""

    def __init__(self, name: str, shout: bool = False) -> None:
        self.name = name
        self.shout = shout

    def predict(self, inputs: list[Any]) -> list[Any]:
        return [row.upper() if self.shout else row for row in inputs]


class Echoes(V2ModelServer):
    """Gives back the array that it is given."""

    as_arrays = True

    def predict(self, request: dict[str, Any]) -> Any:
        return request["inputs"]


class Tells(V2ModelServer):
    """Says what it is given in forms that are no plain lists of texts."""

    def predict(self, request: dict[str, Any]) -> Any:
        return {"arrays": np.array(request["inputs"]), "told": [Told(str(request["inputs"]))]}

    def op_answers(self, event: Event) -> dict[str, str]:
        return {"answer": event.body["text"]}

    def op_says(self, event: Event) -> str:
        return str(event.body["text"])

    def op_raw(self, event: Event) -> dict[str, Any]:
        return {"raw": event.body["text"].encode(), "told": {Told(event.body["text"])}}


@dataclass(frozen=True)
class Told:
    """What becomes JSON although it is no text, number, list or object."""

    text: str


class Lengths:
    """How long each text is."""

    def predict(self, inputs: list[str]) -> list[int]:
        return [len(text) for text in inputs]


class Later:
    """Predicts in an async def."""

    async def predict(self, inputs: list[Any]) -> list[Any]:
        return [row * 2 for row in inputs]


class Declared(V2ModelServer):
    """Says what its tensors are, and takes them as arrays."""

    as_arrays = True
    inputs = (
        {"name": "a", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "b", "datatype": "INT64", "shape": [-1]},
    )
    outputs = (
        {"name": "product", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "big", "datatype": "BOOL", "shape": [-1]},
    )

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        product = request["inputs"]["a"] * request["inputs"]["b"][:, None]
        biggest = product.max(axis=1)
        return {"product": product, "label": [f"<{number:g}>" for number in biggest], "big": biggest > 10}


class Picky(V2ModelServer):
    """Fails, in its own words or with a mistake; or gives back what is no row of numbers."""

    def predict(self, request: dict[str, Any]) -> Any:
        wanted = request["inputs"][0]
        if wanted == "refuse":
            raise InvalidInput("three features, please")
        if wanted == "fail":
            raise ZeroDivisionError("a secret of the model")
        return {"rows": [{"a": 1}, [1, "b"]], "none": np.array([float("nan")]), "raw": [b"\xff"]}[wanted]


class Meets:
    """Answers when two requests are in it."""

    def __init__(self) -> None:
        self.both = threading.Barrier(2)

    def predict(self, inputs: list[Any]) -> list[Any]:
        self.both.wait(20)
        return inputs


class NotLoading:
    """Cannot be loaded."""

    def load(self, path: str) -> None:
        raise OSError(f"nothing at {path}")

    def predict(self, inputs: Any) -> Any:
        return inputs


class NotPredicting:
    """Has no predict."""


def zoo() -> Flow:
    """A graph that is a router of models."""
    flow = Flow("zoo")
    flow.to(ModelRouter({"double": Doubles, "negative": Negative}), name="router").respond()
    return flow


def votes() -> Flow:
    """A graph in which models vote."""
    flow = Flow("votes")
    flow.to(VotingEnsemble({"double": Doubles, "negative": Negative}), name="votes").respond()
    return flow


class Doubles(V2ModelServer):
    """Twice the row."""

    def predict(self, request: dict[str, Any]) -> list[Any]:
        return [row * 2.0 for row in request["inputs"]]


class Negative(V2ModelServer):
    """The row with the other sign."""

    def predict(self, request: dict[str, Any]) -> list[Any]:
        return [-row for row in request["inputs"]]
