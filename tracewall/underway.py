"""Sessions that are still there when their wall goes: what they have underway is ended with it.

A process that ends in order may leave connections open, with cursors declared, streams half
read and pipelines unanswered. Nobody will see how those statements end, and the record says so.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet, ref


class Ending(Protocol):
    """What a wall asks of a session."""

    def abandon(self) -> None:
        """Record that nobody will see how the statements underway end."""
        ...


class Underway:
    """The sessions of a wall, held weakly; at the end of the interpreter they are abandoned."""

    def __init__(self) -> None:
        self._sessions: WeakSet[Ending] = WeakSet()
        self._lock = threading.Lock()
        self._at_exit: Callable[[], None] = _AtExit(ref(self))
        atexit.register(self._at_exit)

    def add(self, session: Ending) -> None:
        """Take note of a session."""
        with self._lock:
            self._sessions.add(session)

    def abandon(self) -> None:
        """Record for each session that nobody will see how its statements end."""
        with self._lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.abandon()

    def close(self) -> None:
        """Abandon all, and do nothing at the end of the interpreter."""
        atexit.unregister(self._at_exit)
        self.abandon()


class _AtExit:
    """Keeps nobody alive until the end of the interpreter."""

    def __init__(self, underway: ref[Underway]) -> None:
        self._underway = underway

    def __call__(self) -> None:
        underway = self._underway()
        if underway is not None:
            underway.abandon()
