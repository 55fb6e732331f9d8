"""The embedded demonstration model as a provider: NumPy in a thread of its own, a token at a time, as it is pulled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar

from llm.chat import TEXT, ChatChunk, ChatRequest, Message, ToolCallDelta, ToolChoice, text_of
from llm.embedded import (
    FOLDER,
    CallArguments,
    CallStart,
    Constraint,
    Engine,
    Generation,
    GenerationOptions,
    InvalidSchema,
    Piece,
    PromptTooLong,
    RequestError,
    ToolMode,
)
from llm.embeddings import EmbeddingRequest, Embeddings
from llm.errors import ContextLengthExceeded, InvalidRequest
from llm.tokens import text_of_ids
from llm.usage import Usage

T = TypeVar("T")


class EmbeddedProvider:
    """Runs the model that the package carries. All requests share one thread and take turns, token by token.

    Whoever closes the stream has cancelled: no further token is computed. Temperature 0 (the likeliest token) is the
    default, because a model this small needs it.
    """

    compares = False
    constrains = True
    description = (
        "Demonstration model, trained from scratch for this project: plans toy trips, tells typical weather, routes "
        "requests. Not a general assistant; connect a real one in the settings file."
    )

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._engine: Engine | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-model")

    def __reduce__(self) -> tuple[type[EmbeddedProvider], tuple[Path]]:
        """To a process it is sent as its folder, and reads that there."""
        return type(self), (self._folder,)

    @property
    def context_length(self) -> int | None:
        """How many tokens a request and its answer may have together; None before it has started."""
        return None if self._engine is None else self._engine.context_length

    async def start(self) -> None:
        """Reads the weights, about 0.1 s.

        Raises:
            ModelFolderError: when the folder cannot be used.
        """
        await self._run(self._load)

    async def close(self) -> None:
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        with _our_errors():
            generation = await self._run(self._begin, request)
        try:
            while True:
                with _our_errors():
                    piece = await self._run(next, generation, None)
                if piece is None:
                    break
                yield _chunk(piece)
            usage = Usage.of(generation.prompt_tokens, generation.completion_tokens)
            yield ChatChunk(finish_reason=generation.finish_reason or "stop", usage=usage)
        finally:
            self._let_go(generation)

    async def embed(self, model: str, request: EmbeddingRequest) -> Embeddings:
        """See :class:`~llm.embeddings.EmbeddingProvider`: the mean of the last hidden states, at length 1.

        Token ids are read as cl100k_base, which is what clients that send ids cut texts with; none has our vocabulary.
        """
        if "dimensions" in request.parameters:
            message = "The embedded model has no embeddings of other dimensions."
            raise InvalidRequest(message, param="dimensions", code="unsupported_parameter")
        vectors, tokens = [], 0
        for given in request.inputs:
            with _our_errors("input"):
                text = given if isinstance(given, str) else await asyncio.to_thread(_text, given)
                vector, read = await self._run(self._embed, text)
            vectors.append(vector)
            tokens += read
        return Embeddings(vectors, Usage.of(tokens, 0))

    def _embed(self, text: str) -> tuple[list[float], int]:
        engine = self._load()
        ids = engine.tokenizer.encode(text, engine.context_length)
        return engine.embed(ids), len(ids)

    async def count(self, model: str, request: ChatRequest, answer: str) -> Usage:
        """See :class:`~llm.tokens.TokenCounter`: by the model's own tokenizer and template."""
        return await asyncio.to_thread(self._count, request, answer)

    def _count(self, request: ChatRequest, answer: str) -> Usage:
        """Not in the model's thread, so that no answer waits for it: the tokenizer is shared by threads."""
        engine = self._load() if self._engine is None else self._engine
        asked = engine.prompt(request.messages, request.tools or None)
        return Usage.of(len(asked), len(engine.tokenizer.encode(answer, engine.context_length)), estimated=True)

    def _let_go(self, generation: Generation) -> None:
        """Frees the memory of an answer, behind the token that may be in the making."""
        if not self._closed:
            self._thread.submit(generation.close)

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _load(self) -> Engine:
        if self._engine is None:
            self._engine = Engine.load(self._folder)
        return self._engine

    def _begin(self, request: ChatRequest) -> Generation:
        _check_text(request.messages)
        engine = self._load()
        return engine.generate(request.messages, request.tools or None, _options(engine, request))


def _check_text(messages: Sequence[Message]) -> None:
    """Looks whether the messages are text: half a surrogate pair is none, and upstreams cannot be sent it either.

    Raises:
        InvalidRequest: naming the message that is not.
    """
    for index, message in enumerate(messages):
        try:
            text_of(message).encode()
        except UnicodeEncodeError as error:
            param = f"messages[{index}].content"
            raise InvalidRequest(f"Invalid '{param}': {error.reason}.", param=param, code="invalid_value") from error


def _text(ids: Sequence[int]) -> str:
    """The text of ids as clients make them."""
    try:
        return text_of_ids(ids)
    except ValueError as error:
        raise RequestError(str(error)) from error


@contextmanager
def _our_errors(param: str = "messages") -> Iterator[None]:
    try:
        yield
    except PromptTooLong as error:
        raise ContextLengthExceeded(error.tokens, error.limit, param) from error
    except InvalidSchema as error:
        message = f"The embedded model cannot follow this schema: {error}"
        raise InvalidRequest(message, param="response_format", code="invalid_json_schema") from error
    except RequestError as error:
        raise InvalidRequest(str(error), param=param, code="invalid_value") from error


def _options(engine: Engine, request: ChatRequest) -> GenerationOptions:
    given = request.parameters
    if "audio" in (given.get("modalities") or ()):
        message = (
            "Unsupported value: 'modalities' is not supported with this model, which does not speak; leave it out."
        )
        raise InvalidRequest(message, param="modalities", code="unsupported_value")
    stop = given.get("stop") or ()
    return GenerationOptions(
        max_tokens=given.get("max_completion_tokens", given.get("max_tokens")),
        temperature=given.get("temperature", 0.0),
        top_p=given.get("top_p", 1.0),
        seed=given.get("seed"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        constraint=_constraint(engine, request),
    )


def _constraint(engine: Engine, request: ChatRequest) -> Constraint | None:
    answer: Constraint | None = None
    wanted = request.parameters.get("response_format", {})
    if request.labels:
        answer = engine.constraint.choice(request.labels)
    elif wanted.get("type") == "json_object":
        answer = engine.constraint.json_object()
    elif wanted.get("type") == "json_schema":
        schema = wanted["json_schema"].get("schema") or {"type": "object"}
        answer = engine.constraint.json_schema(schema, request.copies)
    choice = ToolChoice.of(request)
    if not choice.tools:
        names = request.copies.get(TEXT, ())
        return answer or Constraint(names=(names,) if isinstance(names, str) else tuple(names))
    mode: ToolMode = "required" if choice.required else "auto"
    try:
        return engine.constraint.tools(choice.tools, mode, choice.parallel, answer, request.copies)
    except InvalidSchema as error:
        message = f"The embedded model cannot follow these tools: {error}"
        raise InvalidRequest(message, param="tools", code="invalid_json_schema") from error


def _chunk(piece: Piece) -> ChatChunk:
    if isinstance(piece, CallStart):
        return ChatChunk(tool_calls=(ToolCallDelta(piece.index, "", f"call_{token_hex(12)}", piece.name),))
    if isinstance(piece, CallArguments):
        return ChatChunk(tool_calls=(ToolCallDelta(piece.index, piece.text),))
    return ChatChunk.text(piece.text)
