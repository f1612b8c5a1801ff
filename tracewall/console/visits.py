"""Who is logged in: kept here, known to the browser by a random number alone.

1. The number is made here, never taken from a request; here only its hash is kept.
2. A visit ends with its token, after the time that the policy allows, or by logging out.
3. There are so many visits, and so many of one person; the oldest make room.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from tracewall.approval.request import Person
from tracewall.identity.principal import Principal, Rejection
from tracewall.identity.tokens import Verifier
from tracewall.locks import Lock

MOST = 1_000
"""How many visits there may be at once."""

MOST_OF_ONE = 8
"""How many of them may be one person's."""

_BYTES = 32
_MARK = re.compile(rf"[0-9a-f]{{{4 * _BYTES}}}")


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """Somebody's stay: the token they logged in with, and what their forms must hold.

    ``ends`` is in seconds since the epoch; ``verifier`` verified the token, and does again.
    """

    who: Principal
    token: str = field(repr=False)
    verifier: Verifier = field(repr=False)
    ends: float
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(_BYTES), repr=False)

    @property
    def person(self) -> Person:
        """Who it is, as approvals count people."""
        return Person(self.who.issuer, self.who.subject)

    def mark(self) -> str:
        """Give what a form of this visit must hold: another text for each page.

        Else its length in a page that is compressed would tell it, letter by letter (BREACH).
        """
        pad = secrets.token_bytes(_BYTES)
        return (pad + _mixed(pad, self._secret)).hex()

    def owns(self, given: str) -> bool:
        """Tell whether a form comes from a page of this visit."""
        if not _MARK.fullmatch(given):
            return False
        raw = bytes.fromhex(given)
        return hmac.compare_digest(_mixed(raw[:_BYTES], raw[_BYTES:]), self._secret)


class Visits:
    """The visits of one process.

    Args:
        clock: gives the time, in seconds since the epoch.
        lasts: how long (seconds) a visit lasts at most.
    """

    def __init__(self, clock: Callable[[], float], lasts: float) -> None:
        self._clock = clock
        self._lasts = lasts
        self._visits: dict[str, Visit] = {}
        self._lock = Lock()

    def begin(self, who: Principal, token: str, verifier: Verifier) -> tuple[str, Visit]:
        """Begin a visit, and give the number that the browser is to know it by."""
        number, now = secrets.token_urlsafe(32), self._clock()
        visit = Visit(who, token, verifier, min(who.expires_at, now + self._lasts))
        with self._lock:
            gone = [key for key, each in self._visits.items() if not now < each.ends]
            own = [key for key, each in self._visits.items() if each.person == visit.person]
            for key in (*gone, *own[: max(0, len(own) - MOST_OF_ONE + 1)]):
                self._visits.pop(key, None)
            while len(self._visits) >= MOST:
                del self._visits[next(iter(self._visits))]
            self._visits[_hashed(number)] = visit
        return number, visit

    def find(self, number: str) -> Visit | None:
        """Give the visit that a number stands for, if it has not ended."""
        with self._lock:
            visit = self._visits.get(_hashed(number))
        # Asked this way round, a clock that answers NaN ends it.
        return visit if visit is not None and self._clock() < visit.ends else None

    def end(self, number: str) -> None:
        """End a visit."""
        with self._lock:
            self._visits.pop(_hashed(number), None)


def verified(token: str, verifier: Verifier, now: float) -> Principal | Rejection:
    """Verify a token as the doors do: keys are read where they are due. Blocks."""
    verifier.refresh(due_only=True)
    found = verifier.verify(token, now)
    if verifier.needs_asking(found):
        verifier.renew(token, now)
        found = verifier.verify(token, now)
    return found


def _mixed(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))


def _hashed(number: str) -> str:
    return hashlib.sha256(number.encode("utf-8", "replace")).hexdigest()
