"""How much a run may take at most, as far as that can be said before it, and what it took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import orjson

from gateway.catalog.deployed import Served
from gateway.config.limits import LimitsEntry
from gateway.store.protocol import MOST, NANOS, NOTHING, Amount
from graph import FlowRun
from graph.compiled.plan import Plan
from llm import ChatRequest, EmbeddingRequest, Message, Model, Price

BYTES_PER_TOKEN = 3
"""English has four and more, Chinese three: a prompt rarely has more tokens than a third of its bytes."""
TOKENS_PER_MESSAGE = 8
TOKENS_PER_FILE = 2000
"""For an image, a sound or a document in a message, whatever its size."""
FILES: Final = frozenset({"image_url", "input_audio", "file"})
UNREAD: Final = frozenset(
    {"audio", "logit_bias", "metadata", "modalities", "prompt_cache_key", "prompt_cache_retention", "reasoning_effort"}
    | {"safety_identifier", "service_tier", "stop", "stream_options", "tool_choice", "user", "verbosity"}
)
"""Members of a request that say how it is answered and not what; all others may be read by a model, known or not."""
COUNTED: Final = frozenset({"role", "tool_call_id"})
TOKENS_OF_FAULTS = 300
"""For what a model is told when its JSON was wrong."""
NANOS_PER_TOKEN = NANOS // 1_000_000
"""What a token costs at a price of one dollar for a million."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is known of a flow: how often it calls models, what they cost, and its own caps."""

    calls: int
    usd_in: float
    """The highest price of a million tokens of a prompt."""
    usd_out: float
    max_tokens: float
    max_nanos: float
    unpriced: str = ""
    """A model of it that costs money, and nobody has said how much."""
    repairs: bool = False
    """Whether it is a model that is asked once more where its JSON is wrong."""

    def bound(self, asked: int, answered: int) -> Amount:
        """What a run with so many tokens in and out of a call takes at most."""
        nanos = ceil((asked * self.usd_in + answered * self.usd_out) * NANOS_PER_TOKEN)
        tokens = min(self.calls * (asked + answered), self.max_tokens)
        return Amount(tokens=int(tokens), nanos=int(min(self.calls * nanos, self.max_nanos)))


class Bounds:
    """The bounds of runs of what is served.

    Args:
        unknown: whether somebody is paid for what a model does, and nobody has said how much.
    """

    def __init__(self, served: Iterable[Served], entry: LimitsEntry, unknown: Callable[[Model], bool]) -> None:
        self._answer_tokens = entry.answer_tokens
        self._terms: dict[Plan, Terms] = {}
        for each in served:
            terms = _terms(each, entry.graph_calls, unknown)
            if terms is not None:
                self._terms[each.flow.plan] = terms
                if each.embeddings is not None:
                    self._terms[each.embeddings.plan] = terms

    def unpriced(self, run: FlowRun) -> str:
        """A model that the run may call and whose price is not known; empty when there is none."""
        terms = self._terms.get(run.plan)
        return terms.unpriced if terms is not None else ""

    def of(self, run: FlowRun) -> Amount:
        """The tokens and the money that a run is reserved for: nothing where it calls no language model."""
        terms = self._terms.get(run.plan)
        if terms is None:
            return NOTHING
        body = run.event.body
        if isinstance(body, ChatRequest):
            number, most = _answers(body.parameters, self._answer_tokens)
            asked, answered = _asked(body), number * most
            if terms.repairs and (body.tools or "response_format" in body.parameters):
                asked, answered = 2 * asked + answered + TOKENS_OF_FAULTS, 2 * answered
            return terms.bound(asked, answered)
        if isinstance(body, EmbeddingRequest):
            return terms.bound(sum(map(_tokens, body.inputs)), 0)
        return terms.bound(_tokens(orjson.dumps(body, default=str)), self._answer_tokens)


def taken(run: FlowRun) -> Amount:
    """What a run that is over took in tokens and in money, in all calls whose price is known."""
    meter = run.event.meter
    return Amount(tokens=min(meter.tokens, MOST), nanos=round(min(meter.known_usd * NANOS, MOST)))


def _prices(model: Model) -> list[Price]:
    """What is known of what a model costs: of one that is routed each price that is told, as others may be free."""
    models = [each.model for each in getattr(model.provider, "behind", ())] or [model]
    return [each.price for each in models if each.price is not None]


def _terms(served: Served, graph_calls: int, unknown: Callable[[Model], bool]) -> Terms | None:
    """None for what calls no language model."""
    if not served.models:
        return None
    prices = [price for model in served.models for price in _prices(model)]
    unpriced = (model.name for model in served.models if model.price is None and unknown(model))
    plan = served.flow.plan
    at_once = max(getattr(model.provider, "at_once", 1) for model in served.models)
    return Terms(
        calls=at_once * (graph_calls if served.kind == "graph" else 1),
        usd_in=max((max(price.input, price.cache_write or 0) for price in prices), default=0),
        usd_out=max((price.output for price in prices), default=0),
        max_tokens=float("inf") if plan.max_tokens is None else plan.max_tokens,
        max_nanos=float("inf") if plan.max_usd is None else ceil(plan.max_usd * NANOS),
        unpriced=next(unpriced, ""),
        repairs=served.kind == "model" and any(model.checks for model in served.models),
    )


def _answers(parameters: Mapping[str, Any], usual: int) -> tuple[int, int]:
    """How many answers a request asks for of one call, and how many tokens each may have."""
    most = max(parameters.get("max_completion_tokens", 0), parameters.get("max_tokens", 0))
    return max(parameters.get("n", 1), parameters.get("best_of", 1)), most or usual


def _asked(request: ChatRequest) -> int:
    if isinstance(request.prompt, list):
        return len(request.prompt)
    tokens = 0
    for message in request.messages:
        tokens += _of_message(message)
    for name, value in request.parameters.items():
        if name not in UNREAD:
            tokens += _said(value)
    return tokens


def _of_message(message: Message) -> int:
    tokens = TOKENS_PER_MESSAGE
    for name, value in message.items():
        if name == "content":
            tokens += _tokens(value) if isinstance(value, str) else sum(map(_of_part, value or ()))
        elif name not in COUNTED:
            tokens += _said(value)
    return tokens


def _of_part(part: Mapping[str, Any]) -> int:
    if part.get("type") in FILES:
        return TOKENS_PER_FILE
    tokens = sum(_said(value) for name, value in part.items() if name not in ("type", "cache_control"))
    return tokens if isinstance(part.get("text"), str) else max(TOKENS_PER_FILE, tokens)


def _said(value: Any) -> int:
    """Of a member: numbers and what is not there tell a model nothing."""
    if not value or isinstance(value, int | float):
        return 0
    return _tokens(value if isinstance(value, str) else orjson.dumps(value, default=str))


def _tokens(text: Any) -> int:
    """Of a text, of the bytes of one, or of token ids."""
    if isinstance(text, (list, tuple)):
        return len(text)
    if isinstance(text, str) and not text.isascii():
        text = text.encode("utf-8", "replace")
    return -(-len(text) // BYTES_PER_TOKEN)
