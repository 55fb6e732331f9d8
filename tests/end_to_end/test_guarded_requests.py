"""Attempts to get a forbidden word past a policy: in every member of a request, over every API."""

from __future__ import annotations

from typing import Any

import pytest

from llm.testing import ScriptedUpstream
from tests.serving import serving

WORD = "nightjar"
PLACES = ["system", "input", "tool_results", "tool_arguments", "output"]
POLICY = {"name": "quiet", "rules": [{"rule": "terms", "terms": [WORD], "places": PLACES}]}
KEY = {"name": "app", "key": "sk-app-key"}
ATTACHED: dict[str, tuple[list[str], list[str], list[str]]] = {
    "key": (["quiet"], [], []),
    "model": ([], ["quiet"], []),
    "graph": ([], [], ["quiet"]),
}
HI = {"role": "user", "content": "hi"}


def called(result: str = "x", **function: str) -> list[Any]:
    """A conversation in which a tool was called."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}", **function}}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    return [HI, said, {"role": "tool", "tool_call_id": "c1", "content": result}]


def tool(**function: Any) -> dict[str, Any]:
    """A chat with a tool."""
    return {"messages": [HI], "tools": [{"type": "function", "function": {"name": "f", **function}}]}


CHATS: dict[str, dict[str, Any]] = {
    "user": {"messages": [{"role": "user", "content": WORD}]},
    "system": {"messages": [{"role": "system", "content": WORD}, HI]},
    "developer": {"messages": [{"role": "developer", "content": [{"type": "text", "text": WORD}]}, HI]},
    "part": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": WORD}]}]
    },
    "between parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a night"}, {"type": "text", "text": "jar"}]}
        ]
    },
    "unknown part": {"messages": [{"role": "user", "content": [{"type": "note", "note": WORD}]}]},
    "document": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": WORD}}],
            }
        ]
    },
    "text of an image": {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}, "text": WORD}]}]
    },
    "refusal": {"messages": [HI, {"role": "assistant", "content": [{"type": "refusal", "refusal": WORD}]}, HI]},
    "refusal member": {"messages": [HI, {"role": "assistant", "content": None, "refusal": WORD}, HI]},
    "name": {"messages": [{"role": "user", "name": WORD, "content": "hi"}]},
    "thoughts": {
        "messages": [
            HI,
            {"role": "assistant", "content": "a", "thinking_blocks": [{"type": "thinking", "thinking": WORD}]},
            HI,
        ]
    },
    "reasoning": {"messages": [HI, {"role": "assistant", "content": "a", "reasoning_content": WORD}, HI]},
    "function result": {"messages": [HI, {"role": "function", "name": "f", "content": WORD}]},
    "function call": {
        "messages": [HI, {"role": "assistant", "function_call": {"name": "f", "arguments": f'{{"a": "{WORD}"}}'}}, HI]
    },
    "arguments": {"messages": called(arguments=f'{{"a": "{WORD}"}}')},
    "escaped arguments": {"messages": called(arguments='{"a": "\\u006eightjar"}')},
    "arguments twice": {"messages": called(arguments='{"a": "\\u006eightjar", "a": "fine"}')},
    "names of arguments": {"messages": called(arguments=f'{{"{WORD}": 1}}')},
    "no JSON": {"messages": called(arguments=f"{{{WORD}")},
    "name of a call": {"messages": called(name=WORD)},
    "beside arguments": {"messages": called(note=WORD)},
    "nearly JSON": {"messages": called(arguments='{"a": NaN, "b": "\\u006eightjar"}')},
    "tool result": {"messages": called(WORD)},
    "description": tool(description=f"A {WORD}."),
    "parameter": tool(parameters={"type": "object", "properties": {WORD: {"type": "string"}}}),
    "enum": tool(parameters={"type": "object", "properties": {"type": {"type": "string", "enum": [WORD]}}}),
    "property named type": tool(
        parameters={"type": "object", "properties": {"type": {"type": "string", "description": WORD}}}
    ),
    "functions": {"messages": [HI], "functions": [{"name": "f", "description": WORD}]},
    "response_format": {
        "messages": [HI],
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "description": WORD, "schema": {}}},
    },
    "prediction": {"messages": [HI], "prediction": {"type": "content", "content": WORD}},
    "end user": {"messages": [HI], "user": WORD},
    "metadata": {"messages": [HI], "metadata": {"a": WORD}},
    "of nobody": {"messages": [HI], "documents": [{"contents": WORD}]},
    "template": {"messages": [HI], "chat_template": WORD},
}
MESSAGES: dict[str, dict[str, Any]] = {
    "user": {"messages": [{"role": "user", "content": WORD}]},
    "system": {"system": [{"type": "text", "text": WORD}], "messages": [HI]},
    "document": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": WORD}}],
            }
        ]
    },
    "search result": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "search_result",
                        "source": "x",
                        "title": "t",
                        "content": [{"type": "text", "text": WORD}],
                    }
                ],
            }
        ]
    },
    "thinking": {
        "messages": [
            HI,
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": WORD, "signature": "s"}, {"type": "text", "text": "a"}],
            },
            HI,
        ]
    },
    "tool use": {
        "messages": [
            HI,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": WORD}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "x"}]},
        ]
    },
    "tool result": {
        "messages": [
            HI,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": WORD}]}],
            },
        ]
    },
    "tool": {"messages": [HI], "tools": [{"name": "f", "description": WORD, "input_schema": {"type": "object"}}]},
    "metadata": {"messages": [HI], "metadata": {"user_id": WORD}},
}
RESPONSES: dict[str, dict[str, Any]] = {
    "input": {"input": WORD},
    "instructions": {"input": "hi", "instructions": WORD},
    "item": {"input": [{"role": "user", "content": [{"type": "input_text", "text": WORD}]}]},
    "assistant": {"input": [{"role": "assistant", "content": WORD}, {"role": "user", "content": "hi"}]},
    "call": {
        "input": [
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": f'{{"a": "{WORD}"}}'},
            {"type": "function_call_output", "call_id": "c1", "output": "x"},
        ]
    },
    "output": {
        "input": [
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": WORD},
        ]
    },
    "tool": {"input": "hi", "tools": [{"type": "function", "name": "f", "description": WORD, "parameters": {}}]},
    "format": {
        "input": "hi",
        "text": {"format": {"type": "json_schema", "name": "a", "description": WORD, "schema": {}}},
    },
    "background": {"input": WORD, "background": True},
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "prompt": ("/v1/completions", {"prompt": WORD}),
    "prompts": ("/v1/completions", {"prompt": ["a", WORD]}),
    "ids": ("/v1/completions", {"prompt": [1, 2]}),
    "suffix": ("/v1/completions", {"prompt": "a", "suffix": WORD}),
    "embedding": ("/v1/embeddings", {"input": ["a", WORD]}),
    "embedded ids": ("/v1/embeddings", {"input": [[1, 2]]}),
    "beside": ("/v1/embeddings", {"input": "a", "instruction": WORD}),
    "infer": ("/v2/models/up/infer", {"inputs": ["a", WORD]}),
    "tensor": ("/v2/models/up/infer", {"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": [WORD]}]}),
    "generate": ("/v2/models/up/generate", {"text_input": WORD}),
    "generate_stream": ("/v2/models/up/generate_stream", {"text_input": WORD}),
    "generate with": ("/v2/models/up/generate", {"text_input": "a", "parameters": {"documents": WORD}}),
    "row": ("/own/nightjar", {}),
    "row with a body": ("/own/a", {"more": WORD}),
}
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"chat: {name}": ("/v1/chat/completions", body) for name, body in CHATS.items()},
    **{f"messages: {name}": ("/v1/messages", {"max_tokens": 5, **body}) for name, body in MESSAGES.items()},
    **{f"responses: {name}": ("/v1/responses", body) for name, body in RESPONSES.items()},
    **OTHERS,
}


def settings(upstream: ScriptedUpstream, attached: str) -> dict[str, Any]:
    key, model, graph = ATTACHED[attached]
    provider = {"name": "scripted", "kind": "openai", "base_url": upstream.base_url, "completions": True}
    models = [{"name": "up", "provider": "scripted", "guardrails": model}]
    build = "tests.end_to_end.own_graphs:asking"
    graphs = [{"name": "asking", "build": build, "guardrails": graph, "embeddings": False}]
    rows = [
        {
            "path": "/own/{what}",
            "method": "POST",
            "input": {"what": {}, "more": {"source_path": "$.more", "mandatory": False}},
            **({"graph": "asking"} if attached == "graph" else {"model": "up"}),
        }
    ]
    return {
        "providers": [provider],
        "models": models,
        "graphs": graphs,
        "api": rows,
        "auth": {"keys": [{**KEY, "guardrails": key}]},
        "guardrails": [POLICY],
    }


@pytest.mark.parametrize("attached", ATTACHED)
async def test_no_member_of_a_request_carries_a_word_past_a_policy(attached: str) -> None:
    """Whatever it is put into, no upstream is sent it."""
    model = "asking" if attached == "graph" else "up"
    headers = {"authorization": "Bearer sk-app-key"}
    passed = []
    async with ScriptedUpstream() as upstream, serving(**settings(upstream, attached)) as gateway:
        for name, (path, body) in REQUESTS.items():
            if model == "asking" and path == "/v1/embeddings":
                continue
            sent = {"model": model, **body} if path.startswith("/v1") else body
            url = gateway.address + path.replace("/up/", f"/{model}/")
            async with gateway.http.post(url, json=sent, headers=headers) as made:
                said = (await made.read()).decode()
            if made.status != (200 if "background" in body else 400):
                passed.append((name, made.status, said))
        assert (passed, upstream.received) == ([], [])
