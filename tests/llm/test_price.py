"""Prices: dollars per million tokens, cached ones and thoughts among them."""

from __future__ import annotations

import pytest

from llm import Price, Usage

PRICE = Price(input=2.0, output=8.0, cached=0.5, cache_write=3.0)


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (Usage.of(1_000_000, 0), 2.0),
        (Usage.of(0, 500_000), 4.0),
        (Usage.from_wire({"prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 400}}), 0.0014),
        (
            Usage.from_wire(
                {"prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 600}}
            ),
            0.002,
        ),
        (Usage.from_wire({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115}), 0.00086),
        (Usage.from_wire({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 99}}), 0.000005),
        (Usage.from_wire({"prompt_tokens": 10, "prompt_tokens_details": None}), 0.00002),
        (Usage(), 0.0),
    ],
)
def test_a_usage_costs(usage: Usage, usd: float) -> None:
    """Cached and written tokens have prices of their own; what the total has beyond the two sums is thought."""
    assert PRICE.usd(usage) == pytest.approx(usd)


def test_what_has_no_price_of_its_own_costs_what_the_prompt_does() -> None:
    """Cached tokens, and those that are written into a cache."""
    usage = Usage.from_wire(
        {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5}}
    )
    assert Price(1.0, 0.0).usd(usage) == pytest.approx(9e-6)


def test_an_answer_in_the_making_costs_about_its_text() -> None:
    """Four characters a token."""
    assert PRICE.usd_of_text(4_000_000) == pytest.approx(8.0)
