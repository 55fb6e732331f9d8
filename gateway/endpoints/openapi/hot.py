"""How the routes that are plain ASGI are described: what the control plane does by itself for its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.endpoints.openapi.words import JSONSchema, ref

EVENTS: Mapping[str, Any] = {"text/event-stream": {}}
BYTES: Mapping[str, Any] = {"application/octet-stream": {}}


def _json(schema: JSONSchema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _error(schema: str) -> Mapping[str, Any]:
    return {"description": "Why there is no answer.", "content": _json(ref(schema))}


ERROR, ERROR_V2, ERROR_OF_MESSAGES = _error("Error"), _error("ErrorV2"), _error("MessagesError")


def error_of(path: str) -> Mapping[str, Any]:
    """What a path answers in place of an answer."""
    if f"{path}/".startswith("/v1/messages/"):
        return ERROR_OF_MESSAGES
    return ERROR_V2 if f"{path}/".startswith("/v2/") else ERROR


def _described(
    tag: str, summary: str, asked: str, answer: str | None, others: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """A route that takes JSON: the schemas of what it takes and gives, and in which other forms it answers."""
    content = {**(_json(ref(answer) if answer else {})), **(others or {})}
    return {
        "summary": summary,
        "tags": [tag],
        "requestBody": {"required": True, "content": _json(ref(asked))},
        "responses": {"200": {"description": "The answer.", "content": content}},
    }


INFER = _described("inference", "Runs a model or a graph on each input.", "InferRequest", "InferResponse", BYTES)
BY_BODY = _described("inference", "Does what the body names, or infers.", "InferRequest", None, BYTES)
GENERATE = _described("inference", "Goes on from a text.", "GenerateRequest", "GenerateResponse")
PIECES = {
    **_described("inference", "Goes on from a text, piece by piece.", "GenerateRequest", None),
    "responses": {"200": {"description": "The pieces.", "content": EVENTS}},
}
OPERATION = {
    "summary": "Asks a model of one's own for anything else that it does.",
    "tags": ["inference"],
    "requestBody": {"required": False, "content": _json({"type": "object"})},
    "responses": {"200": {"description": "The answer.", "content": {**_json({}), **BYTES}}},
}
OF_MODELS = {
    **{f"/v2/models{rest}": BY_BODY for rest in ("", "/")},
    **{
        f"/v2/models/{{model}}{version}{operation}": described
        for version in ("", "/versions/{version}")
        for operation, described in (
            ("", BY_BODY),
            ("/infer", INFER),
            ("/generate", GENERATE),
            ("/generate_stream", PIECES),
            ("/{operation}", OPERATION),
        )
    },
}
HOT: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("POST", "/v1/chat/completions"): _described(
        "chat", "Answers a chat, by any model or graph, streamed or not.", "ChatRequest", "ChatCompletion", EVENTS
    ),
    ("POST", "/v1/completions"): _described(
        "completions", "Goes on from a text, streamed or not.", "CompletionRequest", "Completion", EVENTS
    ),
    ("POST", "/v1/embeddings"): _described("embeddings", "Makes vectors.", "EmbeddingsRequest", "Embeddings"),
    ("POST", "/v1/responses"): _described(
        "responses", "Answers, and keeps the answer.", "ResponseRequest", "Response", EVENTS
    ),
    ("POST", "/v1/messages"): _described(
        "messages", "Answers messages of Anthropic's API.", "MessagesAsked", "MessagesAnswer", EVENTS
    ),
    ("POST", "/v1/messages/count_tokens"): _described(
        "messages", "Counts the tokens of messages.", "MessagesCounted", "MessagesCount"
    ),
    **{("POST", path): described for path, described in OF_MODELS.items()},
    ("GET", "/openapi.json"): {
        "summary": "This document: the endpoints that the caller may use.",
        "tags": ["openapi"],
        "responses": {"200": {"description": "An OpenAPI document.", "content": _json({"type": "object"})}},
    },
}
"""By method and path. A route that is not here is described by its path alone."""
