"""The gate before every page: which requests come in, and what every answer says to browsers.

1. A request names a host of ours, once. Whoever points a name of their own at this machine
   (DNS rebinding) is answered nothing.
2. What changes something is a POST that comes from a page of ours, as the browser says
   (Origin, Sec-Fetch-Site). Other sites may lead here by a link, and embed nothing.
3. A request is small.
4. Every answer forbids what the console does not need, errors included.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from tracewall.console.place import Place

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

LARGEST_BODY: Final = 64 * 1024
"""The most bytes of a request's body; a token has at most 16 KiB."""

LONGEST_QUERY: Final = 8 * 1024
"""The most bytes of a request's query."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST"})
_OWN: Final = frozenset({"", "same-origin", "none"})


class Gate:
    """Lets requests through to an ASGI application, and dresses its answers.

    Args:
        app: the application.
        place: where it is reached.
        policy: the content security policy of answers that have none of their own.
    """

    def __init__(self, app: Application, place: Place, policy: str) -> None:
        self._app = app
        self._place = place
        self._usual = _headers(policy)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        dressed = self._dressed(send)
        status, words = self._refused(scope)
        if status:
            await _answer(dressed, status, words)
            return
        await self._app(self._placed(scope), _counted(receive), dressed)

    def _placed(self, scope: Message) -> Message:
        """Say what path the console is below, where neither a server nor an application does.

        A proxy before it may have taken the path off, or not.
        """
        root, path = self._place.path, str(scope["path"])
        if not root or scope.get("root_path"):
            return scope
        there = path if path == root or path.startswith(f"{root}/") else f"{root}{path}"
        return {**scope, "root_path": root, "path": there, "raw_path": there.encode()}

    def _refused(self, scope: Message) -> tuple[int, str]:
        """Give the status and the words that a request is refused with; 0: it may come in."""
        found = _values(scope, b"host")
        if len(found) != 1 or found[0].lower() not in self._place.hosts:
            return 421, "This host is not served here."
        if scope["method"] not in _METHODS:
            return 405, "This method is not used here."
        if len(scope.get("query_string", b"")) > LONGEST_QUERY:
            return 414, "This address is too long."
        sizes = _values(scope, b"content-length")
        if any(not size.isdecimal() or int(size[:12]) > LARGEST_BODY for size in sizes):
            return 413, "This request is too large."
        if not self._own(scope):
            return 403, "This request came from another site."
        return 0, ""

    def _own(self, scope: Message) -> bool:
        """Tell whether a request comes from a page of ours, or only follows a link here."""
        sites = _values(scope, b"sec-fetch-site")
        own = len(sites) < 2 and all(site in _OWN for site in sites)
        if scope["method"] != "POST":
            followed = _values(scope, b"sec-fetch-mode") == ["navigate"]
            return own or (followed and _values(scope, b"sec-fetch-dest") == ["document"])
        origins = _values(scope, b"origin")
        if origins:
            return own and len(origins) == 1 and origins[0] in self._place.origins
        # Some browsers leave Origin out of forms; none of them both.
        return sites == ["same-origin"]

    def _dressed(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers") or ())
                said = {name.lower() for name, _ in given}
                usual = [pair for pair in self._usual if pair[0] not in said]
                message = {**message, "headers": [*given, *usual]}
            await send(message)

        return sending


def _headers(policy: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-security-policy", policy.encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
        # Not no-referrer: with it browsers say `Origin: null` of forms of our own.
        (b"referrer-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
    ]


def _values(scope: Message, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


async def _answer(send: Send, status: int, words: str) -> None:
    body = words.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class TooLarge(Exception):
    """A request's body has more bytes than it may have."""


def _counted(receive: Receive) -> Receive:
    """Count what comes: a body need not say how long it is."""
    left = LARGEST_BODY

    async def receiving() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body") or b"")
        if left < 0:
            raise TooLarge
        return message

    return receiving
