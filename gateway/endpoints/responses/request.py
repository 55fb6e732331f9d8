"""A request of the Responses API, as the chat request that every model and graph understands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.answers import Api, Dialect
from gateway.endpoints.responses.checks import checked
from gateway.endpoints.responses.dialect import ResponsesDialect
from gateway.endpoints.responses.items import items_of
from gateway.endpoints.responses.messages import messages_of
from gateway.endpoints.responses.tools import chat_tool, chat_tool_choice
from graph import Event
from llm import ChatRequest

OWN = frozenset(
    {
        "background",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "parallel_tool_calls",
        "previous_response_id",
        "reasoning",
        "store",
        "stream_options",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "truncation",
    }
)
"""Members that chat has elsewhere, or that are the gateway's own; all others go on as they came."""
LOGPROBS = "message.output_text.logprobs"


class ResponsesApi(Api):
    """OpenAI's Responses API. The input of its bodies is whole: what came before stands in it already."""

    path = "/v1/responses"

    def request(self, body: Any) -> ChatRequest:
        return chat_request(checked(body))

    def dialect(self, event: Event, body: Any) -> Dialect:
        return ResponsesDialect(event, body)


def chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """The chat request that a checked body is.

    Raises:
        InvalidRequest: when calls and outputs do not fit, or there are too many of them.
    """
    wire = {
        **{name: value for name, value in body.items() if name not in OWN},
        "messages": messages_of(items_of(body), body.get("instructions")),
        **_limits(body),
        **_form(body),
        **_tools(body),
    }
    return ChatRequest.from_wire(wire)


def _limits(body: Mapping[str, Any]) -> dict[str, Any]:
    limits = {}
    if "max_output_tokens" in body:
        limits["max_completion_tokens"] = body["max_output_tokens"]
    if (body.get("reasoning") or {}).get("effort") is not None:
        limits["reasoning_effort"] = body["reasoning"]["effort"]
    return limits


def _form(body: Mapping[str, Any]) -> dict[str, Any]:
    form: dict[str, Any] = {}
    text = body.get("text") or {}
    if text.get("verbosity") is not None:
        form["verbosity"] = text["verbosity"]
    wanted = text.get("format") or {"type": "text"}
    if wanted["type"] == "json_object":
        form["response_format"] = {"type": "json_object"}
    if wanted["type"] == "json_schema":
        schema = {name: value for name, value in wanted.items() if name != "type" and value is not None}
        form["response_format"] = {"type": "json_schema", "json_schema": schema}
    if body.get("top_logprobs") or LOGPROBS in body.get("include", ()):
        form["logprobs"] = True
        form["top_logprobs"] = body.get("top_logprobs", 0)
    return form


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    """The tools, and what is said about them, which upstreams refuse where there are none."""
    if not body.get("tools"):
        return {}
    tools: dict[str, Any] = {"tools": [chat_tool(tool) for tool in body["tools"]]}
    if "tool_choice" in body:
        tools["tool_choice"] = chat_tool_choice(body["tool_choice"])
    if "parallel_tool_calls" in body:
        tools["parallel_tool_calls"] = body["parallel_tool_calls"]
    return tools
