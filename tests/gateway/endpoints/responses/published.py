"""The published types of the API: what does not fit them strictly is refused."""

from __future__ import annotations

from typing import Any

import orjson
from openai.types.responses import Response, ResponseItemList, ResponseStreamEvent
from pydantic import TypeAdapter

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def response_of(data: Any) -> Response:
    """A response object, every required member of it there and of its type."""
    return Response.model_validate_json(orjson.dumps(data), strict=True)


def item_list_of(data: Any) -> ResponseItemList:
    """A list of items, likewise."""
    return ResponseItemList.model_validate_json(orjson.dumps(data), strict=True)


def events_of(wire: bytes) -> list[Any]:
    """The events of a stream, each of the published type that it names, numbered from 0 without a gap."""
    assert wire.endswith(b"\n\n")
    events = []
    for frame in wire.removesuffix(b"\n\n").split(b"\n\n"):
        name, data = frame.split(b"\n")
        event = EVENT.validate_json(data.removeprefix(b"data: "), strict=True)
        assert event.type == orjson.loads(data.removeprefix(b"data: "))["type"]
        assert name == f"event: {event.type}".encode()
        events.append(event)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    return events


def kinds_of(events: list[Any]) -> list[str]:
    """Their types, without ``response.`` before them."""
    return [event.type.removeprefix("response.") for event in events]
