"""One GET against issuers that hang, drip, flood, redirect, lie or are somebody else."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tracewall.identity import KeyKeeper
from tracewall.identity.fetch import FetchFailed, fetch, locate
from tracewall.testing import SigningKey, TokenIssuer

Serve = Callable[[Callable[[BaseHTTPRequestHandler], None]], Any]
KEY = SigningKey.make()
BODY = json.dumps({"keys": [KEY.jwk()]}).encode()
LIMIT = 1024 * 1024


def get(url: str, timeout: float = 5.0, limit: int = LIMIT) -> bytes:
    """Fetch a URL."""
    return fetch(locate(url), timeout=timeout, limit=limit)


def failure(url: str, timeout: float = 5.0) -> str:
    """Return why a fetch failed, and hold it to its deadline."""
    began = time.monotonic()
    with pytest.raises(FetchFailed) as caught:
        get(url, timeout)
    assert time.monotonic() - began < timeout + 0.5
    return str(caught.value)


def send(request: BaseHTTPRequestHandler, *chunks: bytes) -> None:
    """Write raw bytes to the connection."""
    for chunk in chunks:
        request.wfile.write(chunk)
        request.wfile.flush()
    request.close_connection = True


def answered(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Spell a whole answer."""
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers])
    return head.encode() + b"\r\n\r\n" + body


# What works


@pytest.mark.parametrize(
    "raw",
    [
        answered(BODY, f"Content-Length: {len(BODY)}"),
        answered(BODY),
        answered(b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY), "Transfer-Encoding: chunked"),
        answered(BODY, "Content-Type: text/plain"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + answered(BODY),
    ],
    ids=["length", "until close", "chunked", "odd type", "100 Continue"],
)
def test_an_answer_is_read_however_it_is_framed(serve: Serve, raw: bytes) -> None:
    """A body is read by length, by chunks or until the connection ends."""
    assert get(serve(lambda request: send(request, raw)).url) == BODY


def test_the_request_is_plain(serve: Serve) -> None:
    """The request asks for JSON, names the host, keeps the query and carries nothing else."""
    server = serve(lambda request: send(request, answered(BODY)))
    get(f"http://localhost:{server.port}/a/b?c=d&e=%20")
    assert server.paths == ["/a/b?c=d&e=%20"]
    assert server.headers == [
        {
            "Host": f"localhost:{server.port}",
            "Accept": "application/json",
            "User-Agent": "tracewall",
            "Connection": "close",
        }
    ]


def test_a_body_may_be_exactly_as_long_as_the_limit(serve: Serve) -> None:
    """The limit itself is allowed, one byte more is not."""
    server = serve(lambda request: send(request, answered(b"x" * 1000)))
    assert len(get(server.url, limit=1000)) == 1000
    with pytest.raises(FetchFailed, match="more than 999 bytes"):
        get(server.url, limit=999)


# Slow


def drip(server: Any, request: BaseHTTPRequestHandler, head: bytes, drop: bytes) -> None:
    """Send a byte now and then, for ever."""
    send(request, head)
    while not server.closing.wait(0.05):
        send(request, drop)


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"", b""),
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_the_deadline_is_for_the_whole_fetch(serve: Serve, head: bytes, drop: bytes) -> None:
    """An issuer that hangs or drips, in its headers or its body, is left at the deadline."""
    server = serve(lambda request: drip(server, request, head, drop))
    assert failure(server.url, timeout=0.3) == "timed out"


def test_a_silent_handshake_is_left_at_the_deadline() -> None:
    """A port that takes the connection and never speaks TLS is left at the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert failure(f"https://127.0.0.1:{port}/keys", timeout=0.3) == "timed out"


def test_a_resolver_that_hangs_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name resolution counts too, though the resolver itself cannot be stopped."""
    going_on = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: going_on.wait(5) and [])
    try:
        assert failure("https://keys.example/jwks", timeout=0.3) == "timed out"
    finally:
        going_on.set()


def test_a_hanging_issuer_costs_one_deadline(serve: Serve, clock: Any) -> None:
    """The keeper's refresh ends with the deadline, and the next one waits for the cool-down."""
    server = serve(lambda request: server.closing.wait(5))
    keeper = KeyKeeper(server.url, clock=clock, timeout=0.3)
    began = time.monotonic()
    for _ in range(20):
        keeper.refresh()
    assert time.monotonic() - began < 1
    assert keeper.problem == "timed out"
    assert len(server.paths) == 1


