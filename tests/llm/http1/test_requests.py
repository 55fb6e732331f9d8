"""What goes over the wire, where to, and what never does."""

from __future__ import annotations

import datetime
import ipaddress
import pickle
import ssl
from pathlib import Path

import pytest

from llm.errors import UpstreamUnreachable
from llm.http1.address import Origin, located
from llm.http1.transport import HttpTransport
from llm.transport import Timeouts
from tests.llm.http1.raw import Exchange, RawServer, length


class Noted:
    """Keeps what it was asked, and answers with a cookie and a redirect."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def __call__(self, exchange: Exchange) -> None:
        while await exchange.request():
            self.heads.append(exchange.head)
            await exchange.say(length(b"", b"set-cookie: a=b", b"location: /other").replace(b"200", b"302", 1))


async def send(*requests: tuple[str, str, dict[str, str], bytes | None]) -> list[bytes]:
    """The heads of these requests as the server sees them; a URL is what comes after the authority."""
    serve = Noted()
    async with RawServer(serve) as server:
        transport = HttpTransport()
        for method, path, headers, body in requests:
            response = await transport.request(method, f"http://127.0.0.1:{server.port}{path}", headers, body)
            assert response.status == 302
            assert await response.read() == b""
            response.close()
        await transport.close()
        return [head.replace(b":%d" % server.port, b":80") for head in serve.heads]


async def test_a_copy_for_another_process_begins_without_connections() -> None:
    """What it was made with goes along."""
    async with RawServer(Noted()) as server:
        transport = HttpTransport(Timeouts(total=7), limit=1)
        for each in (transport, pickle.loads(pickle.dumps(transport))):
            assert (await each.request("GET", f"http://127.0.0.1:{server.port}", {})).status == 302
            await each.close()


async def test_a_request_says_what_must_be_said() -> None:
    """No cookie comes back, no redirect is followed; a body has a length, and some methods always have a body."""
    sent = await send(
        ("GET", "", {}, None),
        ("POST", "/a?b=c", {"Authorization": "Bearer x", "user-agent": "me"}, b"{}"),
        ("POST", "/a#fragment", {}, None),
        ("DELETE", "/ü?ö=%20", {"Host": "other"}, None),
    )
    own = b"accept: */*\r\naccept-encoding: gzip, deflate\r\nuser-agent: %b\r\n"
    assert sent == [
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1:80\r\n" + own % b"penstock" + b"\r\n",
        b"POST /a?b=c HTTP/1.1\r\nhost: 127.0.0.1:80\r\n"
        + own % b"me"
        + b"authorization: Bearer x\r\ncontent-length: 2\r\n\r\n",
        b"POST /a HTTP/1.1\r\nhost: 127.0.0.1:80\r\n" + own % b"penstock" + b"content-length: 0\r\n\r\n",
        b"DELETE /%C3%BC?%C3%B6=%20 HTTP/1.1\r\nhost: other\r\n" + own % b"penstock" + b"\r\n",
    ]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"x": "a\r\nx-evil: 1"}),
        ("POST", {"x": "a\nx-evil: 1"}),
        ("POST", {"x": "a\rb"}),
        ("POST", {"x": "a\0b"}),
        ("POST", {"x\r\nx-evil": "1"}),
        ("POST", {"x: 1\r\nx-evil": "1"}),
        ("POST", {"x y": "1"}),
        ("POST", {"": "1"}),
        ("POST", {"x:": "1"}),
        ("POST", {"Content-Length": "0"}),
        ("POST", {"Transfer-Encoding": "chunked"}),
        ("POST /evil HTTP/1.1\r\n", {}),
        ("get", {}),
        ("CONNECT", {}),
        ("", {}),
    ],
)
async def test_a_head_that_could_be_read_as_more_is_not_sent(method: str, headers: dict[str, str]) -> None:
    """Line breaks, names that are none, and lengths that only the client may tell."""
    serve = Noted()
    async with RawServer(serve) as server:
        transport = HttpTransport()
        with pytest.raises(ValueError, match=r"can be sent|line break"):
            await transport.request(method, server.url, headers, b"{}")
        await transport.close()
        assert server.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://h/a\r\nx-evil: 1",
        "http://h/a b",
        "http://h/a\tb",
        "http://h\n/a",
        " http://h/",
        "http://user:password@h/",
        "http://h:port/",
        "http://h:99999/",
        "http:///a",
        "file:///etc/passwd",
        "ftp://h/",
        "h/a",
        "http://[::1/a",
    ],
)
async def test_what_is_no_plain_address_is_not_asked(url: str) -> None:
    """The error does not repeat it."""
    transport = HttpTransport()
    with pytest.raises(UpstreamUnreachable) as raised:
        await transport.request("GET", url, {})
    assert "password" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "origin", "authority", "target"),
    [
        ("http://H", Origin("http", "h", 80), "h", "/"),
        ("https://h/?", Origin("https", "h", 443), "h", "/"),
        ("https://h:80/a?b", Origin("https", "h", 80), "h:80", "/a?b"),
        ("http://[::1]:8080/a", Origin("http", "::1", 8080), "[::1]:8080", "/a"),
        ("http://bücher.example/", Origin("http", "xn--bcher-kva.example", 80), "xn--bcher-kva.example", "/"),
        ("http://h/a/../b", Origin("http", "h", 80), "h", "/a/../b"),
    ],
)
def test_an_address_is_an_origin_and_a_target(url: str, origin: Origin, authority: str, target: str) -> None:
    """What stands in it is sent as it stands there."""
    assert located(url) == (origin, target)
    assert origin.authority == authority


async def test_a_name_that_nobody_has_is_an_error_of_ours() -> None:
    """And so is a port that nobody listens on."""
    transport = HttpTransport()
    for url in ("http://nobody.invalid/", "http://127.0.0.1:1/"):
        with pytest.raises(UpstreamUnreachable, match="failed"):
            await transport.request("GET", url, {})
    await transport.close()


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for ``localhost``, and the certificate that makes it known."""
    x509 = pytest.importorskip("cryptography.x509")
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
    hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.2"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, private)
    return context, pem


async def test_tls_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's certificate, and one of another name, is refused before anything is sent."""
    context, pem = certified(tmp_path)
    serve = Noted()
    async with RawServer(serve, context) as server:
        stranger = HttpTransport()
        with pytest.raises(UpstreamUnreachable, match="SSLCertVerificationError"):
            await stranger.request("POST", server.url, {}, b"{}")
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        transport = HttpTransport()
        with pytest.raises(UpstreamUnreachable, match="SSLCertVerificationError"):
            await transport.request("POST", f"https://127.0.0.1:{server.port}/v1", {}, b"{}")
        assert serve.heads == []
        before = server.connections
        for _ in range(3):
            response = await transport.request("POST", server.url, {}, b"{}" * 100_000)
            assert await response.read() == b""
            response.close()
        assert (len(serve.heads), server.connections) == (3, before + 1)
        await transport.close()
        await stranger.close()
