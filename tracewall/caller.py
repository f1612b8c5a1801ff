"""Who acts on one connection: by its own token, by what gives it one, or by the context's.

1. A connection that has a token of its own never acts under the context's.
2. A token provider is asked by the doors, never while a statement is judged: shortly
   before its token expires, and not more often than once a second.
3. What a provider gives must stay one person's.
"""

from __future__ import annotations

import inspect
import time

from tracewall.bearer import Bearer
from tracewall.identity.principal import Principal, Rejection, rejection
from tracewall.identity.provider import TokenProvider, changed, is_due
from tracewall.wall import Wall

_LOOK_AGAIN_SECONDS = 1.0


class Caller:
    """Tells who acts on a connection now, and what has to be done to know it.

    Args:
        wall: whose tokens count.
        token: the connection's own token, or what gives it; None: whoever
            `Wall.acting_as` says.
    """

    def __init__(self, wall: Wall, token: str | TokenProvider | None) -> None:
        self._wall = wall
        self._provider = token if callable(token) else None
        own = "" if callable(token) else token
        self._own = wall.bearer(own) if own is not None else None
        self._owner: Principal | None = None
        self._fault: Rejection | None = None
        self._looked_at: Bearer | None = None
        self._look_again = self._ask_again = float("-inf")

    def bearer(self) -> Bearer | None:
        """Give the bearer that acts now, or None."""
        return self._own or self._wall.acting()

    def found(self, bearer: Bearer | None) -> Principal | Rejection:
        """Give whom a bearer names, or why it is refused."""
        if bearer is None:
            return rejection("missing")
        found = self._wall.identify(bearer)
        if self._provider is None:
            return found
        found = changed(self._owner, found) or found
        if isinstance(found, Principal):
            self._owner = found
            return found
        return self._fault or found

    def stale(self) -> bool:
        """Tell whether `refresh` or a token provider has work before the next statement."""
        bearer, now = self.bearer(), time.monotonic()
        if bearer is self._looked_at and now < self._look_again:
            return False
        self._looked_at, self._look_again = bearer, now + _LOOK_AGAIN_SECONDS
        return self._wall.due(bearer) or self.asks() is not None

    def look_again(self) -> None:
        """Have `stale` look again at once, for a token was refused."""
        self._looked_at = None

    def refresh(self) -> None:
        """Read the issuers' keys again where that is due or wanted; blocks."""
        self._wall.renew(self.bearer())

    def asks(self) -> TokenProvider | None:
        """Give the token provider if it should be asked now, else None."""
        if self._provider is None or self._own is None or time.monotonic() < self._ask_again:
            return None
        due = is_due(self._wall.identify(self._own), self._wall.clock())
        return self._provider if due else None

    def take(self, answer: object) -> None:
        """Take what the token provider gave: a token, or an exception in its place."""
        self._ask_again = time.monotonic() + _LOOK_AGAIN_SECONDS
        if not isinstance(answer, str):
            if inspect.iscoroutine(answer):
                # A synchronous connection can't await it.
                answer.close()
            # The token there is goes on while it lasts.
            self._fault = rejection("provider_failed", detail=f"({type(answer).__name__})")
            return
        self._fault = None
        if self._own is None or self._own.token != answer:
            self._own = self._wall.bearer(answer)
