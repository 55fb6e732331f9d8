"""RemoteStep, against real servers on loopback sockets."""

from __future__ import annotations

import asyncio
import math
import pickle
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
import stamina
from aiohttp import web

from graph import (
    Event,
    Flatten,
    Flow,
    GraphError,
    InvalidStep,
    RemoteError,
    RemoteGarbled,
    RemoteRefused,
    RemoteStep,
    RemoteStrayed,
    RemoteUnfilled,
    StepTimeout,
)
from graph.steps.remote import Method
from llm import UpstreamBrokeOff, UpstreamUnreachable
from llm.http1.transport import HttpTransport, shared_transport
from llm.testing import Json, ScriptedUpstream

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """Retries do not wait."""
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


@asynccontextmanager
async def serving(handler: Handler) -> AsyncGenerator[str, None]:
    """A server that answers everything with this handler; its address."""
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", r"/{path:[\s\S]*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def echo(request: web.Request) -> web.Response:
    """Answers with what it was sent, the path as it came over the wire."""
    sent = {"method": request.method, "target": request.raw_path, "body": await request.text()}
    return web.json_response({**sent, "headers": {name.lower(): value for name, value in request.headers.items()}})


def remote(*arguments: Any, step: dict[str, Any] | None = None, **options: Any) -> Flow:
    flow = Flow()
    flow.to(RemoteStep(*arguments, **options), name="remote", **(step or {})).respond()
    return flow


# --- what is sent


async def test_the_body_is_posted_and_becomes_the_answer() -> None:
    """Without templates the whole body goes out as JSON, and the answer comes back as data."""
    async with ScriptedUpstream(Json({"temperature": 21})) as weather:
        assert await remote(f"{weather.base_url}/now").run({"city": "Oslo"}) == {"temperature": 21}
    assert (weather.received[0].path, weather.received[0].body) == ("/v1/now", {"city": "Oslo"})
    assert weather.received[0].headers["Content-Type"] == "application/json"
    assert weather.received[0].headers["Accept"] == "application/json"


@pytest.mark.parametrize(
    ("method", "template", "sent"),
    [
        ("PUT", None, '{"id":7}'),
        ("PATCH", '{"n": {{ id }}}', '{"n": 7}'),
        ("DELETE", None, ""),
        ("DELETE", '{"why": {{ id }}}', '{"why": 7}'),
    ],
)
async def test_other_methods(method: Method, template: str | None, sent: str) -> None:
    """A PUT and a PATCH send what a POST would; a DELETE sends nothing, unless a template says what."""
    async with serving(echo) as url:
        answer = await remote(url, "{{ id }}", template, method=method).run({"id": 7})
    assert (answer["method"], answer["target"], answer["body"]) == (method, "/7", sent)
    assert answer["headers"].get("content-type", "") == ("application/json" if sent else "")


async def test_it_is_made_from_a_class_too() -> None:
    """With its arguments beside the options of any step, paths into the body among them."""
    async with serving(echo) as url:
        flow = Flow()
        flow.to(
            RemoteStep, name="ask", url=url, path="{{ id }}", method="GET", timeout=5, input_path="a", result_path="b"
        ).respond()
        answer = await flow.run({"a": {"id": 7}})
    assert answer["a"] == {"id": 7}
    assert (answer["b"]["method"], answer["b"]["target"]) == ("GET", "/7")


async def test_the_path_is_a_template() -> None:
    """Values come from the keys of a dict body, or from the body as a whole; a query may stand in it."""
    async with serving(echo) as url:
        flow = remote(
            f"{url}/v1/", "/cities/{{ city }}?n={{ n }}{% if x is defined %}&x={{ x }}{% endif %}", method="GET"
        )
        assert (await flow.run({"city": "São Paulo", "n": 0}))["target"] == "/v1/cities/S%C3%A3o%20Paulo?n=0"
        assert (await flow.run({"city": "Oslo", "n": 1.5, "x": True}))["target"] == "/v1/cities/Oslo?n=1.5&x=true"
        assert (await remote(url, "{{ body }}").run("a b"))["target"] == "/a%20b"
        assert (await remote(url, "?q={{ body[1] }}").run(["x", "y"]))["target"] in ("?q=y", "/?q=y")
        assert (await remote(url).run(1))["target"] == "/"


@pytest.mark.parametrize(
    "value",
    ["a/b", "a\\b", "a?b=c&d", "a#b", "a%2Fb", "@evil.example", "//evil.example/", "\r\nx: y", "é\0", "{{ x }}", "+"],
)
async def test_a_value_stays_in_its_segment(value: str) -> None:
    """Whatever it holds, it arrives percent-encoded in one segment, and nothing of it is a template."""
    seen = []

    async def match(request: web.Request) -> web.Response:
        seen.append((request.raw_path.split("/"), request.rel_url.query_string))
        return web.json_response(request.raw_path.split("/")[2])

    async with serving(match) as url:
        escaped = await remote(url, "items/{{ x }}/edit").run({"x": value})
    ((segments, query),) = seen
    assert (segments, query) == (["", "items", escaped, "edit"], "")
    assert unquote(escaped) == value
    assert not set(escaped) & set("/\\?#\r\n\0{ ")


@pytest.mark.parametrize(
    "values", [("..", "x"), (".", "x"), (".", "."), ("../../x", "y"), ("a", "/.."), ("..\\", "x"), ("..;x", "y")]
)
async def test_a_value_cannot_lead_away(values: tuple[str, str]) -> None:
    """Dots that would climb out of the author's path are refused before anything is sent."""
    path = "items/{{ body[0] }}{{ body[1] }}" if values == (".", ".") else "items/{{ body[0] }}/{{ body[1] }}"
    with pytest.raises(RemoteStrayed, match=r"would lead away from http://127\.0\.0\.1:1"):
        await remote("http://127.0.0.1:1/api", path).run(values)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "the template of the path: undefined value: `x` is undefined"),
        ("text", "`x` is undefined"),
        ({"x": None}, "a NoneType cannot stand in a path; only text and numbers can"),
        ({"x": [1]}, "a list cannot stand in a path"),
        ({"x": {"y": 1}}, "a dict cannot stand in a path"),
        ({"x": ""}, "a value in the path is empty"),
    ],
)
async def test_what_cannot_stand_in_a_path_is_named(body: Any, message: str) -> None:
    """A missing value, one that is no text and no number, and an empty one, which would take a segment away."""
    with pytest.raises(RemoteUnfilled) as raised:
        await remote("http://127.0.0.1:1", "items/{{ x }}").run(body)
    assert message in str(raised.value)


