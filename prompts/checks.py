"""What the messages, the legend and the parameters of a prompt must look like, and how to say that they do not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import Any

from prompts.errors import InvalidPrompt
from prompts.names import LIKELY, did_you_mean, nearest

Place = tuple[str | int, ...]
ROLES = ("system", "developer", "user", "assistant", "tool")
MESSAGE_KEYS = (
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "refusal",
    "reasoning_content",
    "cache_control",
)
LEGEND_KEYS = ("field", "description")
NUMBERS = ("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
INTEGERS = ("top_k", "n", "seed", "top_logprobs", "max_tokens", "max_completion_tokens", "max_new_tokens")
PARAMETERS = (
    *NUMBERS,
    *INTEGERS,
    *("stop", "logit_bias", "logprobs", "tools", "tool_choice", "parallel_tool_calls", "response_format", "metadata"),
    *("user", "reasoning_effort", "verbosity", "service_tier", "stream_options", "thinking"),
)
"""Parameters of a request that we know. Others go to the provider as they are, unless they look like one of these."""
RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_logprobs": (0, 20),
    "n": (1, 1),
    **dict.fromkeys(("presence_penalty", "frequency_penalty"), (-2, 2)),
    **dict.fromkeys(("max_tokens", "max_completion_tokens", "max_new_tokens"), (1, inf)),
}
"""The least and the most that numbers may be, as in requests; of what a prompt asks there is one answer."""
TEXT, OBJECT, LIST = (str, "a text"), (Mapping, "an object"), ((list, tuple), "a list")
KINDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "response_format": (Mapping, "an object such as {type: json_object}"),
    "stop": ((str, list, tuple), "a text, or a list of texts"),
    "tools": LIST,
    "tool_choice": ((str, Mapping), "a text, or an object"),
    "parallel_tool_calls": (bool, "true or false"),
    **dict.fromkeys(("logit_bias", "metadata", "stream_options", "thinking"), OBJECT),
    **dict.fromkeys(("user", "reasoning_effort", "verbosity", "service_tier"), TEXT),
}
"""What the values of other parameters are."""
NOT_OF_PROMPTS = {
    "messages": "write them into prompt_template",
    "model": "which model is asked, the model that the prompt is for says",
    "stream": "who asks says whether the answer is streamed",
}
"""Members of a request that are no parameters, and what to do instead."""
PART_MEMBERS = ("text", "image_url", "input_audio", "file", "refusal")
"""Types of content parts, each of which has a member of its own name."""
SHAPES: Mapping[str, tuple[type, str]] = {
    "prompt_template": (Sequence, "a list of messages"),
    "description": (str, "a text"),
}
"""What members of a prompt are that are no objects."""
NAME = re.compile(r"[^@\s]+")
LABEL = re.compile(r"(?!v\d+$)[A-Za-z][\w.-]*", re.ASCII)
LATEST = "latest"
"""The label of the highest version, which no file has to give."""


def check_identity(name: Any, version: Any, labels: Any) -> None:
    """Looks at what a prompt is asked for by.

    Raises:
        InvalidPrompt: when it could not be asked for.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidPrompt(f"prompt '{name}': write a name without '@' and spaces", ("name",))
    if isinstance(version, bool) or not isinstance(version, int):
        raise InvalidPrompt(f"prompt '{name}': version is {version!r}; write a number such as 1", ("version",))
    if version < 1:
        raise InvalidPrompt(f"prompt '{name}': version is {version}; versions count from 1", ("version",))
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise InvalidPrompt(f"prompt '{name}': labels is {labels!r}; write a list of texts", ("labels",))
    for label in labels:
        if label == LATEST:
            raise InvalidPrompt(f"prompt '{name}': the label 'latest' is always the highest version's", ("labels",))
        if not isinstance(label, str) or not LABEL.fullmatch(label):
            raise InvalidPrompt(f"prompt '{name}': '{label}' is no label; write one such as 'production'", ("labels",))


def check_shape(prompt: str, members: Mapping[str, Any]) -> None:
    """Looks whether the members of a prompt are a list of messages, objects, and a text.

    Raises:
        InvalidPrompt: when one is something else.
    """
    for name, value in members.items():
        kind, wanted = SHAPES.get(name, (Mapping, "an object"))
        if not isinstance(value, kind) or (kind is Sequence and isinstance(value, str)):
            said = f"{name} is a {type(value).__name__}; write {wanted}, or leave it out"
            raise InvalidPrompt(f"prompt '{prompt}': {said}", (name,))


def check_message(prompt: str, index: int, message: Any) -> None:
    """Looks at one message of a template: a role, a content of text or of parts, tool calls of the assistant, and to a
    result of a tool the id of its call.

    Raises:
        InvalidPrompt: on the first thing that is wrong.
    """
    where, place = f"prompt '{prompt}', message {index}", ("prompt_template", index)
    if not isinstance(message, Mapping):
        raise InvalidPrompt(f"{where}: write an object with role and content", place)
    for key in message:
        if key not in MESSAGE_KEYS and (meant := nearest(str(key), MESSAGE_KEYS)):
            raise InvalidPrompt(f"{where}: unknown key '{key}'; did you mean '{meant}'?", (*place, key))
    role = message.get("role")
    if role not in ROLES:
        hint = did_you_mean(str(role), ROLES, LIKELY)
        raise InvalidPrompt(f"{where}: role is {role!r}, write one of {', '.join(ROLES)}{hint}", (*place, "role"))
    if "tool_calls" in message:
        _check_calls(where, role, message["tool_calls"], (*place, "tool_calls"))
    _check_content(where, message, (*place, "content"))
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise InvalidPrompt(f"{where}: tool_call_id is missing, write the id of the call that this answers", place)
    check_plain(where, message, place)