# Large


def test_a_hundred_megabytes_are_not_read(serve: Serve) -> None:
    """A body without end is left after the limit: the issuer cannot fill the memory."""
    sent = []

    def flood(request: BaseHTTPRequestHandler) -> None:
        send(request, answered(b""))
        for _ in range(1600):
            send(request, b" " * 65536)
            sent.append(65536)

    server = serve(flood)
    assert failure(server.url) == f"answered more than {LIMIT} bytes"
    server.close()
    assert sum(sent) < 50_000_000


@pytest.mark.parametrize(
    "raw",
    [
        answered(b"", *(f"h{number}: 1" for number in range(200))),
        answered(b"", "a: " + "b" * 100_000),
        b"HTTP/1.1 " + b"9" * 100_000,
        answered(b"ffffffffffffffff\r\n", "Transfer-Encoding: chunked"),
        answered(b"zz\r\n", "Transfer-Encoding: chunked"),
    ],
    ids=["many headers", "long header", "long status", "chunk cut short", "no chunk size"],
)
def test_a_monstrous_answer_is_a_failure(serve: Serve, raw: bytes) -> None:
    """Headers and chunks without measure are refused without an exception of another kind."""
    assert failure(serve(lambda request: send(request, raw)).url).startswith("failed with ")


# Wrong


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 400, 401, 403, 404, 429, 500, 503])
def test_only_200_is_an_answer(serve: Serve, status: int) -> None:
    """Any other status is a failure, whatever its body says."""
    raw = answered(b"" if status in (204, 304) else BODY, status=f"{status} Said")
    assert failure(serve(lambda request: send(request, raw)).url) == f"answered {status}"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"SSH-2.0-x\r\n",
        bytes(range(256)),
    ],
)
def test_garbage_in_place_of_http_is_a_failure(serve: Serve, raw: bytes) -> None:
    """Whoever does not speak HTTP is refused."""
    assert failure(serve(lambda request: send(request, raw)).url).startswith("failed with ")


@pytest.mark.parametrize(
    "body",
    [
        BODY[:-1],
        b"<html>sign in</html>",
        b"\x1f\x8b" + BODY,
        b"",
        b"\0" * 1000,
        BODY + BODY,
        b"[" * 500_000,
    ],
    ids=["cut short", "HTML", "compressed", "empty", "zeros", "twice", "nested"],
)
def test_garbage_keeps_the_keys_there_are(serve: Serve, clock: Any, body: bytes) -> None:
    """An answer that is no key set changes nothing for the keys in use."""
    bodies = [BODY, body]
    server = serve(lambda request: send(request, answered(bodies[len(server.paths) - 1])))
    keeper = KeyKeeper(server.url, clock=clock)
    keeper.refresh()
    clock.pass_by(10)
    keeper.refresh()
    assert len(server.paths) == 2
    assert keeper.problem == "failed with ValueError"
    keys = keeper.current()
    assert keys is not None
    assert set(keys.ids) == {KEY.id}


def test_nobody_listening_is_a_failure() -> None:
    """A closed port and a name without address are told in a few words."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert failure(f"http://127.0.0.1:{port}/keys") == "refused the connection"
    assert failure("https://" + "a" * 64 + ".test/keys") == "has no address"


# Elsewhere


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(serve: Serve, status: int) -> None:
    """Another port is another host: it is never asked."""
    other = serve(lambda request: send(request, answered(BODY)))
    moved = answered(b"", f"Location: {other.url}", status=f"{status} Moved")
    assert failure(serve(lambda request: send(request, moved)).url) == "redirected to another host"
    assert other.paths == []


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/keys",
        "http://keys.example/jwks",
        "//keys.example/jwks",
        "http://user@127.0.0.1/",
        "https://127.0.0.1 /",
        "http://[::1",
        "http://127.0.0.1:99999/",
    ],
)
def test_a_redirect_elsewhere_is_refused(serve: Serve, location: str) -> None:
    """A redirect to another scheme, an outer host or a broken URL is a failure."""
    moved = answered(b"", f"Location: {location}", status="302 Found")
    assert failure(serve(lambda request: send(request, moved)).url).startswith("redirected to ")


def test_a_redirect_on_the_same_host_is_followed(serve: Serve) -> None:
    """A path that moved is followed, relative or absolute."""

    def move(request: BaseHTTPRequestHandler) -> None:
        there = {"/keys": "/v2", "/v2": f"{server.url}3?a=b"}.get(request.path)
        moved = answered(b"", f"Location: {there}", status="302 Found")
        send(request, moved if there else answered(BODY))

    server = serve(move)
    assert get(server.url) == BODY
    assert server.paths == ["/keys", "/v2", "/keys3?a=b"]


def test_redirects_end(serve: Serve) -> None:
    """A redirect in a circle, or to nowhere, is left after three."""
    moved = answered(b"", "Location: /keys", status="302 Found")
    server = serve(lambda request: send(request, moved))
    assert failure(server.url) == "redirected too often"
    assert len(server.paths) == 4


def test_proxies_from_the_environment_are_not_used(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy variable cannot send the fetch to somebody else."""
    proxy = serve(lambda request: send(request, answered(b'{"keys": []}')))
    server = serve(lambda request: send(request, answered(BODY)))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert get(server.url) == BODY
    assert proxy.paths == []


