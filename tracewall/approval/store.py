"""Where requests and decisions are kept: what every store promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class StoreUnavailable(Exception):
    """The store can't be asked, or does not keep what it should; nothing of it is told."""


class StoreSilent(StoreUnavailable):
    """The store's server gives no answer, or lets nobody in."""


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
    """Rows, bytes and a run that count against a budget of somebody, over ``per`` seconds.

    ``run`` is the hash of a statement with its parameters (empty: none); the same one
    counts once, from its last time on. ``most_rows``, ``most_bytes`` and ``most_runs`` are
    what may be had in that time (0: any number). Rows and bytes below 0 are given back.
    """

    who: str
    budget: str
    per: float
    rows: int
    bytes: int
    most_rows: int = 0
    most_bytes: int = 0
    run: str = ""
    most_runs: int = 0

    @property
    def gives_back(self) -> bool:
        """True where nothing is asked for."""
        return self.rows < 0 or self.bytes < 0


class Store(Protocol):
    """Keeps requests; safe to use from many threads and processes.

    Every method may raise `StoreUnavailable`, and blocks.
    """

    def add(
        self,
        id: str,
        act: str,
        content: bytes,
        expires_at: float,
        *,
        used: bool,
        who: str = "",
        most: int = 0,
        now: float = 0.0,
        over_at: float = 0.0,
    ) -> bool:
        """Keep a new request, of the act with this hash; a ``used`` one waits for review.

        Args:
            id: its id.
            act: the hash.
            content: its canonical encoding.
            expires_at: until when people may decide (seconds since the epoch).
            used: somebody goes on alone.
            who: who asks.
            most: how many requests of theirs may be open at a time (0: any number).
            now: the time; open requests are counted as of then.
            over_at: from when on nobody can go on by it (0: ``expires_at``).

        Returns:
            False: they have so many already; it is not kept.
        """
        ...

    def pending(self, act: str, now: float) -> str:
        """Give the id of an open request for an act that waits still; empty: none."""
        ...

    def get(self, id: str) -> Kept | None:
        """Give a request, or None where there is none of that id."""
        ...

    def all(self, *, most: int = 100) -> Sequence[Kept]:
        """Give the newest requests; those that somebody has to look at before all others.

        So nobody hides what waits, or is to be reviewed, behind a lot of what is over.
        """
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
        """Count what is had against a budget, atomically; False: it would be passed.

        What is given back belongs to the time (``now``) at which it was taken.
        """
        ...

    def prune(self, before: float, now: float, *, most: int = 1_000) -> int:
        """Delete requests that were over before a time, and tell how many; at most so many.

        What waits for review stays. What was counted longer ago than its budget looks back
        goes, too. A store may keep more than it is told to delete, never less.
        """
        ...

    def wait(self, id: str, seconds: float) -> None:
        """Wait until something about a request may have changed, or so long."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...
