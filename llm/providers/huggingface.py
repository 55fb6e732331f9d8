"""Models of Hugging Face's transformers, run in this process. Needs the extra ``huggingface``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from llm.chat import ChatChunk, ChatRequest, ToolChoice
from llm.embeddings import EmbeddingRequest, Embeddings
from llm.errors import InvalidRequest, ModelError, ModelNotLoaded, UpstreamUnavailable
from llm.huggingface import Grammars, Guide, Row, Runtime, Sampling, Speech, check_installed, check_path, run
from llm.usage import Usage

T = TypeVar("T")
MAX_WAITING = 1024
"""How many requests may wait for a place in a batch."""


@dataclass(eq=False, slots=True)
class _Job:
    """A request on its way through a batch."""

    request: ChatRequest
    loop: asyncio.AbstractEventLoop
    heard: asyncio.Queue[ChatChunk | ModelError | None] = field(default_factory=asyncio.Queue)
    """The chunks, as many as the answer may have tokens; at the end None, or what went wrong."""
    left: bool = False
    """Whether nobody reads any longer."""

    def say(self, said: ChatChunk | ModelError | None) -> None:
        """From the thread to the reader."""
        if not self.left:
            self.loop.call_soon_threadsafe(self.heard.put_nowait, said)


class HuggingFaceProvider:
    """Runs one model in a thread of its own. Requests that come together are answered side by side, as a batch of
    at most ``max_batch``; those that come later are the next batch.

    Whoever closes the stream has cancelled: no further token is made for it.

    Args:
        path: a folder, or the id of a model on the hub.
        device: where it runs: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        dtype: ``auto`` (the model's own; on a CPU ``float32``), ``float32``, ``bfloat16`` or ``float16``.
        max_tokens: tokens that an answer may have where the request does not say.

    Raises:
        ValueError: when the extra is not installed, or ``path`` is a folder that is not there.
    """

    compares = True
    constrains = True

    def __init__(
        self, path: str, *, device: str = "cpu", dtype: str = "auto", max_batch: int = 8, max_tokens: int = 4096
    ) -> None:
        check_installed()
        check_path(path)
        self._load_arguments = (path, device, dtype)
        self._max_batch = max_batch
        self._max_tokens = max_tokens
        self._runtime: Runtime | None = None
        self._grammars: Grammars | None = None
        self._waiting: deque[_Job] = deque()
        self._busy = False
        self._closed = False
        self._running: list[_Job] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="huggingface-model")

    @property
    def context_length(self) -> int | None:
        """How many tokens a request and its answer may have together; None before it has started."""
        return None if self._runtime is None else self._runtime.context_length

    async def start(self) -> None:
        """Imports torch and transformers, which takes seconds, and loads the model.

        Raises:
            ModelNotLoaded: when it cannot be loaded.
        """
        await self._run(self._load)

    async def close(self) -> None:
        self._closed = True
        for job in [*self._running, *self._waiting]:
            job.say(UpstreamUnavailable("the gateway is stopping"))
            job.left = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def embed(self, model: str, request: EmbeddingRequest) -> Embeddings:
        """See :class:`~llm.embeddings.EmbeddingProvider`: the mean of the last hidden states, at length 1."""
        if "dimensions" in request.parameters:
            raise _unsupported("dimensions")
        vectors, tokens = [], 0
        inputs: Sequence[str | Sequence[int]] = request.inputs
        for index, given in enumerate(inputs):  # one at a time, so that whoever leaves ends the work
            vector, read = await self._run(partial(self._embed, given, f"input[{index}]"))
            vectors.append(vector)
            tokens += read
        return Embeddings(vectors, Usage.of(tokens, 0))

    def _embed(self, given: str | Sequence[int], place: str) -> tuple[list[float], int]:
        try:
            return self._load().embed(given, place)
        except ModelError:
            raise
        except Exception as error:  # torch raises many: out of memory, device lost, …
            raise UpstreamUnavailable(f"the model failed while embedding ({type(error).__name__})") from error

    async def count(self, model: str, request: ChatRequest, answer: str) -> Usage:
        """See :class:`~llm.tokens.TokenCounter`: by the model's own tokenizer and template.

        Raises:
            ModelNotLoaded, InvalidRequest: when the model has not been loaded, or its template refuses the messages.
        """
        if self._runtime is None:
            raise ModelNotLoaded("the model has not been loaded yet")
        asked, answered = await asyncio.to_thread(self._runtime.count, request.messages, request.tools, answer)
        return Usage.of(asked, answered, estimated=True)

    async def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        _check(request.parameters)
        if len(self._waiting) >= MAX_WAITING:
            raise UpstreamUnavailable(f"{MAX_WAITING} requests wait for this model already", retry_after=1)
        job = _Job(request, asyncio.get_running_loop())
        self._waiting.append(job)
        job.loop.call_soon(self._next_batch, job.loop)
        try:
            while (said := await job.heard.get()) is not None:
                if isinstance(said, ModelError):
                    raise said
                yield said
        finally:
            job.left = True

    def _next_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Takes those that wait into a batch, when the thread has none."""
        if self._busy or self._closed:
            return
        wanted = (job for job in iter(self._take, None) if not job.left)
        self._running = list(islice(wanted, self._max_batch))
        if self._running:
            self._busy = True
            done = loop.run_in_executor(self._thread, self._answer, self._running)
            done.add_done_callback(lambda _: self._batch_done(loop))

    def _take(self) -> _Job | None:
        return self._waiting.popleft() if self._waiting else None

    def _batch_done(self, loop: asyncio.AbstractEventLoop) -> None:
        self._busy = False
        self._next_batch(loop)

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _load(self) -> Runtime:
        if self._runtime is None:
            self._runtime = Runtime.load(*self._load_arguments)
        return self._runtime

    def _answer(self, jobs: list[_Job]) -> None:
        """A batch, in the thread. Whatever goes wrong is told to whom it concerns."""
        answers = [answer for job in jobs if (answer := self._begin(job))]
        try:
            if answers:
                run(self._load(), [answer.row for answer in answers])
        except Exception as error:  # torch raises many: out of memory, device lost, …
            for answer in answers:
                answer.job.say(UpstreamUnavailable(f"the model failed while generating ({type(error).__name__})"))

    def _begin(self, job: _Job) -> _Answer | None:
        try:
            runtime = self._load()
            choice = ToolChoice.of(job.request)
            return _Answer(job, runtime, choice, self._guide(runtime, job.request, choice), self._max_tokens)
        except ModelError as error:
            job.say(error)
        except Exception as error:  # a tokenizer's or a template's own
            job.say(UpstreamUnavailable(f"the model failed while reading ({type(error).__name__})"))
        return None

    def _guide(self, runtime: Runtime, request: ChatRequest, choice: ToolChoice) -> Guide | None:
        held = request.labels or request.parameters.get("response_format", {}).get("type", "text") != "text"
        if not held and not request.parameters.get("tools"):
            return None  # an answer in words needs no grammars, whose first takes a second
        if self._grammars is None:
            self._grammars = Grammars(runtime.tokenizer, runtime.vocabulary, runtime.ends)
        return self._grammars.guide(request, choice)


class _Answer:
    """One answer of a batch, in the thread: ids in, chunks out."""

    def __init__(self, job: _Job, runtime: Runtime, choice: ToolChoice, guide: Guide | None, max_tokens: int) -> None:
        request, given = job.request, job.request.parameters
        stop = given.get("stop") or ()
        prompt = runtime.prompt(request.messages, request.tools)
        wanted = given.get("max_completion_tokens", given.get("max_tokens", max_tokens))
        limit = min(wanted, runtime.context_length - len(prompt))
        self.job = job
        self.row = Row(prompt, limit, _sampling(runtime, given), self._hear, self._finish, guide)
        self._speech = Speech(
            runtime.tokenizer,
            runtime.ends,
            [stop] if isinstance(stop, str) else stop,
            choice.names,
        )

    def _hear(self, token: int) -> bool:
        if self.job.left:
            return False
        for chunk in self._speech.hear(token):
            self.job.say(chunk)
        return not self._speech.ended

    def _finish(self, error: InvalidRequest | None) -> None:
        """What was held back, why it ended, what it cost; or what was wrong with its schema."""
        if error is None:
            for chunk in self._speech.rest():
                self.job.say(chunk)
            usage = Usage.of(len(self.row.prompt), self.row.tokens)
            self.job.say(ChatChunk(finish_reason=self._reason(), usage=usage))
        self.job.say(error)

    def _reason(self) -> str:
        if not self._speech.ended:
            return "length"
        return "tool_calls" if self._speech.calls else "stop"


def _sampling(runtime: Runtime, given: Mapping[str, Any]) -> Sampling:
    """How the request wants its tokens chosen; where it does not say, how the model's makers do."""
    config = runtime.model.generation_config
    temperature = (config.temperature if config.temperature is not None else 1.0) if config.do_sample else 0.0
    return Sampling(
        temperature=given.get("temperature", temperature),
        top_p=given.get("top_p", config.top_p if config.top_p is not None else 1.0),
        top_k=given.get("top_k", (config.top_k or 0) if config.do_sample else 0),
        seed=given.get("seed"),
    )


def _check(given: Mapping[str, Any]) -> None:
    """Refuses what would change the answer's shape, or promise what is not kept."""
    if given.get("n", 1) != 1:
        raise _unsupported("n")
    if given.get("logprobs"):
        raise _unsupported("logprobs")
    if "audio" in (given.get("modalities") or ()):
        raise _unsupported("modalities")


def _unsupported(name: str) -> InvalidRequest:
    message = f"Unsupported value: '{name}' is not supported with this model; leave it out."
    return InvalidRequest(message, param=name, code="unsupported_value")
