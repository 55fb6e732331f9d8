"""RemoteStep: an HTTP service as a step."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

import orjson

from graph.errors import InvalidStep, RemoteGarbled, RemoteRefused, RemoteStrayed, RemoteUnfilled, StepTimeout
from graph.steps.remote_template import WRITTEN, body_template, checked_url, climbs, path_template
from graph.written.expression import body_of
from llm import UpstreamError
from llm.http1.transport import shared_transport
from llm.retry_after import retry_after
from llm.transport import Response, Transport

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""The longest answer that is read when the author sets no other bound."""
MAX_URL = 8 * 1024
"""The longest URL that is called."""
EXCERPT = 200
"""How much of a refusal is quoted."""
SILENT = (401, 403)
"""Statuses whose words are not quoted: they may hold our key."""
Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
WITHOUT_BODY = ("GET", "DELETE")
"""Methods that send nothing unless they are told to."""


class RemoteStep:
    """Calls an HTTP service; the body becomes its answer.

    URL, templates and headers are the author's. What the event brings is put into the templates as data: in ``path``
    every value is percent-encoded, so that none can add a segment, a query or another host; in ``body`` every value is
    written as JSON. A template sees the keys of a dict body by their names, and the whole body as ``body``. The options
    of any step hold here too: ``retries=``, ``timeout=``, ``max_in_flight=``, ``cache=``, ``input_path=``,
    ``result_path=``.

    Args:
        url: where the service is, without a query.
        path: a template of what is appended to it, such as ``"cities/{{ city }}?units=metric"``.
        body: a template of JSON text, such as ``'{"q": {{ question }}, "top": 5}'``: a value brings its own quotes.
            Without, POST, PUT and PATCH send the whole body as JSON, and DELETE sends nothing.
        method: ``POST``, ``GET``, ``PUT``, ``PATCH`` or ``DELETE``.
        headers: sent with every request.
        timeout: seconds for one exchange.
        return_json: whether the answer must be JSON; else the body becomes its bytes.
        max_bytes: the longest answer.
        transport: what sends requests; by default a pool of connections that all remote steps of a loop share.
    """

    outside = True

    def __init__(
        self,
        url: str,
        path: str = "",
        body: str | None = None,
        *,
        method: Method = "POST",
        headers: Mapping[str, str] | None = None,
        timeout: float = 300.0,
        return_json: bool = True,
        max_bytes: int = MAX_ANSWER_BYTES,
        transport: Transport | None = None,
    ) -> None:
        if method not in get_args(Method):
            raise InvalidStep(f"RemoteStep(method={method!r}): write one of {', '.join(get_args(Method))}")
        if method == "GET" and body is not None:
            raise InvalidStep("RemoteStep: a GET has no body; write method='POST', or put the values into path=")
        self._method = method
        self._url = checked_url(url)
        self._path = path_template(path)
        self._body = None if body is None else body_template(body)
        self._sends = body is not None or method not in WITHOUT_BODY
        self._headers = _checked_headers(headers or {}, sends=self._sends, return_json=return_json)
        self._timeout = timeout
        self._return_json = return_json
        self._max_bytes = max_bytes
        self._transport = transport

    async def do(self, given: Any) -> Any:
        body = body_of(given)
        url, content = self._address(body), self._content(body)
        try:
            async with asyncio.timeout(self._timeout) as scope:
                return await self._exchange(url, content)
        except TimeoutError:
            if not scope.expired():
                raise
            raise StepTimeout(f"no answer from {self._url} within {self._timeout:g} s") from None

    def _address(self, body: Any) -> str:
        """The URL for a body, checked again after it has been put together."""
        filled = self._path.render(body)
        separator = "" if not filled or filled.startswith("?") else "/"
        url = f"{self._url}{separator}{filled}"
        own, made = urlsplit(self._url), urlsplit(url)
        same_origin = (own.scheme, own.netloc) == (made.scheme, made.netloc)
        if not same_origin or not WRITTEN.fullmatch(filled) or climbs(made.path):
            raise RemoteStrayed(f"the values in the path would lead away from {self._url}")
        if len(url) > MAX_URL:
            raise RemoteStrayed(f"the values in the path make a URL of more than {MAX_URL} characters")
        return url

    def _content(self, body: Any) -> bytes | None:
        if not self._sends:
            return None
        try:
            if self._body is None:
                return orjson.dumps(body)
            filled = self._body.render(body).encode()
            orjson.loads(filled)
        except (TypeError, ValueError) as error:
            raise RemoteUnfilled(f"what would be sent to {self._url} is not JSON: {error}") from error
        return filled

    async def _exchange(self, url: str, content: bytes | None) -> Any:
        transport = self._transport or await shared_transport()
        response = await transport.request(self._method, url, self._headers, content)
        try:
            if response.status >= 300:
                raise await self._refused(response)
            return self._answer(response.status, await self._read(response))
        finally:
            response.close()

    async def _refused(self, response: Response) -> RemoteRefused:
        status = response.status
        said = "a redirect, which is not followed" if status < 400 else await _excerpt(response)
        return RemoteRefused(
            f"{self._method} {self._url} answered {status}{f': {said}' if said else ''}",
            upstream_status=status,
            retry_after=retry_after(response.headers),
        )

    async def _read(self, response: Response) -> bytes:
        answer = await _beginning(response, self._max_bytes)
        if len(answer) > self._max_bytes:
            raise RemoteGarbled(f"the answer of {self._url} is longer than {self._max_bytes} bytes")
        return answer

    def _answer(self, status: int, answer: bytes) -> Any:
        if not self._return_json:
            return answer
        if status == 204:
            return None
        try:
            return orjson.loads(answer)
        except orjson.JSONDecodeError as error:
            raise RemoteGarbled(
                f"the answer of {self._url} is not JSON ({error}); write return_json=False to have its bytes"
            ) from None


def _checked_headers(headers: Mapping[str, str], *, sends: bool, return_json: bool) -> dict[str, str]:
    for name, value in headers.items():
        if re.search(r"[\r\n\0]", f"{name}{value}"):
            raise InvalidStep(f"RemoteStep: the header {name!r} holds a line break")
    own = {"content-type": "application/json"} if sends else {}
    own |= {"accept": "application/json"} if return_json else {}
    return own | {name.lower(): value for name, value in headers.items()}


async def _beginning(response: Response, most: int) -> bytes:
    """The answer, or as much of it as there may be and a little more."""
    answer = bytearray()
    async with aclosing(response.reads()) as pieces:
        async for piece in pieces:
            answer += piece
            if len(answer) > most:
                break
    return bytes(answer)


async def _excerpt(response: Response) -> str:
    """What a service says for its refusal, in one line."""
    if response.status in SILENT:
        return ""
    try:
        said = await _beginning(response, EXCERPT)
    except UpstreamError:
        return ""
    return " ".join(said[:EXCERPT].decode(errors="replace").split())
