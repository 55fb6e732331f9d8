"""HealthChecks: deployments are asked from time to time whether they are there, before a request has to find out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

from gateway.routing.deployment import Deployment
from gateway.routing.failures import failure_of, is_fault
from gateway.routing.patience import within
from llm import ModelError

PATIENCE = 10.0
"""How many seconds a check may take."""


class HealthChecks:
    """Asks the providers of deployments for the list of their models, which costs nothing. A check that fails counts as
    a failed request. One that succeeds says only that somebody is there: a deployment that has failed may be probed by
    the next request, and does not wait for the end of its cool-down."""

    def __init__(
        self,
        deployments: Sequence[Deployment],
        seconds: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        self._deployments = [each for each in deployments if hasattr(each.model.provider, "models")]
        self._seconds = seconds
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311 - for waits, never for secrets
        self._task: asyncio.Task[None] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """All but the task: a copy in another process, such as one that runs a step, does not check."""
        return {**self.__dict__, "_task": None}

    def start(self) -> None:
        """Checks from now on, in a task of its own."""
        if self._deployments:
            self._task = asyncio.create_task(self._check_for_ever())

    async def close(self) -> None:
        """Ends that."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def check(self) -> None:
        """One check of each deployment, side by side."""
        await asyncio.gather(*map(self._check, self._deployments))

    async def _check_for_ever(self) -> None:
        while True:
            await self._sleep(self._seconds * self._random.uniform(0.8, 1.2))
            await self.check()

    async def _check(self, deployment: Deployment) -> None:
        models: Callable[[], Awaitable[object]] = deployment.model.provider.models  # type: ignore[attr-defined]
        try:
            await within(PATIENCE, models(), "a check of its health")
        except ModelError as error:
            if is_fault(failure_of(error)):
                deployment.last_error = f"{type(error).__name__}: {error}"
                deployment.breaker.failed()
        else:
            deployment.breaker.try_again()