async def test_a_body_that_holds_itself_is_refused() -> None:
    """It has no end, as a value of a template and as JSON."""
    body: list[Any] = []
    body.append(body)
    for template in (None, "{{ body }}"):
        with pytest.raises(RemoteUnfilled):
            await remote("http://127.0.0.1:1", body=template).run(body)


async def test_a_url_has_a_longest_length() -> None:
    """A value cannot make it endless."""
    with pytest.raises(RemoteStrayed, match="of more than 8192 characters"):
        await remote("http://127.0.0.1:1", "{{ body }}").run("x" * 9000)


async def test_the_body_is_a_template_of_json() -> None:
    """Every value is written as JSON, whatever it holds, so that none can end its place."""
    template = '{"q": {{ q }}, "all": {{ items }}, "n": {{ n }}, "said": {{ "re: " ~ q }}, "fixed": {"a": [1]}}'
    body = {"q": 'x", "admin": true, "y": "\n</script>', "items": [1, {"a": None}], "n": 1.5}
    async with serving(echo) as url:
        parsed = orjson.loads((await remote(url, body=template).run(body))["body"])
    assert parsed == {"q": body["q"], "all": body["items"], "n": 1.5, "said": f"re: {body['q']}", "fixed": {"a": [1]}}


async def test_templates_see_plain_data_only() -> None:
    """An object is its text; nothing inside it can be reached."""

    class Secret:
        key = "sk-secret"

        def __str__(self) -> str:
            return "hidden"

    given = {"x": Secret()}
    async with serving(echo) as url:
        assert (await remote(url, "{{ x }}", method="GET").run(given))["target"] == "/hidden"
        assert (await remote(url, body="[{{ x }}]").run(given))["body"] == '["hidden"]'
        with pytest.raises(RemoteUnfilled, match="undefined value"):
            await remote(url, "{{ x.key }}").run(given)


