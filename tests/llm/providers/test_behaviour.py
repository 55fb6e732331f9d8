"""What every provider must do alike: those behind HTTP against a real socket that speaks their API, that of models of
transformers' and the embedded one against a model that recites a script.

What is asked of ``anyone`` holds for all. What is asked of an ``api`` does not apply to a model in this process: it has
no key and no name upstream that could be sent, no status, no Retry-After, no error events and no bytes that a network
could cut or garble, nobody to time out or not be there, ids of calls are made here, stop strings are found here
(``test_huggingface.py``, ``test_generation.py``), and it always streams, so that a whole answer is the same
answer collected.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeAlias

import pytest

from llm import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    InvalidRequest,
    ModelProvider,
    UpstreamBrokeOff,
    UpstreamCredentialsRefused,
    UpstreamError,
    UpstreamGarbled,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamRequestRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
    collect,
)
from llm.chat.completion import ToolCall
from llm.embedded.template import encode
from llm.http1.transport import HttpTransport
from llm.providers.anthropic import AnthropicProvider
from llm.providers.huggingface import HuggingFaceProvider
from llm.providers.openai import OpenAIProvider
from llm.testing import ANTHROPIC, OPENAI, RESPONSES, Call, Cut, Dialect, Hang, Json, Pause, ScriptedUpstream, Stream
from llm.testing.upstream import Piece, Reply
from llm.transport import Timeouts
from tests.llm.providers.reciting_embedded import TOKENIZER, WAIT, RecitingProvider, ids_of

KEY = "sk-of-the-gateway"
CALLS = (Call("call_a", "f", '{"x":1}'), Call("call_b", "g", "{}"))
CALLED = [ToolCall("call_a", "f", '{"x":1}'), ToolCall("call_b", "g", "{}")]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"x": {}}}}}
    for name in "fg"
]


class Gate(Protocol):
    """A place where a model waits until the test goes on."""

    def set(self) -> None: ...
    def is_set(self) -> bool: ...


@dataclass(frozen=True)
class Said:
    """An answer that a script makes: words, or calls, or a wait and more words."""

    words: str = ""
    calls: tuple[Call, ...] = ()
    gate: Gate | None = None
    more: str = ""
    reason: str = "stop"
    stream: bool = True
    """Whether it answers a request for a stream; models in this process always stream."""

    @property
    def broken(self) -> bool:
        """Whether the model fails behind its words."""
        return self.reason == "broken"

    @property
    def written_calls(self) -> list[str]:
        """The calls as models of the embedded one's template write them."""
        return [json.dumps({"name": call.name, "arguments": json.loads(call.arguments)}) for call in self.calls]


@dataclass(frozen=True)
class Api:
    """An API: who speaks it, and what its upstreams say."""

    dialect: Dialect
    make: Callable[..., ModelProvider]

    @asynccontextmanager
    async def upstream(
        self, *replies: Reply, read: float = 60.0
    ) -> AsyncGenerator[tuple[ScriptedUpstream, ModelProvider], None]:
        """A scripted upstream, and a provider that talks to it."""
        async with ScriptedUpstream(*replies) as server:
            provider = self.make(server.base_url, KEY, HttpTransport(Timeouts(read=read)))
            try:
                yield server, provider
            finally:
                await provider.close()

    def cut_up(self, stream: Stream) -> bytes:
        """A stream as the bytes that it is."""
        return b"".join(piece for piece in stream.pieces if isinstance(piece, bytes))

    def gate(self) -> Gate:
        """A place to wait at."""
        return Pause()

    @asynccontextmanager
    async def saying(self, *answers: Said) -> AsyncGenerator[ModelProvider, None]:
        """A provider whose upstream says this."""
        async with self.upstream(*map(self._reply, answers)) as (_, provider):
            yield provider

    def _reply(self, said: Said) -> Reply:
        if not said.stream:
            return self.dialect.answer(said.words, *said.calls, finish_reason=said.reason)
        words = [said.words] if said.words else []
        first = self.dialect.words(*words) if words or not said.calls else self.dialect.opening()
        wait = [said.gate] if isinstance(said.gate, Pause) else []
        more = self.dialect.word_pieces([said.more]) if said.more else []
        calls = self.dialect.call_pieces(said.calls, whole=False)
        end = [self.dialect.fault()] if said.broken else self.dialect.end(said.reason)
        return Stream([*first, *wait, *more, *calls, *end])


