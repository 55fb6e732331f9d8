"""Stand-ins that we ship: a scripted provider, a recorded one, faults around any, and a scripted upstream behind a real
socket."""

from llm.testing.dialect import ANTHROPIC, OPENAI, Call, Dialect
from llm.testing.faulty import Fault, FaultyProvider, broken, cut, hanging, late, sometimes, split
from llm.testing.openai_dialects import COMPLETIONS, RESPONSES
from llm.testing.recorded import RecordedProvider
from llm.testing.scripted import ScriptedProvider, Turn, call, fail, say, vectors
from llm.testing.upstream import Cut, Hang, Json, Pause, ScriptedUpstream, Stream, embeddings

__all__ = [
    "ANTHROPIC",
    "COMPLETIONS",
    "OPENAI",
    "RESPONSES",
    "Call",
    "Cut",
    "Dialect",
    "Fault",
    "FaultyProvider",
    "Hang",
    "Json",
    "Pause",
    "RecordedProvider",
    "ScriptedProvider",
    "ScriptedUpstream",
    "Stream",
    "Turn",
    "broken",
    "call",
    "cut",
    "embeddings",
    "fail",
    "hanging",
    "late",
    "say",
    "sometimes",
    "split",
    "vectors",
]
