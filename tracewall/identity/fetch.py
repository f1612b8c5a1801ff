"""Bytes from an issuer: one GET with a total deadline, a size cap and no detours.

urllib and http.client count their timeout anew for every read, obey proxies from the
environment and follow redirects anywhere, so only their reading of a response is used.
"""

from __future__ import annotations

import io
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urljoin, urlsplit

_MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class FetchFailed(Exception):
    """Nothing usable came; the message says why in a few words, ``status`` what HTTP did."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Location:
    """An http(s) URL in parts; ``target`` is its path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom the URL speaks to: scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and port as a Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


def locate(url: str) -> Location:
    """Take a URL apart; ValueError for one that may not be fetched.

    Only https is, and http on this machine itself (localhost, 127.0.0.0/8, ::1).
    """
    # urlsplit drops tabs and line ends, and a space would end the request line early.
    if not url.isascii() or any(letter <= " " or letter == "\x7f" for letter in url):
        raise ValueError("a key URL must be ASCII without spaces")
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise ValueError("a key URL must read https://host/path")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError("a key URL must be https; http is for loopback hosts only")
    port = parts.port if parts.port is not None else {"http": 80, "https": 443}[parts.scheme]
    query = f"?{parts.query}" if parts.query else ""
    return Location(parts.scheme, host, port, (parts.path or "/") + query)


def fetch(
    location: Location, *, timeout: float, limit: int, tls: ssl.SSLContext | None = None
) -> bytes:
    """GET `location` within `timeout` seconds in all, or raise `FetchFailed`.

    The body may have `limit` bytes. Redirects are followed within the same scheme, host
    and port only. ``tls`` replaces the default context, for a private authority.
    """
    ends = time.monotonic() + timeout
    with _told():
        for _ in range(_MAX_REDIRECTS + 1):
            answer = _exchange(location, _request("GET", location), ends, limit, tls)
            if isinstance(answer, bytes):
                return answer
            location = answer
    raise FetchFailed("redirected too often")


def reach(location: Location, *, timeout: float, tls: ssl.SSLContext | None = None) -> None:
    """Connect to who is at `location`, TLS included, send nothing, or raise `FetchFailed`."""
    with _told(), _connected(location, time.monotonic() + timeout, tls):
        pass


class Stamps(NamedTuple):
    """When an answer was made, and when what is there was changed; whole Unix seconds."""

    date: float
    modified: float | None


def stamps(location: Location, *, timeout: float, tls: ssl.SSLContext | None = None) -> Stamps:
    """Ask who is at `location` for the time, and for how old it is what is there.

    That is what the headers Date and Last-Modified of the answer to a HEAD say, whatever the
    answer is (RFC 9110, sections 6.6.1 and 8.8.2).

    Raises:
        FetchFailed: there is no Date, or no answer in `timeout` seconds.
    """
    ends = time.monotonic() + timeout
    with _told(), _connected(location, ends, tls) as connection:
        connection.settimeout(_left(ends))
        connection.sendall(_request("HEAD", location))
        response = HTTPResponse(cast(Any, _Timed(connection, ends)), method="HEAD")
        try:
            response.begin()
            date, modified = response.headers.get("Date", ""), response.headers.get("Last-Modified")
            return Stamps(_moment(date), _moment(modified) if modified else None)
        finally:
            response.close()


def _moment(text: str) -> float:
    return parsedate_to_datetime(text).timestamp()


def post(
    location: Location,
    form: bytes,
    *,
    authorization: str = "",
    timeout: float,
    limit: int,
    tls: ssl.SSLContext | None = None,
) -> bytes:
    """POST a form to `location`, within the same bounds as `fetch`; a redirect is a failure."""
    ends = time.monotonic() + timeout
    more = f"Authorization: {authorization}\r\n" if authorization else ""
    more += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n"
    with _told():
        answer = _exchange(location, _request("POST", location, more) + form, ends, limit, tls)
    if isinstance(answer, Location):
        raise FetchFailed("redirected")
    return answer


@contextmanager
def _told() -> Iterator[None]:
    """Turn whatever fails into `FetchFailed`, in words that hold nothing of the exchange."""
    try:
        yield
    except TimeoutError:
        raise FetchFailed("timed out") from None
    except ssl.SSLError as error:
        raise FetchFailed(f"TLS failed: {error.reason or 'unknown'}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise FetchFailed(f"failed with {type(error).__name__}") from None


def _request(method: str, location: Location, more: str = "") -> bytes:
    return (
        f"{method} {location.target} HTTP/1.1\r\nHost: {location.authority}\r\n"
        f"Accept: application/json\r\nUser-Agent: tracewall\r\n{more}Connection: close\r\n\r\n"
    ).encode("ascii")


def _exchange(
    location: Location, request: bytes, ends: float, limit: int, tls: ssl.SSLContext | None
) -> bytes | Location:
    with _connected(location, ends, tls) as connection:
        connection.settimeout(_left(ends))
        connection.sendall(request)
        # HTTPResponse asks its socket for makefile() and nothing else.
        response = HTTPResponse(cast(Any, _Timed(connection, ends)))
        try:
            response.begin()
            if response.status in _REDIRECTS:
                return _redirected(location, response.headers.get("Location", ""))
            return _body(response, limit)
        finally:
            response.close()


def _redirected(location: Location, target: str) -> Location:
    here = f"{location.scheme}://{location.authority}{location.target}"
    try:
        there = locate(urljoin(here, target))
    except ValueError:
        raise FetchFailed("redirected to where it may not") from None
    if there.origin != location.origin:
        raise FetchFailed("redirected to another host")
    return there


def _body(response: HTTPResponse, limit: int) -> bytes:
    if response.status != 200:
        raise FetchFailed(f"answered {response.status}", response.status)
    body = response.read(limit + 1)
    if len(body) > limit:
        raise FetchFailed(f"answered more than {limit} bytes")
    return body


class _Timed(io.RawIOBase):
    """The reading end of a socket that gives each read what is left of the deadline."""

    def __init__(self, connection: socket.socket, ends: float) -> None:
        self._connection = connection
        self._ends = ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(_left(self._ends))
        return self._connection.recv_into(buffer)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _connected(location: Location, ends: float, tls: ssl.SSLContext | None) -> socket.socket:
    connection = _dialled(location, ends)
    if location.scheme == "http":
        return connection
    try:
        # The handshake counts this timeout once over all of its reads and writes.
        connection.settimeout(_left(ends))
        context = tls or ssl.create_default_context()
        return context.wrap_socket(connection, server_hostname=location.host)
    except BaseException:
        connection.close()
        raise


def _dialled(location: Location, ends: float) -> socket.socket:
    addresses = _resolved(location, ends)
    for tried, address in enumerate(addresses):
        share = _left(ends) / (len(addresses) - tried)
        try:
            return socket.create_connection(address, timeout=share)
        except OSError:
            continue
    _left(ends)
    raise FetchFailed("refused the connection")


def _resolved(location: Location, ends: float) -> list[tuple[str, int]]:
    """Look up the host's addresses in a thread, because nothing else can leave the resolver."""
    found: list[tuple[str, int]] = []

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(location.host, location.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        found.extend((str(info[4][0]), location.port) for info in infos)

    thread = threading.Thread(target=look_up, name="tracewall-resolver", daemon=True)
    thread.start()
    thread.join(_left(ends))
    _left(ends)
    if not found:
        raise FetchFailed("has no address")
    if location.scheme == "http" and not all(_is_loopback(host) for host, _ in found):
        raise FetchFailed("is not on this machine")
    return found


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
