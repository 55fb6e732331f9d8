"""Usage adds up, keeps what the provider said, and says when it is a guess."""

from __future__ import annotations

import orjson

from llm import ChatRequest, Usage
from llm.tokens import CHARACTERS
from llm.usage import MOST


def test_the_wire_is_kept_whole() -> None:
    """Everything that a provider reports comes out again as it went in."""
    wire = {
        "prompt_tokens": 14,
        "completion_tokens": 59,
        "total_tokens": 73,
        "prompt_tokens_details": {"cached_tokens": 10, "audio_tokens": 0},
        "queue_time": 0.25,
    }
    assert Usage.from_wire(wire).to_wire() == wire


def test_usages_add_up_number_by_number() -> None:
    """The sum of two usages adds nested numbers, and keeps what only one of them has."""
    one = Usage.from_wire({"prompt_tokens": 1, "completion_tokens": 2, "x": {"cached": 3, "kind": "a"}, "only": True})
    two = Usage.from_wire({"prompt_tokens": 10, "completion_tokens": 20, "x": {"cached": 30, "kind": "b", "more": 5}})
    assert (one + two).to_wire() == {
        "prompt_tokens": 11,
        "completion_tokens": 22,
        "total_tokens": 33,
        "x": {"cached": 33, "kind": "b", "more": 5},
        "only": True,
    }


def test_odd_counts_are_zero() -> None:
    """Null, negative and boolean counts are no tokens; a missing total is the sum."""
    usage = Usage.from_wire({"prompt_tokens": None, "completion_tokens": 4, "total_tokens": True})
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (0, 4, 4)
    assert Usage.from_wire({"prompt_tokens": -3}).prompt_tokens == 0


def test_counts_beyond_all_tokens_stay_numbers_of_json() -> None:
    """What nobody can have used is cut off, in sums too, so that it can always be told."""
    usage = Usage.from_wire({"prompt_tokens": 2**63, "completion_tokens": 1, "x": {"y": 2**63, "z": -(2**63)}})
    wire = orjson.loads(orjson.dumps((usage + usage + usage).to_wire()))
    assert (wire["prompt_tokens"], wire["completion_tokens"], wire["x"]) == (MOST, 3, {"y": MOST, "z": -MOST})


def test_an_estimate_stays_one_in_every_sum() -> None:
    """A sum with one estimated part is estimated."""
    guess = CHARACTERS.count_now(ChatRequest.of_text("m", "x" * 9), 5)
    assert (guess.prompt_tokens, guess.completion_tokens, guess.source) == (3, 2, "estimated")
    assert (Usage.of(1, 1) + guess).source == "estimated"
    assert (Usage.of(1, 1) + Usage.of(2, 2)).source == "real"


def test_an_estimate_says_so_on_the_wire() -> None:
    """It is read back as one, also when another Penstock has sent it."""
    guess = Usage(1, 2, 3, {"x": 1}, estimated=True)
    assert guess.to_wire() == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "x": 1, "estimated": True}
    assert Usage.from_wire(guess.to_wire()) == guess
    assert "estimated" not in Usage.of(1, 1).to_wire()


def test_shares_add_up_to_the_whole() -> None:
    """However a usage is divided, nothing is lost and nothing is added."""
    whole = Usage(7, 3, 11, {"prompt_tokens_details": {"cached_tokens": 5}})
    for number in (1, 2, 3, 4, 20):
        shares = whole.shares(number)
        assert len(shares) == number
        total = shares[0]
        for share in shares[1:]:
            total = total + share
        assert total == whole
