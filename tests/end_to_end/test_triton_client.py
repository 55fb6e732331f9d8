"""V2 with NVIDIA's own clients, tritonclient[http], sync and aio: tensors as JSON and as binary data, and curl."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from llm.testing.upstream import answer
from tests.end_to_end.test_own_models import row, serving_models
from tests.serving import Gateway, serving_upstream

ARRAYS = [
    np.array([[True, False]]),
    *(np.array([[1, 2], [3, 100]], kind) for kind in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8")),
    np.array([["ä", "b"]], object),
]


def tensor(name: str, array: Any, *, binary: bool) -> triton.InferInput:
    made = triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def outputs(*names: str, binary: bool) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def blocking(address: str) -> triton.InferenceServerClient:
    return triton.InferenceServerClient(address.removeprefix("http://"))


def aio(gateway: Gateway) -> triton_aio.InferenceServerClient:
    return triton_aio.InferenceServerClient(gateway.address.removeprefix("http://"))


def as_text(array: Any) -> list[Any]:
    return [value.decode() if isinstance(value, bytes) else value for value in array.reshape(-1).tolist()]


@pytest.mark.parametrize("asked", [True, False, None], ids=["binary out", "json out", "no outputs named"])
@pytest.mark.parametrize("sent", [True, False], ids=["binary in", "json in"])
async def test_every_datatype_comes_back(sent: bool, asked: bool | None) -> None:
    """A model that echoes gives back what it was given, in whatever form it goes and comes, with the client's id."""
    async with serving_models(row("echo", "Echoes")) as gateway, aio(gateway) as client:
        for array in ARRAYS:
            wanted = None if asked is None else outputs("output", binary=asked)
            answered = await client.infer(
                "echo", [tensor("x", array, binary=sent)], outputs=wanted, request_id="7", headers={}
            )
            back = answered.as_numpy("output")
            assert back.shape == array.shape
            assert back.dtype == array.dtype
            assert as_text(back) == as_text(array)
            assert answered.get_response()["id"] == "7"


async def test_the_blocking_client() -> None:
    """It sends no Content-Type at all; several inputs, one of them JSON; several outputs, one of them JSON."""

    def asked(address: str) -> Any:
        with blocking(address) as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("declared")
            assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
            assert client.get_model_metadata("declared")["inputs"][0]["shape"] == [-1, 2]
            a = tensor("a", np.array([[1, 2], [3, 4]], np.float32), binary=True)
            b = tensor("b", np.array([2, 3]), binary=False)
            wanted = [*outputs("product", "big", binary=True), *outputs("label", binary=False)]
            answered = client.infer("declared", [a, b], outputs=wanted)
            small = client.infer("declared", [a, b], request_compression_algorithm="gzip")
            assert small.as_numpy("big").tolist() == [False, True]
            return answered

    async with serving_models(row("declared", "Declared")) as gateway:
        answered = await asyncio.to_thread(asked, gateway.address)
    assert answered.as_numpy("product").tolist() == [[2, 4], [9, 12]]
    assert answered.as_numpy("label").tolist() in (["<4>", "<12>"], [b"<4>", b"<12>"])
    assert answered.as_numpy("big").tolist() == [False, True]
    forms = {output["name"]: "data" in output for output in answered.get_response()["outputs"]}
    assert forms == {"product": False, "big": False, "label": True}


async def test_the_repository_and_errors_of_the_client(tmp_path: Path) -> None:
    """Load, unload and index; every error has words, since it is a string."""
    path = tmp_path / "ten.txt"
    path.write_text("10")
    async with serving_models(row("sums", "Sums", path=str(path), version="3")) as gateway, aio(gateway) as client:
        await client.unload_model("sums")
        assert not await client.is_model_ready("sums")
        assert (await client.get_model_repository_index())[0]["state"] == "UNAVAILABLE"
        await client.load_model("sums")
        assert await client.is_model_ready("sums", "3")
        numbers = tensor("x", np.array([[1.0]]), binary=True)
        answered = await client.infer("sums", [numbers], model_version="3")
        assert answered.as_numpy("output").tolist() == [11.0]
        assert answered.get_response()["model_version"] == "3"
        with pytest.raises(InferenceServerException, match="has no version '4'"):
            await client.infer("sums", [numbers], model_version="4")
        with pytest.raises(InferenceServerException, match="is loaded as the settings say"):
            await client.load_model("sums", config="{}")
        with pytest.raises(InferenceServerException, match="does not exist"):
            await client.get_model_metadata("nope")
        with pytest.raises(InferenceServerException):
            await client.get_inference_statistics("sums")


