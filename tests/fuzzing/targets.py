"""The targets: what reads bytes and documents of others, each with what must hold whatever these are."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import orjson
from hypothesis import strategies as st

from gateway.answers import Api, Ending
from gateway.edge.body import parsed
from gateway.edge.inflate import encoding_of, inflated
from gateway.endpoints.chat import ChatApi
from gateway.endpoints.completions import CompletionsApi
from gateway.endpoints.messages.api import MessagesApi
from gateway.endpoints.messages.request import chat_request as chat_of_messages
from gateway.endpoints.messages.shape import Counted, checked
from gateway.endpoints.responses.items import items_of, shown
from gateway.endpoints.responses.request import ResponsesApi
from gateway.endpoints.v2.chat_parameters import chat_request as chat_of_v2
from gateway.endpoints.v2.framing import split as framed
from gateway.endpoints.v2.generate import Prompt
from gateway.endpoints.v2.request import InferRequest, is_in_tensors
from gateway.endpoints.v2.response import send_tensors
from gateway.errors import BodyTooLarge, InvalidBody, UnknownEncoding
from gateway.faults import Fault
from graph import Event
from llm import ChatChunk, ChatCompletion, ChatRequest, EmbeddingRequest, InvalidRequest, ModelError, Usage
from llm.chat import ToolChoice
from llm.chat.request_checks import model_of
from llm.embedded import Engine, RequestError
from llm.providers.anthropic import AnthropicProvider
from llm.providers.anthropic_request import message_body
from llm.providers.http import encoded
from llm.providers.openai import OpenAIProvider
from llm.providers.openai_apis import chat_body
from llm.providers.openai_completions import completion_body
from llm.providers.openai_responses_request import response_body
from llm.sse import EventParser
from tests.fuzzing import samples
from tests.fuzzing.wires import changed, damaged, split, values

LINE_END = re.compile(rb"\r\n|\r|\n")
PIECES = (
    b"data:",
    b"data: ",
    b"data",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b":",
    b"id: 1",
    b"event: x",
    b"\xef\xbb\xbf",
    b"x",
)


def told(stream: bytes) -> list[bytes]:
    """The data of the events in a stream, by the letter of the specification, and all at once."""
    events: list[bytes] = []
    data: list[bytes] = []
    for line in LINE_END.split(stream.removeprefix(b"\xef\xbb\xbf"))[:-1]:
        name, _, value = line.partition(b":")
        if not line and data:
            events.append(b"\n".join(data))
        if not line:
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" "))
    return events


streams = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=20).map(b"".join)


def sse(reads: Sequence[bytes]) -> None:
    """Whatever the bytes are and wherever reads end, the events are those of the specification."""
    parser = EventParser()
    assert [data for read in reads for data in parser.feed(read)] == told(b"".join(reads))


@dataclass
class Canned:
    """An upstream's answer."""

    status: int
    said: Sequence[bytes]
    kind: str
    headers: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"content-type": self.kind}

    async def read(self) -> bytes:
        return b"".join(self.said)

    async def reads(self) -> AsyncGenerator[bytes, None]:
        for read in self.said:
            yield read

    def leave(self) -> None:
        """It holds nothing."""

    def close(self) -> None:
        """It holds nothing."""


@dataclass(frozen=True)
class Line:
    """A transport over which always the same answer comes."""

    answer: Canned

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Canned:
        return self.answer

    async def close(self) -> None:
        """It holds nothing."""


UPSTREAMS: Mapping[str, tuple[Callable[[Any], Any], Sequence[Any], Sequence[Any]]] = {
    "chat": (
        lambda transport: OpenAIProvider("http://x", transport=transport),
        samples.CHAT_EVENTS,
        samples.CHAT_ANSWERS,
    ),
    "completions": (
        lambda transport: OpenAIProvider("http://x", transport=transport, completions=True),
        samples.COMPLETION_EVENTS,
        samples.COMPLETION_EVENTS,
    ),
    "responses": (
        lambda transport: OpenAIProvider("http://x", transport=transport, api="responses"),
        samples.RESPONSE_EVENTS,
        [samples.RESPONSE],
    ),
    "messages": (
        lambda transport: AnthropicProvider("http://x", transport=transport),
        samples.MESSAGE_EVENTS,
        [samples.MESSAGE],
    ),
}


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, bool, Canned]:
    """An API, whether a stream is asked for, and what its upstream says to that."""
    name = draw(st.sampled_from(sorted(UPSTREAMS)))
    _, events, wholes = UPSTREAMS[name]
    status = draw(st.sampled_from((200, 200, 200, 200, 400, 404, 429, 500)))
    if draw(st.booleans()) and status == 200:
        sent = draw(st.lists(st.sampled_from(events) | changed(events, 2), max_size=6))
        stream = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in sent) + b"data: [DONE]\n\n"
        return name, True, Canned(200, draw(split(draw(st.just(stream) | damaged(stream)))), "text/event-stream")
    whole = orjson.dumps(draw(changed(wholes if status == 200 else [samples.CHAT_EVENTS[-1]]) | values))
    kind = draw(st.sampled_from(("application/json", "text/event-stream", "")))
    return name, draw(st.booleans()), Canned(status, [draw(st.just(whole) | damaged(whole))], kind)


