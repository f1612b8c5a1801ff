"""Where requests and decisions are kept: what every store promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class StoreUnavailable(Exception):
    """The store can't be asked, or does not keep what it should; nothing of it is told."""


class Kept(msgspec.Struct, frozen=True):
    """What a store keeps of a request.

    ``content`` is its canonical encoding, ``notes`` the signed verdicts on it. ``state`` is
    ``open``, or ``used`` once a one-time grant was used; ``uses`` how often it was.
    ``outcome`` is what became of the last use: empty while that is not known. ``review`` is
    ``open`` where somebody went on alone and nobody has looked at it yet.
    """

    id: str
    content: bytes
    state: str = "open"
    uses: int = 0
    used_at: float = 0.0
    outcome: str = ""
    review: str = ""
    notes: tuple[str, ...] = ()


class Spending(msgspec.Struct, frozen=True):
    """Rows and bytes that count against a budget of somebody, over ``per`` seconds.

    ``most_rows`` and ``most_bytes`` are what may be had in that time (0: any number).
    """

    who: str
    budget: str
    per: float
    rows: int
    bytes: int
    most_rows: int = 0
    most_bytes: int = 0


class Store(Protocol):
    """Keeps requests; safe to use from many threads and processes.

    Every method may raise `StoreUnavailable`, and blocks.
    """

    def add(self, id: str, act: str, content: bytes, expires_at: float, *, used: bool) -> None:
        """Keep a new request, of the act with this hash; a ``used`` one waits for review."""
        ...

    def pending(self, act: str, now: float) -> str:
        """Give the id of an open request for an act that waits still; empty: none."""
        ...

    def get(self, id: str) -> Kept | None:
        """Give a request, or None where there is none of that id."""
        ...

    def all(self, *, most: int = 100) -> Sequence[Kept]:
        """Give the newest requests, newest first."""
        ...

    def decide(self, id: str, person: str, kind: str, note: str) -> bool:
        """Keep somebody's verdict; False: there is no such request, or it is used up.

        A person's second verdict of a kind replaces nothing: it is not kept.
        """
        ...

    def use(self, id: str, now: float, *, once: bool) -> bool:
        """Use a request that is open, atomically; False: it was not open (any more)."""
        ...

    def settle(self, id: str, outcome: str) -> None:
        """Keep what became of the last use."""
        ...

    def spend(self, spending: Spending, now: float) -> bool:
        """Count rows and bytes against a budget, atomically; False: it would be passed."""
        ...

    def wait(self, id: str, seconds: float) -> None:
        """Wait until something about a request may have changed, or so long."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...
