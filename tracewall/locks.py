"""Locks that an interrupt can't leave locked.

A signal's handler may raise (Ctrl-C does) between any two steps of Python. Before 3.14 none
stood between the taking of a lock by ``with`` and the block that gives it back; from 3.14 on one
does (python/cpython#148874), and a lock that is lost so stays locked for everybody, for ever.
These know who holds them, and so can tell after an interrupt whether they were taken. They are
given back by ``__exit__`` in one step of C, before which no interrupt comes.
"""

from __future__ import annotations

import sys
import threading
from _thread import RLock as _RLock
from typing import Self


class Busy(Exception):
    """Another thread held a lock for too long."""


class PatientLock(_RLock):  # type: ignore[misc]  # final in typeshed only
    """A lock to be taken by ``with``, which waits for at most ``patience`` seconds."""

    __slots__ = ("_patience",)
    _patience: float

    def __new__(cls, patience: float) -> Self:
        """Make one that nobody holds."""
        made = super().__new__(cls)
        made._patience = patience
        return made

    def __enter__(self) -> bool:  # type: ignore[override]  # it takes no options
        """Take it, or raise what came in between and don't hold it.

        Raises:
            Busy: another thread held it all the time.
        """
        try:
            if self.acquire(timeout=self._patience):
                return True
            raise Busy
        except BaseException:
            if self._is_owned():  # type: ignore[attr-defined]  # as Condition asks
                self.release()
            raise


if sys.version_info >= (3, 14):

    class RLock(_RLock):
        """`threading.RLock`, to be taken by ``with``."""

        __slots__ = ()

        def __enter__(self) -> bool:
            """Take it, or raise what came in between and hold it no more than before."""
            before = self._recursion_count()
            try:
                # Not returned from here: an interrupt after the call would be past the handler.
                taken = self.acquire()
            except BaseException:
                if self._recursion_count() > before:
                    self.release()
                raise
            return taken

    class Lock(_RLock):
        """`threading.Lock`, to be taken by ``with``.

        Whoever holds it already is told so, instead of waiting for itself.
        """

        __slots__ = ()

        def __enter__(self) -> bool:
            """Take it, or raise what came in between and don't hold it."""
            if self._is_owned():
                raise RuntimeError("this thread holds the lock already")
            try:
                # As above.
                taken = self.acquire()
            except BaseException:
                if self._is_owned():
                    self.release()
                raise
            return taken
else:
    Lock, RLock = threading.Lock, threading.RLock
