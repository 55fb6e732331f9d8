"""JSONPath (RFC 9535) as mappings use it: names, indexes, slices and stars, so that it finds at most what is there.

Filters, unions and ``..`` are refused: their cost grows faster than the document does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jsonpath.path import JSONPath as Compiled

MAX_LENGTH = 1000
MISSING: Final = object()
"""What a path finds where nothing stands."""


class JSONPath:
    """A path into a JSON document, compiled.

    Raises:
        ValueError: when it is none, or more than a path; the message says how to write it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._compiled = _compiled(text)
        self._is_one_place = self._compiled.singular_query()

    def find(self, document: Any) -> Any:
        """What stands at the path, or :data:`MISSING`; of a path with a star or a slice the list of all that does."""
        found = self._compiled.findall(document) if isinstance(document, (dict, list)) else []
        if not self._compiled.segments:
            return document
        if not found:
            return MISSING
        return found[0] if self._is_one_place else found

    def __repr__(self) -> str:
        return f"JSONPath({self.text!r})"


def _compiled(text: str) -> Compiled:
    from jsonpath import JSONPathEnvironment, JSONPathError  # noqa: PLC0415 - most gateways map nothing
    from jsonpath.path import JSONPath as Compiled  # noqa: PLC0415
    from jsonpath.segments import JSONPathChildSegment  # noqa: PLC0415
    from jsonpath.selectors import IndexSelector, NameSelector, SliceSelector, WildcardSelector  # noqa: PLC0415

    if len(text) > MAX_LENGTH:
        raise ValueError(f"a JSONPath has at most {MAX_LENGTH} characters")
    try:
        path = JSONPathEnvironment(strict=True).compile(text)
    except JSONPathError as error:
        raise ValueError(
            f"{text!r} is no JSONPath ({error.args[0]}); write one such as $.city or $.items[0].name"
        ) from None
    plain = isinstance(path, Compiled) and all(
        isinstance(segment, JSONPathChildSegment)
        and len(segment.selectors) == 1
        and isinstance(segment.selectors[0], (NameSelector, IndexSelector, SliceSelector, WildcardSelector))
        for segment in path.segments
    )
    if not isinstance(path, Compiled) or not plain:
        raise ValueError(f"{text!r} has a filter, a union or '..'; write names, indexes, slices and stars only")
    return path
