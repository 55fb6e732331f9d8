"""The streams of OpenAI-compatible upstreams, read event by event, or passed on as the bytes that they are."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from llm.chat import ChatChunk, ChatRequest
from llm.errors import UpstreamBrokeOff
from llm.providers.http import parsed_object
from llm.providers.openai_answer import DONE
from llm.providers.openai_apis import Api
from llm.providers.openai_errors import error_of_answer, error_of_event
from llm.providers.openai_passing import Passage
from llm.sse import EventParser, events
from llm.transport import Response

BROKE_OFF = "the upstream's stream ended before the answer did"


async def decoded(response: Response, api: Api) -> AsyncGenerator[ChatChunk, None]:
    """What the events of a stream say.

    Raises:
        UpstreamError: when the answer is an error, breaks off, or is none.
    """
    if response.status != 200:
        raise error_of_answer(response.status, response.headers, await response.read())
    reader = api.reader()
    async with aclosing(events(response.reads())) as datas:
        async for data in datas:
            if data == DONE:
                response.leave()
                if api.ended_by_done:
                    return
                break
            event = parsed_object(data)
            if event.get("error"):
                raise error_of_event(event["error"])
            if chunk := reader.read(event):
                yield chunk
    if not reader.finished:
        raise UpstreamBrokeOff(BROKE_OFF)


async def passed(response: Response, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
    """The same of a chat, with the bytes to pass on; a chunk holds all that came with one read."""
    parser, passage = EventParser(), Passage(request)
    async with aclosing(response.reads()) as reads:
        async for read in reads:
            chunk = passage.take(parser.feed(read))
            if chunk is not None:
                yield chunk
            if passage.fault is not None:
                raise passage.fault
            if passage.ended:
                response.leave()
                break
    if not passage.ended and not passage.finished:
        raise UpstreamBrokeOff(BROKE_OFF)
    yield passage.close()