def _check_content(where: str, message: Mapping[str, Any], place: Place) -> None:
    content = message.get("content")
    if isinstance(content, str) or (content is None and "tool_calls" in message):
        return
    if not isinstance(content, (list, tuple)) or not content:
        hint = "; a text that begins with a brace needs quotation marks" if isinstance(content, Mapping) else ""
        raise InvalidPrompt(f"{where}: content is missing, write a string, or a list of content parts{hint}", place)
    for number, part in enumerate(content):
        if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
            remedy = '{"type": "text", "text": "…"}'
            raise InvalidPrompt(f"{where}: content part {number} has no type, write one such as {remedy}", place)
        kind = part["type"]
        if kind not in PART_MEMBERS and (meant := nearest(kind, PART_MEMBERS)):
            raise InvalidPrompt(
                f"{where}: content part {number} has the type '{kind}'; did you mean '{meant}'?", (*place, number)
            )
        if kind == "text" and not isinstance(part.get("text"), str):
            raise InvalidPrompt(f"{where}: content part {number}: text is missing, write a string", (*place, number))
        if kind in PART_MEMBERS and kind not in part:
            raise InvalidPrompt(f"{where}: content part {number}: {kind} is missing; write it", (*place, number))


def _check_calls(where: str, role: Any, calls: Any, place: Place) -> None:
    if role != "assistant":
        raise InvalidPrompt(f"{where}: only the assistant calls tools; role is {role!r}", place)
    if not isinstance(calls, (list, tuple)) or not calls:
        raise InvalidPrompt(
            f"{where}: tool_calls is no list with a call in it; leave it out where there is none", place
        )
    for number, call in enumerate(calls):
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not all(
            isinstance(text, str) for text in (call.get("id"), function.get("name"), function.get("arguments"))
        ):
            remedy = '{"id": "…", "type": "function", "function": {"name": "…", "arguments": "JSON text"}}'
            raise InvalidPrompt(f"{where}: tool call {number} is not whole, write {remedy}", place)


def check_legend(prompt: str, legend: Mapping[str, Any], used: frozenset[str]) -> None:
    """Looks whether legend and template name the same placeholders. Placeholders without a word in the legend are
    accepted, unless they look like one that has it.

    Raises:
        InvalidPrompt: on the first that does not fit.
    """
    for name, entry in legend.items():
        place = ("prompt_legend", name)
        if not isinstance(entry, Mapping):
            raise InvalidPrompt(
                f"prompt '{prompt}': the legend of {name} is no object with field and description", place
            )
        if name not in used:
            hint = did_you_mean(name, used)
            raise InvalidPrompt(
                f"prompt '{prompt}': the legend explains {name}, which the template does not use; "
                f"it uses {', '.join(sorted(used)) or 'no placeholder'}{hint}",
                place,
            )
        for key in entry:
            if key not in LEGEND_KEYS:
                raise InvalidPrompt(f"prompt '{prompt}': the legend of {name} has field and description only", place)
        if not all(isinstance(text, (str, type(None))) for text in entry.values()):
            raise InvalidPrompt(f"prompt '{prompt}': the legend of {name} is no text; write strings", place)
    for name in sorted(used - set(legend)):
        if meant := nearest(name, legend):
            raise InvalidPrompt(
                f"prompt '{prompt}': the template uses {name}, which the legend does not explain; "
                f"did you mean '{meant}'? If not, explain it",
                ("prompt_template",),
            )


def check_config(prompt: str, config: Mapping[str, Any]) -> None:
    """Looks at the parameters of the request.

    Raises:
        InvalidPrompt: when one is a known one, mistyped or with a value that is none for it, or is no parameter, or no
            JSON.
    """
    where = f"prompt '{prompt}'"
    check_plain(where, config, ("invocation_config",))
    for key, value in config.items():
        place = ("invocation_config", key)
        if key in NOT_OF_PROMPTS:
            raise InvalidPrompt(f"{where}: invocation_config has '{key}'; {NOT_OF_PROMPTS[key]}", place)
        if key not in PARAMETERS and (meant := nearest(str(key), PARAMETERS)):
            raise InvalidPrompt(f"{where}: invocation_config has '{key}'; did you mean '{meant}'?", place)
        if value is not None and (wanted := _wanted(key, value)):
            raise InvalidPrompt(f"{where}: {key} is {value!r}; write {wanted}", place)


def _wanted(key: str, value: Any) -> str:
    """What a known parameter should be; empty where the value is that."""
    if key in KINDS:
        kind, wanted = KINDS[key]
        return "" if isinstance(value, kind) else wanted
    whole = key in INTEGERS
    if not (whole or key in NUMBERS):
        return ""
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return "a whole number" if whole else "a number"
    low, high = RANGES.get(key, (-inf, inf))
    if low <= value <= high:
        return ""
    return f"{low:g}" if low == high else f"at least {low:g}" if high == inf else f"{low:g} to {high:g}"


def check_plain(where: str, value: Any, place: Place) -> None:
    """Looks whether a value can be sent as JSON.

    Raises:
        InvalidPrompt: when it cannot, a date for example.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidPrompt(f"{where}: {key!r} is no text; write keys in quotation marks", place)
            check_plain(where, item, (*place, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            check_plain(where, item, (*place, index))
    elif isinstance(value, float) and not isfinite(value):
        raise InvalidPrompt(f"{where}: {place[-1]} is {value}, which JSON has not; write a number", place)
    elif not isinstance(value, (str, int, float, type(None))):
        kind = type(value).__name__
        raise InvalidPrompt(f"{where}: {place[-1]} is a {kind}, which JSON has not; write it in quotation marks", place)
