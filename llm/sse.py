"""Server-sent events, as they come over the wire (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Works on bytes: a network read is no event, a character may be cut in two, and only CR and LF end a line (text
readers also split at U+2028 and others, which JSON may hold as they are).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing

from llm.errors import UpstreamGarbled

CR = ord("\r")
MAX_EVENT_BYTES = 8 * 1024 * 1024
"""The longest event that is taken; a longer one is an error, not a reason to run out of memory."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventParser:
    """Turns reads of any size into the data of whole events."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._skip_lf = False
        self._begun = False

    def feed(self, read: bytes) -> Iterable[bytes]:
        """The data of each event that this read completes. They must be taken before the next one is fed.

        Raises:
            UpstreamGarbled: when an event grows past the bound, while they are taken.
        """
        if (
            not (self._rest or self._data or self._skip_lf)
            and read.startswith(b"data: ")
            and read.endswith(b"\n\n")
            and CR not in read
        ):
            datas = read[6:-2].split(b"\n\ndata: ")
            if read.count(b"\n") == 2 * len(datas) and len(read) <= self._max:
                self._begun = True
                return datas
        return self._lines(read)

    def _lines(self, read: bytes) -> Iterator[bytes]:
        if not read:
            return
        if self._skip_lf:
            read = read.removeprefix(b"\n")
        buffer = self._rest + read
        lines = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._skip_lf = buffer.endswith(b"\r")
        self._rest = lines.pop()
        if lines and not self._begun:
            lines[0], self._begun = lines[0].removeprefix(BYTE_ORDER_MARK), True
        for line in lines:
            yield from self._line(line)
        if len(self._rest) + self._size > self._max:
            raise UpstreamGarbled(f"the upstream sent an event of more than {self._max} bytes")

    def _line(self, line: bytes) -> Iterator[bytes]:
        if not line:
            if self._data:
                yield b"\n".join(self._data)
            self._data, self._size = [], 0
        elif line.startswith(b"data:"):
            value = line[5:].removeprefix(b" ")
            self._data.append(value)
            self._size += len(value)
        elif line == b"data":
            self._data.append(b"")


async def events(source: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The data of each event in a stream of reads. An event that the end of the stream cuts off is dropped."""
    parser = EventParser()
    async with aclosing(source) as reads:
        async for read in reads:
            for data in parser.feed(read):
                yield data
