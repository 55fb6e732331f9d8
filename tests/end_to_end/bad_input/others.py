"""What is wrong in requests of the other APIs, and in what they have in common: paths, methods, keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.end_to_end.bad_input.kind import (
    CHAT,
    COMPLETIONS,
    COUNT,
    EMBEDDINGS,
    GENERATE,
    INFER,
    INVALID,
    MESSAGES,
    RESPONSES,
    STREAM,
    TYPE,
    UNSUPPORTED,
    Bad,
)

TURN: Any = {"role": "user", "content": "hi"}


def _message(**members: Any) -> Any:
    return {"model": "up", "max_tokens": 5, "messages": [TURN], **members}


def _block(**block: Any) -> Any:
    return _message(messages=[{"role": "user", "content": [block]}])


_IN_MESSAGES: Mapping[str, tuple[Any, str]] = {
    "a model that is a number": (_message(model=5), "model: "),
    "max_tokens with a point": (_message(max_tokens=1.5), "max_tokens: "),
    "max_tokens that are true": (_message(max_tokens=True), "max_tokens: "),
    "a system that is a number": (_message(system=5), "system"),
    "a block of a type that is a list": (_block(type=["text"]), "messages.0.content.0"),
    "an image with a wrong source": (_block(type="image", source=5), "messages.0.content.0.image.source"),
    "an image of no base64": (
        _block(type="image", source={"type": "base64", "media_type": "image/png", "data": "?"}),
        "messages.0.content.0.image.source",
    ),
    "an image of a file's address": (_block(type="image", source={"type": "url", "url": "file:///x"}), "source"),
    "a schema of text": (_message(tools=[{"name": "f", "input_schema": "x"}]), "tools.0"),
    "a schema with a wrong required": (
        _message(tools=[{"name": "f", "input_schema": {"type": "object", "required": 5}}]),
        "tools.0.custom.input_schema.required",
    ),
    "a tool without a name": (_message(tools=[{"input_schema": {"type": "object"}}]), "tools.0.custom.name"),
    "thinking of text": (_message(thinking="yes"), "thinking"),
    "metadata of text": (_message(metadata="x"), "metadata"),
    "stop sequences of numbers": (_message(stop_sequences=[5]), "stop_sequences.0"),
    "a temperature above one": (_message(temperature=1.1), "temperature"),
    "top_k of text": (_message(top_k="5"), "top_k"),
    "an unknown tier": (_message(service_tier="fast"), "service_tier"),
    "an output format of text": (_message(output_config={"format": "json"}), "output_config.format"),
    "a member of OpenAI's": (_message(n=1), "n: Extra inputs are not permitted"),
}
_COUNTED: Mapping[str, tuple[Any, str]] = {
    "max_tokens of text beside a budget": (
        _message(max_tokens="5", thinking={"type": "enabled", "budget_tokens": 1024}),
        "max_tokens: ",
    ),
    "metadata that is a number": (_message(metadata=5), "metadata"),
    "a tier that is a list": (_message(service_tier=[]), "service_tier"),
    "stop sequences that are a number": (_message(stop_sequences=5), "stop_sequences"),
}
_IN_RESPONSES: Mapping[str, tuple[Any, str | None, str | None]] = {
    "a model with a surrogate pair, unknown": ({"model": "😀", "input": "hi"}, None, "model_not_found"),
    "a member of chats": ({"model": "up", "input": "hi", "messages": []}, "messages", UNSUPPORTED),
    "a text that is a number": ({"model": "up", "input": "hi", "text": 5}, "text", TYPE),
    "a response before it that is a number": (
        {"model": "up", "input": "hi", "previous_response_id": 5},
        "previous_response_id",
        TYPE,
    ),
}
_IN_COMPLETIONS: Mapping[str, tuple[Any, str | None, str | None]] = {
    "a prompt that is an object": ({"model": "up", "prompt": {}}, "prompt", TYPE),
    "an id below zero": ({"model": "up", "prompt": [-1]}, "prompt[0]", "integer_below_min_value"),
    "an id that is true": ({"model": "up", "prompt": [[True]]}, "prompt[0][0]", TYPE),
    "ids in ids in ids": ({"model": "up", "prompt": [[[1]]]}, "prompt[0][0]", TYPE),
    "a suffix that is a list": ({"model": "up", "prompt": "a", "suffix": []}, "suffix", TYPE),
}
_IN_EMBEDDINGS: Mapping[str, tuple[Any, str | None, str | None]] = {
    "an input of objects": ({"model": "demo", "input": [{}]}, "input[0]", TYPE),
    "dimensions that are true": ({"model": "demo", "input": "a", "dimensions": True}, "dimensions", TYPE),
    "an unknown format": ({"model": "demo", "input": "a", "encoding_format": "hex"}, "encoding_format", INVALID),
    "ids beyond the vocabulary": ({"model": "demo", "input": [2**31 - 1]}, "input", INVALID),
}


def _tensor(**members: Any) -> Any:
    return {"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["a"], **members}]}


ECHO = "/v2/models/echo/infer"
_IN_V2: Mapping[str, tuple[str, Any, str]] = {
    "no inputs": (INFER, {}, "inputs"),
    "inputs that are null": (INFER, {"inputs": None}, "inputs"),
    "inputs that are null, of a model of one's own": (ECHO, {"inputs": None}, "inputs"),
    "no inputs, of a model of one's own": (ECHO, {}, "inputs"),
    "inputs that are an object": (INFER, {"inputs": {}}, "'inputs' must be a list"),
    "no input among them": (INFER, {"inputs": []}, "'inputs' must be a list"),
    "rows and tensors": (INFER, {"inputs": ["a", *_tensor()["inputs"]]}, "no mixture"),
    "a tensor without a shape": (INFER, {"inputs": [{"name": "x", "datatype": "BYTES"}]}, "no mixture"),
    "numbers for a chat": (INFER, {"inputs": [5]}, "must be texts"),
    "too many texts": (INFER, {"inputs": ["a"] * 65}, "at most 64"),
    "an id that is a list": (INFER, {"id": [], "inputs": ["a"]}, "'id' must be"),
    "an id with a point": (INFER, {"id": 1.5, "inputs": ["a"]}, "'id' must be"),
    "parameters that are a list": (INFER, {"parameters": [], "inputs": ["a"]}, "parameters of the request"),
    "a parameter that is an object": (INFER, {"parameters": {"a": {}}, "inputs": ["a"]}, "parameters of the request"),
    "messages as a parameter": (
        INFER,
        {"parameters": {"messages": "x"}, "inputs": ["a"]},
        "'messages' is no parameter",
    ),
    "a temperature of text": (INFER, {"parameters": {"temperature": "x"}, "inputs": ["a"]}, "temperature"),
    "a name that is a number": (ECHO, _tensor(name=5), "must be a text"),
    "an unknown datatype": (ECHO, _tensor(datatype="TEXT"), "is not known"),
    "a datatype that is a list": (ECHO, _tensor(datatype=[]), "is not known"),
    "a shape that is a number": (ECHO, _tensor(shape=1), "list of whole numbers"),
    "a shape below zero": (ECHO, _tensor(shape=[-1]), "list of whole numbers"),
    "a shape of true": (ECHO, _tensor(shape=[True]), "list of whole numbers"),
    "a shape with a point": (ECHO, _tensor(shape=[1.0]), "list of whole numbers"),
    "a shape of nine dimensions": (ECHO, _tensor(shape=[1] * 9), "at most 8 dimensions"),
    "a shape beyond all memory": (ECHO, _tensor(shape=[2**40, 2**40]), "fewer than 2^31"),
    "a shape of zeros beyond it": (ECHO, _tensor(shape=[0, 2**62]), "fewer than 2^31"),
    "a shape that is another": (ECHO, _tensor(shape=[2]), "does not match true shape"),
    "no data": (ECHO, _tensor(data=None), "needs 'data'"),
    "data that are text": (ECHO, _tensor(data="a"), "needs 'data'"),
    "numbers in BYTES": (ECHO, _tensor(data=[5]), "must be a text"),
    "text in INT32": (ECHO, _tensor(datatype="INT32"), "no INT32"),
    "true in INT32": (ECHO, _tensor(datatype="INT32", data=[True]), "no INT32"),
    "a point in INT32": (ECHO, _tensor(datatype="INT32", data=[1.0]), "no INT32"),
    "too much for UINT8": (ECHO, _tensor(datatype="UINT8", data=[256]), "out of the range"),
    "too much for FP16": (ECHO, _tensor(datatype="FP16", data=[1e6]), "out of the range"),
    "two inputs of a name": (ECHO, {"inputs": _tensor()["inputs"] * 2}, "the same name"),
    "binary data and no header": (ECHO, _tensor(parameters={"binary_data_size": 5}), "needs the header"),
    "shared memory": (ECHO, _tensor(parameters={"shared_memory_region": "x"}), "is not served"),
    "outputs that are an object": (ECHO, {**_tensor(), "outputs": {}}, "'outputs' must be a list"),
    "outputs that are text": (ECHO, {**_tensor(), "outputs": "x"}, "'outputs' must be a list"),
    "an output twice": (ECHO, {**_tensor(), "outputs": [{"name": "x"}] * 2}, "a 'name' of its own"),
    "an unknown output": (ECHO, {**_tensor(), "outputs": [{"name": "nope"}]}, "there is no output"),
    "an unknown output of a chat": (INFER, {**_tensor(), "outputs": [{"name": "nope"}]}, "there is no output"),
    "binary data that is text": (ECHO, {**_tensor(), "parameters": {"binary_data_output": "x"}}, "true or false"),
    "no model in URL and body": ("/v2/models", {"inputs": ["a"]}, "'model'"),
    "no text to generate from": (GENERATE, {}, "'text_input'"),
    "a text that is a number": (GENERATE, {"text_input": 5}, "'text_input'"),
    "two choices": (GENERATE, {"text_input": "a", "parameters": {"n": 2}}, "n must be 1"),
    "a stop that is true": (STREAM, {"text_input": "a", "stop": True}, "stop"),
    "ready that is text": ("/v2/repository/index", {"ready": "yes"}, "'ready' must be"),
}
_FRAMED: Mapping[str, tuple[str, bytes, str]] = {
    "a header that is text": ("x", b"{}", "must be a whole number"),
    "a header below zero": ("-1", b"{}", "must be a whole number"),
    "a header of 5000 digits": ("1" * 5000, b"{}", "must be a whole number"),
    "a header beyond the body": ("3", b"{}", "the body has 2 bytes"),
    "a header of zero": ("0", b"{}", "raw binary requests are not served"),
    "a header in the middle": ("1", b"{}", "could not parse the JSON body"),
}


def apis() -> Iterator[Bad]:
    """Members of the other APIs."""
    for kind, (body, says) in _IN_MESSAGES.items():
        yield Bad(kind, MESSAGES, body, says=says)
    for kind, (body, says) in _COUNTED.items():
        yield Bad(kind, COUNT, body, says=says)
    for path, table in ((RESPONSES, _IN_RESPONSES), (COMPLETIONS, _IN_COMPLETIONS), (EMBEDDINGS, _IN_EMBEDDINGS)):
        for kind, (body, param, code) in table.items():
            yield Bad(kind, path, body, 404 if code == "model_not_found" else 400, param, code)
    for kind, (path, body, says) in _IN_V2.items():
        yield Bad(kind, path, body, says=says)
    for kind, (length, sent, says) in _FRAMED.items():
        yield Bad(kind, ECHO, sent, says=says, headers={"Inference-Header-Content-Length": length})


_NOWHERE = (
    "/",
    "/v1",
    "/v1/",
    "/v1/nope",
    "/v1//models",
    "/v2/nope",
    "/v2/models/up/versions/1/infer/x",
    "/v1/messages/nope",
    "/v1/chat/completions/",
    "/admin",
    "/admin/nope",
    "/docs",
    "/v1/%6dodelsX",
    "/v1/\u2028",
)
_UNKNOWN = ("/v1/models/nope", "/v1/models/%00", "/v1/models/a%2Fb", "/v2/models/nope", "/v2/models/nope/ready")
_METHODS: Mapping[str, str] = {
    "/v1/models": "POST PUT DELETE PATCH OPTIONS TRACE",
    CHAT: "PUT DELETE PATCH OPTIONS TRACE",
    MESSAGES: "GET PUT DELETE OPTIONS",
    RESPONSES: "GET DELETE OPTIONS",
    INFER: "GET PUT OPTIONS",
    "/v2/health/live": "POST DELETE OPTIONS",
    "/admin/runs": "POST DELETE OPTIONS",
}
_QUERIES = ("limit=0", "limit=101", "limit=x", "limit=1e3", "order=up", "limit=" + "9" * 5000)


def requests() -> Iterator[Bad]:
    """Paths, methods, queries and keys."""
    for path in _NOWHERE:
        yield Bad("a path that is not listed", path, status=404, method="GET", says="Invalid URL")
    for path in _UNKNOWN:
        yield Bad("an unknown model in the path", path, status=404, method="GET", code="model_not_found")
    for path, methods in _METHODS.items():
        for method in methods.split():
            yield Bad(f"{method} where it is not", path, status=405, method=method, code="method_not_supported")
    for query in _QUERIES:
        yield Bad(
            "a wrong query", f"/v1/responses/resp_1/input_items?{query}", method="GET", says=query.partition("=")[0]
        )
    yield Bad("an unknown response", "/v1/responses/resp_1", status=404, method="GET", says="not found")
    yield Bad("a response to cancel", "/v1/responses/resp_1/cancel", status=404, says="not found")
    yield Bad("an unknown run", "/admin/runs/nope", status=404, method="GET")
    yield Bad("an unknown graph", "/admin/graphs/nope", status=404, method="GET", code="model_not_found")
    yield Bad("a version that is none", "/v2/models/up/versions/%00/infer", {"inputs": ["a"]}, 404)
    yield Bad("an operation that is none", "/v2/models/up/%2e%2e%2f", {"inputs": ["a"]}, 404)
    yield Bad("a load with a configuration", "/v2/repository/models/echo/load", {"parameters": {"config": "x"}})
    for path in (CHAT, MESSAGES, INFER, "/admin/runs"):
        method = "GET" if path.startswith("/admin") else "POST"
        wrong: Mapping[str, str] = {"Authorization": "Bearer nope"}
        yield Bad("a wrong key", path, {}, 401, code="invalid_api_key", method=method, headers=wrong)
        yield Bad("two keys", path, {}, 401, method=method, headers={"x-api-key": "other"})
        yield Bad("no key", path, {}, 401, method=method, headers={"Authorization": ""})
        yield Bad("a key of another scheme", path, {}, 401, method=method, headers={"Authorization": "Basic x"})
