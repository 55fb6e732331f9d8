"""Prompt artifacts: templates as data, from the operator's files, filled with values and never with code."""

from prompts.artifact import LLMPromptArtifact
from prompts.errors import InvalidPrompt, MissingVariable, PromptError, RenderingFailed, UnknownPrompt
from prompts.store import PromptStore

__all__ = [
    "InvalidPrompt",
    "LLMPromptArtifact",
    "MissingVariable",
    "PromptError",
    "PromptStore",
    "RenderingFailed",
    "UnknownPrompt",
]
