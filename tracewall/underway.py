"""Sessions that are still there when their wall goes: what they have underway is ended with it.

A process that ends in order may leave connections open, with cursors declared, streams half
read and pipelines unanswered. Nobody will see how those statements end, and the record says so.

The child of a fork has the sessions of its parent, whose they stay: it is a process of its own.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet, ref

from tracewall.locks import Lock


class Ending(Protocol):
    """What a wall asks of a session."""

    def abandon(self) -> None:
        """Record that nobody will see how the statements underway end."""
        ...


class Underway:
    """The sessions of a wall, held weakly; at the end of the interpreter they are abandoned.

    ``process`` is the id of this process, kept so that looking at it costs no system call.
    """

    def __init__(self) -> None:
        self.process = os.getpid()
        self._sessions: WeakSet[Ending] = WeakSet()
        self._lock = Lock()
        self._at_exit: Callable[[], None] = _AtExit(ref(self))
        atexit.register(self._at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_InChild(ref(self)))

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


class _InChild:
    """Tells a wall, as long as there is one, that it wakes up in the child of a fork."""

    def __init__(self, underway: ref[Underway]) -> None:
        self._underway = underway

    def __call__(self) -> None:
        underway = self._underway()
        if underway is not None:
            underway.process = os.getpid()
