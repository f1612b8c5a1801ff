"""Where pseudonyms and salts are kept, and how long a process goes by what it has asked there.

1. For files that is `tracewall.audit.people.People`, for a database `StoredPeople`: one place for
   all who write there, so that one erasure reaches them all.
2. A process asks again after a minute at most: so long it may go on under a pseudonym that was
   erased meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final, Protocol

from tracewall.audit.people import Person
from tracewall.audit.server import Server
from tracewall.errors import AuditUnavailable
from tracewall.locks import Lock

REMEMBERED: Final = 60.0
"""How long (seconds) a process goes by what it knows of a person."""

_MOST: Final = 4_096


class Register(Protocol):
    """Gives people by their names."""

    def of(self, issuer: str, subject: str) -> Person:
        """Give a person, with a new pseudonym where they have none yet.

        Raises:
            AuditUnavailable: that can't be read or written.
        """
        ...


class Known:
    """What a process knows of people, each for a minute; safe to use from many threads.

    Args:
        register: is asked.
        clock: gives seconds that only grow.
    """

    def __init__(self, register: Register, clock: Callable[[], float] = time.monotonic) -> None:
        self._register, self._clock = register, clock
        self._known: dict[tuple[str, str], tuple[Person, float]] = {}

    def of(self, issuer: str, subject: str) -> Person:
        """Give a person: the same object for as long as they are the same person."""
        key = (issuer, subject)
        found = self._known.get(key)
        if found is None or self._clock() >= found[1]:
            return self.learn(issuer, subject)
        return found[0]

    def is_fresh(self, issuer: str, subject: str) -> bool:
        """Tell whether a person will be known for a while, without asking."""
        found = self._known.get((issuer, subject))
        return found is not None and self._clock() < found[1] - REMEMBERED / 2

    def learn(self, issuer: str, subject: str) -> Person:
        """Ask for a person; blocks.

        Raises:
            AuditUnavailable: nobody can tell.
        """
        key, until = (issuer, subject), self._clock() + REMEMBERED
        person, before = self._register.of(issuer, subject), self._known.get(key)
        if before is not None and before[0] == person:
            person = before[0]
        if len(self._known) >= _MOST:
            self._known = {}
        self._known[key] = (person, until)
        return person


class StoredPeople:
    """The pseudonyms and salts of a log in PostgreSQL, drawn by the server.

    Args:
        dial: makes a connection to where they are, of the log's own role.

    Safe to use from many threads, and after a fork.
    """

    def __init__(self, dial: Callable[[], Server]) -> None:
        self._dial = dial
        self._lock, self._pid = Lock(), 0

    def of(self, issuer: str, subject: str) -> Person:
        """Give a person, with a new pseudonym where they have none yet.

        Raises:
            AuditUnavailable: the server does not answer.
        """
        if self._pid != os.getpid():
            # A connection of the parent's is not to be used, nor ended.
            self._inherited = vars(self).get("_server")
            self._lock, self._server, self._pid = Lock(), self._dial(), os.getpid()
        try:
            with self._lock:
                found = self._server.person(issuer, subject)
        except (OSError, UnicodeError):
            found = None
        # Out here, so that no name is in the error's context.
        if found is None:
            raise AuditUnavailable("the audit log's pseudonyms can't be read or written")
        return Person(*found)

    def close(self) -> None:
        """Log out."""
        if self._pid == os.getpid():
            with self._lock:
                self._server.close()
