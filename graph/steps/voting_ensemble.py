"""VotingEnsemble: several models answer as one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import inf
from typing import Any, Literal, TypeAlias

from graph.errors import InvalidInput, InvalidStep, RunError, UnknownRoute
from graph.event import Event
from graph.models.calling import CallableModel, failed, outcomes, told
from graph.models.v2 import INFER, PREFIX, Address, named_in, parsed, response_of
from graph.step import Step, Target
from graph.steps.model_router import BoundRouter, ModelRouter
from graph.steps.v2_model_server import NO_INPUTS

VoteType: TypeAlias = Literal["classification", "regression"]


class VotingEnsemble(ModelRouter):
    """Asks all of its routes, and answers for each input what most of them say, or the mean of what they say.

    The answer is ``{"id", "model_name", "outputs", "timestamp"}``. The ensemble is asked at ``<url_prefix>/infer``, at
    ``<url_prefix>/<name of the step>/infer`` and where no model is named; one of its models alone at its own URL. A
    route's result is a list with an element for each input, or an object with that as ``outputs``.

    Args:
        routes, url_prefix: as in :class:`ModelRouter`.
        vote_type: ``classification``: the label with the most weight, of equal ones that of the route that was added
            first; ``regression``: the weighted mean; by default the mean if there is a float among the outputs.
        weights: of routes, by name; 1 for those that are not named.
        raise_exception: whether one that fails is an error of the ensemble; else the others vote, and the answer has
            ``errors``, by route. When all fail that is an error in any case.

    Raises:
        InvalidStep: when the weights cannot be, or the vote type is not known.
    """

    def __init__(
        self,
        routes: Mapping[str, Target] | None = None,
        *,
        url_prefix: str = PREFIX,
        vote_type: VoteType | None = None,
        weights: Mapping[str, float] | None = None,
        raise_exception: bool = True,
    ) -> None:
        super().__init__(routes, url_prefix=url_prefix)
        if vote_type not in (None, "classification", "regression"):
            raise InvalidStep(f"vote_type={vote_type!r} is not known; write 'classification' or 'regression'")
        self.vote_type = vote_type
        self.weights = dict(weights or {})
        self.raise_exception = raise_exception

    def said(self) -> dict[str, Any]:
        own = {"vote_type": self.vote_type, "weights": self.weights}
        raises = {} if self.raise_exception else {"raise_exception": False}
        return super().said() | {name: value for name, value in own.items() if value} | raises

    def bound_to(self, step: Step) -> BoundEnsemble:
        """The ensemble with its models, made."""
        models = self.whole(step)
        said: Mapping[str, Any] = self.weights
        for name, weight in said.items():
            if name not in models:
                raise InvalidStep(f"step '{step.name}' has a weight for '{name}'; its routes are {', '.join(models)}")
            if not isinstance(weight, (int, float)) or not 0 <= weight < inf:
                raise InvalidStep(f"step '{step.name}': the weight of '{name}' is {weight!r}; write 0 or more")
        weights = {name: self.weights.get(name, 1.0) for name in models}
        if not any(weights.values()):
            raise InvalidStep(f"step '{step.name}': all weights are 0, so nobody votes")
        return BoundEnsemble(step.name, models, self, weights)


class BoundEnsemble(BoundRouter):
    """A VotingEnsemble in its flow."""

    def __init__(
        self, name: str, models: Mapping[str, CallableModel], said: VotingEnsemble, weights: Mapping[str, float]
    ) -> None:
        super().__init__(name, models, said.url_prefix)
        self._said = said
        self._weights = weights

    async def _value(self, event: Event) -> Any:
        address = Address.of(event.path, self._prefix)
        if event.method == "GET" and not address.model:
            return {"models": [*self._models, self._name]}
        address = address if address.model else named_in(event.body)
        if address.model in self._models:
            return await super()._value(event)
        named = address.model in ("", self._name)
        operation = (address.operation if named else address.model) or "infer"
        if operation not in INFER or (not named and address.operation):
            known = ", ".join((*self._models, self._name))
            raise UnknownRoute(f"ensemble '{self._name}' has no '{operation}'; models are {known}, operation is infer")
        return await self._vote(event, operation)

    async def _vote(self, event: Event, operation: str) -> dict[str, Any]:
        request = parsed(event.body)
        if not isinstance(request.get("inputs"), list):
            raise InvalidInput(NO_INPUTS)
        request.setdefault("id", event.id)
        results, errors = await outcomes(list(self._models.values()), event, request, operation)
        if errors and (self._said.raise_exception or not results):
            raise failed(self._name, errors)
        votes = {name: _outputs(name, result, len(request["inputs"])) for name, result in results.items()}
        count = self._mean if self._averages(votes) else self._majority
        outputs = [count({name: vote[place] for name, vote in votes.items()}) for place in _places(request)]
        answer = response_of(request, self._name, "", outputs, event.now())
        told_errors = {name: told(error)["error"] for name, error in errors.items()}
        return {**answer, "errors": told_errors} if errors else answer

    def _averages(self, votes: Mapping[str, Sequence[Any]]) -> bool:
        """Whether outputs are averaged: of all inputs or of none, as ``1`` is a number too where ``1.5`` stands beside.

        Raises:
            RunError: when they should be, and are no numbers.
        """
        said = [vote for each in votes.values() for vote in each]
        numeric = all(isinstance(vote, (int, float)) and not isinstance(vote, bool) for vote in said)
        if self._said.vote_type == "regression" and not numeric:
            raise RunError(f"ensemble '{self._name}' can average numbers only; its models say {dict(votes)}")
        if self._said.vote_type is not None:
            return self._said.vote_type == "regression"
        return numeric and any(isinstance(vote, float) for vote in said)

    def _mean(self, votes: Mapping[str, float]) -> float:
        weight = sum(self._weights[name] for name in votes)
        if not weight:
            raise RunError(f"ensemble '{self._name}': those that answered have the weight 0")
        return sum(self._weights[name] * vote for name, vote in votes.items()) / weight

    def _majority(self, votes: Mapping[str, Any]) -> Any:
        tally: dict[Hashable, float] = {}
        for name, vote in votes.items():
            if not isinstance(vote, Hashable):
                raise RunError(f"ensemble '{self._name}' counts labels; '{name}' says {vote!r}, which is none")
            tally[vote] = tally.get(vote, 0.0) + self._weights[name]
        return max(tally, key=lambda label: tally[label])


def _places(request: Mapping[str, Any]) -> range:
    return range(len(request["inputs"]))


def _outputs(name: str, result: Any, number: int) -> Sequence[Any]:
    """The outputs in what a model answered, as plain Python."""
    outputs: Any = result.get("outputs") if isinstance(result, Mapping) else result
    outputs = outputs.tolist() if hasattr(outputs, "tolist") else outputs
    if not isinstance(outputs, (list, tuple)) or len(outputs) != number:
        raise RunError(f"model '{name}' must answer a list of {number} outputs, one an input; it answered {outputs!r}")
    return [vote.item() if hasattr(vote, "item") else vote for vote in outputs]