@pytest.mark.parametrize(
    "url",
    [
        "http://keys.example/jwks",
        "http://10.0.0.1/jwks",
        "http://169.254.169.254/latest",
        "http://127.0.0.1.evil.example/jwks",
        "http://localhost.evil.example/jwks",
        "http://0.0.0.0/jwks",
        "http://[2001:db8::1]/jwks",
        "http:///jwks",
        "https://",
        "https://user:secret@keys.example/jwks",
        "https://@keys.example/jwks",
        "https://keys.example/a b",
        "https://keys.example/a\r\nX: y",
        "https://keys.example/\x7f",
        "https://kéys.example/jwks",
        "https://keys.example:99999/jwks",
        "https://keys.example:port/jwks",
        "HTTP://keys.example/jwks",
        "ftp://keys.example/jwks",
        "file:///etc/jwks",
        "unix://socket",
        "",
    ],
)
def test_a_source_that_may_not_be_fetched_is_an_error(url: str) -> None:
    """Plain http is for this machine only, and a URL must be plain."""
    with pytest.raises(ValueError):
        KeyKeeper(url)


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("http://localhost:81/a", ("http", "localhost", 81), "localhost:81"),
        ("http://127.8.9.1/a", ("http", "127.8.9.1", 80), "127.8.9.1"),
        ("http://[::1]:8080/a", ("http", "::1", 8080), "[::1]:8080"),
        ("HTTPS://Keys.Example:443/a", ("https", "keys.example", 443), "keys.example"),
        ("https://keys.example:0/a", ("https", "keys.example", 0), "keys.example:0"),
    ],
)
def test_a_url_is_taken_apart(url: str, origin: tuple[str, str, int], authority: str) -> None:
    """Scheme, host and port are read as a browser reads them."""
    location = locate(url)
    assert (location.origin, location.authority) == (origin, authority)


def test_localhost_must_be_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that sends localhost elsewhere does not get a plain request out."""
    elsewhere = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: elsewhere)
    assert failure("http://localhost/keys") == "is not on this machine"


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a self-signed certificate for 127.0.0.1, with its key, as one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keys")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[int]:
    """Serve the key over TLS; return the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            send(self, answered(BODY))

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that does not trust us hangs up; that is the test."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_certificate_nobody_vouches_for_is_refused(secure: int) -> None:
    """TLS verifies the issuer's certificate against the system's authorities."""
    assert failure(f"https://127.0.0.1:{secure}/keys") == "TLS failed: CERTIFICATE_VERIFY_FAILED"


def test_a_private_authority_can_be_trusted(secure: int, certificate: Path) -> None:
    """A context with the deployer's own authority lets the keys in."""
    context = ssl.create_default_context(cafile=str(certificate))
    keeper = KeyKeeper(f"https://127.0.0.1:{secure}/keys", tls=context)
    keeper.refresh()
    assert keeper.problem == ""
    assert keeper.current() is not None


def test_a_certificate_of_another_host_is_refused(secure: int, certificate: Path) -> None:
    """A trusted certificate must be for the host that was asked for."""
    context = ssl.create_default_context(cafile=str(certificate))
    keeper = KeyKeeper(f"https://localhost:{secure}/keys", tls=context)
    keeper.refresh()
    assert keeper.problem == "TLS failed: CERTIFICATE_VERIFY_FAILED"


def test_tls_against_a_plain_port_is_a_failure() -> None:
    """An https URL is never answered in the clear."""
    with TokenIssuer().serve() as served:
        url = served.jwks_url.replace("http:", "https:")
        assert failure(url).startswith("TLS failed")
        assert served.count() == 0
