"""What the providers behind HTTP share: the address they call, JSON on its way out, JSON on its way in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import orjson

from llm.errors import InvalidRequest, UpstreamError, UpstreamGarbled
from llm.providers.openai_errors import error_of_answer
from llm.transport import Response

ErrorOf: TypeAlias = Callable[[int, Mapping[str, str], bytes], UpstreamError]
"""The error in an answer's status, headers and body."""


def checked_base_url(base_url: str) -> str:
    """The address without a slash at its end.

    Raises:
        ValueError: when it is no plain http(s) address; a password in it is not repeated.
    """
    parts = urlsplit(base_url)
    if parts.username or parts.password:
        raise ValueError("base_url holds a user or password; put the key into api_key")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"base_url is {base_url!r}; write an address such as https://api.openai.com/v1")
    return base_url.rstrip("/")


def checked_header(option: str, value: str) -> str:
    """A value that can stand in a header.

    Raises:
        ValueError: when it cannot, because of a line break at its end for example. It is not repeated.
    """
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"{option} holds a space, a line break or a character beyond ASCII; write it without")
    return value


def encoded(body: Mapping[str, Any]) -> bytes:
    """A request body as JSON.

    Raises:
        InvalidRequest: when it cannot be written so, because of a lone surrogate for example.
    """
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise InvalidRequest(f"the request cannot be written as JSON: {error}") from error


def is_whole(response: Response) -> bool:
    """Whether an answer is whole although a stream was asked for; some upstreams cannot stream everything."""
    return response.status == 200 and response.headers.get("content-type", "").startswith("application/json")


async def read_object(response: Response, error_of: ErrorOf = error_of_answer) -> dict[str, Any]:
    """The JSON object that an answer is; ``error_of`` says what any other status than 200 means.

    Raises:
        UpstreamError: when it is an error, or no JSON object.
    """
    return parsed_object(await read_body(response, error_of))


async def read_body(response: Response, error_of: ErrorOf = error_of_answer) -> bytes:
    """The bytes that an answer is; ``error_of`` says what any other status than 200 means.

    Raises:
        UpstreamError: when it is an error.
    """
    body = await response.read()
    if response.status != 200:
        raise error_of(response.status, response.headers, body)
    return body


async def read_model_ids(response: Response, whose: str, error_of: ErrorOf = error_of_answer) -> list[str]:
    """The names in a list of models, which OpenAI and Anthropic write alike; ``whose`` it is stands in
    the error. The response is closed.

    Raises:
        UpstreamError: when it is a refusal, or another shape.
    """
    try:
        listed = await read_object(response, error_of)
        return [str(model["id"]) for model in listed["data"]]
    except (KeyError, TypeError) as error:
        raise UpstreamGarbled(f"the upstream's list of models has another shape than {whose}") from error
    finally:
        response.close()


def parsed_object(data: bytes) -> dict[str, Any]:
    """The JSON object in these bytes.

    Raises:
        UpstreamGarbled: when there is none.
    """
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UpstreamGarbled("the upstream's answer is not JSON") from error
    if not isinstance(parsed, dict):
        raise UpstreamGarbled("the upstream's answer is not a JSON object")
    return parsed
