"""What OpenAI's chat API knows, for requests that came in Anthropic's words: what it does not know is left out, because
real OpenAI refuses it.

Parts and tools of other kinds than OpenAI's stay: without them the request would be another one, so the upstream has
to say what it thinks of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm.chat import ChatRequest, Message

PARAMETERS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "modalities",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
"""https://platform.openai.com/docs/api-reference/chat/create"""
OF_MESSAGES = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "refusal", "audio", "function_call"})
THOUGHTS = "reasoning"
"""How the members begin under which upstreams of OpenAI's kind give thoughts, and some want them back."""
PARTS = frozenset({"text", "image_url", "file", "input_audio", "refusal"})
"""The kinds of parts; each has a member of its own name besides its type."""
TOOLS = frozenset({"function", "custom"})
"""The kinds of tools and of their calls, likewise."""


def without_anthropics(request: ChatRequest) -> ChatRequest:
    """The request with the members that OpenAI's API has, and no others."""
    parameters = {name: value for name, value in request.parameters.items() if name in PARAMETERS}
    if "tools" in parameters:
        parameters["tools"] = [_of_kind(tool, TOOLS) for tool in parameters["tools"]]
    return replace(request, messages=[_message(message) for message in request.messages], parameters=parameters)


def _message(message: Message) -> Message:
    known = {name: value for name, value in message.items() if name in OF_MESSAGES or name.startswith(THOUGHTS)}
    if isinstance(known.get("content"), list):
        known["content"] = [_of_kind(part, PARTS) for part in known["content"]]
    if known.get("tool_calls"):
        known["tool_calls"] = [_of_kind(call, TOOLS) for call in known["tool_calls"]]
    return known


def _of_kind(given: Mapping[str, Any], kinds: frozenset[str]) -> Mapping[str, Any]:
    kind = given.get("type")
    if kind not in kinds:
        return given
    return {name: value for name, value in given.items() if name in ("id", "type", kind)}
