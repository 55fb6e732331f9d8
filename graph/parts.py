"""Parts: what the author of a graph builds it from: models by their role in it, prompts and tools by
name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graph.errors import UnknownStep
from graph.toolset import Toolset
from llm import LLModel, Model
from prompts import PromptStore


@dataclass(frozen=True, slots=True)
class Parts:
    """The models, prompts and tools that a graph may use. ``build(parts)`` of a graph is given one."""

    default: Model
    """The model of every role that the settings give no model of its own."""
    roles: Mapping[str, Model] = field(default_factory=dict)
    prompts: PromptStore = field(default_factory=PromptStore)
    toolsets: Mapping[str, Toolset] = field(default_factory=dict)

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

    def tools(self, name: str) -> Toolset:
        """The set of tools that the settings call so. Those of a server are in it once the gateway has started.

        Raises:
            UnknownStep: when there is none.
        """
        if name not in self.toolsets:
            known = ", ".join(self.toolsets) or "none; add them under tools in the settings file"
            raise UnknownStep(f"there are no tools '{name}'; there are: {known}")
        return self.toolsets[name]
