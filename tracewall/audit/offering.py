"""A log for event loops: its records are kept by threads, and nobody who tells one is held up.

1. An intent has a ticket, a number below 0, until the log has kept it and given its own.
2. Nothing may leave on a ticket: whoever sends waits for what is `kept` first.
3. The end of what has a ticket is told once its number is known. What the log has refused,
   or never got to hear of, has none to tell the end of.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from math import inf
from typing import Any, Final, TypeVar

from tracewall.audit.store import AuditLog
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, Incident, Moment, What, Who

_MOST_THREADS: Final = 32
"""So many records wait for the log at once: a database takes them in one call."""

_OVER: Final = "the connection was closed while the record of the statement was waited for"

T = TypeVar("T")


def patience(log: AuditLog) -> float:
    """Give how long (seconds) a log may have an intent wait; 0: it doesn't wait for anything."""
    return float(getattr(log, "patience", 0.0))


class Threads:
    """The threads that tell a log; those of a forked child are its own."""

    def __init__(self) -> None:
        self._made: dict[int, ThreadPoolExecutor] = {}

    def do(self, call: Callable[..., T], *given: Any) -> Future[T]:
        """Have something done; at the end of the interpreter it is refused.

        Raises:
            AuditUnavailable: there are no threads any more.
        """
        pid = os.getpid()
        try:
            made = self._made.get(pid) or self._made.setdefault(
                pid, ThreadPoolExecutor(_MOST_THREADS, "tracewall-audit-offered")
            )
            return made.submit(call, *given)
        except RuntimeError:
            pass
        raise AuditUnavailable("the audit log is closed")

    def close(self) -> None:
        """Return when all is told."""
        made = self._made.pop(os.getpid(), None)
        if made is not None:
            made.shutdown()


class Offering:
    """An audit log for the connections of one session, in an event loop.

    Args:
        log: what keeps the record.
        threads: tell it.

    ``last`` is what was told last, for whoever has to wait until it is kept.
    """

    def __init__(self, log: AuditLog, threads: Threads) -> None:
        self.patience = patience(log)
        self.last: Future[Any] | None = None
        self._log, self._threads = log, threads
        self._tickets = count(-1, -1)
        self._offered: dict[int, Future[int]] = {}

    @property
    def longest(self) -> float:
        """How long (seconds) to wait for a record: a log that has no say takes what it takes."""
        return self.patience or inf

    def intent(self, who: Who, what: What, moment: Moment | None = None) -> int:
        """Have an intent recorded, and give its ticket; or its number, where nothing waits."""
        if not self.patience and what.kept != "synced":
            # What became of one before it is no matter of whoever waits for this one.
            self.last = None
            return self._log.intent(who, what, moment)
        ticket = next(self._tickets)
        self.last = self._offered[ticket] = self._threads.do(self._log.intent, who, what, moment)
        return ticket

    def offered(self, ticket: int) -> Future[int]:
        """Give what will have the number of an intent, or the error of a log that refused it.

        Raises:
            AuditUnavailable: its end was told meanwhile.
        """
        found = self._offered.get(ticket)
        if found is None:
            raise AuditUnavailable(_OVER)
        return found

    def kept(self, ticket: int) -> int:
        """Return the number of an intent once it is kept.

        Raises:
            AuditUnavailable: it is not, or its end was told meanwhile.
        """
        found = self._offered.pop(ticket, None)
        if found is None:
            raise AuditUnavailable(_OVER)
        return found.result()

    def outcome(self, intent: int, ended: Ended) -> None:
        """Record how the statement of an intent ended, by its number or its ticket; never raise."""
        if intent >= 0:
            self._log.outcome(intent, ended)
        elif (offered := self._offered.pop(intent, None)) is not None:
            offered.add_done_callback(lambda told: self._end(told, ended))

    def _end(self, told: Future[int], ended: Ended) -> None:
        if not told.cancelled() and told.exception() is None:
            self._log.outcome(told.result(), ended)

    def incident(self, incident: Incident) -> None:
        """Have anything else recorded: whoever has to know that it is kept waits for ``last``."""
        if self.patience:
            self.last = self._threads.do(self._log.incident, incident)
        else:
            self.last = None
            self._log.incident(incident)

    def flush(self, kept: str = "") -> None:
        """Return when all that was told is kept; raise `AuditUnavailable` if it is not."""
        if self.last is not None:
            # What was refused was told to whoever waited for it.
            with suppress(CancelledError, AuditUnavailable):
                self.last.result()
        self._log.flush(kept)

    def close(self) -> None:
        """Nothing to do: the log is the wall's."""
