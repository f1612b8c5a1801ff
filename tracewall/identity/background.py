"""Keys that are read again before they are due, so that no statement waits for an issuer.

One daemon thread for a verifier, from its first use on. It ends when the verifier is
closed or gone, and with the process; a forked child starts one of its own.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from typing import Final, Protocol

_EVERY: Final = 1.0


class Refreshable(Protocol):
    """What the thread reads again."""

    def needs_refresh(self, *, ahead: bool = False) -> bool:
        """Tell whether something is due, or soon will be."""
        ...

    def refresh(
        self, issuer: str | None = None, *, due_only: bool = False, ahead: bool = False
    ) -> None:
        """Read it again."""
        ...


class Background:
    """The thread; `ensure` starts it where it does not run yet."""

    def __init__(self, every: float = _EVERY) -> None:
        self._every = every
        self._process = -1
        self._ending = threading.Event()

    def ensure(self, work: Refreshable) -> None:
        """Start the thread unless it runs in this process, or was ended. Cheap."""
        process = os.getpid()
        if process == self._process:
            return
        # A child's copy of the parent's event may be locked for ever; closed stays closed.
        self._ending = ending = _event(self._ending.is_set())
        self._process = process
        thread = threading.Thread(
            target=_work, args=(weakref.ref(work), ending, self._every), name="tracewall-keys"
        )
        thread.daemon = True
        if not ending.is_set():
            thread.start()

    def close(self) -> None:
        """End the thread, and start no other."""
        self._ending.set()


def _event(is_set: bool) -> threading.Event:
    event = threading.Event()
    if is_set:
        event.set()
    return event


def _work(weak: weakref.ref[Refreshable], ending: threading.Event, every: float) -> None:
    while not ending.wait(every):
        work = weak()
        if work is None:
            return
        # What fails here is tried again, and the doors read what is due by themselves.
        with suppress(Exception):
            if work.needs_refresh(ahead=True):
                work.refresh(due_only=True, ahead=True)
        # Held no longer than needed, or the verifier would never be gone.
        del work