class Local:
    """Models of transformers'."""

    def gate(self) -> Gate:
        """A place to wait at."""
        from tests.llm.providers import reciting  # noqa: PLC0415 - imports torch

        reciting.GATE.clear()
        return reciting.GATE

    @asynccontextmanager
    async def saying(self, *answers: Said) -> AsyncGenerator[ModelProvider, None]:
        """A provider whose model says this."""
        from tests.llm.providers import reciting  # noqa: PLC0415 - imports torch

        script = [list(self._ids(said)) for said in answers]
        cut = answers[0].reason == "length"
        with TemporaryDirectory() as folder:
            reciting.save(Path(folder), script, ends=not (cut or answers[0].broken))
            limit = len(script[0]) if cut else 100
            provider = HuggingFaceProvider(folder, max_tokens=limit)
            try:
                await provider.start()
                yield provider
            finally:
                reciting.GATE.set()
                await provider.close()

    def _ids(self, said: Said) -> Iterator[int]:
        from tests.llm.providers import reciting  # noqa: PLC0415 - imports torch

        calls = "".join(f"<|tool_call|>{call}" for call in said.written_calls)
        yield from reciting.ids_of(said.words + calls)
        yield from [reciting.WAIT] if said.gate else []
        yield from reciting.ids_of(said.more)


class Embedded:
    """The model that comes along, its weights apart."""

    def __init__(self) -> None:
        self._gate = threading.Event()

    def gate(self) -> Gate:
        """A place to wait at."""
        self._gate.clear()
        return self._gate

    @asynccontextmanager
    async def saying(self, *answers: Said) -> AsyncGenerator[ModelProvider, None]:
        """A provider whose model says this; an answer that is cut off ends where the context does."""
        cut = answers[0].reason == "length"
        ends = not (cut or answers[0].broken)
        script = [list(self._ids(said)) for said in answers]
        context = 512 if not cut else len(encode(TOKENIZER, asked().messages, None, 100)) + len(script[0])
        provider = RecitingProvider(script, self._gate, ends=ends, context=context)
        try:
            await provider.start()
            yield provider
        finally:
            self._gate.set()
            await provider.close()

    def _ids(self, said: Said) -> Iterator[int]:
        yield from ids_of(said.words, said.written_calls)
        yield from [WAIT] if said.gate else []
        yield from ids_of(said.more, [])


Anyone: TypeAlias = Api | Local | Embedded


def azure(base_url: str, key: str, transport: HttpTransport) -> OpenAIProvider:
    return OpenAIProvider(base_url, key, transport, api_version="2024-10-21")


def responses(base_url: str, key: str, transport: HttpTransport) -> OpenAIProvider:
    return OpenAIProvider(base_url, key, transport, api="responses")


APIS = [
    pytest.param(Api(OPENAI, OpenAIProvider), id="openai"),
    pytest.param(Api(OPENAI, azure), id="azure"),
    pytest.param(Api(RESPONSES, responses), id="responses"),
    pytest.param(Api(ANTHROPIC, AnthropicProvider), id="anthropic"),
]
LOCAL = [
    pytest.mark.huggingface,
    pytest.mark.filterwarnings("default"),  # those of torch and transformers are not ours
]


ANYONE = [
    *APIS,
    pytest.param(Local(), id="huggingface", marks=LOCAL),
    pytest.param(Embedded(), id="embedded"),
]


@pytest.fixture(params=ANYONE)
def anyone(request: pytest.FixtureRequest) -> Anyone:
    return installed(request)


def installed(request: pytest.FixtureRequest) -> Anyone:
    """Who is asked, if what it needs is there."""
    if isinstance(request.param, Local):
        pytest.importorskip("torch", reason="needs the extra huggingface")
        pytest.importorskip("transformers", reason="needs the extra huggingface")
    made: Anyone = request.param
    return made


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Api:
    made: Api = request.param
    return made


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def asked(*, stream: bool = True, **parameters: Any) -> ChatRequest:
    return ChatRequest("served-name", [{"role": "user", "content": "hi"}], parameters, stream=stream)


async def answered(provider: ModelProvider, *, stream: bool = True, **parameters: Any) -> ChatCompletion:
    return await collect(provider.stream("upstream-model", asked(stream=stream, **parameters)))


async def read(provider: ModelProvider, into: list[ChatChunk], *, stream: bool = True) -> None:
    async with aclosing(provider.stream("upstream-model", asked(stream=stream))) as chunks:
        async for chunk in chunks:
            into.append(chunk)


