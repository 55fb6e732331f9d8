"""Traces: spans of requests, runs, steps, calls of models and tools, with OpenTelemetry's attributes for generative AI.

The conventions (https://opentelemetry.io/docs/specs/semconv/gen-ai/) are still in development, so their names stand
here and nowhere else. This module is imported only where the settings ask for traces.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import orjson
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.api_handler import Endpoint
from gateway.config.telemetry import TracesEntry
from gateway.edge.context import Scope
from gateway.telemetry.outgoing import TRACE
from gateway.telemetry.passage import PASSAGE
from gateway.telemetry.requests import error_class
from gateway.telemetry.runs import outcome
from graph import Event, FlowRun, Instrument, LanguageCall, ToolCall
from graph.recording.tape import hidden
from llm import ChatRequest, text_of

W3C = TraceContextTextMapPropagator()
CARRIED = {b"traceparent": "traceparent", b"tracestate": "tracestate"}


@dataclass(slots=True)
class _Open:
    """The spans of a run that have not ended."""

    run: Span
    steps: dict[str, list[Span]] = field(default_factory=dict)

    def inside(self, step: str) -> Span:
        """The span that is open around what happens in a step."""
        spans = self.steps.get(step)
        return spans[-1] if spans else self.run


class Traces(Instrument):
    """Makes spans and sends them, from a thread of its own and in batches; when it is full, what is more is dropped."""

    def __init__(self, entry: TracesEntry, secrets: Iterable[str]) -> None:
        headers = {name: value.get_secret_value() for name, value in entry.headers.items()}
        resource = Resource.create({"service.name": entry.service, "service.version": version("penstock")})
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(entry.sample)), resource=resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(entry.url, headers=headers)))
        self._tracer = self._provider.get_tracer("penstock")
        self._contents = entry.contents
        self._secrets = list(secrets)
        self._open: dict[FlowRun, _Open] = {}
        self._calls: dict[LanguageCall, Span] = {}

    def close(self) -> None:
        """Sends what is left. It may wait for the network."""
        self._provider.shutdown()

    # --- requests

    def request(self, scope: Scope) -> Span:
        """The span of a request, inside that of its caller, if that said so (https://www.w3.org/TR/trace-context/)."""
        carrier = {CARRIED[name]: value.decode("latin-1") for name, value in scope["headers"] if name in CARRIED}
        attributes = {"http.request.method": scope["method"]}
        return self._tracer.start_span(scope["method"], W3C.extract(carrier), SpanKind.SERVER, attributes)

    def answered(self, span: Span, endpoint: Endpoint | None, status: int, request_id: str) -> None:
        """The end of it."""
        if endpoint is not None:
            span.update_name(f"{endpoint.method} {endpoint.path}")
            span.set_attribute("http.route", endpoint.path)
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("penstock.request_id", request_id)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    # --- runs and steps

    def before_step(self, run: FlowRun, event: Event) -> None:
        spans = self._open.get(run)
        if spans is None:
            spans = self._open[run] = _Open(self._begun(run))
        attributes: dict[str, str | int] = {"penstock.step": event.at, "penstock.iteration": run.visits(event.at)}
        span = self._tracer.start_span(f"step {event.at}", _in(spans.run), attributes=attributes)
        spans.steps.setdefault(event.at, []).append(span)

    def after_step(self, run: FlowRun, event: Event) -> None:
        self._leave(run, event, None)

    def on_error(self, run: FlowRun, event: Event, error: Exception) -> None:
        self._leave(run, event, error)

    def on_run_end(self, run: FlowRun) -> None:
        spans = self._open.pop(run, None)
        if spans is None:
            return
        for span in (span for steps in spans.steps.values() for span in steps):
            span.end()
        usage = run.usage
        spans.run.set_attribute("penstock.outcome", outcome(run))
        spans.run.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
        spans.run.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)
        if outcome(run) == "failed" and run.error is not None:
            _fail(spans.run, run.error)
        spans.run.end()

    def _begun(self, run: FlowRun) -> Span:
        attributes = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": run.plan.name}
        outer, passage = run.outer, PASSAGE.get()
        if outer is not None and outer in self._open:
            around: Span | None = self._open[outer].inside(run.event.meter.place)
        else:
            around = passage.span if passage is not None else None
        return self._tracer.start_span(f"invoke_workflow {run.plan.name}", _in(around), attributes=attributes)

    def _leave(self, run: FlowRun, event: Event, error: Exception | None) -> None:
        spans = self._open.get(run)
        steps = spans.steps.get(event.at) if spans is not None else None
        if steps:
            span = steps.pop()
            if error is not None:
                _fail(span, error)
            span.end()

    # --- model calls

    def before_call(self, run: FlowRun, event: Event, call: LanguageCall) -> None:
        parameters = call.request.parameters
        asked = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": type(call.model.provider).__name__.removesuffix("Provider").lower(),
            "gen_ai.request.model": call.model.upstream,
            "gen_ai.request.stream": call.request.stream,
            "gen_ai.request.temperature": parameters.get("temperature"),
            "gen_ai.request.top_p": parameters.get("top_p"),
            "gen_ai.request.max_tokens": parameters.get("max_completion_tokens", parameters.get("max_tokens")),
            "penstock.model": call.model.name,
        }
        attributes = {name: value for name, value in asked.items() if isinstance(value, (str, bool, int, float))}
        spans = self._open.get(run)
        around = _in(spans.inside(event.at) if spans is not None else None)
        span = self._tracer.start_span(f"chat {call.model.upstream}", around, SpanKind.CLIENT, attributes)
        if self._contents:
            span.set_attribute("gen_ai.input.messages", self._messages(call.request))
        self._calls[call] = span
        carrier: dict[str, str] = {}
        W3C.inject(carrier, set_span_in_context(span))
        TRACE.set(carrier)

    def after_call(self, run: FlowRun, event: Event, call: LanguageCall) -> None:
        span = self._calls.pop(call)
        TRACE.set(None)
        if call.usage is not None:
            span.set_attribute("gen_ai.usage.input_tokens", call.usage.prompt_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", call.usage.completion_tokens)
            span.set_attribute("gen_ai.usage.cache_read.input_tokens", call.usage.cached_tokens)
            span.set_attribute("penstock.usage.source", call.usage.source)
        if self._contents:
            said = [{"role": "assistant", "parts": [{"type": "text", "content": "".join(call.said)}]}]
            span.set_attribute("gen_ai.output.messages", self._hidden(said))
        if isinstance(call.error, Exception):
            _fail(span, call.error)
        span.end()

    # --- tools

    def after_tool(self, run: FlowRun, event: Event, call: ToolCall) -> None:
        """A span of what is over."""
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.tool,
            "gen_ai.tool.call.id": call.id,
            "gen_ai.tool.type": "function",
            "penstock.outcome": call.outcome,
        }
        if self._contents:
            attributes["gen_ai.tool.call.arguments"] = hidden(call.arguments, self._secrets)
            attributes["gen_ai.tool.call.result"] = hidden(call.result, self._secrets)
        spans = self._open.get(run)
        around = _in(spans.inside(event.at) if spans is not None else None)
        span = self._tracer.start_span(
            f"execute_tool {call.tool}".rstrip(), around, SpanKind.INTERNAL, attributes, start_time=call.begun
        )
        if call.outcome != "answered":
            span.set_attribute("error.type", call.outcome if call.error is None else type(call.error).__name__)
            span.set_status(Status(StatusCode.ERROR))
        span.end(call.begun + round(call.seconds * 1e9))

    def _messages(self, request: ChatRequest) -> str:
        return self._hidden(
            [
                {"role": message["role"], "parts": [{"type": "text", "content": text_of(message)}]}
                for message in request.messages
            ]
        )

    def _hidden(self, messages: Any) -> str:
        return hidden(orjson.dumps(messages).decode(), self._secrets)


def _in(span: Span | None) -> Any:
    """The context in which a span is the parent."""
    return set_span_in_context(span) if span is not None else None


def _fail(span: Span, error: BaseException) -> None:
    """Says what went wrong by its class; the words of errors may quote contents."""
    span.set_attribute("error.type", error_class(error))
    span.set_status(Status(StatusCode.ERROR))
