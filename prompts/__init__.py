"""Prompt artifacts: templates as data, from the operator's files, filled with values and never with code."""

from prompts.artifact import LLMPromptArtifact
from prompts.errors import InvalidPrompt, MissingVariable, PromptError, RenderingFailed, UnknownPrompt
from prompts.prompt_set import PromptSet
from prompts.store import LivePrompt, PromptStore

__all__ = [
    "InvalidPrompt",
    "LLMPromptArtifact",
    "LivePrompt",
    "MissingVariable",
    "PromptError",
    "PromptSet",
    "PromptStore",
    "RenderingFailed",
    "UnknownPrompt",
]