async def test_a_template_spends_a_bounded_effort() -> None:
    """A loop over what a caller sends ends with an error."""
    flow = remote("http://127.0.0.1:1", body="[{% for a in body %}{% for b in body %}1,{% endfor %}{% endfor %}0]")
    with pytest.raises(RemoteUnfilled, match="template of the body: engine ran out of fuel"):
        await flow.run([0] * 1000)


@pytest.mark.parametrize(("template", "body"), [("[{{ body }}", 1), (None, {"x": object()}), (None, math)])
async def test_what_is_no_json_is_not_sent(template: str | None, body: Any) -> None:
    """Neither of a template nor of a body."""
    with pytest.raises(RemoteUnfilled, match=r"what would be sent to http://127\.0\.0\.1:1 is not JSON"):
        await remote("http://127.0.0.1:1", body=template).run(body)


async def test_headers_are_the_authors() -> None:
    """They go out as they are, and may replace our own."""
    headers = {"Authorization": "Bearer key", "Content-Type": "application/vnd.api+json"}
    async with serving(echo) as url:
        answer = await remote(url, headers=headers).run(Event(1, headers={"authorization": "Bearer caller's"}))
    assert answer["headers"]["authorization"] == "Bearer key"
    assert answer["headers"]["content-type"] == "application/vnd.api+json"


async def test_with_the_event() -> None:
    """With full_event it is the body of the event that goes out."""
    async with serving(echo) as url:
        assert (await remote(url, step={"full_event": True}).run([1]))["body"] == "[1]"


# --- what comes back


@pytest.mark.parametrize("return_json", [True, False])
async def test_an_answer_may_be_bytes(return_json: bool) -> None:
    """Only without return_json is what is not JSON an answer."""

    async def text(request: web.Request) -> web.Response:
        assert ("application/json" in request.headers.getall("accept", [])) is return_json
        return web.Response(text="<p>hello</p>")

    async with serving(text) as url:
        if not return_json:
            assert await remote(url, return_json=False).run() == b"<p>hello</p>"
            return
        with pytest.raises(RemoteGarbled, match=r"is not JSON .*; write return_json=False to have its bytes"):
            await remote(url).run()


async def test_an_answer_without_content_is_none() -> None:
    """As the status 204 says."""

    async def empty(request: web.Request) -> web.Response:
        return web.Response(status=204)

    async with serving(empty) as url:
        assert await remote(url).run(1) is None


async def test_a_redirect_is_not_followed() -> None:
    """It is an error, and the other place is never asked."""
    asked = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async with serving(elsewhere) as url:
        with pytest.raises(RemoteRefused, match="answered 307: a redirect, which is not followed") as raised:
            await remote(url, "here").run(1)
    assert raised.value.upstream_status == 307
    assert asked == ["/here"]


@pytest.mark.parametrize(
    ("status", "quoted", "hopeless"),
    [
        (400, True, True),
        (401, False, True),
        (403, False, True),
        (404, True, True),
        (429, True, False),
        (503, True, False),
    ],
)
async def test_a_refusal_is_an_error_with_its_status(status: int, quoted: bool, hopeless: bool) -> None:
    """It quotes the beginning of what the service says, except where that may hold our key, and never the values."""
    text = "no such city,\n  sk-key " + "x" * 1000

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    async with serving(refuse) as url:
        with pytest.raises(RemoteRefused) as raised:
            await remote(url, "{{ body }}").run("private")
    said = f": {' '.join(text[:200].split())}" if quoted else ""
    assert raised.value.args == (f"POST {url} answered {status}{said}",)
    assert (raised.value.upstream_status, raised.value.hopeless) == (status, hopeless)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (again.upstream_status, again.hopeless) == (status, hopeless)
    assert isinstance(raised.value, RemoteError)
    assert isinstance(raised.value, GraphError)


