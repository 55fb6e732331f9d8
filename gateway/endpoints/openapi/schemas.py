"""What requests and answers look like, as JSON Schema has it: what :mod:`llm.chat.request_checks`, and the checks of
the other APIs, take."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from gateway.endpoints.messages.shape import Asked, Counted
from gateway.endpoints.openapi.v2 import V2
from gateway.endpoints.openapi.words import (
    NAME,
    OBJECT,
    REFS,
    TEXT,
    WHOLE,
    YES_OR_NO,
    JSONSchema,
    array,
    either,
    number,
    object_of,
    ref,
)

TOKENS = array(number("integer", 0, 2**31 - 1), least=1)
STOP = either(TEXT, array(TEXT, least=1, most=4))
MARKS: JSONSchema = {
    "type": "object",
    "maxProperties": 16,
    "propertyNames": {"maxLength": 64},
    "additionalProperties": {"type": "string", "maxLength": 512},
}
STREAMED: Mapping[str, JSONSchema] = {
    "stream": YES_OR_NO,
    "stream_options": object_of(include_usage=YES_OR_NO, include_obfuscation=YES_OR_NO),
}
SAMPLED: Mapping[str, JSONSchema] = {
    "temperature": number("number", 0, 2),
    "top_p": number("number", 0, 1),
}
CHOSEN: Mapping[str, JSONSchema] = {
    **SAMPLED,
    "n": number("integer", 1, 128),
    "stop": STOP,
    "presence_penalty": number("number", -2, 2),
    "frequency_penalty": number("number", -2, 2),
    "logit_bias": {"type": "object", "additionalProperties": WHOLE},
    "seed": number("integer", -(2**63), 2**63 - 1),
    "user": TEXT,
}
CONTENT = either(TEXT, array(ref("Part"), least=1))
FUNCTION = object_of("name", name=TEXT, description=TEXT, parameters=OBJECT, strict=YES_OR_NO)
CALLS = (
    object_of("id", "function", id=TEXT, function=object_of("name", "arguments", name=TEXT, arguments=TEXT)),
    object_of(
        "id",
        "type",
        "custom",
        id=TEXT,
        type={"const": "custom"},
        custom=object_of("name", "input", name=TEXT, input=TEXT),
    ),
)
CHAT = {
    "Message": either(
        object_of("role", "content", role={"enum": ["system", "developer", "user"]}, content=CONTENT, name=TEXT),
        object_of("role", role={"const": "assistant"}, content=CONTENT, refusal=TEXT, tool_calls=array(either(*CALLS))),
        object_of("role", "content", "tool_call_id", role={"const": "tool"}, content=CONTENT, tool_call_id=TEXT),
        object_of("role", "name", role={"const": "function"}, content=CONTENT, name=TEXT),
    ),
    "Part": either(
        object_of("type", "text", type={"const": "text"}, text=TEXT),
        object_of("type", type={"type": "string", "not": {"enum": ["text"]}}),
    ),
    "Tool": either(
        object_of("type", "function", type={"const": "function"}, function=FUNCTION),
        object_of("type", "custom", type={"const": "custom"}, custom=object_of("name", name=TEXT, format=OBJECT)),
    ),
    "ChatRequest": {
        **object_of(
            "model",
            "messages",
            model=NAME,
            messages=array(ref("Message"), least=1, most=2048),
            **STREAMED,
            **CHOSEN,
            max_completion_tokens=number("integer", 1),
            max_tokens=number("integer", 1),
            logprobs=YES_OR_NO,
            top_logprobs=number("integer", 0, 20),
            tools=array(ref("Tool"), least=1, most=128),
            tool_choice=either({"enum": ["none", "auto", "required"]}, object_of("type", type=TEXT)),
            parallel_tool_calls=YES_OR_NO,
            response_format=object_of("type", type={"enum": ["text", "json_object", "json_schema"]}),
            metadata=MARKS,
            modalities=array(TEXT),
            reasoning_effort=TEXT,
            verbosity=TEXT,
            service_tier=TEXT,
            store=YES_OR_NO,
        ),
        "description": "Members that are not listed go upstream as they come.",
    },
    "Usage": {"type": "object", "required": ["prompt_tokens", "total_tokens"]},
    "ChatCompletion": {
        "type": "object",
        "required": ["id", "object", "created", "model", "choices", "usage"],
        "properties": {
            "id": TEXT,
            "object": {"const": "chat.completion"},
            "created": WHOLE,
            "model": TEXT,
            "choices": array(
                {
                    "type": "object",
                    "required": ["index", "message", "finish_reason"],
                    "properties": {
                        "index": WHOLE,
                        "message": ref("Message"),
                        "finish_reason": {"enum": ["stop", "length", "tool_calls", "content_filter", "function_call"]},
                    },
                }
            ),
            "usage": ref("Usage"),
        },
    },
}
OTHERS = {
    "CompletionRequest": object_of(
        "model",
        "prompt",
        model=NAME,
        prompt=either(TEXT, array(TEXT, least=1, most=2048), TOKENS, array(TOKENS, least=1, most=2048)),
        **STREAMED,
        **CHOSEN,
        max_tokens=number("integer", 0),
        best_of=number("integer", 1, 20),
        logprobs=number("integer", 0, 5),
        echo=YES_OR_NO,
        suffix=TEXT,
    ),
    "Completion": {
        "type": "object",
        "required": ["id", "object", "created", "model", "choices", "usage"],
        "properties": {
            "object": {"const": "text_completion"},
            "choices": array({"type": "object", "required": ["index", "text", "finish_reason"]}, least=1),
            "usage": ref("Usage"),
        },
    },
    "EmbeddingsRequest": object_of(
        "model",
        "input",
        model=NAME,
        input=either(NAME, array(NAME, least=1, most=2048), TOKENS, array(TOKENS, least=1, most=2048)),
        encoding_format={"enum": ["float", "base64"]},
        dimensions=number("integer", 1),
        user=TEXT,
    ),
    "Embeddings": {
        "type": "object",
        "required": ["object", "data", "model", "usage"],
        "properties": {
            "object": {"const": "list"},
            "data": array(
                {
                    "type": "object",
                    "required": ["object", "index", "embedding"],
                    "properties": {"embedding": either(TEXT, array({"type": "number"}, least=1))},
                }
            ),
            "usage": ref("Usage"),
        },
    },
    "ResponseRequest": object_of(
        "model",
        "input",
        model=NAME,
        input=either(TEXT, array(object_of(id=TEXT, role=TEXT, type=TEXT), least=1, most=2048)),
        instructions=TEXT,
        **SAMPLED,
        stream=YES_OR_NO,
        background=YES_OR_NO,
        store=YES_OR_NO,
        previous_response_id=TEXT,
        max_output_tokens=number("integer", 16),
        max_tool_calls=number("integer", 1),
        metadata=MARKS,
        reasoning=object_of(effort=TEXT, summary={"enum": ["auto", "concise", "detailed"]}),
        text=object_of(format=object_of("type", type={"enum": ["text", "json_object", "json_schema"]})),
        tools=array(object_of("type", "name", type={"enum": ["function", "custom"]}, name=TEXT), most=128),
        truncation={"enum": ["auto", "disabled"]},
        user=TEXT,
    ),
    "Response": {
        "type": "object",
        "required": ["id", "object", "created_at", "status", "model", "output"],
        "properties": {
            "object": {"const": "response"},
            "status": {"enum": ["completed", "failed", "in_progress", "cancelled", "queued", "incomplete"]},
            "output": array({"type": "object", "required": ["id", "type"]}),
        },
    },
    "MessagesAnswer": {
        "type": "object",
        "required": ["id", "type", "role", "model", "content", "stop_reason", "usage"],
        "properties": {
            "type": {"const": "message"},
            "role": {"const": "assistant"},
            "content": array({"type": "object", "required": ["type"]}),
        },
    },
    "MessagesCount": {"type": "object", "required": ["input_tokens"], "properties": {"input_tokens": WHOLE}},
}
ERRORS = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "additionalProperties": False,
                "properties": {
                    "message": NAME,
                    "type": NAME,
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
            }
        },
        "additionalProperties": False,
    },
    "ErrorV2": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": NAME},
        "additionalProperties": False,
    },
    "MessagesError": {
        "type": "object",
        "required": ["type", "error", "request_id"],
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["type", "message"],
                "properties": {"type": NAME, "message": NAME},
                "additionalProperties": False,
            },
            "request_id": TEXT,
        },
        "additionalProperties": False,
    },
}


@cache
def schemas() -> Mapping[str, Any]:
    """All of them by name; those of Anthropic's API are made of the models that check its requests."""
    models: list[tuple[type[Counted], Any]] = [(Asked, "validation"), (Counted, "validation")]
    _, made = models_json_schema(models, ref_template=REFS + "Messages{model}")
    messages = {f"Messages{name}": schema for name, schema in made["$defs"].items()}
    return {**CHAT, **OTHERS, **V2, **ERRORS, **messages}
