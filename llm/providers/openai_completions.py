"""OpenAI's legacy completions (https://platform.openai.com/docs/api-reference/completions): a raw prompt goes on.

Of several choices (``n``, ``best_of``) the first is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm.chat import ChatChunk, ChatRequest
from llm.errors import UpstreamGarbled
from llm.providers.openai_answer import ANOTHER_SHAPE, NO_ANSWER, finish_reason, first_of, logprobs_in, usage_in
from llm.usage import Usage


def completion_body(model: str, request: ChatRequest) -> dict[str, Any]:
    """The body of ``POST /completions``: the prompt, and the parameters as they came."""
    body = {**request.parameters, "model": model, "prompt": request.prompt}
    return {**body, "stream": True, "stream_options": {"include_usage": True}} if request.stream else body


class CompletionReader:
    """Reads the events of one streamed completion.

    Attributes:
        finished: whether the answer has said why it ended.
    """

    def __init__(self) -> None:
        self.finished = False

    def read(self, event: Mapping[str, Any]) -> ChatChunk:
        """What an event says.

        Raises:
            UpstreamGarbled: when it has another shape than OpenAI's.
        """
        usage, choices = usage_in(event), event.get("choices")
        if choices == []:
            return ChatChunk(usage=usage)
        choice = first_of(choices, ANOTHER_SHAPE)
        if choice.get("index"):
            return ChatChunk(usage=usage)
        chunk = _chunk(choice, usage)
        self.finished = self.finished or chunk.finish_reason is not None
        return chunk


def chunk_of_completion(answer: Mapping[str, Any]) -> ChatChunk:
    """A completion that is not streamed, in one chunk.

    Raises:
        UpstreamGarbled: when it has another shape than OpenAI's.
    """
    chunk = _chunk(first_of(answer.get("choices"), NO_ANSWER), usage_in(answer))
    chunk.finish_reason = chunk.finish_reason or "stop"
    return chunk


def _chunk(choice: Mapping[str, Any], usage: Usage | None) -> ChatChunk:
    text = choice.get("text")
    if not isinstance(text, str):
        raise UpstreamGarbled("the upstream's completion holds no text")
    return ChatChunk(
        text or None,
        finish_reason=finish_reason(choice.get("finish_reason")),
        usage=usage,
        logprobs=logprobs_in(choice),
    )
