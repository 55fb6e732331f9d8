"""Requests that carry a tag, to an upstream that does everything wrong that can be done: ``python -m
tests.llm.http1.tagged 1000000``.

Every answer must carry the tag of the request that it answers, in its head and in each byte of its body. The upstream
splits, cuts, half-closes, answers twice, and answers before it was asked all; the client leaves in the middle, gives
up at any turn of the loop, and reads a part.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from random import Random
from typing import cast

import uvloop

from llm.errors import UpstreamBrokeOff, UpstreamError, UpstreamGarbled
from llm.http1.transport import HttpTransport
from llm.transport import Response

WORKERS = 64
LIMIT = 48
"""Fewer connections than there are workers, so that some wait for their turn."""
TAG = 12
"""Digits of a tag."""
LARGE = 300_000
KINDS = {
    "length": 150,
    "chunked": 150,
    "interim": 4,
    "until_close": 4,
    "bytewise": 4,
    "large": 1,
    "empty": 4,
    "closes": 4,
    "twice": 4,
    "twice_at_once": 4,
    "cut_in_head": 3,
    "cut_in_body": 3,
    "cut_in_chunk": 3,
    "garbage": 3,
    "drops": 3,
    "half_closes": 3,
    "early": 3,
    "early_and_stays": 3,
}
DRAWN = [kind for kind, often in KINDS.items() for _ in range(often)]
HOW = {"reads": 60, "in_pieces": 10, "closes_at_once": 8, "closes_in_the_middle": 6, "leaves": 6, "gives_up": 10}


def answers(kind: str, tag: bytes, random: Random) -> list[bytes]:
    """The packets of an answer."""
    body = tag * random.randrange(1, LARGE // TAG if kind == "large" else 60)
    head = b"HTTP/1.1 200 OK\r\nx-tag: %b\r\n" % tag
    sized = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
    cut = random.randrange(len(body))
    chunked = (
        head
        + b"transfer-encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
    )
    match kind:
        case "chunked" | "cut_in_chunk":
            return [chunked, b"0\r\n\r\n"][: 2 if kind == "chunked" else 1]
        case "interim":
            return [b"HTTP/1.1 103 Early Hints\r\nx-tag: none\r\n\r\n", sized]
        case "until_close":
            return [head + b"\r\n" + body]
        case "bytewise":
            return [sized[i : i + 1] for i in range(len(sized))]
        case "empty":
            return [b"HTTP/1.1 204 No Content\r\nx-tag: %b\r\n\r\n" % tag]
        case "twice" | "twice_at_once":
            return [sized + sized] if kind == "twice" else [sized, sized]
        case "cut_in_head" | "cut_in_body":
            return [sized[: random.randrange(1, len(head)) if kind == "cut_in_head" else len(sized) - len(body) + cut]]
        case "garbage":
            return [b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n" + body]
    return [sized]


ENDS = {"until_close", "closes", "cut_in_head", "cut_in_body", "cut_in_chunk", "early"}


class Upstream(asyncio.Protocol):
    """One connection; what it does is drawn."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._read = b""
        self._skip = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._read += data[skipped:]
        head, found, body = self._read.partition(b"\r\n\r\n")
        kind = self._random.choice(DRAWN)
        if not found or len(body) < TAG:
            return
        missing = int(head.rpartition(b"content-length: ")[2]) - len(body)
        if missing < 0:
            raise AssertionError(f"more than one request came at once: {self._read[:200]!r}")
        if kind.startswith("early") or not missing:
            self._read, self._skip = b"", missing
            self._answer(kind, body[:TAG])

    def _answer(self, kind: str, tag: bytes) -> None:
        if kind == "drops":
            self._socket.abort()
            return
        packets = answers(kind, tag, self._random)
        if len(packets) > 2:
            self._say(packets)
            return
        for packet in packets:
            self._socket.write(packet)
        if kind in ENDS:
            self._socket.close()
        elif kind == "half_closes":
            self._socket.write_eof()

    def _say(self, packets: list[bytes]) -> None:
        """A few of them, and the others at the next turn of the loop."""
        if not self._socket.is_closing():
            few = self._random.randrange(1, 200)
            self._socket.write(b"".join(packets[:few]))
            if packets[few:]:
                asyncio.get_running_loop().call_soon(self._say, packets[few:])


@dataclass
class Tally:
    """What became of the requests."""

    came: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Client:
    """One after another of the requests, in ways that are drawn."""

    def __init__(self, url: str, transport: HttpTransport, random: Random, tally: Tally) -> None:
        self._url = url
        self._transport = transport
        self._random = random
        self._tally = tally

    async def send(self, numbers: range) -> None:
        """The requests with these numbers."""
        hows = self._random.choices([*HOW], [*HOW.values()], k=len(numbers))
        for number, how in zip(numbers, hows, strict=True):
            tag = f"{number:0{TAG}}"
            if how == "gives_up":
                await self._given_up(tag)
            else:
                await self._sent(tag, how)

    async def _given_up(self, tag: str) -> None:
        sending = asyncio.create_task(self._sent(tag, "reads"))
        for _ in range(self._random.randrange(12)):
            await asyncio.sleep(0)
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending

    async def _sent(self, tag: str, how: str) -> None:
        filled = self._random.choice((0, 0, 0, 0, 10, LARGE if how == "reads" and tag.endswith("7") else 1))
        try:
            response = await self._transport.request("POST", self._url, {}, tag.encode() + b"." * filled)
        except UpstreamError as error:
            self._tally.came[type(error).__name__] += 1
            return
        try:
            if response.headers["x-tag"] != tag:
                self._tally.wrong.append(f"{tag} was answered with the head of {response.headers['x-tag']}")
            await self._emptied(response, tag, how)
            self._tally.came[how] += 1
        except (UpstreamBrokeOff, UpstreamGarbled) as error:
            self._tally.came[type(error).__name__] += 1
        finally:
            response.close()

    async def _emptied(self, response: Response, tag: str, how: str) -> None:
        """Takes as much of a body as is wanted, all of which must be the tag."""
        if how == "reads":
            self._check(await response.read(), tag)
        elif how != "closes_at_once":
            body = b""
            async with aclosing(response.reads()) as reads:
                async for piece in reads:
                    body += piece
                    if how != "in_pieces":
                        break
            self._check(body, tag)
        if how == "leaves":
            response.leave()

    def _check(self, body: bytes, tag: str) -> None:
        whole = tag.encode() * (len(body) // TAG + 1)
        if not whole.startswith(body):
            self._tally.wrong.append(f"{tag} was answered with {body[:40]!r}")


async def run(count: int, seed: int) -> Tally:
    """Sends so many requests."""
    random, tally, loop = Random(seed), Tally(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(random), "127.0.0.1", 0, backlog=1024)
    transport = HttpTransport(limit=LIMIT)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    each = -(-count // WORKERS)
    clients = [Client(url, transport, random, tally) for _ in range(WORKERS)]
    await asyncio.gather(
        *(client.send(range(index * each, min(count, (index + 1) * each))) for index, client in enumerate(clients))
    )
    await transport.close()
    server.close()
    return tally


def main() -> None:
    """Sends as many as it is told, and says what became of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.llm.http1.tagged")
    parser.add_argument("count", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begun = time.perf_counter()
    tally = uvloop.run(run(given.count, given.seed))
    took = time.perf_counter() - begun
    said = "\n".join(tally.wrong) or "every answer was that of its request"
    sys.stdout.write(f"{given.count} requests in {took:.0f} s: {dict(tally.came.most_common())}\n{said}\n")
    raise SystemExit(bool(tally.wrong))


if __name__ == "__main__":
    main()
