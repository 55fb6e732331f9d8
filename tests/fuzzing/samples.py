"""Right documents of every API: requests of the gateway's, answers and events of upstreams."""

from __future__ import annotations

from typing import Any

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "tells",
        "strict": True,
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}
CALL: Any = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"place": "Rome"}'}}
PARTS: Any = [
    {"type": "text", "text": "look"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"}},
    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
    {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
    {"type": "refusal", "refusal": "no"},
]
USER: Any = {"role": "user", "content": "hi"}
CUSTOM: Any = {
    "type": "custom",
    "custom": {"name": "run", "format": {"type": "grammar", "grammar": {"syntax": "lark"}}},
}

CHATS: Any = [
    {"model": "m", "messages": [USER], "stream": True, "stream_options": {"include_usage": True}},
    {
        "model": "m",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": PARTS, "name": "x"},
            {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None, "reasoning_content": "hm"},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "20"}]},
        ],
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
    },
    {
        "model": "m",
        "messages": [
            USER,
            {
                "role": "assistant",
                "content": "a",
                "tool_calls": [{"id": "c2", "type": "custom", "custom": {"name": "run", "input": "x"}}],
            },
            {"role": "tool", "tool_call_id": "c2", "content": "done"},
            {
                "role": "assistant",
                "refusal": "no",
                "thinking_blocks": [{"type": "thinking"}],
                "reasoning_items": [{"type": "reasoning"}],
            },
            {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
        ],
        "tools": [TOOL, CUSTOM],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "get_weather"}}]},
        },
    },
    {
        "model": "m",
        "messages": [USER],
        "temperature": 1.5,
        "top_p": 0.5,
        "n": 1,
        "stop": ["x"],
        "max_tokens": 5,
        "presence_penalty": 1,
        "logit_bias": {"1": 2},
        "logprobs": True,
        "top_logprobs": 2,
        "seed": 1,
        "response_format": {"type": "json_object"},
        "metadata": {"user_id": "b"},
        "user": "u",
        "modalities": ["text"],
        "reasoning_effort": "low",
        "verbosity": "low",
        "service_tier": "auto",
        "reasoning": {"summary": "auto"},
        "text": {"format": None},
        "include": [],
        "output_config": {"effort": "low"},
        "thinking": {"type": "enabled"},
    },
]
COMPLETIONS: Any = [
    {"model": "m", "prompt": "once", "max_tokens": 5, "echo": True, "suffix": "x", "logprobs": 2, "best_of": 1, "n": 2},
    {"model": "m", "prompt": ["a", "b"], "stream": True, "stream_options": {"include_usage": True}, "stop": "x"},
    {"model": "m", "prompt": [[1, 2], [3]], "logit_bias": {"5": 1}, "temperature": 0, "seed": 1, "user": "u"},
    {"model": "m", "prompt": [1, 2]},
]
EMBEDDINGS: Any = [
    {"model": "m", "input": "a", "encoding_format": "base64", "dimensions": 8, "user": "u"},
    {"model": "m", "input": ["a", "b"]},
    {"model": "m", "input": [[1, 2], [3]], "encoding_format": "float"},
    {"model": "m", "input": [1, 2]},
]
MESSAGES: Any = [
    {"model": "m", "max_tokens": 5, "messages": [USER], "system": "be brief", "stream": True},
    {
        "model": "m",
        "max_tokens": 2048,
        "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
                    {"type": "document", "source": {"type": "url", "url": "https://x.example"}, "title": "t"},
                    {"type": "search_result", "source": "x"},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"place": "Rome"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "20"}]},
                    {"type": "text", "text": "well?"},
                ],
            },
        ],
        "tools": [
            {"name": "get_weather", "description": "tells", "input_schema": {"type": "object", "required": ["place"]}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        "tool_choice": {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low"},
    },
    {
        "model": "m",
        "max_tokens": 5,
        "messages": [USER, {"role": "assistant", "content": "I"}],
        "stop_sequences": ["x"],
        "temperature": 1,
        "top_p": 0.5,
        "top_k": 5,
        "metadata": {"user_id": "u"},
        "service_tier": "auto",
    },
]
RESPONSES: Any = [
    {"model": "m", "input": "hi", "instructions": "be brief", "stream": True, "store": True},
    {
        "model": "m",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "look"},
                    {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "low"},
                    {"type": "input_file", "filename": "a", "file_data": "QUJD"},
                    {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
                ],
            },
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
            {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}", "id": "fc_1"},
            {"type": "function_call_output", "call_id": "c1", "output": "20"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "run", "input": "x"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "y"}]},
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "status": "completed",
                "content": [
                    {"type": "output_text", "text": "a", "annotations": []},
                    {"type": "refusal", "refusal": "no"},
                ],
            },
        ],
        "tools": [
            {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": True},
            {"type": "custom", "name": "run", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "get_weather"}],
        },
        "parallel_tool_calls": True,
    },
    {
        "model": "m",
        "input": "hi",
        "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["message.output_text.logprobs"],
        "max_output_tokens": 16,
        "metadata": {"a": "b"},
        "top_logprobs": 2,
        "temperature": 1,
        "tool_choice": "auto",
        "truncation": "auto",
        "service_tier": "auto",
        "user": "u",
    },
]

