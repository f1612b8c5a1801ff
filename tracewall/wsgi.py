"""The bearer token of a request (RFC 6750), acted under while a WSGI application answers it.

1. The token is verified before the application hears of the request.
2. It is acted under in each step of the answer: the call, every part of the body, and the
   close. Between them the server's thread acts as nobody, so that a server that takes
   turns between responses never mixes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from tracewall.challenge import Challenge, admitted, bearer_of
from tracewall.identity.principal import Rejection
from tracewall.wall import Wall

Environment: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
Application: TypeAlias = Callable[[Environment, StartResponse], Iterable[bytes]]

_STATUS = {400: "400 Bad Request", 401: "401 Unauthorized", 503: "503 Service Unavailable"}


class BearerMiddleware:
    """Wraps a WSGI application: each request acts under the bearer token that it brings.

    Requests without a good token are answered with 401 and a challenge.

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

    def __call__(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, or hand it on with its token acted under."""
        header = environ.get("HTTP_AUTHORIZATION")
        # PEP 3333 has bytes as Latin-1; what is no Latin-1 is no token either.
        found = bearer_of([] if header is None else [header.encode("latin-1", "replace")])
        refused = self._refused(found) if isinstance(found, str) else None
        token = admitted(found, refused, required=self._required, realm=self._realm)
        if isinstance(token, Challenge):
            start_response(_STATUS[token.status], list(token.headers))
            return [b""]
        return _Body(self._wall, token, self._purpose, self._app, environ, start_response)

    def _refused(self, token: str) -> Rejection | None:
        bearer = self._wall.bearer(token, self._purpose)
        if self._wall.due(bearer):
            self._wall.renew(bearer)
        found = self._wall.identify(bearer)
        return found if isinstance(found, Rejection) else None


class _Body:
    """A response's body, each step of which acts under the token."""

    def __init__(
        self,
        wall: Wall,
        token: str,
        purpose: str | None,
        app: Application,
        environ: Environment,
        start_response: StartResponse,
    ) -> None:
        self._acting = wall.acting_as(token, purpose)
        with self._acting:
            self._parts = app(environ, start_response)

    def __iter__(self) -> Iterator[bytes]:
        with self._acting:
            steps = iter(self._parts)
        while True:
            with self._acting:
                try:
                    part = next(steps)
                except StopIteration:
                    return
            yield part

    def close(self) -> None:
        """Close the application's own body, if it wants that."""
        close = getattr(self._parts, "close", None)
        if close is not None:
            with self._acting:
                close()
