"""Stand-ins that we ship: a scripted provider, and a scripted upstream behind a real socket."""

from llm.testing.dialect import ANTHROPIC, OPENAI, Call, Dialect
from llm.testing.scripted import ScriptedProvider, Turn, call, fail, say
from llm.testing.upstream import Cut, Hang, Json, Pause, ScriptedUpstream, Stream

__all__ = [
    "ANTHROPIC",
    "OPENAI",
    "Call",
    "Cut",
    "Dialect",
    "Hang",
    "Json",
    "Pause",
    "ScriptedProvider",
    "ScriptedUpstream",
    "Stream",
    "Turn",
    "call",
    "fail",
    "say",
]