async def test_a_refusal_that_breaks_off_is_a_refusal() -> None:
    """What it says is not needed to know that it was one."""

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        return response

    async with serving(cut) as url:
        with pytest.raises(RemoteRefused, match="answered 500") as raised:
            await remote(url).run(1)
    assert raised.value.args == (f"POST {url} answered 500",)


async def test_an_answer_has_a_longest_size() -> None:
    """Reading stops where it is passed, however much would follow."""
    left = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 65536)
        except (asyncio.CancelledError, ConnectionError):
            left.set()
            raise

    async with serving(endless) as url:
        with pytest.raises(RemoteGarbled, match="is longer than 100000 bytes"):
            await remote(url, max_bytes=100_000).run(1)
        await left.wait()


async def test_an_answer_of_the_longest_size_is_read() -> None:
    """The bound itself is allowed."""

    async def quoted(request: web.Request) -> web.Response:
        return web.Response(text='"12345678"')

    async with serving(quoted) as url:
        assert await remote(url, max_bytes=10).run(1) == "12345678"
        with pytest.raises(RemoteGarbled, match="longer than 9 bytes"):
            await remote(url, max_bytes=9).run(1)


async def test_an_answer_that_breaks_off_is_an_error() -> None:
    """Half an answer is none."""

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(request)
        await response.write(b"[1, ")
        assert request.transport is not None
        request.transport.close()
        return response

    async with serving(half) as url:
        with pytest.raises(UpstreamBrokeOff):
            await remote(url).run(1)


async def test_nobody_there_is_an_error() -> None:
    """No connection, and the words of the model layer for it."""
    async with serving(echo) as url:
        pass
    with pytest.raises(UpstreamUnreachable):
        await remote(url).run(1)


# --- options of any step, and connections


@pytest.mark.parametrize("own", [True, False])
async def test_a_service_that_hangs_is_left(own: bool) -> None:
    """By the deadline of the step, or of its options; the connection is closed."""
    left = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        raise AssertionError

    async with serving(hang) as url:
        flow = remote(url, timeout=0.05) if own else remote(url, step={"timeout": 0.05})
        with pytest.raises(StepTimeout, match=r"0\.05 s"):
            await flow.run(1)
        await left.wait()


async def test_a_client_that_leaves_ends_the_call() -> None:
    """A run that is cancelled closes the connection."""
    came, left = asyncio.Event(), asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        came.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        raise AssertionError

    async with serving(hang) as url:
        run = asyncio.create_task(remote(url).run(1))
        await came.wait()
        run.cancel()
        await left.wait()


async def test_retries_are_an_option_of_the_step() -> None:
    """A service that is overloaded is asked again, as it says."""
    async with ScriptedUpstream(
        Json({}, 503), Json({}, 429, {"retry-after": "7"}), Json(b"<html>"), Json("fine")
    ) as service:
        assert await remote(service.base_url, step={"retries": 3}).run(1) == "fine"
    assert len(service.received) == 4


async def test_what_would_only_be_refused_again_is_not_retried() -> None:
    """The service finds fault with the request, which does not change."""
    async with ScriptedUpstream(Json({}, 404)) as service:
        with pytest.raises(RemoteRefused, match="answered 404"):
            await remote(service.base_url, step={"retries": 3}).run(1)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (timedelta(hours=1), 3600),
        (timedelta(hours=-1), 0),
        ("soon", None),
        ("", None),
    ],
)
async def test_a_refusal_says_how_long_to_wait(value: str | timedelta, seconds: float | None) -> None:
    """As a number of seconds or a date; retries heed it."""
    said = value if isinstance(value, str) else format_datetime(datetime.now(UTC) + value, usegmt=True)
    async with ScriptedUpstream(Json({}, 503, {"retry-after": said})) as service:
        with pytest.raises(RemoteRefused) as raised:
            await remote(service.base_url).run(1)
    if seconds is None:
        assert raised.value.retry_after is None
    else:
        assert raised.value.retry_after == pytest.approx(seconds, abs=60)


