"""What models in this process make: ``python -m benchmarks.local_models``. Needs the extra ``huggingface``.

The embedded provider and that of transformers' run the same weights (``llm/embedded/penstock-demo``) and are asked the
same, in turns, without a gateway in between. Printed are the medians of all rounds, with the smallest and the largest.
A first round, in which caches fill, is not counted. The tokens are the likeliest, so the answers of both are the same;
the program looks at that.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from statistics import median

from llm import ChatRequest, ModelProvider
from llm.embedded import FOLDER
from llm.providers.embedded import EmbeddedProvider
from llm.providers.huggingface import HuggingFaceProvider

ROUNDS = 5
QUESTIONS = ("Who are you?", "Hello!", "Plan a trip to Lisbon on 14 May", "What can you do?")


@dataclass(frozen=True)
class Answer:
    """One answer: its text, its tokens, and when its first word and its end came, in seconds from the question."""

    text: str
    tokens: int
    first: float
    whole: float


async def ask(provider: ModelProvider, question: str) -> Answer:
    """The answer to a question, each word as it comes."""
    begun, first, text, tokens = time.perf_counter(), 0.0, "", 0
    request = ChatRequest("m", [{"role": "user", "content": question}], {"temperature": 0}, stream=True)
    async with aclosing(provider.stream("m", request)) as chunks:
        async for chunk in chunks:
            text += chunk.content or ""
            first = first or (time.perf_counter() - begun if text else 0.0)
            tokens = chunk.usage.completion_tokens if chunk.usage else tokens
    return Answer(text, tokens, first, time.perf_counter() - begun)


async def one_round(provider: ModelProvider) -> tuple[dict[str, float], list[str]]:
    """The figures of all questions, one after the other and then all at once; and the answers."""
    answers = [await ask(provider, question) for question in QUESTIONS]
    begun = time.perf_counter()
    at_once = await asyncio.gather(*(ask(provider, question) for question in QUESTIONS))
    seconds = time.perf_counter() - begun
    figures = {
        "time to first token, ms": 1000 * median(answer.first for answer in answers),
        "tokens a second": sum(answer.tokens - 1 for answer in answers)
        / sum(answer.whole - answer.first for answer in answers),
        f"first token, {len(QUESTIONS)} at once, ms": 1000 * median(answer.first for answer in at_once),
        f"tokens a second, {len(QUESTIONS)} at once": sum(answer.tokens for answer in at_once) / seconds,
    }
    return figures, [answer.text for answer in [*answers, *at_once]]


async def measured() -> Mapping[str, list[dict[str, float]]]:
    """The figures of each provider, round by round."""
    providers: dict[str, ModelProvider] = {
        "embedded": EmbeddedProvider(),
        "huggingface": HuggingFaceProvider(str(FOLDER)),
    }
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in providers}
    for provider in providers.values():
        await provider.start()
    for number in range(ROUNDS + 1):
        said = set()
        for name, provider in providers.items():
            made, texts = await one_round(provider)
            said.add(tuple(texts))
            figures[name] += [made] if number else []
        if len(said) > 1:
            sys.exit("the answers differ")
    for provider in providers.values():
        await provider.close()
    return figures


def main() -> None:
    """Prints the table."""
    figures = asyncio.run(measured())
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {load}, {ROUNDS} rounds")
    print(f"{'':32}{'':14}{'median':>9}{'min':>9}{'max':>9}")
    for name in figures["embedded"][0]:
        for provider, rounds in figures.items():
            values = [each[name] for each in rounds]
            print(f"{name:32}{provider:14}{median(values):9.1f}{min(values):9.1f}{max(values):9.1f}")


if __name__ == "__main__":
    main()
