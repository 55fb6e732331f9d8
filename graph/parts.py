"""Parts: what the author of a graph builds it from: models by their role in it, and prompts by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llm import LLModel, Model
from prompts import PromptStore


@dataclass(frozen=True, slots=True)
class Parts:
    """The models and prompts that a graph may use. ``build(parts)`` of a graph is given one."""

    default: Model
    """The model of every role that the settings give no model of its own."""
    roles: Mapping[str, Model] = field(default_factory=dict)
    prompts: PromptStore = field(default_factory=PromptStore)

    def model(self, role: str) -> Model:
        """The model for a role."""
        return self.roles.get(role, self.default)

    def llm(self, role: str, prompt: str | None = None) -> LLModel:
        """The model for a role, with a prompt in front of it: the one named (``name``, ``name@v3``, ``name@label``), or
        the one named like the role. A version that comes into force later is used from then on.

        Raises:
            UnknownPrompt: when there is no such prompt.
        """
        return LLModel(self.model(role), self.prompts.live(prompt or role))
