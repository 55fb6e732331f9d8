"""What a request to Anthropic's API must look like, and how to say that it does not: ``max_tokens: Field required``.

Anthropic's own API says it in pydantic's words, with the type of a block in its place; so these are pydantic's models.
Members that are not named here are let through, as there are ever more of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from llm import InvalidRequest
from llm.chat.request_checks import CHECKS
from llm.providers.anthropic_request import NUDGES, TRANSLATED, UNSUPPORTED

ELSE = "?"
"""The tag of what is of another kind than those that are checked; it is not shown."""
NO_OBJECT = "Input should be a valid dictionary or object to extract fields from"


class Shape(BaseModel):
    """An object, whose other members may be anything."""

    model_config = ConfigDict(strict=True, extra="allow")


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if kind in _KINDS else ELSE


_KINDS = ("text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "base64", "url")
Name: TypeAlias = Annotated[str, Field(min_length=1)]


def _not_openais(kind: str) -> str:
    if kind in ("function", "image_url", "file", "input_audio", "refusal"):
        raise PydanticCustomError("openais", "Input tag '{tag}' is of another API", {"tag": kind})
    return kind


class Other(Shape):
    """A block or a tool of a kind that goes along unread."""

    type: Annotated[str, AfterValidator(_not_openais)]


class Text(Shape):
    """A block of text."""

    type: Literal["text"]
    text: Name


class Data(Shape):
    """A file by its contents."""

    type: Literal["base64"]
    media_type: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+-]+/[A-Za-z0-9_.+-]+$")]
    data: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/\s]*={0,2}\s*$", min_length=1)]


class Address(Shape):
    """A file by its address, which the upstream fetches, never the gateway."""

    type: Literal["url"]
    url: Annotated[str, Field(pattern=r"^https?://")]


class Elsewhere(Shape):
    """A file in another way."""

    type: str


Source: TypeAlias = Annotated[
    Annotated[Data, Tag("base64")] | Annotated[Address, Tag("url")] | Annotated[Elsewhere, Tag(ELSE)],
    Discriminator(lambda value: kind if (kind := _kind(value)) in ("base64", "url") else ELSE),
]


class Image(Shape):
    """A block that is an image."""

    type: Literal["image"]
    source: Source


class Document(Shape):
    """A block that is a document."""

    type: Literal["document"]
    source: Source
    title: str | None = None


class ToolUse(Shape):
    """A call of a tool, in a message of the assistant's."""

    type: Literal["tool_use"]
    id: Name
    name: Name
    input: dict[str, Any]


class Thinking(Shape):
    """A thought, in a message of the assistant's."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class Redacted(Shape):
    """A thought that only Anthropic can read."""

    type: Literal["redacted_thinking"]
    data: str


def _blocks(value: Any) -> Any:
    """A content that is a string stands for a block of text."""
    if isinstance(value, str):
        return [{"type": "text", "text": value}] if value else []
    return value


Told: TypeAlias = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[Image, Tag("image")]
    | Annotated[Document, Tag("document")]
    | Annotated[Other, Tag(ELSE)],
    Discriminator(lambda value: kind if (kind := _kind(value)) in ("text", "image", "document") else ELSE),
]
"""What may stand in the result of a tool."""


class ToolResult(Shape):
    """What a tool gave back, in a message of the user's."""

    type: Literal["tool_result"]
    tool_use_id: Name
    content: Annotated[list[Told], Field(fail_fast=True), BeforeValidator(_blocks, str | list[Told])] | None = None
    is_error: bool | None = None


Block: TypeAlias = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[Image, Tag("image")]
    | Annotated[Document, Tag("document")]
    | Annotated[ToolUse, Tag("tool_use")]
    | Annotated[ToolResult, Tag("tool_result")]
    | Annotated[Thinking, Tag("thinking")]
    | Annotated[Redacted, Tag("redacted_thinking")]
    | Annotated[Other, Tag(ELSE)],
    Discriminator(lambda value: kind if (kind := _kind(value)) not in ("base64", "url") else ELSE),
]


class Turn(Shape):
    """A message."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[list[Block], Field(fail_fast=True), BeforeValidator(_blocks, str | list[Block])]


class Schema(Shape):
    """The schema of a tool's arguments."""

    type: Literal["object"]
    properties: dict[str, Any] | None = None
    required: Annotated[list[str], Field(fail_fast=True)] | None = None


class Custom(Shape):
    """A tool that the client runs."""

    type: Literal["custom"] | None = None
    name: Name
    description: str | None = None
    input_schema: Schema
    strict: bool | None = None


class Server(Other):
    """A tool that Anthropic knows or runs."""

    name: Name


