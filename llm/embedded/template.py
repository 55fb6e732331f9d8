"""Messages and tools to a prompt: one special token a role, tools as compact signatures.

    <|tools|>get_weather(location, date)
    search_attractions(location, weather)<|end|><|system|>…<|end|><|user|>…<|end|><|assistant|>

A prompt is a row of segments. Special tokens are segments of their own and everything else is plain text, so no text
of a caller can become a special token, whatever it spells. `CHAT_TEMPLATE` is the same rendering in Jinja, for
transformers; a test holds the two together.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from llm.embedded.errors import PromptTooLong, UnsupportedMessage
from llm.embedded.tokenizer import Tokenizer


class Special(StrEnum):
    """The special tokens, in the order of their ids from 0."""

    PAD = "<|pad|>"
    END = "<|end|>"
    SYSTEM = "<|system|>"
    TOOLS = "<|tools|>"
    USER = "<|user|>"
    ASSISTANT = "<|assistant|>"
    TOOL = "<|tool|>"
    TOOL_CALL = "<|tool_call|>"


ROLES = {
    "system": Special.SYSTEM,
    "developer": Special.SYSTEM,
    "user": Special.USER,
    "assistant": Special.ASSISTANT,
    "tool": Special.TOOL,
}

CHAT_TEMPLATE = (
    "{%- macro text(content) -%}"
    "{%- if content is string %}{{ content }}"
    "{%- elif content %}{% for part in content %}{{ part.text }}{{ '' if loop.last else '\\n' }}{% endfor %}{% endif %}"
    "{%- endmacro -%}"
    "{%- if tools %}<|tools|>{% for tool in tools %}{% set f = tool.function if tool.function is defined else tool %}"
    "{{ f.name }}({{ ((f.parameters or {}).properties or {}).keys() | join(', ') }})"
    "{{ '' if loop.last else '\\n' }}{% endfor %}<|end|>{% endif %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'developer' %}<|system|>{% else %}<|{{ message.role }}|>{% endif %}"
    "{{- text(message.content) }}"
    "{%- for call in message.tool_calls or [] %}<|tool_call|>"
    '{"name": "{{ call.function.name }}", "arguments": '
    "{{ call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}}"
    "{%- endfor %}<|end|>{% endfor %}"
    "{%- if add_generation_prompt %}<|assistant|>{% endif %}"
)


class Segment(NamedTuple):
    """A stretch of a prompt. `spoken` marks what the assistant said: what training learns to say."""

    text: str
    special: bool = False
    spoken: bool = False


def tool_segments(tools: Sequence[Mapping[str, Any]] | None) -> Iterator[Segment]:
    """The segments of the declared tools; none without tools."""
    if tools:
        yield Segment(Special.TOOLS, special=True)
        yield Segment("\n".join(map(signature, tools)))
        yield Segment(Special.END, special=True)


def prompt_segments(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
) -> Iterator[Segment]:
    """The segments of a conversation and the opening of the assistant's next answer. Raises UnsupportedMessage."""
    yield from tool_segments(tools)
    for message in messages:
        yield from message_segments(message)
    yield Segment(Special.ASSISTANT, special=True)


def render(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None) -> str:
    """The prompt as one text, special tokens spelled out: what `CHAT_TEMPLATE` gives."""
    return "".join(segment.text for segment in prompt_segments(messages, tools))


def encode(
    tokenizer: Tokenizer,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    limit: int,
) -> list[int]:
    """The ids of the prompt. Raises PromptTooLong above `limit` tokens, UnsupportedMessage."""
    ids: list[int] = []
    for segment in prompt_segments(messages, tools):
        ids += [tokenizer.special[segment.text]] if segment.special else tokenizer.encode(segment.text, limit)
        if len(ids) > limit:
            raise PromptTooLong(len(ids), limit)
    return ids


def signature(tool: Mapping[str, Any]) -> str:
    """`name(parameter, parameter)` of a tool, in OpenAI's form or its bare function."""
    function = tool.get("function", tool)
    properties = (function.get("parameters") or {}).get("properties") or {}
    return f"{function['name']}({', '.join(properties)})"


def call_text(name: str, arguments: str) -> str:
    """What follows `<|tool_call|>`; `arguments` is JSON text."""
    return f'{{"name": "{name}", "arguments": {arguments}}}'


def message_segments(message: Mapping[str, Any]) -> Iterator[Segment]:
    """The segments of one message, from its role to its end. Raises UnsupportedMessage."""
    role = message.get("role")
    if role not in ROLES:
        raise UnsupportedMessage(f"messages of the role {role!r} are not read by this model")
    spoken = role == "assistant"
    yield Segment(ROLES[role], special=True)
    if text := content_text(message.get("content")):
        yield Segment(text, spoken=spoken)
    for call in message.get("tool_calls") or ():
        yield Segment(Special.TOOL_CALL, special=True, spoken=True)
        yield Segment(call_text(call["function"]["name"], call["function"]["arguments"]), spoken=True)
    yield Segment(Special.END, special=True, spoken=spoken)


def content_text(content: Any) -> str:
    """The text of a message's content: a string, a list of text parts (joined by newlines), or null."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(map(_part_text, content))


def _part_text(part: Mapping[str, Any]) -> str:
    if part.get("type") not in {"text", "input_text", "output_text", "refusal"} or "text" not in part:
        raise UnsupportedMessage(
            f"content parts of the type {part.get('type')!r} are not read by this model: text only"
        )
    return str(part["text"])
