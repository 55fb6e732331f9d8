"""What OpenAI's other two APIs say on the wire: legacy completions, and responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from llm.testing.dialect import Call, Dialect, OpenAIDialect, halves
from llm.testing.upstream import Json, Piece, frame

COMPLETION = {"id": "cmpl-upstream", "object": "text_completion", "created": 1, "model": "upstream-model"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


class CompletionsDialect(OpenAIDialect):
    """https://platform.openai.com/docs/api-reference/completions. It has no tools."""

    name = "completions"

    def choice(self, text: str, finish_reason: str | None = None) -> dict[str, Any]:
        """A chunk, or a whole answer, with this text."""
        choices = [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}]
        return {**COMPLETION, "choices": choices}

    def opening(self) -> list[Piece]:
        return []

    def word_pieces(self, words: Iterable[str]) -> list[Piece]:
        return [frame(self.choice(word)) for word in words]

    def call_pieces(self, calls: Iterable[Call], whole: bool) -> list[Piece]:
        raise ValueError("completions have no tools")

    def end(self, finish_reason: str) -> list[Piece]:
        usage = frame({**COMPLETION, "choices": [], "usage": USAGE})
        return [frame(self.choice("", finish_reason)), usage, b"data: [DONE]\n\n"]

    def answer(self, text: str, *calls: Call, finish_reason: str = "stop") -> Json:
        if calls:
            raise ValueError("completions have no tools")
        return Json({**self.choice(text, finish_reason), "usage": USAGE})


class ResponsesDialect(Dialect):
    """https://platform.openai.com/docs/api-reference/responses-streaming, with the events that only repeat."""

    name = "responses"
    REASONS: Mapping[str, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}

    def event(self, kind: str, **members: Any) -> bytes:
        """An event on the wire."""
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps({"type": kind, **members}) + b"\n\n"

    def response(self, status: str, **members: Any) -> dict[str, Any]:
        """The object ``response``."""
        head = {"id": "resp_upstream", "object": "response", "created_at": 1, "model": "upstream-model"}
        return {**head, "status": status, "error": None, "incomplete_details": None, "output": [], **members}

    def item(self, index: int, item: Mapping[str, Any], *pieces: bytes, **whole: Any) -> list[Piece]:
        """The events of one item; ``whole`` is what it has at its end."""
        done = {**item, **whole, "status": "completed"}
        return [
            self.event("response.output_item.added", output_index=index, item={**item, "status": "in_progress"}),
            *pieces,
            self.event("response.output_item.done", output_index=index, item=done),
        ]

    def piece(self, kind: str, index: int, text: str, **members: Any) -> bytes:
        """An event with a ``delta``."""
        return self.event(f"response.{kind}.delta", output_index=index, item_id=f"item_{index}", delta=text, **members)

    def opening(self) -> list[Piece]:
        begun = self.response("in_progress")
        return [self.event(f"response.{kind}", response=begun) for kind in ("created", "in_progress")]

    def word_pieces(self, words: Iterable[str]) -> list[Piece]:
        said = list(words)
        item = {"id": "item_0", "type": "message", "role": "assistant", "content": []}
        whole, place = "".join(said), {"output_index": 0, "item_id": "item_0", "content_index": 0}
        pieces = [
            self.event("response.content_part.added", part=self.part(""), **place),
            *(self.piece("output_text", 0, word, content_index=0, logprobs=[]) for word in said),
            self.event("response.output_text.done", text=whole, **place),
            self.event("response.content_part.done", part=self.part(whole), **place),
        ]
        return self.item(0, item, *pieces, content=[self.part(whole)]) if said else []

    def part(self, text: str) -> dict[str, Any]:
        """A part of a message that is text."""
        return {"type": "output_text", "text": text, "annotations": []}

    def called(self, index: int, call: Call) -> dict[str, Any]:
        """A call as an item."""
        named = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
        return {"id": f"item_{index}", "type": "function_call", **named}

    def call_pieces(self, calls: Iterable[Call], whole: bool) -> list[Piece]:
        pieces: list[Piece] = []
        for index, call in enumerate(calls):
            texts = [call.arguments] if whole else halves(call.arguments)
            deltas = (self.piece("function_call_arguments", index, text) for text in texts)
            done = self.event(
                "response.function_call_arguments.done",
                output_index=index,
                item_id=f"item_{index}",
                arguments=call.arguments,
            )
            item = {**self.called(index, call), "arguments": ""}
            pieces += self.item(index, item, *deltas, done, arguments=call.arguments)
        return pieces

    def end(self, finish_reason: str) -> list[Piece]:
        ended = self._ended([], finish_reason)
        return [self.event(f"response.{ended['status']}", response=ended)]

    def answer(self, text: str, *calls: Call, finish_reason: str = "stop") -> Json:
        message = {"id": "item_m", "type": "message", "role": "assistant", "content": [self.part(text)]}
        output = [*([message] if text else []), *(self.called(index, call) for index, call in enumerate(calls))]
        return Json(self._ended(output, finish_reason))

    def _ended(self, output: list[dict[str, Any]], finish_reason: str) -> dict[str, Any]:
        why = self.REASONS.get(finish_reason)
        usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
        details = {"reason": why} if why else None
        status = "incomplete" if why else "completed"
        return self.response(status, output=output, usage=usage, incomplete_details=details)

    def error(self, status: int, message: str = "no", headers: Mapping[str, str] | None = None) -> Json:
        return Json({"error": {"message": message, "type": "t", "param": None, "code": None}}, status, headers or {})

    def fault(self, message: str = "overloaded") -> bytes:
        return self.event("error", code="server_error", message=message, param=None)


COMPLETIONS = CompletionsDialect()
RESPONSES = ResponsesDialect()
