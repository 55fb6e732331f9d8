"""RecordedProvider: the answers of a real provider, recorded into a file once and replayed from it ever after."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from llm.chat import ChatChunk, ChatRequest
from llm.embeddings import EmbeddingProvider, EmbeddingRequest, Embeddings
from llm.errors import ModelError, ScriptError
from llm.packing import classes_under, pack_chunk, pack_error, unpack_chunk, unpack_error
from llm.provider import ModelProvider
from llm.usage import Usage


@dataclass(slots=True)
class Recorded:
    """One answer: to which request, its chunks as they came, and how it ended."""

    model: str
    request: dict[str, Any]
    chunks: list[dict[str, Any]]
    end: str = "whole"
    """``whole``, ``error``, or ``left``: whoever asked did not wait for the rest."""
    error: dict[str, Any] | None = None
    embeddings: dict[str, Any] | None = None
    """Vectors and usage, of an answer that embeds; it has no chunks."""

    @property
    def embeds(self) -> bool:
        """Whether embeddings were asked for."""
        return "input" in self.request

    def raise_error(self) -> None:
        """Raises the error that the answer ended with, if it ended with one."""
        if self.error is not None:
            kinds = classes_under((ModelError,))
            named = self.error["type"]
            raise unpack_error(self.error, next((kind for kind in kinds if kind.__name__ == named), ModelError))


class RecordedProvider:
    """Where the file is, its answers, without a network; where it is not, those of ``provider``, written into it.

    Each chunk comes as it came when it was recorded, without the time between them, and errors of the provider are
    raised again. Equal requests are answered in the order in which they were recorded. The file is JSON Lines, one line
    an answer, with requests and answers in full and without keys. It is written, whole or not at all, by
    :meth:`close`. It embeds (:class:`~llm.embeddings.EmbeddingProvider`) where the provider does, or the file has
    embeddings. As a context manager (``with``) it raises at the end when some answers were not asked for.

    Args:
        path: the file.
        provider: who answers where there is no file yet; it is neither started nor closed where there is one.
        compares, completes: what the provider says of itself, when it is not given.

    Raises:
        ScriptError: when there is neither a file nor a provider, or the file is no recording; and by :meth:`stream`
            when a request is not in the file: delete the file to record again.
    """

    embed: Callable[[str, EmbeddingRequest], Awaitable[Embeddings]]
    """The recorded embeddings for these inputs, or the provider's, which are recorded; missing where it has none."""

    def __init__(
        self,
        path: Path | str,
        provider: ModelProvider | None = None,
        *,
        compares: bool = True,
        completes: bool = False,
    ) -> None:
        self.path = Path(path)
        self.compares = provider.compares if provider is not None else compares
        self.completes = bool(getattr(provider, "completes", completes))
        self._provider = None if self.path.exists() else provider
        self._answers = _read(self.path) if self.path.exists() else []
        if self._provider is None and not self.path.exists():
            raise ScriptError(f"{self.path}: there is no such recording, and no provider to record; give provider=")
        embedder = _embedder(provider)
        if embedder is not None and self.records:
            self.embed = partial(self._record_embeddings, embedder)
        elif embedder is not None or any(answer.embeds for answer in self._answers):
            self.embed = self._replay_embeddings

    @property
    def records(self) -> bool:
        """Whether it asks the provider, and not the file."""
        return self._provider is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and not self.records and self._answers:
            raise ScriptError(f"{self.path}: {len(self._answers)} recorded answers were never asked for")

    async def start(self) -> None:
        """Makes the provider ready, where it is asked."""
        if self._provider is not None:
            await self._provider.start()

    async def close(self) -> None:
        """Writes the file, where the provider was asked, and closes the provider."""
        if self._provider is None:
            return
        try:
            await self._provider.close()
        finally:
            self._write()

    async def stream(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """The recorded answer to this request, or the provider's, which is recorded.

        Raises:
            ModelError: what the provider raised.
            ScriptError: when the request is not in the recording.
        """
        chunks = (
            self._replay(model, request) if self._provider is None else self._record(self._provider, model, request)
        )
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def _replay(self, model: str, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        found = self._take(model, _plain(request))
        for chunk in found.chunks:
            yield unpack_chunk(chunk)
        found.raise_error()
        if found.end == "left":
            raise ScriptError(f"{self.path}: the recording ends here, where its listener had gone")

    async def _record(
        self, provider: ModelProvider, model: str, request: ChatRequest
    ) -> AsyncGenerator[ChatChunk, None]:
        with self._recording(model, _plain(request)) as answer:
            async with aclosing(provider.stream(model, request)) as chunks:
                async for chunk in chunks:
                    answer.chunks.append(orjson.loads(orjson.dumps(pack_chunk(chunk))))
                    yield chunk

    async def _replay_embeddings(self, model: str, request: EmbeddingRequest) -> Embeddings:
        found = self._take(model, _plain_embedding(request))
        found.raise_error()
        if found.embeddings is None:
            raise ScriptError(f"{self.path}: the recording ends here, where whoever asked had gone")
        return Embeddings(found.embeddings["vectors"], Usage(**found.embeddings["usage"]))

    async def _record_embeddings(
        self, provider: EmbeddingProvider, model: str, request: EmbeddingRequest
    ) -> Embeddings:
        with self._recording(model, _plain_embedding(request)) as answer:
            made = await provider.embed(model, request)
            answer.embeddings = asdict(made)
        return made

    def _take(self, model: str, wanted: dict[str, Any]) -> Recorded:
        """The next answer to this request, which is then used up."""
        found = next((each for each in self._answers if each.model == model and each.request == wanted), None)
        if found is None:
            raise ScriptError(f"{self.path}: {self._difference(model, wanted)}; delete the file to record again")
        self._answers.remove(found)
        return found

    @contextmanager
    def _recording(self, model: str, request: dict[str, Any]) -> Iterator[Recorded]:
        """An answer in the making, and how it ends."""
        answer = Recorded(model, request, [], "left")
        self._answers.append(answer)
        try:
            yield answer
            answer.end = "whole"
        except ModelError as error:
            answer.end, answer.error = "error", pack_error(error)
            raise

    def _difference(self, model: str, wanted: Mapping[str, Any]) -> str:
        """In what a request differs from the next one that is waiting to be asked."""
        if not self._answers:
            return f"the recording is used up, and '{model}' was asked: {_short(_asked(wanted))}"
        waiting = self._answers[0]
        if waiting.model != model:
            return f"model '{model}' was asked, the recording goes on with '{waiting.model}'"
        names = dict.fromkeys((*waiting.request, *wanted))
        name = next((name for name in names if waiting.request.get(name) != wanted.get(name)), "")
        one, other = wanted.get(name), waiting.request.get(name)
        return f"this request is not in the recording; its {name} is {_short(one)}, recorded next is {_short(other)}"

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f"{self.path.name}.part")
        part.write_bytes(b"".join(orjson.dumps(asdict(answer)) + b"\n" for answer in self._answers))
        os.replace(part, self.path)


def _embedder(provider: object) -> EmbeddingProvider | None:
    return provider if isinstance(provider, EmbeddingProvider) else None


def _plain(request: ChatRequest) -> dict[str, Any]:
    """What makes one request differ from another, as JSON."""
    beside = {
        "stream": request.stream,
        "labels": request.labels,
        "copies": request.copies,
        "prompt": request.prompt,
    }
    wire = {**request.to_wire(), **{name: value for name, value in beside.items() if value}}
    plain: dict[str, Any] = orjson.loads(orjson.dumps(wire))
    return plain


def _plain_embedding(request: EmbeddingRequest) -> dict[str, Any]:
    plain: dict[str, Any] = orjson.loads(orjson.dumps({**request.parameters, "input": list(request.inputs)}))
    return plain


def _asked(wanted: Mapping[str, Any]) -> Any:
    return wanted["input"] if "input" in wanted else wanted["messages"][-1:]


def _short(value: Any, most: int = 200) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= most else f"{text[:most]}…"


def _read(path: Path) -> list[Recorded]:
    try:
        return [Recorded(**orjson.loads(line)) for line in path.read_bytes().splitlines()]
    except (orjson.JSONDecodeError, TypeError) as error:
        raise ScriptError(f"{path}: this is no recording; delete it to record again ({error})") from error
