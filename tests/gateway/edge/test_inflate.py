"""Compressed bodies: what they become is bounded."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.inflate import encoding_of, inflated
from gateway.errors import BodyTooLarge, InvalidBody, UnknownEncoding


@given(st.binary(max_size=200))
def test_what_was_deflated_is_inflated(body: bytes) -> None:
    """Gzip, and both forms of deflate; without an encoding nothing happens."""
    assert inflated(gzip.compress(body), "gzip", 200) == body
    assert inflated(zlib.compress(body), "deflate", 200) == body
    assert inflated(zlib.compress(body, wbits=-15), "deflate", 200) == body
    assert inflated(body, "", 0) == body


@given(st.binary(max_size=60), st.sampled_from(["gzip", "deflate"]))
def test_any_body_is_inflated_or_refused(body: bytes, encoding: str) -> None:
    """Nothing else is raised."""
    try:
        assert len(inflated(body, encoding, 100)) <= 100
    except (InvalidBody, BodyTooLarge):
        return


def test_a_bomb_is_not_inflated() -> None:
    """No more memory is taken than the bound."""
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge, match="longer than 1000000 bytes once it is inflated"):
            inflated(bomb, "gzip", 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("sent", "encoding"),
    [([], ""), ([""], ""), (["identity"], ""), (["GZIP"], "gzip"), (["x-gzip"], "x-gzip"), ([" deflate "], "deflate")],
)
def test_the_encoding_is_that_of_the_header(sent: list[str], encoding: str) -> None:
    """However it is written; none is none."""
    assert encoding_of({"headers": [(b"content-encoding", value.encode()) for value in sent]}) == encoding


@pytest.mark.parametrize("sent", [["br"], ["gzip, gzip"], ["gzip", "deflate"], ["gzip", "gzip"], ["\u2028"]])
def test_other_encodings_are_refused(sent: list[str]) -> None:
    """One that is not served, and several of them."""
    with pytest.raises(UnknownEncoding, match="send gzip, deflate or none"):
        encoding_of({"headers": [(b"content-encoding", value.encode()) for value in sent]})
