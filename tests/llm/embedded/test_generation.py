"""The loop: stops, limits, seeds, usage, cancelling."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from llm.embedded import Engine, PromptTooLong, TextPiece
from llm.embedded.network import Cache
from llm.embedded.speech import StopFinder
from tests.llm.embedded.conftest import WEATHER, options, text

WHO = [{"role": "user", "content": "Who are you?"}]


def test_the_model_says_what_it_is(engine: Engine) -> None:
    """It names itself, says that it is small, and that a larger model can be connected."""
    answer = text(engine.generate(WHO))
    assert "penstock-demo" in answer
    assert "small demonstration model" in answer
    assert "larger model" in answer


def test_a_stop_string_is_found_across_tokens_and_not_given_out(engine: Engine) -> None:
    """The answer ends before the stop string, wherever the borders of tokens are."""
    whole = text(engine.generate(WHO))
    for start in range(5, len(whole) - 12, 7):
        stop = whole[start : start + 9]
        generation = engine.generate(WHO, None, options(stop=("nowhere", stop)))
        assert text(generation) == whole[: whole.find(stop)]
        assert generation.finish_reason == "stop"


def test_no_text_that_may_become_a_stop_string_is_given_out() -> None:
    """Held back while doubtful, given out once it is not."""
    finder = StopFinder(["abcd", "cx"])
    assert [finder.feed(piece) for piece in ("xa", "b", "c", "y", "abc", "d", "z")] == ["x", "", "", "abcy", "", "", ""]
    assert finder.found
    finder = StopFinder(["abcd"])
    assert (finder.feed("ab"), finder.flush()) == ("", "ab")


def test_the_same_seed_gives_the_same_answer(noise: Engine) -> None:
    """Sampling depends on nothing but the seed; other seeds give other answers."""
    answers = [
        text(noise.generate(WHO, None, options(temperature=1.2, top_p=0.9, seed=s, max_tokens=20))) for s in (7, 7, 8)
    ]
    assert answers[0] == answers[1] != answers[2]


def test_a_negative_seed_is_a_seed(noise: Engine) -> None:
    """Clients may send any integer."""
    assert text(noise.generate(WHO, None, options(temperature=1.0, seed=-1, max_tokens=5))) is not None


def test_greedy_is_the_default(engine: Engine) -> None:
    """Without a temperature the answer is always the same, and a tiny nucleus comes to the same."""
    assert text(engine.generate(WHO)) == text(engine.generate(WHO, None, options(temperature=1.0, top_p=1e-9, seed=3)))


def test_usage_counts_every_id(engine: Engine) -> None:
    """Read: the whole prompt. Produced: all ids of the answer and the end token."""
    generation = engine.generate(WHO)
    answer = text(generation)
    assert generation.prompt_tokens == len(engine.prompt(WHO, None)) == 3 + len(engine.tokenizer.encode("Who are you?"))
    assert generation.completion_tokens == len(engine.tokenizer.encode(answer)) + 1
    assert generation.finish_reason == "stop"


def test_max_tokens_is_a_limit(engine: Engine) -> None:
    """No more ids are produced, and the reason says so."""
    generation = engine.generate(WHO, None, options(max_tokens=3))
    assert text(generation)
    assert (generation.completion_tokens, generation.finish_reason) == (3, "length")


def test_the_context_is_a_limit(noise: Engine) -> None:
    """An answer takes what the prompt leaves, however much is asked for."""
    messages = [{"role": "user", "content": "word " * 490}]
    generation = noise.generate(messages, None, options(max_tokens=10_000, temperature=1.0, seed=1))
    left = noise.context_length - generation.prompt_tokens
    assert 0 < left < 40
    for _ in generation:
        pass
    assert generation.completion_tokens <= left


def test_a_prompt_that_leaves_no_room_is_refused(engine: Engine) -> None:
    """Before anything is computed, with both numbers."""
    with pytest.raises(PromptTooLong) as refused:
        engine.generate([{"role": "user", "content": "word " * 5000}])
    assert refused.value.limit < refused.value.tokens
    assert refused.value.limit == engine.context_length - 1


def test_pieces_are_whole_characters(noise: Engine) -> None:
    """Bytes that are no UTF-8 yet are held back; no piece is empty."""
    for seed in range(5):
        pieces = list(noise.generate(WHO, None, options(temperature=2.0, seed=seed, max_tokens=60)))
        assert all(isinstance(piece, TextPiece) and piece.text for piece in pieces)


def test_nothing_is_computed_before_the_first_piece(engine: Engine) -> None:
    """Making a generation costs only the encoding of the prompt."""
    generation = engine.generate(WHO)
    assert (generation.completion_tokens, generation.finish_reason) == (0, None)


def test_a_closed_generation_is_over_and_its_memory_free(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing ends the iteration and drops the keys and values at once."""
    caches: list[weakref.ref[Cache]] = []
    made = type(engine._network).new_cache

    def remembered(network: object) -> Cache:
        cache = made(network)  # type: ignore[arg-type]
        caches.append(weakref.ref(cache))
        return cache

    monkeypatch.setattr(type(engine._network), "new_cache", remembered)
    generation = engine.generate(WHO)
    next(generation)
    assert caches[0]() is not None
    generation.close()
    generation.close()
    gc.collect()
    assert caches[0]() is None
    assert list(generation) == []
    assert generation.finish_reason is None


def test_threads_share_an_engine(engine: Engine) -> None:
    """Answers in parallel are those in a row."""
    prompts = [
        [{"role": "user", "content": f"What is the weather in {place} on 3 May?"}] for place in ("Rome", "Oslo")
    ] * 4
    alone = [text(engine.generate(prompt)) for prompt in prompts]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda prompt: text(engine.generate(prompt)), prompts)) == alone


def test_reading_a_prompt_in_chunks_changes_nothing(engine: Engine) -> None:
    """A prompt longer than a chunk gives the logits that it gives token by token."""
    ids = engine.tokenizer.encode("Plan a trip to Lisbon on 14 May, please. " * 30)
    assert len(ids) > 300
    network = engine._network
    chunked, single = network.new_cache(), network.new_cache()
    expected = network.prefill(ids, chunked)
    for token in ids:
        found = network.forward(token, single)
    assert abs(found - expected).max() < 1e-3


def test_a_cache_grows_as_needed(engine: Engine) -> None:
    """A short chat does not pay for the whole context."""
    network = engine._network
    cache = network.new_cache()
    network.prefill([5] * 10, cache)
    small = cache.nbytes
    network.prefill([5] * 500, cache)
    assert small < cache.nbytes / 5


def test_tools_without_a_constraint_may_be_called(engine: Engine) -> None:
    """The default with tools is "auto"."""
    generation = engine.generate([{"role": "user", "content": "Weather in Rome on 3 May?"}], [WEATHER])
    list(generation)
    assert generation.finish_reason == "tool_calls"
