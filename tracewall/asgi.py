"""The bearer token of a request (RFC 6750), acted under while an ASGI application answers it.

1. The token is verified before the application hears of the request.
2. It is acted under in this request's task alone, from its start to the end of the
   response, streaming and what the framework runs after it included.
3. Tasks that the application starts meanwhile copy its context, as asyncio does: they act
   under the token until it expires, even after the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from tracewall.challenge import Challenge, admitted, bearer_of
from tracewall.identity.principal import Rejection
from tracewall.wall import Wall

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION = 1008


class BearerMiddleware:
    """Wraps an ASGI application: each request acts under the bearer token that it brings.

    HTTP requests without a good token are answered with 401 and a challenge, WebSocket
    handshakes are denied. Other scopes (``lifespan``) pass.

    Args:
        app: the application.
        wall: at whose connections the token counts.
        required: False lets requests without a token pass; they act as nobody. A token
            that is there and refused is answered with 401 all the same.
        realm: the protection space that the challenge names.
        purpose: what the access is for, if the token does not say.

    Example:
        app = BearerMiddleware(app, wall)
    """

    def __init__(
        self,
        app: Application,
        wall: Wall,
        *,
        required: bool = True,
        realm: str = "tracewall",
        purpose: str | None = None,
    ) -> None:
        self._app = app
        self._wall = wall
        self._required = required
        self._realm = realm
        self._purpose = purpose

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on with its token acted under."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        found = bearer_of(
            [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        )
        refused = await self._refused(found) if isinstance(found, str) else None
        token = admitted(found, refused, required=self._required, realm=self._realm)
        if isinstance(token, Challenge):
            await _deny(scope, receive, send, token)
            return
        with self._wall.acting_as(token, self._purpose):
            await self._app(scope, receive, send)

    async def _refused(self, token: str) -> Rejection | None:
        bearer = self._wall.bearer(token, self._purpose)
        if self._wall.due(bearer):
            await asyncio.to_thread(self._wall.renew, bearer)
        found = self._wall.identify(bearer)
        return found if isinstance(found, Rejection) else None


async def _deny(scope: Message, receive: Receive, send: Send, denied: Challenge) -> None:
    prefix = ""
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        prefix = "websocket."
    headers = [(name.lower().encode(), value.encode()) for name, value in denied.headers]
    start = {"type": f"{prefix}http.response.start", "status": denied.status, "headers": headers}
    await send(start)
    await send({"type": f"{prefix}http.response.body", "body": b""})
