"""RoutedProvider: several deployments as one provider, which is asked like any other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from gateway.edge.context import ANSWERED_BY
from gateway.routing.begun import Begun
from gateway.routing.call import Asked, Request, embedded, streamed
from gateway.routing.deployment import Deployment
from gateway.routing.failures import CONTENT_FILTER, Failure, failure_of
from gateway.routing.health import HealthChecks
from gateway.routing.hedge import hedge_after, hedged
from gateway.routing.patience import Deadline
from gateway.routing.tries import Tries
from llm import ChatChunk, ChatRequest, EmbeddingRequest, Embeddings, ModelError, Trail, Usage

T = TypeVar("T")


class RoutedProvider:
    """Several deployments, and models that stand in for them.

    A request goes to one deployment. If that fails before its first words, another one is asked at once, then, after a
    wait, those that had failed; and when the retries are used up a fallback for that class of failure.

    Args:
        name: the model's, for messages.
        fallbacks: by class of failure those that are asked instead, in order; cycles must have been refused before.
        health: the checks of its deployments, if there are any.
    """

    routes = True

    def __init__(
        self,
        name: str,
        deployments: Sequence[Deployment],
        tries: Tries,
        fallbacks: Mapping[Failure, Sequence[RoutedProvider]] | None = None,
        health: HealthChecks | None = None,
    ) -> None:
        self.name = name
        self.deployments = deployments
        self.fallbacks = fallbacks or {}
        self._health = health
        self._tries = tries
        self._policy = tries.policy
        self._embedding = [each for each in deployments if each.model.embeds]
        self.at_once = 2 if tries.policy.hedge else 1
        self.behind = behind = self._behind()
        self.compares = all(each.model.provider.compares for each in behind)
        self.completes = any(each.model.completes for each in behind)
        self.constrains = all(getattr(each.model.provider, "constrains", False) for each in behind)
        self.passes = all(getattr(each.model.provider, "passes", False) for each in behind)
        if self._embedding:
            self.embed = self._embed

    def _behind(self) -> list[Deployment]:
        """Every deployment that may come to answer."""
        others = (each for chain in self.fallbacks.values() for other in chain for each in other.behind)
        return list(dict.fromkeys((*self.deployments, *others)))

    @property
    def context_length(self) -> int | None:
        """The shortest of its own deployments; None where one does not know."""
        lengths = [each.model.context_length for each in self.deployments]
        known = [length for length in lengths if length is not None]
        return min(known) if len(known) == len(lengths) else None

    async def start(self) -> None:
        """Begins the checks of health. The providers are started by whoever made them."""
        if self._health is not None:
            self._health.start()

    async def close(self) -> None:
        """Ends the checks of health."""
        if self._health is not None:
            await self._health.close()

    async def count(self, model: str, request: ChatRequest, answer: str) -> Usage:
        """As the first deployment counts. What a call cost is counted by the one that answered."""
        return await self.deployments[0].model.count(request, answer)

    async def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """See :meth:`llm.ModelProvider.stream`. Nothing is asked again once there has been a chunk."""
        asked = self._asked(request)
        async with await self._or_else(asked, lambda routed: routed._begun(asked)) as begun:
            _tell(asked.trail, begun.deployment)
            for first in begun.lead:
                yield first
            while (chunk := await begun.next()) is not None:
                yield chunk

    async def _embed(self, model: str, request: EmbeddingRequest) -> Embeddings:
        """See :class:`llm.EmbeddingProvider`."""
        asked = self._asked(request)
        deployment, made = await self._or_else(asked, lambda routed: routed._embedded(asked))
        _tell(asked.trail, deployment)
        return made

    def _asked(self, request: Request) -> Asked:
        return Asked(request, request.trail or Trail(), Deadline(self._tries.clock, self._policy.patience.total))

    async def _or_else(self, asked: Asked, ask: Callable[[RoutedProvider], Awaitable[T]]) -> T:
        """What this one answers, or else one of its fallbacks. When they fail too, its own failure is told."""
        try:
            return await ask(self)
        except ModelError as error:
            for other in self.fallbacks.get(failure_of(error), ()):
                if not await asked.may_go_on():
                    break
                try:
                    return await other._or_else(asked, ask)
                except ModelError:
                    continue
            raise

    async def _begun(self, asked: Asked) -> Begun:
        begun = await self._first(asked)
        if not begun.filtered or CONTENT_FILTER not in self.fallbacks:
            return begun
        await begun.withdraw(self._patience(asked))
        instead = await self._unfiltered(asked)
        if instead is None:
            begun.give_back()
        return instead or begun

    async def _unfiltered(self, asked: Asked) -> Begun | None:
        """What the first fallback answers that neither fails nor is filtered too; None when there is none."""
        for other in self.fallbacks[CONTENT_FILTER]:
            if not await asked.may_go_on():
                break
            with suppress(ModelError):
                begun = await other._or_else(asked, lambda routed: routed._begun(asked))
                if not begun.filtered:
                    return begun
                await begun.withdraw(self._patience(asked))
        return None

    def _patience(self, asked: Asked) -> float:
        return min(self._policy.patience.first_token, asked.deadline.left)

    async def _first(self, asked: Asked) -> Begun:
        tried: set[Deployment] = set()
        streams = streamed(asked.request)

        def begin(deployment: Deployment) -> Awaitable[Begun]:
            return Begun.of(deployment, asked, self._policy.patience)

        def second() -> Awaitable[Begun] | None:
            other = self._tries.next(self.deployments, asked, tried)
            if other is None:
                return None
            tried.add(other)
            return begin(other)

        async def ask(deployment: Deployment) -> Begun:
            seconds = hedge_after(deployment, streamed=streams) if self._policy.hedge else None
            return await (begin(deployment) if seconds is None else hedged(begin(deployment), seconds, second))

        return await self._tries.first(self.deployments, asked, ask, tried)

    async def _embedded(self, asked: Asked) -> tuple[Deployment, Embeddings]:
        async def ask(deployment: Deployment) -> tuple[Deployment, Embeddings]:
            return deployment, await embedded(deployment, asked)

        return await self._tries.first(self._embedding, asked, ask, set())

    def state(self) -> dict[str, Any]:
        """What the admin API shows."""
        fallbacks = {failure: [other.name for other in chain] for failure, chain in self.fallbacks.items()}
        return {
            "model": self.name,
            "deployments": [each.state() for each in self.deployments],
            "fallbacks": fallbacks,
        }


def _tell(trail: Trail, deployment: Deployment) -> None:
    """Who answers, to whoever books the answer and to whoever sends it."""
    trail.answered, trail.model = deployment.name, deployment.model
    told = ANSWERED_BY.get(None)
    if told is not None and deployment.name not in told:
        told.append(deployment.name)
