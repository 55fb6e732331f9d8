"""What comes over wires: right documents, what becomes of them when something in them is changed, and bytes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

NUMBERS = (0, -1, 1, 5, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.0, -0.0, 0.5, 1e308, -1e-308, 5e-324)
TEXTS = ("", " ", "5", "null", "\0", "\ud7ff", "\ufeff", "\u2028", "😀" * 3, "auto", "text", "object", "function", "{}")
NAMES = ("type", "name", "text", "content", "function", "id", "index", "data", "role", "schema", "\0", "")

leaves = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.sampled_from(TEXTS) | st.text(max_size=8)
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
"""Any JSON value that is awkward."""


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a document with each of its keys or indexes."""
    keys: Sequence[Any] = ()
    if isinstance(document, dict):
        keys = list(document)
    elif isinstance(document, list):
        keys = range(len(document))
    for key in keys:
        yield document, key
        yield from places(document[key])


@st.composite
def changed(draw: st.DrawFn, samples: Sequence[Any], most: int = 3) -> Any:
    """A sample with up to so many places in it replaced, taken out, or added."""
    document = deepcopy(draw(st.sampled_from(samples)))
    others = [container[key] for sample in samples for container, key in places(sample)]
    for _ in range(draw(st.integers(0, most))):
        found = list(places(document))
        if not found:
            break
        container, key = draw(st.sampled_from(found))
        match draw(st.sampled_from(("replace", "take out", "exchange", "add"))):
            case "take out":
                del container[key]
            case "exchange":
                container[key] = deepcopy(draw(st.sampled_from(others)))
            case "add" if isinstance(container, dict):
                container[draw(st.sampled_from(NAMES))] = draw(values)
            case _:
                container[key] = draw(values)
    return document


@st.composite
def split(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """A stream in reads, which may end anywhere."""
    cuts = draw(st.lists(st.integers(0, len(stream)), max_size=6))
    edges = [0, *sorted(cuts), len(stream)]
    return [stream[start:stop] for start, stop in itertools.pairwise(edges)]


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes of which a few are changed, taken out or added."""
    damaged = bytearray(whole)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(damaged)))
        damaged[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(damaged)
