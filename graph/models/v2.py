"""The URLs and bodies of the V2 protocol, in MLRun's loose form, as steps see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

from graph.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

PREFIX = "/v2/models"
INFER = ("infer", "predict", "infer_dict", "predict_dict")
"""Operations that predict; those with ``_dict`` are given inputs as objects."""


@dataclass(frozen=True, slots=True)
class Address:
    """What ``<prefix>/<model>[/versions/<version>][/<operation>]`` names; empty where it does not say."""

    model: str = ""
    version: str = ""
    operation: str = ""

    @classmethod
    def of(cls, path: str, prefix: str = PREFIX) -> Address:
        """What a path names, percent-encoded or not; nothing where it is not below the prefix."""
        inside = path == prefix or path.startswith(f"{prefix}/")
        segments = [unquote(part) for part in path[len(prefix) :].split("/") if part] if inside else []
        model, rest = (segments[0], segments[1:]) if segments else ("", [])
        version = ""
        if len(rest) > 1 and rest[0] == "versions":
            version, rest = rest[1], rest[2:]
        return cls(model, version, "/".join(rest))


def parsed(body: Any) -> dict[str, Any]:
    """The object in a body, which may be JSON text still; no body is an empty object.

    Raises:
        InvalidInput: when it is no object.
    """
    if isinstance(body, (bytes, str)):
        try:
            body = orjson.loads(body or b"{}")
        except orjson.JSONDecodeError as error:
            raise InvalidInput(f"the body is not JSON: {error}") from None
    if body is None:
        return {}
    if not isinstance(body, Mapping):
        raise InvalidInput(f'the body must be an object such as {{"inputs": [...]}}, not a {type(body).__name__}')
    return dict(body)


def as_lists(inputs: list[Any]) -> list[list[Any]]:
    """Inputs that came as objects, as lists of their values in the order of the first one's keys.

    Raises:
        InvalidInput: when they are no objects, or do not have the same keys.
    """
    if not all(isinstance(row, Mapping) for row in inputs):
        raise InvalidInput("this operation takes inputs as objects; use infer for lists")
    keys = list(inputs[0]) if inputs else []
    for number, row in enumerate(inputs):
        if set(row) != set(keys):
            own, first = (", ".join(sorted(map(str, names))) for names in (row, keys))
            raise InvalidInput(f"input {number} has {own}, and the first has {first}")
    return [[row[key] for key in keys] for row in inputs]


def as_array(inputs: list[Any]) -> np.ndarray[Any, Any]:
    """Inputs as a NumPy array; what are no numbers is an array of objects.

    Raises:
        InvalidInput: when the rows do not have the same length.
    """
    import numpy as np  # noqa: PLC0415 - most gateways do without

    try:
        array = np.array(inputs)
        return array if array.dtype.kind in "biuf" else np.array(inputs, object)
    except ValueError:
        raise InvalidInput("the rows of inputs must all have the same length") from None


def named_in(body: Any) -> Address:
    """What the keys ``model``, ``version`` and ``operation`` of a body name."""
    fields = parsed(body) if isinstance(body, bytes) else body
    if not isinstance(fields, Mapping):
        return Address()
    return Address(*(str(fields.get(key) or "") for key in ("model", "version", "operation")))


def response_of(request: Mapping[str, Any], name: str, version: str, outputs: Any, moment: datetime) -> dict[str, Any]:
    """The answer to an inference request; its ``id`` is the client's, where it sent one, its ``timestamp`` in UTC."""
    timestamp = moment.strftime("%Y-%m-%d %H:%M:%S.%f")
    answer = {"id": request["id"], "model_name": name, "outputs": outputs, "timestamp": timestamp}
    return {**answer, "model_version": version} if version else answer