async def test_text(api: Api, stream: bool) -> None:
    """Words, why they ended, what they cost; and the upstream is asked for its own model with the gateway's key."""
    reply: Reply = api.dialect.text("Hel", "lo") if stream else api.dialect.answer("Hello")
    async with api.upstream(reply) as (server, provider):
        completion = await answered(provider, stream=stream, temperature=0)
    assert (completion.content, completion.finish_reason) == ("Hello", "stop")
    assert completion.usage is not None
    assert completion.usage.source == "real"
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (7, 3)
    sent = server.received[0]
    assert (sent.body["model"], sent.body["temperature"], sent.body.get("stream", False)) == (
        "upstream-model",
        0,
        stream,
    )
    assert any(KEY in value for value in sent.headers.values())


async def test_words_come_when_they_are_said(anyone: Anyone) -> None:
    """They are there before the model has gone on."""
    gate, said = anyone.gate(), ""
    async with (
        anyone.saying(Said("Hel", gate=gate, more="lo")) as provider,
        aclosing(provider.stream("upstream-model", asked())) as chunks,
    ):
        async for chunk in chunks:
            said += chunk.content or ""
            if said == "Hel":
                assert not gate.is_set()
                gate.set()
            last = chunk
    assert said == "Hello"
    assert gate.is_set()
    assert last.usage is not None
    assert last.usage.source == "real"
    assert last.usage.completion_tokens > 0


@pytest.mark.parametrize("number", [1, 2], ids=["one", "parallel"])
async def test_tool_calls_stream(anyone: Anyone, number: int) -> None:
    """Each call has its index, an id of its own and its name, once, before its arguments, which come in pieces."""
    async with (
        anyone.saying(Said(calls=CALLS[:number], reason="tool_calls")) as provider,
        aclosing(provider.stream("upstream-model", asked(tools=TOOLS))) as stream,
    ):
        chunks = [chunk async for chunk in stream]
    deltas = [delta for chunk in chunks for delta in chunk.tool_calls]
    assert [(delta.index, delta.name) for delta in deltas if delta.name] == [(0, "f"), (1, "g")][:number]
    assert [delta.index for delta in deltas if delta.id] == [*range(number)]
    assert len({delta.id for delta in deltas if delta.id}) == number
    assert len([delta for delta in deltas if delta.index == 0 and delta.arguments]) > 1
    completion = ChatCompletion.of(chunks)
    made, wanted = completion.tool_calls, CALLED[:number]
    assert [(call.name, json.loads(call.arguments)) for call in made] == [
        (call.name, json.loads(call.arguments)) for call in wanted
    ]
    assert (completion.content, completion.finish_reason) == ("", "tool_calls")


async def test_the_tool_loop(anyone: Anyone) -> None:
    """The assistant's message goes back as it came out, with the tools' answers after it, and the model goes on."""
    async with anyone.saying(Said(calls=CALLS, reason="tool_calls"), Said("42")) as provider:
        first = await answered(provider, tools=TOOLS)
        results = [{"role": "tool", "tool_call_id": call.id, "content": "42"} for call in first.tool_calls]
        history = [{"role": "user", "content": "hi"}, first.message(), *results]
        request = ChatRequest("m", history, {"tools": TOOLS}, stream=True)
        second = await collect(provider.stream("upstream-model", request))
    assert second.content == "42"
    assert len(results) == 2


@pytest.mark.parametrize("reason", ["stop", "length"])
async def test_why_a_stream_ended(anyone: Anyone, reason: str) -> None:
    """OpenAI's words, whoever runs the model."""
    async with anyone.saying(Said("Hi there", reason=reason)) as provider:
        completion = await answered(provider)
    assert (completion.content, completion.finish_reason) == ("Hi there", reason)


async def test_a_request_that_cannot_be_read(anyone: Anyone) -> None:
    """A lone surrogate is the caller's fault, and no model is asked."""
    async with anyone.saying(Said("Hi")) as provider:
        with pytest.raises(InvalidRequest):
            await collect(provider.stream("m", ChatRequest.of_text("m", "\ud800")))
        assert (await answered(provider)).content == "Hi"


async def test_who_leaves_disturbs_nobody(anyone: Anyone) -> None:
    """The next answer is the next answer."""
    gate = anyone.gate()
    async with anyone.saying(Said("Hel", gate=gate, more="lo"), Said("Bye")) as provider:
        async with aclosing(provider.stream("upstream-model", asked())) as chunks:
            await anext(chunks)
        gate.set()
        assert (await answered(provider)).content == "Bye"