INFERS: Any = [
    {"id": "1", "inputs": [{"name": "x", "shape": [2, 1], "datatype": "INT32", "data": [1, 2]}]},
    {
        "parameters": {"binary_data_output": True},
        "inputs": [
            {"name": "x", "shape": [1, 2], "datatype": "FP16", "parameters": {"binary_data_size": 4}},
            {"name": "y", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 10}},
        ],
        "outputs": [{"name": "y", "parameters": {"binary_data": False}}, {"name": "x"}],
    },
    {"inputs": [{"name": "b", "shape": [1], "datatype": "BOOL", "data": [[True]]}], "outputs": [{"name": "b"}]},
    {"inputs": [{"name": "z", "shape": [1], "datatype": "BF16", "parameters": {"binary_data_size": 2}}]},
    {"inputs": [[1, 2], [3, 4]], "parameters": {"a": 1}},
]
BLOBS = b"\x00\x3c\x00\xc0" + b"\x02\x00\x00\x00ab" + b"\x00\x00\x00\x00"

USAGE: Any = {
    "prompt_tokens": 1,
    "completion_tokens": 2,
    "total_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 1},
}
LOGPROBS: Any = {
    "content": [{"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": [{"token": "a", "logprob": -1}]}]
}
CHAT_EVENTS: Any = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "Hi", "reasoning_content": "hm"}, "logprobs": LOGPROBS}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **CALL}]}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]}}]},
    {
        "choices": [
            {"index": 0, "delta": {"tool_calls": [{"index": 1, "id": "c", "custom": {"name": "r", "input": "x"}}]}}
        ]
    },
    {
        "choices": [
            {"index": 0, "delta": {"thinking_blocks": [{"type": "thinking", "thinking": "a", "signature": "b"}]}}
        ]
    },
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None},
    {"choices": [], "usage": USAGE},
    {"error": {"message": "no", "type": "server_error", "code": "rate_limit_exceeded", "param": None}},
]
CHAT_ANSWERS: Any = [
    {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "tool_calls": [CALL]},
                "finish_reason": "stop",
                "logprobs": LOGPROBS,
            }
        ],
        "usage": USAGE,
    },
]
COMPLETION_EVENTS: Any = [
    {"choices": [{"index": 0, "text": "a", "logprobs": {"tokens": ["a"]}, "finish_reason": None}]},
    {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]},
    {"choices": [], "usage": USAGE},
]
ITEMS: Any = [
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hi", "logprobs": LOGPROBS["content"]}],
    },
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
]
RESPONSE: Any = {
    "id": "resp_1",
    "status": "completed",
    "output": ITEMS,
    "incomplete_details": {"reason": "content_filter"},
    "error": {"code": "rate_limit_exceeded", "message": "no"},
    "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "input_tokens_details": {"cached_tokens": 1}},
}
RESPONSE_EVENTS: Any = [
    {"type": "response.output_item.added", "output_index": 0, "item": ITEMS[1]},
    {"type": "response.output_item.done", "output_index": 0, "item": ITEMS[0]},
    {"type": "response.output_item.done", "output_index": 2, "item": ITEMS[2]},
    {"type": "response.output_text.delta", "output_index": 0, "delta": "Hi", "logprobs": LOGPROBS["content"]},
    {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{"},
    {"type": "response.reasoning_summary_part.added", "summary_index": 1},
    {"type": "response.refusal.delta", "item_id": "msg_1", "delta": "no"},
    {"type": "response.completed", "response": RESPONSE},
    {"type": "response.failed", "response": RESPONSE},
    {"type": "error", "code": "server_error", "message": "no"},
]
MESSAGE: Any = {
    "id": "msg_1",
    "content": [
        {"type": "text", "text": "Hi", "citations": [{"type": "x"}]},
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
    ],
    "stop_reason": "end_turn",
    "stop_sequence": "x",
    "usage": {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_read_input_tokens": 3,
        "output_tokens_details": {"thinking_tokens": 1},
    },
}
MESSAGE_EVENTS: Any = [
    {"type": "message_start", "message": MESSAGE},
    {"type": "content_block_start", "index": 0, "content_block": MESSAGE["content"][0]},
    {"type": "content_block_start", "index": 1, "content_block": MESSAGE["content"][1]},
    {"type": "content_block_start", "index": 2, "content_block": MESSAGE["content"][2]},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {"type": "x"}}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "thinking_delta", "thinking": "a"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "signature_delta", "signature": "a"}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{"}},
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_stop", "index": 2},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": "x"}, "usage": MESSAGE["usage"]},
    {"type": "message_stop"},
    {"type": "ping"},
    {"type": "error", "error": {"type": "overloaded_error", "message": "no"}},
]
SCHEMAS: Any = [
    {
        "type": "object",
        "properties": {
            "a": {"type": "string", "maxLength": 5, "pattern": "a+"},
            "b": {"type": ["integer", "null"], "minimum": 0},
            "c": {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 1},
            "d": {"$ref": "#/$defs/d"},
        },
        "required": ["a"],
        "additionalProperties": False,
        "$defs": {"d": {"anyOf": [{"const": 5}, {"type": "number"}, True]}},
    },
    {"allOf": [{"type": "object", "minProperties": 1}], "description": "x", "patternProperties": {"^a": {}}},
    {"prefixItems": [{"type": "boolean"}], "type": "array", "title": "t"},
    {"type": "string", "format": "date", "minLength": 3},
]
SCHEMAS_OF_TOOLS: Any = [
    {"type": "function", "function": {"name": f"f{index}", "parameters": schema}}
    for index, schema in enumerate(SCHEMAS[:2])
]
