"""Places: the kinds of text in a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

from guardrails.timing import Timing

Place: TypeAlias = Literal["system", "input", "tool_results", "tool_arguments", "output"]
"""A kind of text: of the system or developer, of the user (and of earlier answers), what tools returned, what they are
called with, and what the model says."""
PLACES: tuple[Place, ...] = get_args(Place)
ROLES: Mapping[str, Place] = {
    "system": "system",
    "developer": "system",
    "tool": "tool_results",
    "function": "tool_results",
}
"""Where the text of a message belongs by its role; all others are ``input``."""
Timings: TypeAlias = dict[Place, Timing]
"""How long rules took, by the place of what they looked at."""