@pytest.mark.parametrize("whole", [False, True], ids=["in pieces", "whole call in one delta"])
@pytest.mark.parametrize("number", [1, 2], ids=["one", "parallel"])
async def test_tool_calls_keep_their_ids(api: Api, number: int, whole: bool) -> None:
    """Those of the upstream, however it cuts a call into deltas."""
    async with api.upstream(api.dialect.calls(*CALLS[:number], whole=whole)) as (_, provider):
        chunks: list[ChatChunk] = []
        await read(provider, chunks)
    deltas = [delta for chunk in chunks for delta in chunk.tool_calls]
    assert [(delta.index, delta.id) for delta in deltas if delta.id] == [(0, "call_a"), (1, "call_b")][:number]
    assert ChatCompletion.of(chunks).tool_calls == CALLED[:number]


async def test_tool_calls_of_a_whole_answer(api: Api) -> None:
    """Also beside text."""
    async with api.upstream(api.dialect.answer("Wait.", *CALLS, finish_reason="tool_calls")) as (_, provider):
        completion = await answered(provider, stream=False)
    assert (completion.content, completion.tool_calls) == ("Wait.", CALLED)
    assert completion.finish_reason == "tool_calls"


async def test_the_tool_loop_goes_back(api: Api) -> None:
    """The assistant's message goes back as it came out, with the tools' answers after it."""
    async with api.upstream(api.dialect.calls(*CALLS), api.dialect.text("42")) as (server, provider):
        first = await answered(provider)
        results = [{"role": "tool", "tool_call_id": call.id, "content": "42"} for call in first.tool_calls]
        history = [{"role": "user", "content": "hi"}, first.message(), *results]
        second = await collect(provider.stream("upstream-model", ChatRequest("m", history, {}, stream=True)))
    assert second.content == "42"
    body = server.received[1].body
    said = str(body.get("messages", body.get("input")))
    assert said.count("call_a") == said.count("call_b") == 2


@pytest.mark.parametrize("reason", ["stop", "length"])
async def test_why_it_ended(api: Api, stream: bool, reason: str) -> None:
    """OpenAI's words, whatever the upstream's are."""
    streamed = Stream([*api.dialect.words("Hi"), *api.dialect.end(reason)])
    reply: Reply = streamed if stream else api.dialect.answer("Hi", finish_reason=reason)
    async with api.upstream(reply) as (_, provider):
        assert (await answered(provider, stream=stream)).finish_reason == reason


@pytest.mark.parametrize("stop", ["END", ["END", "STOP"]], ids=["a string", "a list"])
async def test_stop_strings_reach_the_upstream(api: Api, stop: Any) -> None:
    """In either form."""
    async with api.upstream(api.dialect.text("Hi")) as (server, provider):
        await answered(provider, stop=stop)
    body = server.received[0].body
    sent = body.get("stop", body.get("stop_sequences"))
    assert ([sent] if isinstance(sent, str) else sent) == ([stop] if isinstance(stop, str) else stop)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, UpstreamRequestRefused),
        (401, UpstreamCredentialsRefused),
        (402, UpstreamQuotaExceeded),
        (403, UpstreamCredentialsRefused),
        (404, UpstreamRequestRefused),
        (413, UpstreamRequestRefused),
        (429, UpstreamRateLimited),
        (500, UpstreamUnavailable),
        (503, UpstreamUnavailable),
        (504, UpstreamTimeout),
        (529, UpstreamUnavailable),
    ],
)
async def test_errors_before_the_first_chunk(
    api: Api, stream: bool, status: int, expected: type[UpstreamError]
) -> None:
    """Each status has its error; how long to wait is kept; keys are never repeated."""
    async with api.upstream(api.dialect.error(status, "sk-123" if status in (401, 403) else "no")) as (_, provider):
        chunks: list[ChatChunk] = []
        with pytest.raises(expected) as raised:
            await read(provider, chunks, stream=stream)
    assert (chunks, raised.value.upstream_status) == ([], status)
    assert "sk-" not in f"{raised.value!r}{raised.value}"


async def test_how_long_to_wait(api: Api) -> None:
    """A Retry-After is kept, in seconds."""
    async with api.upstream(api.dialect.error(429, headers={"retry-after": "3"})) as (_, provider):
        with pytest.raises(UpstreamRateLimited) as raised:
            await answered(provider)
    assert raised.value.retry_after == 3


async def test_an_error_after_the_first_chunk(api: Api) -> None:
    """What was said is kept, and then it is an error and no end."""
    async with api.upstream(Stream([*api.dialect.words("Hel"), api.dialect.fault()])) as (_, provider):
        chunks: list[ChatChunk] = []
        with pytest.raises(UpstreamUnavailable):
            await read(provider, chunks)
    assert ChatCompletion.of(chunks).content == "Hel"
    assert ChatCompletion.of(chunks).finish_reason is None