async def test_a_chat_model_as_a_v2_model() -> None:
    """BYTES in, text out; parameters of the request are those of the chat."""
    async with serving_upstream(answer("A"), answer("A")) as (gateway, upstream), aio(gateway) as client:
        texts = tensor("text", np.array(["a", "b"], object), binary=True)
        answered = await client.infer("up", [texts], parameters={"max_tokens": 7}, timeout=1000000)
    assert as_text(answered.as_numpy("text")) == ["A", "A"]
    assert [sorted(received.body) for received in upstream.received] == [["max_tokens", "messages", "model"]] * 2


@pytest.mark.parametrize(
    ("length", "body", "message"),
    [
        ("x", b"{}", "must be a whole number"),
        ("-1", b"{}", "must be a whole number"),
        ("9" * 30, b"{}", "must be a whole number"),
        ("3", b"{}", "the body has 2 bytes"),
        ("0", b"{}", "raw binary requests are not served"),
        ("1", b"{}", "could not parse"),
        ("2", b"{}ab", "'inputs' must be a list"),
        (
            None,
            b'{"inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}]}ab',
            "2 bytes are left over",
        ),
        (None, b'{"inputs": [INPUT]}\x01', "so many bytes are not there"),
        (None, b'{"inputs": [INPUT]}\x01\x02\x03', "1 bytes are left over"),
        (None, b'{"inputs": [INPUT, "a"]}\x01\x02', "no mixture"),
        (None, b'{"inputs": ["a"]}', "no mixture"),
    ],
)
async def test_frames_that_do_not_hold_are_refused(length: str | None, body: bytes, message: str) -> None:
    """The header, the sizes and the rest are checked; all of it is a 400."""
    given = b'{"name": "x", "shape": [2], "datatype": "INT8", "parameters": {"binary_data_size": 2}}'
    body = body.replace(b"INPUT", given)
    length = length or str(body.rindex(b"}") + 1)
    async with serving_models(row("echo", "Echo")) as gateway:
        headers = {"Inference-Header-Content-Length": length}
        status, _, told = await gateway.post("/v2/models/echo/infer", body, **headers)
    assert (status, message in told["error"]) == (400, True), told


async def test_the_type_of_a_body_says_nothing() -> None:
    """JSON is read as JSON whatever it is called, and so are frames."""
    async with serving_models(row("echo", "Echo")) as gateway:
        for kind in ("application/octet-stream", "text/plain", "application/json; charset=latin-1", "nonsense"):
            status, _, body = await gateway.post("/v2/models/echo/infer", b'{"inputs": [1]}', **{"Content-Type": kind})
            assert (status, body["outputs"]) == (200, [1])


async def test_curl() -> None:
    """Both forms, typed by hand."""

    def curl(*arguments: str) -> str:
        return subprocess.run(["curl", "-s", *arguments], check=True, capture_output=True, text=True).stdout

    async with serving_models(row("echo", "Echo")) as gateway:
        url = f"{gateway.address}/v2/models/echo/infer"
        rows = await asyncio.to_thread(curl, url, "-d", '{"id": "1", "inputs": [[1, 2]]}')
        given = '{"name": "x", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]}'
        tensors = await asyncio.to_thread(curl, url, "-d", f'{{"inputs": [{given}]}}')
    assert rows.startswith('{"id":"1","model_name":"echo","outputs":[[1,2]],"timestamp":"')
    assert tensors == (
        '{"model_name":"echo","outputs":[{"name":"output","shape":[1,2],"datatype":"INT64","data":[1,2]}]}'
    )
