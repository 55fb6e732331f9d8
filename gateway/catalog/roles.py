"""Roles: the models that a graph of the settings is given, by what they are for in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.config.faults import InvalidSettings
from graph import Flow
from graph.sub_flow import SubFlow
from llm import Model


class Roles(dict[str, Model]):
    """The models of a graph's roles, and which roles the graph asked for while it was built."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        super().__init__(models)
        self._asked: list[str] = []
        self._given: list[Model] = []

    def get(self, role: str, default: Any = None) -> Any:
        """The model of a role."""
        self._asked.append(role)
        model = super().get(role, default)
        self._given.append(model)
        return model

    @property
    def given(self) -> tuple[Model, ...]:
        """The models that the graph was given, each once."""
        return tuple({id(model): model for model in self._given}.values())

    def check(self, graph: str, flow: Flow) -> None:
        """Looks whether the graph has asked for every role that was given a model, and can hold its cap on money.

        Raises:
            InvalidSettings: when it has not, the message names the roles that it has; or when it cannot, as one of its
                models has no price.
        """
        for role in self:
            if role not in self._asked:
                known = ", ".join(dict.fromkeys(self._asked)) or "none"
                raise InvalidSettings(f"graph '{graph}': models: it has no role '{role}'; it has: {known}")
        unpriced = next((model.name for model in self._given if model.price is None), None)
        if unpriced is not None and (cap := _cap_on_money(flow)) is not None:
            raise InvalidSettings(
                f"graph '{graph}': a run may cost ${cap}, and what model '{unpriced}' costs is not known; give it a "
                "price under models, such as {input: 0.15, output: 0.6}, or {input: 0, output: 0} if it is free"
            )


def _cap_on_money(flow: Flow) -> float | None:
    """The cap on money of a flow, or of one inside it."""
    inside = (_cap_on_money(step.target.flow) for step in flow.steps.values() if isinstance(step.target, SubFlow))
    return flow.max_usd if flow.max_usd is not None else next((cap for cap in inside if cap is not None), None)
