"""Bodies that come compressed, unpacked piece by piece, so that a small one cannot become a large one at once."""

from __future__ import annotations

import zlib

from llm.errors import UpstreamBrokeOff, UpstreamGarbled

PIECE = 64 * 1024
"""The most that is unpacked at once, in bytes."""
GZIP = ("gzip", "x-gzip")
UNPACKED = (*GZIP, "deflate")
REFUSED = ("br", "compress", "zstd")
"""What was not offered and cannot be unpacked. Other names are none of a compression; the body is left as it is."""


class Inflater:
    """Unpacks gzip (several members too) and deflate (with its header or, as some servers send it, without)."""

    def __init__(self, coding: str, url: str) -> None:
        self._gzip = coding in GZIP
        self._url = url
        self._stream: zlib._Decompress | None = None
        self._packed = b""
        self._full = False

    def feed(self, packed: bytes) -> None:
        """Takes what came, once :meth:`piece` has nothing left."""
        self._packed += packed

    def piece(self) -> bytes:
        """The next unpacked piece; nothing when more must come.

        Raises:
            UpstreamGarbled: when it is not compressed as it says.
        """
        while self._packed or self._full:
            try:
                stream = self._begun()
                piece = stream.decompress(self._packed, PIECE)
            except zlib.error:
                raise UpstreamGarbled(f"the answer from {self._url} is not compressed as it says") from None
            self._packed = stream.unused_data if stream.eof else stream.unconsumed_tail
            self._full = len(piece) == PIECE and not stream.eof
            if piece:
                return piece
        return b""

    def finish(self) -> None:
        """The body is over.

        Raises:
            UpstreamBrokeOff: when what it compressed is not.
        """
        if self._stream is not None and not self._stream.eof:
            raise UpstreamBrokeOff(f"the answer from {self._url} ended before what it compressed")

    def _begun(self) -> zlib._Decompress:
        if self._stream is None or self._stream.eof:
            headless = not self._gzip and self._packed[0] & 0xF != zlib.DEFLATED
            self._stream = zlib.decompressobj(31 if self._gzip else -15 if headless else 15)
        return self._stream
