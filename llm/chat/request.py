"""ChatRequest: what a caller asks of a model, and what the steps of a graph add to it on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias

from llm.chat.request_checks import check_request, options_of
from llm.errors import InvalidRequest
from llm.trail import Trail

Message: TypeAlias = dict[str, Any]
"""A message as it is on the wire: ``role``, ``content``, and whatever else the caller sent with it."""

TAKEN_APART = frozenset({"model", "messages", "stream", "stream_options"})


Prompt: TypeAlias = str | list[int]
"""A raw prompt of the legacy API: a text, or token ids of the model's own vocabulary."""
ONLY_WITH_PROMPT = frozenset({"best_of", "echo", "logprobs", "suffix"})
"""Parameters of the legacy API that the chat API does not have, or means otherwise."""
TEXT = ""
"""The place in :attr:`ChatRequest.copies` for the answer itself, where that is text."""


@dataclass(slots=True)
class ChatRequest:
    """A chat request (https://platform.openai.com/docs/api-reference/chat/create), checked and taken apart.

    Unknown members are kept and go upstream as they came; a null is the same as absence.
    """

    model: str
    messages: list[Message]
    parameters: dict[str, Any] = field(default_factory=dict)
    """Every other member as it was sent: ``temperature``, ``tools``, ``response_format``, …"""
    stream: bool = False
    include_usage: bool = False
    asked: int = -1
    """How many of the messages the caller sent; those after them were added by the steps of a graph."""
    labels: tuple[str, ...] = ()
    """When set, the answer must be one of these. Providers that decode hold it to them; it is not on OpenAI's wire."""
    copies: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    """What values are copied from: those of the answer's properties by name (``place``), those of arguments by tool and
    name (``get_weather.location``). From a text words are copied, of several texts one. Models that spell badly are
    held to it; it is not on OpenAI's wire either. Under :data:`TEXT` stand names that an answer in words quotes."""
    passes: bool = False
    """Whether the caller may be sent what an OpenAI-compatible upstream says as the bytes that it said; providers that
    can (``passes = True``) put them beside each chunk. It is not on OpenAI's wire."""

    prompt: Prompt | None = None
    """A raw prompt, for providers that go on with it as it is; the parameters are then those of the legacy API. It is
    not on the chat API's wire."""
    anthropic: bool = False
    """Whether the caller spoke Anthropic's API. Members that OpenAI's does not have are Anthropic's then, and are kept
    from upstreams that would refuse them."""
    trail: Trail | None = None
    """Where a provider that routes (``routes = True``) notes whom it asks. It is not on OpenAI's wire."""

    def __post_init__(self) -> None:
        if self.asked < 0:
            self.asked = len(self.messages)

    @classmethod
    def from_wire(cls, wire: object) -> Self:
        """The request in a parsed JSON body.

        Raises:
            InvalidRequest: naming the member that is wrong, in OpenAI's words and with OpenAI's code.
        """
        body = check_request(wire)
        stream, include_usage = options_of(body)
        options = {name: value for name, value in (body.get("stream_options") or {}).items() if name != "include_usage"}
        parameters = {name: value for name, value in body.items() if name not in TAKEN_APART}
        return cls(
            model=body["model"],
            messages=body["messages"],
            parameters=parameters | ({"stream_options": options} if options else {}),
            stream=stream,
            include_usage=include_usage,
        )

    @classmethod
    def of_text(cls, model: str, text: str) -> Self:
        """A request with one message from the user."""
        return cls(model, [{"role": "user", "content": text}])

    @classmethod
    def of_prompt(
        cls,
        model: str,
        prompt: Prompt,
        parameters: Mapping[str, Any] | None = None,
        *,
        stream: bool = False,
        include_usage: bool = False,
    ) -> Self:
        """One prompt of a legacy completion (https://platform.openai.com/docs/api-reference/completions) with its
        parameters as they came; a null is the same as absence.

        A text is the message of a user as well, for providers that chat. Token ids are for the others only: there are
        no messages then.
        """
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        given = {name: value for name, value in given.items() if name not in TAKEN_APART | {"prompt"}}
        messages: list[Message] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else []
        return cls(model, messages, given, stream, include_usage, prompt=prompt)

    def as_chat(self) -> ChatRequest:
        """The same, asked of a chat: the messages without the prompt, its parameters in the words of the chat API.

        Raises:
            InvalidRequest: naming what a chat cannot do: token ids, an ``echo``, a ``suffix``.
        """
        if self.prompt is None:
            return self
        if not isinstance(self.prompt, str):
            raise InvalidRequest("This model takes a prompt as text, not as token ids.", param="prompt")
        given = self.parameters
        for name in ("echo", "suffix"):
            if given.get(name):
                message = f"Unsupported parameter: '{name}' is not supported with this model; leave it out."
                raise InvalidRequest(message, param=name, code="unsupported_parameter")
        chat = {name: value for name, value in given.items() if name not in ONLY_WITH_PROMPT}
        if given.get("logprobs") is not None:
            chat |= {"logprobs": True, "top_logprobs": given["logprobs"]}
        return replace(self, parameters=chat, prompt=None)

    def to_wire(self) -> dict[str, Any]:
        """The body of this request on the wire, without ``stream``."""
        return {"model": self.model, "messages": self.messages, **self.parameters}

    def having(self, messages: Iterable[Message] | None = None, **parameters: Any) -> ChatRequest:
        """A copy with other messages and with some parameters set, or taken away where the value is None.

        Other messages are asked of a chat: a raw prompt does not say what they do.
        """
        before = self if messages is None else self.as_chat()
        merged = {name: value for name, value in {**before.parameters, **parameters}.items() if value is not None}
        return replace(before, messages=list(self.messages if messages is None else messages), parameters=merged)

    @property
    def gathered(self) -> list[Message]:
        """The messages that steps of the graph added after the caller's own."""
        return self.messages[self.asked :]

    @property
    def conversation(self) -> list[Message]:
        """The messages that the caller sent."""
        return self.messages[: self.asked]

    @property
    def text(self) -> str:
        """The text of the caller's last message."""
        said = self.texts
        return said[-1] if said else ""

    @property
    def texts(self) -> list[str]:
        """What the caller said, message by message."""
        return [text_of(message) for message in self.conversation if message["role"] == "user"]

    @property
    def tools(self) -> list[Mapping[str, Any]]:
        """The tools that the caller declared, unless it also said that none may be called."""
        return [] if self.parameters.get("tool_choice") == "none" else list(self.parameters.get("tools", ()))

    @property
    def tool_names(self) -> set[str]:
        """The names of the functions among them."""
        return {tool["function"]["name"] for tool in self.tools if tool["type"] == "function"}

    @property
    def calls_of_client(self) -> list[Message]:
        """The tool calls of the last message, if steps made it and all of them are of tools that the caller declared,
        and so are the caller's to answer."""
        if len(self.messages) <= self.asked:
            return []
        calls: list[Message] = self.messages[-1].get("tool_calls") or []
        declared = self.tool_names
        return (
            calls if all(call["type"] == "function" and call["function"]["name"] in declared for call in calls) else []
        )


def text_of(message: Mapping[str, Any]) -> str:
    """The text in a message: its string, or its text parts one after the other."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or () if part.get("type") == "text")
