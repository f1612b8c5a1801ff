"""Whether an issuer still stands by a token: asked of the issuer itself (RFC 7662).

1. `Introspector.active` never blocks; only `Introspector.ask` does I/O.
2. An answer holds for a short time. Halfway through, asking again is due, so that a
   busy connection never waits.
3. What the issuer does not answer for is not active: fail closed.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from tracewall.identity.fetch import FetchFailed, locate, post
from tracewall.locks import Busy, PatientLock

_LARGEST: Final = 64 * 1024
_REMEMBERED: Final = 4_096


@dataclass(frozen=True, slots=True)
class Introspection:
    """Where to ask (RFC 7662), as whom, and for how many seconds an answer holds.

    ``secret_env`` names the environment variable with the client's secret.
    """

    url: str
    client_id: str
    secret_env: str
    lasts: float = 30.0


def fingerprint(token: str) -> str:
    """Give what a token is remembered by."""
    return hashlib.sha256(token.encode()).hexdigest()


class Introspector:
    """Asks one issuer about tokens, and remembers its answers for a while."""

    def __init__(
        self,
        asked: Introspection,
        *,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = 5.0,
        cooldown: float = 1.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not asked.lasts > 0:
            raise ValueError("an answer to introspection must last some time")
        self._location = locate(asked.url)
        self._asked = asked
        self._clock = clock
        self._timeout = timeout
        self._cooldown = cooldown
        self._tls = tls
        self._answers: dict[str, tuple[bool, float]] = {}
        self._next: dict[str, float] = {}
        # By process: a lock that was held during a fork stays locked in the child for ever.
        self._locks: dict[tuple[int, str], PatientLock] = {}
        self.problem = ""

    def active(self, mark: str) -> bool | None:
        """Tell whether the issuer stands by a token, by its fingerprint; None: nobody knows."""
        active, since = self._answers.get(mark, (False, float("-inf")))
        return active if self._clock() - since <= self._asked.lasts else None

    def due(self, mark: str) -> bool:
        """Tell whether to ask again, and nobody just did in vain."""
        _, since = self._answers.get(mark, (False, float("-inf")))
        old = not self._clock() - since <= self._asked.lasts / 2
        return old and self._clock() >= self._next.get(mark, float("-inf"))

    def ask(self, token: str, subject: str) -> None:
        """Ask the issuer about a token, if that is due. Blocks, and never raises.

        Whoever wants the same answer meanwhile waits for it, and does not ask again.
        """
        mark = fingerprint(token)
        turn = (os.getpid(), mark)
        lock = self._locks.setdefault(turn, PatientLock(self._timeout))
        with contextlib.suppress(Busy), lock:
            if self.due(mark):
                self._ask(mark, token, subject)
            self._locks.pop(turn, None)

    def _ask(self, mark: str, token: str, subject: str) -> None:
        try:
            self._remember(mark, self._answer(token, subject))
        except FetchFailed as failed:
            self.problem = f"introspection {failed}"
        except Exception as error:
            # Unforeseen: the token counts as not known to be active, and this says why.
            self.problem = f"introspection failed with {type(error).__name__}"
        else:
            self.problem = ""
            self._next.pop(mark, None)
            return
        while len(self._next) >= _REMEMBERED:
            self._next.pop(next(iter(self._next)), None)
        self._next[mark] = self._clock() + self._cooldown

    def _remember(self, mark: str, active: bool) -> None:
        while len(self._answers) >= _REMEMBERED:
            self._answers.pop(next(iter(self._answers)), None)
        self._answers[mark] = (active, self._clock())

    def _answer(self, token: str, subject: str) -> bool:
        secret = os.environ.get(self._asked.secret_env, "")
        if not secret:
            raise FetchFailed(f"has no secret in {self._asked.secret_env}")
        # RFC 6749, 2.3.1: both are form-encoded before they are joined.
        pair = f"{quote(self._asked.client_id, safe='')}:{quote(secret, safe='')}"
        body = post(
            self._location,
            urlencode({"token": token, "token_type_hint": "access_token"}).encode(),
            authorization=f"Basic {base64.b64encode(pair.encode()).decode()}",
            timeout=self._timeout,
            limit=_LARGEST,
            tls=self._tls,
        )
        found = json.loads(body)
        if not isinstance(found, dict) or not isinstance(found.get("active"), bool):
            raise FetchFailed("answered what is no introspection")
        return bool(found["active"]) and found.get("sub", subject) == subject