@pytest.mark.parametrize("end", [[], [Cut()]], ids=["clean end of file", "connection cut"])
async def test_a_stream_that_breaks_off(api: Api, end: list[Piece]) -> None:
    """A cut answer is never passed off as a whole one."""
    async with api.upstream(Stream([*api.dialect.words("Hel"), *end])) as (_, provider):
        chunks: list[ChatChunk] = []
        with pytest.raises(UpstreamBrokeOff):
            await read(provider, chunks)
    assert ChatCompletion.of(chunks).content == "Hel"


@pytest.mark.parametrize("api", [api for api in APIS if api.id != "responses"], indirect=True)
async def test_a_stream_whose_last_event_is_missing_is_whole_when_it_said_why_it_ended(api: Api) -> None:
    """Some upstreams forget it."""
    async with api.upstream(Stream(api.dialect.text("Hi").pieces[:-1])) as (_, provider):
        assert (await answered(provider)).finish_reason == "stop"


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"object": "list"}', b"<html>"])
async def test_garbage_is_told_from_an_answer(api: Api, stream: bool, body: bytes) -> None:
    """An answer of another shape is the upstream's error."""
    async with api.upstream(Json(body)) as (_, provider):
        with pytest.raises(UpstreamGarbled):
            await answered(provider, stream=stream)


async def test_garbage_inside_a_stream(api: Api) -> None:
    """An event that is no JSON ends it."""
    async with api.upstream(Stream([*api.dialect.words("Hi"), b"data: {broken\n\n"])) as (_, provider):
        with pytest.raises(UpstreamGarbled):
            await answered(provider)


async def test_a_whole_answer_where_a_stream_was_asked_for(api: Api) -> None:
    """An upstream that cannot stream is taken at its word."""
    async with api.upstream(api.dialect.answer("Hello")) as (_, provider):
        assert (await answered(provider)).content == "Hello"


async def test_leaving_a_stream_closes_the_connection(api: Api) -> None:
    """Whoever stops reading ends the upstream's work at once."""
    async with api.upstream(Stream([*api.dialect.words("Hi"), Hang()])) as (server, provider):
        async with aclosing(provider.stream("upstream-model", asked())) as chunks:
            await anext(chunks)
            assert not server.left.is_set()
        await asyncio.wait_for(server.left.wait(), 5)


async def test_being_cancelled_while_waiting_closes_the_connection(api: Api, stream: bool) -> None:
    """Also during the time to the first token, and in calls that are not streamed."""
    async with api.upstream(Hang()) as (server, provider):
        task = asyncio.create_task(answered(provider, stream=stream))
        while not server.received:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.left.wait(), 5)


async def test_a_server_that_hangs(api: Api) -> None:
    """An upstream that says nothing runs into the read timeout, before and inside a stream."""
    async with api.upstream(Hang(), Stream([*api.dialect.words("Hi"), Hang()]), read=0.05) as (_, provider):
        for _ in range(2):
            with pytest.raises(UpstreamTimeout):
                await answered(provider)


async def test_a_server_that_is_not_there(api: Api) -> None:
    """Nobody listening is told by name."""
    async with api.upstream() as (server, provider):
        await server.__aexit__(None, None, None)
        with pytest.raises(UpstreamUnreachable):
            await answered(provider)


async def test_one_byte_at_a_time(api: Api) -> None:
    """However the network cuts the stream, the words and the calls are the same."""
    whole = api.cut_up(Stream([*api.dialect.words("Grüße ", "東京\u2028"), *api.dialect.end("stop")]))
    async with api.upstream(Stream([whole[at : at + 1] for at in range(len(whole))])) as (_, provider):
        assert (await answered(provider)).content == "Grüße 東京\u2028"


async def test_a_cut_at_every_byte(api: Api) -> None:
    """Two reads, cut at each place that there is."""
    whole = api.cut_up(api.dialect.calls(Call("call_a", "f", '{"city":"東京"}')))
    cuts = [Stream([whole[:at], whole[at:]]) for at in range(1, len(whole))]
    async with api.upstream(*cuts) as (_, provider):
        for _ in cuts:
            assert (await answered(provider)).tool_calls == [ToolCall("call_a", "f", '{"city":"東京"}')]


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
async def test_other_ends_of_lines_and_comments(api: Api, line_end: bytes) -> None:
    """Lines may end in CR LF or CR; comments, other fields and a missing space after the colon are legal."""
    whole = b": ping\n\nretry: 3\n" + api.cut_up(api.dialect.text("Hi")).replace(b"data: ", b"data:")
    async with api.upstream(Stream([whole.replace(b"\n", line_end)])) as (_, provider):
        assert (await answered(provider)).content == "Hi"
