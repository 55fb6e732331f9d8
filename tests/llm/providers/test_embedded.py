"""The embedded provider: what it takes from a request."""

from __future__ import annotations

import json

from llm import ChatRequest, collect
from llm.providers.embedded import EmbeddedProvider

TOOL = {
    "type": "function",
    "function": {
        "name": "go",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
STRANGE = "Xqvrmblatz"


async def test_arguments_and_answers_are_held_to_what_they_copy() -> None:
    """There is one word to copy, so that is what any weights must say."""
    calls = ChatRequest.of_text("m", "Go.").having(tools=[TOOL], tool_choice="required", parallel_tool_calls=False)
    calls.copies = {"go.place": f"{STRANGE}!"}
    answers = ChatRequest.of_text("m", "Where?").having(
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    )
    answers.copies = {"place": f"{STRANGE}!"}
    provider = EmbeddedProvider()
    await provider.start()
    try:
        called = await collect(provider.stream("penstock-demo", calls))
        answered = await collect(provider.stream("penstock-demo", answers))
    finally:
        await provider.close()
    assert json.loads(called.tool_calls[0].arguments) == {"place": STRANGE}
    assert json.loads(answered.content)["place"] in {STRANGE, ""}