def upstream(answer: tuple[str, bool, Canned]) -> None:
    """Whatever an upstream says, it is an answer that every API can tell, or an error of ours."""
    name, streamed, canned = answer
    provider = UPSTREAMS[name][0](Line(canned))
    request = ChatRequest.of_prompt("m", "hi") if name == "completions" else ChatRequest.of_text("m", "hi")
    request.stream = streamed
    chunks: list[ChatChunk] = []
    error: list[Fault] = []

    async def pull() -> None:
        try:
            async with aclosing(provider.stream("m", request)) as stream:
                chunks.extend([chunk async for chunk in stream])
        except ModelError as failure:
            error.append(Fault.of(failure))

    asyncio.run(pull())
    tell(chunks, error[0] if error else None)


APIS: Sequence[tuple[Api, Any]] = (
    (ChatApi(), samples.CHATS[0]),
    (CompletionsApi(), samples.COMPLETIONS[0]),
    (MessagesApi(), samples.MESSAGES[0]),
    (ResponsesApi(), samples.RESPONSES[0]),
)


def tell(chunks: Sequence[ChatChunk], fault: Fault | None) -> None:
    """Chunks in the words of every API, as events and as a whole answer."""
    usage = sum((chunk.usage for chunk in chunks if chunk.usage is not None), start=Usage())
    for api, body in APIS:
        with suppress(ModelError):
            dialect = api.dialect(Event(api.request(body)), body)
            frames = dialect.begin() + b"".join(map(dialect.chunk, chunks))
            frames += dialect.error(fault) if fault else dialect.end(Ending("stop", usage))
            for data in EventParser().feed(frames):
                assert data == b"[DONE]" or orjson.loads(data) is not None
        with suppress(ModelError):
            dialect = api.dialect(Event(api.request(body)), body)
            orjson.dumps(dialect.whole(ChatCompletion.of(chunks), Ending("stop", usage)))


@st.composite
def framings(draw: st.DrawFn) -> tuple[bytes, str | None]:
    """The body of an infer request and the header that says how long the JSON in it is."""
    document = orjson.dumps(draw(changed(samples.INFERS)))
    document = draw(st.just(document) | damaged(document))
    blobs = draw(st.just(samples.BLOBS) | damaged(samples.BLOBS) | st.sampled_from((b"", samples.BLOBS[:4], b"\0\0")))
    length = draw(st.just(str(len(document))) | st.none() | st.integers(-1, 500).map(str) | st.text(max_size=4))
    return document + (blobs if length is not None else b""), length


def tensors(framing: tuple[bytes, str | None]) -> None:
    """Whatever is sent, it is tensors that can be sent back, and are the same then; or it is refused."""
    with suppress(InvalidBody):
        request = _read(*framing)
        if request is not None:
            sent: list[Any] = []

            async def send(message: Any) -> None:
                sent.append(message)

            asyncio.run(send_tensors(send, request, "m", "", list(request.inputs.values())))
            _check_echo(request, sent)


def _read(body: bytes, length: str | None) -> InferRequest | None:
    document, raw = framed(body, length)
    wire = parsed(document or b"{}")
    if not isinstance(wire, dict) or not is_in_tensors(wire, raw):
        return None
    request = InferRequest.of(wire, raw)
    for tensor in request.inputs.values():
        assert tensor.array().shape == tensor.shape
        with suppress(InvalidBody):
            tensor.rows()
    return request


def _check_echo(request: InferRequest, sent: Sequence[Any]) -> None:
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    body = b"".join(message["body"] for message in sent[1:])
    assert int(headers["content-length"]) == len(body)
    length = headers.get("inference-header-content-length")
    document, raw = framed(body, length)
    wire = orjson.loads(document)
    nulls = any(None in output.get("data", ()) for output in wire["outputs"])  # what is no number has no JSON
    back = (
        InferRequest.of({**wire, "inputs": wire["outputs"], "outputs": None}, raw)
        if wire["outputs"] and not nulls
        else None
    )
    for name, tensor in back.inputs.items() if back is not None else ():
        asked = request.inputs[name]
        assert (tensor.datatype, tensor.shape) == (asked.datatype, asked.shape)
        assert np.array_equal(tensor.array(), asked.array(), equal_nan=tensor.array().dtype.kind == "f")


ENCODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "Identity": bytes,
    "br": bytes,
}


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, str]:
    """The body of a request, and the encoding that it is said to have."""
    document = draw(values.map(orjson.dumps) | changed(samples.CHATS).map(orjson.dumps))
    document = draw(st.just(document) | damaged(document) | st.binary(max_size=40))
    encoding = draw(st.sampled_from(sorted(ENCODERS)))
    sent = ENCODERS[encoding](document)
    return draw(st.just(sent) | damaged(sent)), encoding


def body(sent: tuple[bytes, str]) -> None:
    """Whatever is sent, it is JSON as RFC 8259 has it, which can be written again and is the same then; or it is
    refused."""
    with suppress(InvalidBody, BodyTooLarge, UnknownEncoding):
        whole = inflated(sent[0], encoding_of({"headers": [(b"content-encoding", sent[1].encode())]}), 1_000_000)
        assert len(whole) <= 1_000_000
        value = parsed(whole)
        assert orjson.loads(orjson.dumps(value)) == value
        json.loads(whole, object_pairs_hook=once)


def once(members: list[tuple[str, Any]]) -> None:
    """No object has a name twice."""
    assert len(dict(members)) == len(members)


Asking: TypeAlias = tuple[Callable[[Any], ChatRequest | EmbeddingRequest], Sequence[Any]]


def _responses(body: Any) -> ChatRequest:
    request = ResponsesApi().request(body)
    orjson.dumps(shown(items_of(body), "x"))
    dialect = ResponsesApi().dialect(Event(request), {name: value for name, value in body.items() if value is not None})
    orjson.dumps(dialect.whole(ChatCompletion.of([ChatChunk.text("a")]), Ending("stop", Usage())))
    return request


def _completions(body: Any) -> ChatRequest:
    request = CompletionsApi().request(body)
    for other in (request, *CompletionsApi().others(request, body)[:2]):
        encoded(completion_body("m", other))
    return request.as_chat()


def _embeddings(body: Any) -> EmbeddingRequest:
    model_of(body)
    return EmbeddingRequest.from_wire(body)


def _generate(body: Any) -> ChatRequest:
    prompt = Prompt.of(body, "m", "")
    orjson.dumps(prompt.answer("x"))
    return chat_of_v2("m", prompt.text, prompt.parameters)


def _chat(body: Any) -> ChatRequest:
    request = ChatApi().request(body)
    ChatApi().others(request, body)
    return request


ASKED: Mapping[str, Asking] = {
    "chat": (_chat, samples.CHATS),
    "completions": (_completions, samples.COMPLETIONS),
    "embeddings": (_embeddings, samples.EMBEDDINGS),
    "messages": (MessagesApi().request, samples.MESSAGES),
    "count_tokens": (lambda body: chat_of_messages(checked(body, Counted)), samples.MESSAGES),
    "responses": (_responses, samples.RESPONSES),
    "generate": (_generate, [{"text_input": "a", "parameters": {"max_tokens": 5, "stop": "x"}, "id": "1", "seed": 1}]),
}
requests = st.one_of(
    [st.tuples(st.just(name), changed(documents) | values) for name, (_, documents) in sorted(ASKED.items())]
)


def request(asked: tuple[str, Any]) -> None:
    """Whatever is asked, it can be asked of every upstream and be counted, or it is refused by naming what is wrong."""
    name, document = asked
    with suppress(InvalidRequest, InvalidBody):
        made = ASKED[name][0](parsed(orjson.dumps(document)))
        if isinstance(made, ChatRequest):
            for ask in (chat_body, response_body, message_body):
                with suppress(InvalidRequest):
                    encoded(ask("m", made))
            _ = made.text, made.tool_names, made.calls_of_client, made.gathered


@cache
def _engine() -> Engine:
    return Engine.load()


def schema(asked: tuple[str, Any]) -> None:
    """Whatever schema or tools the embedded model shall follow, it can, or they are refused."""
    kind, document = asked
    engine = _engine()
    with suppress(InvalidRequest, RequestError):
        if kind == "tools":
            made = ChatRequest.from_wire({**samples.CHATS[0], "tools": document})
            choice = ToolChoice.of(made)
            engine.constraint.tools(choice.tools)
            engine.prompt(made.messages, made.tools)
        else:
            engine.constraint.json_schema(document)


@dataclass(frozen=True)
class Target:
    """A property, and what it is tried on."""

    given: st.SearchStrategy[Any]
    check: Callable[[Any], None]


TARGETS: Mapping[str, Target] = {
    "sse": Target(streams.flatmap(split), sse),
    "upstream": Target(answers(), upstream),
    "tensors": Target(framings(), tensors),
    "body": Target(bodies(), body),
    "request": Target(requests, request),
    "schema": Target(
        st.tuples(st.just("tools"), changed([[samples.TOOL], samples.SCHEMAS_OF_TOOLS]))
        | st.tuples(st.just("schema"), changed(samples.SCHEMAS)),
        schema,
    ),
}
