"""POST /v1/completions, the legacy API: a text to go on from, and no conversation.

Upstreams that have it are sent the text as it is. Any other model, and any graph, is asked with the text as what the
user says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.answers import Api, Dialect
from gateway.choices import ChoiceDialect
from gateway.endpoints.choice_frames import ChoiceFrames
from graph import Event
from llm import ChatChunk, ChatCompletion, ChatRequest, InvalidRequest
from llm.chat.request_checks import CHECKS, model_of, options_of
from llm.chat.validation import Check, array_of, integer, missing, of_type, wrong_type

MAX_PROMPTS = 2048
MAX_ID = 2**31 - 1
OWN_CHECKS: Mapping[str, Check] = {
    **{
        name: CHECKS[name] for name in ("stream", "stream_options", "temperature", "top_p", "n", "stop", "seed", "user")
    },
    **{name: CHECKS[name] for name in ("presence_penalty", "frequency_penalty", "logit_bias")},
    "max_tokens": integer(0),
    "best_of": integer(1, 20),
    "logprobs": integer(0, 5),
    "echo": of_type(bool),
    "suffix": of_type(str),
}
ONLY_OURS = frozenset({"model", "prompt", "n", "stream", "stream_options"})
"""Members that do not go upstream as parameters."""


class CompletionsApi(Api):
    """OpenAI's completions API (https://platform.openai.com/docs/api-reference/completions)."""

    path = "/v1/completions"

    def request(self, body: Any) -> ChatRequest:
        model = model_of(body)
        given = {name: value for name, value in body.items() if value is not None}
        for name, check in OWN_CHECKS.items():
            if name in given:
                check(name, given[name])
        if given.get("best_of", 1) > 1 and given.get("stream"):
            message = "You requested that the server return more than one choice and stream them: best_of must be 1."
            raise InvalidRequest(message, param="best_of", code="invalid_value")
        parameters = {name: value for name, value in given.items() if name not in ONLY_OURS}
        stream, include_usage = options_of(given)
        prompt = _prompts(given)[0]
        return ChatRequest.of_prompt(model, prompt, parameters, stream=stream, include_usage=include_usage)

    def others(self, request: ChatRequest, body: Any) -> Sequence[ChatRequest]:
        prompts, number = _prompts(body), body.get("n") or 1
        options = {"stream": request.stream, "include_usage": request.include_usage}
        every = [prompt for prompt in prompts for _ in range(number)]
        return [ChatRequest.of_prompt(request.model, prompt, request.parameters, **options) for prompt in every[1:]]

    def dialect(self, event: Event, body: Any) -> Dialect:
        return self.choice(event, 0)

    def choice(self, event: Event, index: int) -> ChoiceDialect:
        """One choice in the answer to this event."""
        return CompletionDialect(event, index)


def _prompts(body: Mapping[str, Any]) -> Sequence[str | list[int]]:
    """The prompts of a body, which may be one of them, or a list: texts, or token ids.

    Raises:
        InvalidRequest: when it is neither.
    """
    given = body.get("prompt")
    if given is None:
        raise missing("prompt")
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        raise wrong_type("prompt", "a string or an array", given)
    if given and type(given[0]) is int:
        array_of(integer(0, MAX_ID))("prompt", given)
        return [given]
    texts = bool(given) and isinstance(given[0], str)
    array_of(of_type(str) if texts else array_of(integer(0, MAX_ID), least=1), MAX_PROMPTS, least=1)("prompt", given)
    return given


class CompletionDialect(ChoiceFrames):
    """One choice of a completion."""

    prefix, streamed, gathered = "cmpl-", "text_completion", "text_completion"

    _offset = 0

    def chunk(self, chunk: ChatChunk) -> bytes:
        text = chunk.content or ""
        logprobs = self._logprobs(chunk.logprobs)
        self._offset += len(text)
        return self._frame(text, logprobs, None) if text or logprobs else b""

    def finish(self, reason: str) -> bytes:
        return self._frame("", None, _reason(reason))

    def choice(self, completion: ChatCompletion, reason: str) -> dict[str, Any]:
        return self._choice(completion.content, self._logprobs(completion.logprobs), _reason(reason))

    def _frame(self, text: str, logprobs: Any, reason: str | None) -> bytes:
        choices = orjson.dumps([self._choice(text, logprobs, reason)])
        return b"".join((self._head, b',"choices":', choices, self._tail))

    def _choice(self, text: str, logprobs: Any, reason: str | None) -> dict[str, Any]:
        return {"index": self._index, "text": text, "logprobs": logprobs, "finish_reason": reason}

    def _logprobs(self, given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """The four lists of this API; those of a chat are by token."""
        if not given or "content" not in given:
            return given or None
        tokens = given["content"] or ()
        tops = [_tops(token) for token in tokens]
        offsets, at = [], self._offset
        for token in tokens:
            offsets.append(at)
            at += len(token["token"])
        return {
            "tokens": [token["token"] for token in tokens],
            "token_logprobs": [token.get("logprob") for token in tokens],
            "top_logprobs": tops if any(tops) else None,
            "text_offset": offsets,
        }


def _tops(token: Mapping[str, Any]) -> dict[str, float | None]:
    return {top["token"]: top.get("logprob") for top in token.get("top_logprobs") or ()}


def _reason(reason: str) -> str:
    """Why it ended, in one of the three words of this API."""
    return reason if reason in ("length", "content_filter") else "stop"