async def test_the_chunks_of_a_stream_are_sent_in_order() -> None:
    """With ``max_in_flight`` several at once; each answer in the place of its chunk, whichever comes first."""
    two_are_here, second_is_answered = asyncio.Barrier(2), asyncio.Event()

    async def doubled(request: web.Request) -> web.Response:
        number = await request.json()
        if number < 3:
            await two_are_here.wait()
        if number == 1:
            await second_is_answered.wait()
        second_is_answered.set()
        return web.json_response(2 * number)

    async with serving(doubled) as url, asyncio.timeout(20):
        flow = Flow()
        flow.to(Flatten(), name="numbers").to(RemoteStep(url), name="remote", max_in_flight=2).respond()
        assert await flow.run([1, 2, 3]) == [2, 4, 6]
    assert flow.streaming.kind == "live"


async def test_connections_are_used_again() -> None:
    """Runs in one loop share a pool."""
    ports = set()

    async def note(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.json_response(None)

    async with serving(note) as url:
        flow = remote(url)
        for _ in range(3):
            await flow.run(1)
    assert len(ports) == 1


def test_every_loop_has_a_pool_that_ends_with_it() -> None:
    """Two loops one after the other, each with a flow that nobody keeps, leave no connection open."""
    pools = []

    async def once(number: int) -> str:
        async with serving(echo) as url:
            answer = await remote(url).run(number)
        pools.append(await shared_transport())
        return str(answer["body"])

    assert [asyncio.run(once(number)) for number in (1, 2)] == ["1", "2"]
    first, second = pools
    assert isinstance(first, HttpTransport)
    assert isinstance(second, HttpTransport)
    assert first is not second
    assert (first._pools, second._pools) == ({}, {})


async def test_a_transport_of_ones_own_is_used_and_left_open() -> None:
    """Who gives it closes it."""
    transport = HttpTransport()
    try:
        async with serving(echo) as url:
            assert (await remote(url, transport=transport).run(1))["body"] == "1"
        assert transport._pools
    finally:
        await transport.close()


# --- what is refused at build


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"url": "ftp://example.org"}, "write the url as an address"),
        ({"url": "example.org"}, "write the url as an address"),
        ({"url": "http://"}, "write the url as an address"),
        ({"url": "http://[::1"}, "write the url as an address"),
        ({"url": "http://example.org:x"}, "write the url as an address"),
        ({"url": "http://a\\b.example"}, "write the url as an address"),
        ({"url": "http://example.org/ä"}, "write the url as an address"),
        ({"url": "http://user:secret@example.org"}, "keys go into headers="),
        ({"url": "http://example.org/a/%2e%2e/b"}, "write the url as an address"),
        ({"url": "http://example.org?q=1"}, "a query belongs into path="),
        ({"url": "http://example.org#x"}, "a fragment is never sent"),
        ({"path": "a b"}, "percent-encode what cannot stand in a URL"),
        ({"path": "{{ x }}#y"}, "percent-encode what cannot stand in a URL"),
        ({"path": "{{ x"}, "percent-encode"),
        ({"path": "{{ x | }}"}, "the template path="),
        ({"body": "{% for %}"}, "the template body="),
        ({"body": '{"q": "{{ q }}"}'}, "values bring their own quotes; write {{ x }} without them"),
        ({"body": "1", "method": "GET"}, "a GET has no body"),
        ({"method": "HEAD"}, "write one of GET, POST, PUT, PATCH, DELETE"),
        ({"headers": {"authorization": "Bearer sk-secret\r\nx: y"}}, "the header 'authorization' holds a line break"),
    ],
)
def test_what_the_author_got_wrong_is_refused_at_build(arguments: dict[str, Any], message: str) -> None:
    """With a sentence that says what to write, and without secrets in it."""
    with pytest.raises(InvalidStep) as raised:
        RemoteStep(**({"url": "http://example.org"} | arguments))
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)