Tool: TypeAlias = Annotated[
    Annotated[Custom, Tag("custom")] | Annotated[Server, Tag(ELSE)],
    Discriminator(
        lambda value: ELSE if isinstance(value, dict) and value.get("type") not in (None, "custom") else "custom"
    ),
]


class Choice(Shape):
    """Which tools may be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Metadata(Shape):
    """About the request."""

    user_id: Annotated[str, Field(max_length=512)] | None = None


class Thoughts(Shape):
    """Whether to think before answering."""

    type: str
    budget_tokens: Annotated[int, Field(ge=1024)] | None = None


class Format(Shape):
    """The form of the answer."""

    type: Literal["json_schema"]
    definition: Annotated[dict[str, Any], Field(alias="schema")]


class Output(Shape):
    """How to answer."""

    format: Format | None = None
    effort: str | None = None


class Counted(Shape):
    """A request whose tokens are to be counted: one that is to be answered, of which less must be there."""

    model: Name
    messages: Annotated[list[Turn], Field(min_length=1, fail_fast=True)]
    system: Annotated[list[Text], Field(fail_fast=True), BeforeValidator(_blocks, str | list[Text])] | None = None
    tools: Annotated[list[Tool], Field(fail_fast=True)] | None = None
    tool_choice: Choice | None = None
    thinking: Thoughts | None = None
    output_config: Output | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stop_sequences: Annotated[list[Name], Field(fail_fast=True)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None


class Asked(Counted):
    """A request that is to be answered."""

    max_tokens: Annotated[int, Field(ge=1)]


FOREIGN = (CHECKS.keys() | NUDGES | TRANSLATED | UNSUPPORTED) - Asked.model_fields.keys()
"""Members that mean something in OpenAI's API only."""


def checked(body: object, shape: type[Counted] = Asked) -> dict[str, Any]:
    """The members of a request that are not null; what is in them has that shape.

    Raises:
        InvalidRequest: naming the first member that is wrong.
    """
    if not isinstance(body, dict):
        raise InvalidRequest(NO_OBJECT)
    given = {name: value for name, value in body.items() if value is not None}
    try:
        shape.model_validate(given)
    except ValidationError as error:
        raise _fault(error) from None
    for place, words in _contradictions(given):
        raise refused(place, words)
    return given


def refused(place: str, words: str, code: str = "invalid_value") -> InvalidRequest:
    """The error for a member that is wrong."""
    return InvalidRequest(f"{place}: {words}", param=place, code=code)


def _fault(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"] if part != ELSE)
    words = NO_OBJECT if first["type"] == "model_type" else first["msg"]
    return refused(place, words, "missing_required_parameter" if first["type"] == "missing" else "invalid_value")


def _contradictions(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Members that are right by themselves and wrong together."""
    yield from ((name, "Extra inputs are not permitted") for name in given if name in FOREIGN)
    yield from _about_tools(given)
    yield from _about_turns(given["messages"])
    thinking = given.get("thinking", {})
    budget = thinking.get("budget_tokens")
    if budget is None and thinking.get("type") == "enabled":
        yield "thinking.enabled.budget_tokens", "Field required"
    if budget is not None and given.get("max_tokens", budget + 1) <= budget:
        yield "max_tokens", "`max_tokens` must be greater than `thinking.budget_tokens`."


def _about_tools(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = [tool["name"] for tool in given.get("tools", ())]
    if len(set(names)) < len(names):
        yield "tools", "Tool names must be unique."
    choice = given.get("tool_choice")
    if choice is not None and not names:
        yield "tool_choice", "tool_choice may only be specified while providing tools"
    if choice is not None and choice["type"] == "tool":
        if choice.get("name") is None:
            yield "tool_choice.tool.name", "Field required"
        if choice.get("name") not in names:
            yield "tool_choice.tool.name", f"Tool '{choice.get('name')}' not found in provided tools"


ONLY = {"tool_use": "assistant", "thinking": "assistant", "redacted_thinking": "assistant", "tool_result": "user"}
"""Blocks that only one of the two may say."""


def _about_turns(turns: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    called: set[str] = set()
    for index, turn in enumerate(turns):
        if not turn["content"] and not (turn["role"] == "assistant" and index == len(turns) - 1):
            words = "all messages must have non-empty content except for the optional final assistant message"
            yield f"messages.{index}", words
        for at, block in enumerate(turn["content"] if isinstance(turn["content"], list) else ()):
            role = ONLY.get(block["type"], turn["role"])
            if role != turn["role"]:
                yield f"messages.{index}", f"`{block['type']}` blocks can only be in `{role}` messages"
            if block["type"] == "tool_use":
                called.add(block["id"])
            if block["type"] == "tool_result" and block["tool_use_id"] not in called:
                words = f"unexpected `tool_use_id` found in `tool_result` blocks: {block['tool_use_id']}"
                yield f"messages.{index}.content.{at}", words
