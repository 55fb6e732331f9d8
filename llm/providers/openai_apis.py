"""OpenAI's APIs as upstreams have them: where each is, what it is asked, and how its answers are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from llm.chat import ChatChunk, ChatRequest
from llm.providers.openai_answer import ChatReader, chunk_of_chat
from llm.providers.openai_completions import CompletionReader, chunk_of_completion, completion_body
from llm.providers.openai_responses_answer import ResponseReader, chunk_of_response
from llm.providers.openai_responses_request import response_body


class Reader(Protocol):
    """Reads the events of one streamed answer."""

    finished: bool
    """Whether the answer has said why it ended."""

    def read(self, event: Mapping[str, Any]) -> ChatChunk | None:
        """What an event says, if it says anything."""
        ...


@dataclass(frozen=True, slots=True)
class Api:
    """One of OpenAI's APIs."""

    path: str
    body: Callable[[str, ChatRequest], dict[str, Any]]
    reader: Callable[[], Reader]
    whole: Callable[[Mapping[str, Any]], ChatChunk]
    ended_by_done: bool = True
    """Whether ``[DONE]`` says that an answer is whole; else only the answer itself does."""


def chat_body(model: str, request: ChatRequest) -> dict[str, Any]:
    """The body of ``POST /chat/completions``."""
    body = {**request.to_wire(), "model": model}
    options = body.pop("stream_options", None) or {}
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {**options, "include_usage": True}
    return body


CHAT = Api("chat/completions", chat_body, ChatReader, chunk_of_chat)
COMPLETIONS = Api("completions", completion_body, CompletionReader, chunk_of_completion)
RESPONSES = Api("responses", response_body, ResponseReader, chunk_of_response, ended_by_done=False)
