"""What a request asks, as far as the answer depends on it: who asks the same is given the same answer from a cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.config.exchanges import CacheEntry
from gateway.edge.context import Scope
from gateway.edge.sse import takes_events
from gateway.exchanges.sent import digest, header

BESIDE: Final = frozenset(
    {"metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user"}
)
"""Members that say who asks or what it may cost, and which answers of these paths do not repeat."""
BESIDE_IN: Final = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages"})
FRAMED: Final = b"inference-header-content-length"
"""What says that bytes stand behind the JSON of a body, which are no part of what was parsed."""
RESPONSES: Final = "/v1/responses"
STATE: Final = ("previous_response_id", "background", "conversation")


def is_cacheable(scope: Scope, body: Mapping[str, Any], entry: CacheEntry) -> bool:
    """Whether the answer may come from a cache: it is not to be kept under an id of its own, refers to nothing that is,
    is not one of several samples, and all of the question is in its JSON. Rows of one's own and V2 have one sample and
    keep nothing, and what their members are called is theirs."""
    path = scope["path"]
    if header(scope, FRAMED) is not None:
        return False
    if path not in BESIDE_IN and path != RESPONSES:
        return True
    store = body.get("store")
    is_stored = path == RESPONSES if store is None else store
    if is_stored or any(body.get(name) for name in STATE):
        return False
    several = any(type(body.get(name)) is int and body[name] > 1 for name in ("n", "best_of"))
    return entry.sampled or not several or body.get("temperature") == 0


def question_of(scope: Scope, body: Mapping[str, Any]) -> bytes:
    """The digest of what is asked: the path, the query, the form of the answer, and the body without the members that
    change nothing, in order."""
    beside = BESIDE if scope["path"] in BESIDE_IN else frozenset()
    asked = {name: value for name, value in body.items() if name not in beside and value is not None}
    where = f"{scope['method']} {scope['path']}".encode()
    events = takes_events(scope)
    written = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    return digest(where, scope.get("query_string", b""), b"events" if events else b"", written)
