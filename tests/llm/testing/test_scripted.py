"""A scripted provider gives what its script says, and says where script and calls do not fit."""

from __future__ import annotations

import pytest

from llm import (
    ChatRequest,
    EmbeddingProvider,
    EmbeddingRequest,
    Embeddings,
    ScriptError,
    UpstreamRateLimited,
    Usage,
    collect,
)
from llm.testing import ScriptedProvider, say, vectors

TEXTS = EmbeddingRequest(["a", "b"])


async def test_vectors_stand_in_the_script_between_the_words() -> None:
    """One for each input; what was asked is kept."""
    usage = Usage.of(3, 0)
    script = (vectors([1, 0], [0, 1], usage=usage), say("x"), vectors(error=UpstreamRateLimited("slowly")))
    with ScriptedProvider.of(*script) as provider:
        assert isinstance(provider, EmbeddingProvider)
        assert await provider.embed("m", TEXTS) == Embeddings([[1.0, 0.0], [0.0, 1.0]], usage)
        assert (await collect(provider.stream("m", ChatRequest.of_text("m", "hi")))).content == "x"
        with pytest.raises(UpstreamRateLimited):
            await provider.embed("m", TEXTS)
    assert provider.embedding_requests == [TEXTS, TEXTS]
    assert not isinstance(ScriptedProvider.of(say("x")), EmbeddingProvider)


async def test_calls_that_the_script_does_not_expect() -> None:
    """A chat where vectors come, vectors where a chat comes, too few of them, or nothing left."""
    provider = ScriptedProvider.of(vectors([1.0]), say("x"))
    with pytest.raises(ScriptError, match="goes on with vectors, and 'm' was asked"):
        await collect(provider.stream("m", ChatRequest.of_text("m", "hi")))
    with pytest.raises(ScriptError, match="other than 2 vectors"):
        await provider.embed("m", TEXTS)
    with pytest.raises(ScriptError, match="goes on with a chat, and 'm' was asked"):
        await provider.embed("m", TEXTS)
    await collect(provider.stream("m", ChatRequest.of_text("m", "hi")))
    with pytest.raises(ScriptError, match="used up"):
        await provider.embed("m", TEXTS)
    with pytest.raises(ScriptError, match="used up"):
        await collect(provider.stream("m", ChatRequest.of_prompt("m", [1])))
