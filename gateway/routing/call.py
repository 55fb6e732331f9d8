"""Call: one call of one deployment, from its begin to its end, and what that end says of the deployment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import TypeAlias

from gateway.edge.context import AFFORD
from gateway.routing.deployment import Deployment
from gateway.routing.failures import CONTENT_FILTER, failure_of, is_fault
from gateway.routing.patience import Deadline, within
from gateway.store.protocol import NANOS
from llm import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    EmbeddingRequest,
    Embeddings,
    FailedCall,
    ModelError,
    Trail,
    UpstreamError,
    Usage,
)
from llm.tokens import CHARACTERS

Request: TypeAlias = ChatRequest | EmbeddingRequest
CANCELLED = "cancelled"


@dataclass(slots=True)
class Asked:
    """What is asked, where it is noted of whom, and until when."""

    request: Request
    trail: Trail
    deadline: Deadline
    _reserved: int = 0
    """How many of the calls that failed are reserved for, beside the one that answers."""

    async def may_go_on(self) -> bool:
        """Whether somebody else may be asked: there is time, and what the calls that failed have cost leaves enough for
        one more. What was reserved for the answer may all be needed by that."""
        failed = self.trail.failed[self._reserved :]
        tokens = sum(call.usage.total_tokens for call in failed)
        nanos = ceil(sum(call.usd or 0.0 for call in failed) * NANOS)
        afford = AFFORD.get()
        if not self.deadline.left or (tokens and afford is not None and not await afford(tokens, nanos)):
            return False
        self._reserved += len(failed)
        return True


class Call:
    """A call that has begun. One of :meth:`answered` and :meth:`failed` ends it."""

    def __init__(self, deployment: Deployment, asked: Asked) -> None:
        self.deployment = deployment
        self._request = asked.request
        self._trail = asked.trail
        self._probes = deployment.breaker.begin()
        self._since = deployment.clock()
        self._began = False
        deployment.in_flight += 1

    def began(self) -> None:
        """The answer has begun."""
        self._began = True
        latencies = self.deployment.latencies(streamed=streamed(self._request))
        latencies.add(self.deployment.clock() - self._since)
        if self._probes:
            self.deployment.breaker.answered(self._probes)
            self._probes = False

    def answered(self) -> None:
        """The answer has ended as it should."""
        self.deployment.in_flight -= 1
        self.deployment.answered += 1
        self.deployment.breaker.answered(self._probes)

    def failed(self, error: BaseException) -> None:
        """The call has failed, or was left. Before its answer began, somebody else may give one: then this one is noted
        on the trail, with what it cost all the same."""
        self.deployment.in_flight -= 1
        if isinstance(error, Exception):
            self._judge(error)
        else:
            self.deployment.cancelled += 1
            self.deployment.breaker.left(self._probes)
        if not self._began:
            self._note(error)

    def filtered(self, chunks: Iterable[ChatChunk]) -> FailedCall:
        """The answer, of these chunks, has ended with nothing but that it was filtered, which does not speak against
        the deployment. What that has cost."""
        self.deployment.in_flight -= 1
        self.deployment.failed[CONTENT_FILTER] += 1
        self.deployment.breaker.answered(self._probes)
        said = ChatCompletion.of(chunks)
        return self._cost(CONTENT_FILTER, said.usage or _estimated(self._request, len(said.content)))

    def _judge(self, error: Exception) -> None:
        """What an error says of the deployment: one that finds fault with the request is in order itself."""
        deployment, breaker = self.deployment, self.deployment.breaker
        failure = failure_of(error) if isinstance(error, ModelError) else "server"
        deployment.failed[failure] += 1
        if not is_fault(failure):
            breaker.answered(self._probes)
            return
        deployment.last_error = f"{type(error).__name__}: {error}"
        told = error.retry_after if isinstance(error, UpstreamError) else None
        if told is not None:
            breaker.pause(told)
        if told is not None and failure == "rate_limit":
            breaker.left(self._probes)
        else:
            breaker.failed(self._probes, for_certain=getattr(error, "hopeless", False))

    def _note(self, error: BaseException) -> None:
        name = type(error).__name__ if isinstance(error, Exception) else CANCELLED
        if isinstance(error, Exception) and not getattr(error, "costs", False):
            self._trail.failed.append(FailedCall(self.deployment.name, name))
            return
        self._trail.failed.append(self._cost(name, _estimated(self._request)))

    def _cost(self, why: str, usage: Usage) -> FailedCall:
        return FailedCall(self.deployment.name, why, usage, self.deployment.model.usd(usage))


def streamed(request: Request) -> bool:
    """Whether the answer comes piece by piece."""
    return isinstance(request, ChatRequest) and request.stream


async def embedded(deployment: Deployment, asked: Asked) -> Embeddings:
    """The vectors of a deployment.

    Raises:
        ModelError: when it makes none, or not in time.
    """
    assert isinstance(asked.request, EmbeddingRequest)  # noqa: S101 - nothing else asks for vectors
    call = Call(deployment, asked)
    try:
        made = await within(asked.deadline.left, deployment.model.embed(asked.request), "the embeddings")
    except BaseException as error:
        call.failed(error)
        raise
    call.began()
    call.answered()
    return made


def _estimated(request: Request, answered: int = 0) -> Usage:
    """About what reading a request costs, and so many characters of an answer."""
    return CHARACTERS.count_now(request, answered) if isinstance(request, ChatRequest) else request.estimated
