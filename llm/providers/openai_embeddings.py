"""The embeddings in an OpenAI-compatible answer, as numbers or in base64."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from struct import iter_unpack
from typing import Any

from llm.embeddings import EmbeddingRequest, Embeddings
from llm.errors import UpstreamGarbled
from llm.usage import Usage


def body_of(model: str, request: EmbeddingRequest) -> dict[str, Any]:
    """The body of ``POST /embeddings``. Numbers are asked for, as not every upstream knows base64."""
    return {**request.parameters, "model": model, "input": list(request.inputs), "encoding_format": "float"}


def embeddings_of(answer: Mapping[str, Any], inputs: int) -> Embeddings:
    """The vectors of an answer, by their index.

    Raises:
        UpstreamGarbled: when there is not one for each of so many inputs.
    """
    try:
        rows = sorted(answer["data"], key=lambda row: row["index"])
        vectors = [_vector(row["embedding"]) for row in rows]
        usage = Usage.from_wire(answer.get("usage") or {})
        complete = [row["index"] for row in rows] == list(range(inputs))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UpstreamGarbled("the upstream's embeddings have another shape than OpenAI's") from error
    if not complete:
        raise UpstreamGarbled(
            f"the upstream sent {len(vectors)} embeddings for {inputs} inputs, or under wrong indexes"
        )
    return Embeddings(vectors, usage)


def _vector(embedding: Any) -> list[float]:
    """Numbers, or little-endian 32-bit floats in base64."""
    if isinstance(embedding, str):
        return [number for (number,) in iter_unpack("<f", b64decode(embedding, validate=True))]
    return [float(number) for number in embedding]
