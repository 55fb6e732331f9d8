"""Stand-ins that we ship: a scripted provider, and a scripted upstream behind a real socket."""

from llm.testing.scripted import ScriptedProvider, Turn, call, fail, say
from llm.testing.upstream import Cut, Hang, Json, Pause, ScriptedUpstream, Stream

__all__ = [
    "Cut",
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
