"""Traces over real sockets: spans of a request, its run, its steps and model calls, as a collector gets them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from llm.testing import Json, ScriptedUpstream, Stream
from llm.testing.upstream import Reply, answer
from tests.serving import Gateway, serving

CHAT = "/v1/chat/completions"
SECRET = "sk-gateways-own"
ASKED: Any = {"model": "up", "messages": [{"role": "user", "content": f"what of {SECRET}?"}], "temperature": 0.5}
CALLERS = "4bf92f3577b34da6a3ce929d0e0e4736"


class Span:
    """A span as it was sent."""

    def __init__(self, sent: Any) -> None:
        self.name: str = sent.name
        self.trace = sent.trace_id.hex()
        self.id, self.parent = sent.span_id.hex(), sent.parent_span_id.hex()
        self.failed = sent.status.code == 2
        self.attributes = {
            each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in sent.attributes
        }


class Collector:
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.keys: set[str] = set()

    async def take(self, request: web.Request) -> web.Response:
        """One export."""
        self.keys.add(request.headers.get("authorization", ""))
        export = ExportTraceServiceRequest.FromString(await request.read())
        for resource in export.resource_spans:
            for scope in resource.scope_spans:
                self.spans += map(Span, scope.spans)
        return web.Response()

    def named(self, name: str) -> Span:
        """The one span of this name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span


@asynccontextmanager
async def traced(
    collector: Collector, *replies: Reply, graphs: Sequence[Any] = (), guardrails: Sequence[Any] = (), **traces: Any
) -> AsyncGenerator[tuple[Gateway, Any], None]:
    """A gateway whose spans the collector has, once it has stopped."""
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    try:
        async with ScriptedUpstream(*replies) as upstream:
            provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url, "api_key": SECRET}
            model = {"name": "up", "provider": "scripted", "model": "upstream-model"}
            told = {"url": f"http://{host}:{port}/v1/traces", **traces}
            tree = {"providers": [provider], "models": [model], "graphs": graphs, "guardrails": guardrails}
            async with serving(**tree, traces=told) as gateway:
                yield gateway, upstream
    finally:
        await runner.cleanup()


async def test_a_request_is_a_trace_from_its_caller_to_its_upstream() -> None:
    """Inside the caller's span, with the conventional attributes, and the upstream is told the span of its call."""
    collector = Collector()
    key = {"authorization": "Bearer collectors"}
    async with traced(collector, answer("Hello"), headers=key) as (gateway, upstream):
        caller = f"00-{CALLERS}-00f067aa0ba902b7-01"
        _, headers, _ = await gateway.post(CHAT, ASKED, traceparent=caller)
        sent = upstream.received[0].headers["traceparent"]
    request, run, step, call = (
        collector.named(name)
        for name in (f"POST {CHAT}", "invoke_workflow up", "step responder", "chat upstream-model")
    )
    assert {span.trace for span in (request, run, step, call)} == {CALLERS}
    assert [request.parent, run.parent, step.parent, call.parent] == ["00f067aa0ba902b7", request.id, run.id, step.id]
    assert sent == f"00-{CALLERS}-{call.id}-01"
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["penstock.request_id"] == headers["x-request-id"]
    assert (
        call.attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "upstream-model",
            "gen_ai.request.temperature": 0.5,
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.usage.output_tokens": 3,
        }.items()
    )
    assert run.attributes["gen_ai.workflow.name"] == "up"
    assert "what of" not in str([span.attributes for span in collector.spans])
    assert collector.keys == {"Bearer collectors"}


async def test_contents_stand_there_only_on_request_and_without_secrets() -> None:
    """What was asked and what was answered, with the gateway's own keys blotted out."""
    collector = Collector()
    async with traced(collector, Stream.of_text("Hel", "lo"), contents=True) as (gateway, _):
        answered = await gateway.http.post(gateway.address + CHAT, json={**ASKED, "stream": True})
        await answered.read()
    call = collector.named("chat upstream-model")
    assert "what of" in call.attributes["gen_ai.input.messages"]
    assert '"content":"Hello"' in call.attributes["gen_ai.output.messages"]
    assert SECRET not in str([span.attributes for span in collector.spans])


async def test_what_failed_is_marked_by_its_class(capfd: pytest.CaptureFixture[str]) -> None:
    """In the call, the step, the run and the request; and the log says which trace it was."""
    collector = Collector()
    async with traced(collector, Json({}, 500)) as (gateway, _):
        await gateway.post(CHAT, ASKED)
    assert len(collector.spans) == 4
    assert f'"trace_id":"{collector.spans[0].trace}"' in capfd.readouterr().err
    assert all(span.failed for span in collector.spans)
    assert collector.named("chat upstream-model").attributes["error.type"] == "UpstreamUnavailable"


async def test_nothing_is_sent_of_what_is_not_sampled() -> None:
    """But of what a caller samples; and without traces no upstream is told of any."""
    collector = Collector()
    async with traced(collector, answer("a"), answer("b"), sample=0) as (gateway, _):
        await gateway.post(CHAT, ASKED)
        await gateway.post(CHAT, ASKED, traceparent=f"00-{CALLERS}-00f067aa0ba902b7-01")
    assert {span.trace for span in collector.spans} == {CALLERS}
