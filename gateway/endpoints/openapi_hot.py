"""How the routes that are plain ASGI are described: what the control plane does by itself for its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ANY: Mapping[str, Any] = {}
TEXT = {"type": "string"}
SCHEMAS: Mapping[str, Any] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": TEXT,
                    "type": TEXT,
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
            }
        },
    },
    "ErrorV2": {"type": "object", "required": ["error"], "properties": {"error": TEXT}},
    "Message": {
        "type": "object",
        "required": ["role"],
        "properties": {
            "role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]},
            "content": {"type": ["string", "array", "null"]},
            "tool_calls": {"type": "array", "items": {"type": "object"}},
            "tool_call_id": TEXT,
            "name": TEXT,
        },
    },
    "ChatRequest": {
        "type": "object",
        "required": ["model", "messages"],
        "description": "Members that are not listed go upstream as they come.",
        "properties": {
            "model": TEXT,
            "messages": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Message"}},
            "stream": {"type": ["boolean", "null"]},
            "stream_options": {"type": ["object", "null"], "properties": {"include_usage": {"type": "boolean"}}},
            "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 64},
            "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
            "max_completion_tokens": {"type": ["integer", "null"]},
            "tools": {"type": "array", "items": {"type": "object"}},
            "response_format": {"type": ["object", "null"]},
        },
    },
    "ChatCompletion": {
        "type": "object",
        "required": ["id", "object", "created", "model", "choices"],
        "properties": {
            "id": TEXT,
            "object": {"const": "chat.completion"},
            "created": {"type": "integer"},
            "model": TEXT,
            "choices": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["index", "message", "finish_reason"],
                    "properties": {
                        "index": {"type": "integer"},
                        "message": {"$ref": "#/components/schemas/Message"},
                        "finish_reason": {"enum": ["stop", "length", "tool_calls", "content_filter", "function_call"]},
                    },
                },
            },
            "usage": {"type": "object"},
        },
    },
    "InferRequest": {
        "type": "object",
        "required": ["inputs"],
        "properties": {"id": ANY, "inputs": {"type": "array", "minItems": 1}},
    },
    "InferResponse": {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {"id": ANY, "model_name": TEXT, "outputs": {"type": "array"}, "timestamp": TEXT},
    },
}


def _error(schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": "Why there is no answer.", "content": content}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


ERROR, ERROR_V2 = _error("Error"), _error("ErrorV2")
EVENTS = {"text/event-stream": {"schema": TEXT}}
HOT: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("POST", "/v1/chat/completions"): {
        "summary": "Answers a chat, by any model or graph, streamed or not.",
        "tags": ["chat"],
        "requestBody": {"required": True, "content": _json("ChatRequest")},
        "responses": {"200": {"description": "The answer.", "content": {**_json("ChatCompletion"), **EVENTS}}},
    },
    ("POST", "/v2/models/{model}/infer"): {
        "summary": "Runs a model or a graph on each input.",
        "tags": ["inference"],
        "requestBody": {"required": True, "content": _json("InferRequest")},
        "responses": {"200": {"description": "The outputs.", "content": _json("InferResponse")}},
    },
    ("GET", "/openapi.json"): {
        "summary": "This document: the endpoints that the caller may use.",
        "tags": ["openapi"],
        "responses": {"200": {"description": "An OpenAPI document.", "content": {"application/json": {"schema": {}}}}},
    },
}
"""By method and path. A route that is not here is described by its path alone."""
