"""The audit log in PostgreSQL: appended by a function, with the chain checked by the server.

1. The log has a login of its own, whose role may call four functions, and nothing else.
2. One thread writes for all: what gathers while it waits for the server goes in one call.
3. An intent returns when the server has committed it, or refuses after the deadline.
4. Whether a call that was broken off came through is not known: it is repeated as it was,
   and the server takes what it has already only if it is the same.
5. A chain that the server takes nothing more for is followed by a new one, which names it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import msgspec

from tracewall.audit.anchor import Checkpoints
from tracewall.audit.failing import encoded, nobody_hears
from tracewall.audit.fragments import Fragments
from tracewall.audit.record import Head, body, members
from tracewall.audit.recovery import ending
from tracewall.audit.register import StoredPeople
from tracewall.audit.server import Chain, Server
from tracewall.audit.waiting import Batch, Intent, Note, Outcome
from tracewall.audit.writer import Writer
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, Incident, Moment, What, Who
from tracewall.locks import RLock

SCHEMA: Final = "tracewall_audit"

_MOST_WAITING: Final = 10_000
_MOST_AT_ONCE: Final = 256
_OLDEST_SECONDS: Final = 1.0


class _Due(msgspec.Struct, frozen=True):
    """A place in the log where a checkpoint is to stand."""

    at: float


_Waiting: TypeAlias = Intent | Outcome | Note | _Due


class PostgresLog:
    """An audit log in a database, for a policy with ``[audit] conninfo`` or `Wall.load`.

    Args:
        conninfo: a libpq connection string of the log's own role, which the migration names
            (``tracewall audit migration``). Not by way of a pooler that shares connections.
        schema: the migration's schema.
        password: gives the role's password at each log-in.
        deadline: how long (seconds) a statement waits for its record at most.
        checkpoints: signs the log's end from time to time, and tells a second place.
        clock: Unix time in seconds.

    An intent blocks its thread for a round trip and the server's commit; ``patience`` says for
    how long at most. How strongly a record is kept is the server's
    ``synchronous_commit``. All methods may be called from any thread, and after a fork.
    What processes that died have left is ended when a log is opened. ``people`` are the
    pseudonyms and salts of an erasable record, which are kept there, too.

    Raises:
        AuditUnavailable: the server does not take the first record.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        schema: str = SCHEMA,
        password: Callable[[], str] | None = None,
        deadline: float = 5.0,
        checkpoints: Checkpoints | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.patience = deadline
        self._dial = partial(Server, conninfo, schema, password, deadline)
        self._deadline = deadline
        self.people = StoredPeople(self._dial)
        self._checkpoints = checkpoints
        self._clock = clock
        self._closed = False
        self._fragments = Fragments()
        self._server = self._dial()
        self._writer = Writer(self._chain, "postgresql", clock)
        self._waiting: list[_Waiting] = []
        self._start()
        with self._changed:
            try:
                self._await(0)
            except AuditUnavailable:
                # The thread gives up, too.
                self._closed = True
                raise
        atexit.register(self.close)

    def _chain(self, now: float) -> Chain:
        return Chain(self._server, now)

    def _start(self) -> None:
        """Begin to write, in a thread; a forked child begins a chain of its own."""
        self._pid = os.getpid()
        self._changed = threading.Condition(RLock())
        self._next = self._writer.next
        # The first number that is not kept; 0: not even the chain has begun.
        self._kept = self._attempts = 0
        self._urgent = False
        writing = threading.Thread(target=self._write, name="tracewall-audit", daemon=True)
        writing.start()

    @property
    def writer(self) -> str:
        """The id of the chain that is being written; empty before there is one."""
        return self._writer.file.writer if self._writer.file else ""

    def intent(self, who: Who, what: What, moment: Moment | None = None) -> int:
        """Record what is about to be sent, and return the record's number.

        Raises:
            AuditUnavailable: the server has not said that it keeps it, within the deadline.
        """
        more = members(moment) if moment is not None else b""
        entry = Intent(self._clock(), self._fragments[who], self._fragments[what], more)
        with self._here():
            number = self._add(entry)
            try:
                self._await(number)
            except BaseException:
                # It may have come through, or come through later: this closes it then.
                self._add(Outcome(self._clock(), number, Ended(status="abandoned")))
                raise
        return number

    def outcome(self, intent: int, ended: Ended) -> None:
        """Record how the statement of an intent ended, with what is sent next; never raises."""
        with contextlib.suppress(AuditUnavailable), self._here():
            self._add(Outcome(self._clock(), intent, ended))

    def incident(self, incident: Incident) -> None:
        """Record anything else; raise `AuditUnavailable` unless it is kept."""
        self.note("incident", {"incident": incident})

    def note(self, kind: str, told: Mapping[str, Any]) -> None:
        """Record something of the log's own; raise `AuditUnavailable` unless it is kept."""
        said = encoded(lambda: body(kind, told))
        with self._here():
            self._await(self._add(Note(self._clock(), said)))

    def flush(self, kept: str = "") -> None:
        """Return when all that was told is kept; raise `AuditUnavailable` if it is not."""
        with self._here():
            self._await(self._next - 1)

    def head(self) -> Head:
        """Return the last record kept, to be remembered where the log's writers can't write.

        Raises:
            AuditUnavailable: nothing is kept yet (after a fork).
        """
        with self._here():
            head = self._writer.head()
        if head is None:
            raise AuditUnavailable("the audit log has no record yet")
        return head

    def close(self) -> None:
        """Write what waits and a last record, and log out; raise `AuditUnavailable` if it fails."""
        if self._closed or self._pid != os.getpid():
            return
        atexit.unregister(self.close)
        with self._changed:
            self._closed = True
            if self._checkpoints is not None:
                self._add(_Due(self._clock()), last=True)
            try:
                self._await(self._add(Note(self._clock(), body("closed", {})), last=True))
            finally:
                self._changed.notify_all()
            head = self._writer.head()
        if self._checkpoints is not None and head is not None:
            # The very end is vouched for only elsewhere: after it nothing may stand there.
            self._checkpoints.tell(self._checkpoints.sign(head, self._clock()), nobody_hears)
            self._checkpoints.close()
        self.people.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _here(self) -> threading.Condition:
        if self._pid != os.getpid():
            # The parent writes what waits there; its connection is not to be used, nor ended.
            self._inherited = self._server
            self._server = self._dial()
            self._writer.leave_to_parent(len(self._waiting))
            self._waiting = []
            self._start()
        return self._changed

    def _add(self, entry: _Waiting, *, last: bool = False) -> int:
        """Queue a record, and give its number."""
        if self._closed and not last:
            raise AuditUnavailable("the audit log is closed")
        if len(self._waiting) >= _MOST_WAITING and not last:
            raise AuditUnavailable("the audit log's database does not keep up")
        self._waiting.append(entry)
        self._next += 1
        return self._next - 1

    def _await(self, number: int) -> None:
        """Return when a record is kept; raise after the deadline, or when an attempt failed."""
        self._urgent = True
        tried = self._attempts
        self._changed.notify_all()
        # The attempt under way may be one that began before.
        self._changed.wait_for(
            lambda: self._kept > number or self._attempts > tried + 1, self._deadline
        )
        if self._kept <= number:
            raise AuditUnavailable("the audit log's database did not take the record")

    # --- in the thread --------------------------------------------------------------

    def _write(self) -> None:
        """Send what waits, for as long as the log is open."""
        changed, writer, server = self._changed, self._writer, self._server
        while True:
            with changed:
                changed.wait_for(lambda: self._urgent or self._over(), _OLDEST_SECONDS)
                self._mark_due()
                batch, self._urgent = self._batch(), False
                if not batch and self._over() and writer.file is not None:
                    break
            sent = self._send(batch)
            with changed:
                if sent:
                    del self._waiting[: len(batch)]
                    self._kept = writer.next
                    # There is more than goes in one call.
                    self._urgent = bool(self._waiting) and len(batch) == _MOST_AT_ONCE
                else:
                    self._attempts += 1
                changed.notify_all()
                if not sent and self._closed:
                    break
        server.close()

    def _over(self) -> bool:
        return self._closed and not self._waiting

    def _mark_due(self) -> None:
        """Queue a checkpoint where one is due."""
        head, checkpoints, at = self._writer.head(), self._checkpoints, self._clock()
        if head is None or checkpoints is None or self._closed:
            return
        if any(isinstance(entry, _Due) for entry in self._waiting):
            return
        ahead = msgspec.structs.replace(head, n=head.n + len(self._waiting))
        if checkpoints.due(ahead, at):
            self._add(_Due(at), last=True)
            self._urgent = True

    def _batch(self) -> list[_Waiting]:
        """Give what goes in the next call: a checkpoint goes alone, for it tells the end."""
        batch = self._waiting[:_MOST_AT_ONCE]
        marks = [at for at, entry in enumerate(batch) if isinstance(entry, _Due)]
        return batch[: max(marks[0], 1)] if marks else batch

    def _send(self, batch: list[_Waiting]) -> bool:
        """Write a batch, at first into a new chain; False: it is to be tried again."""
        writer, note = self._writer, ""
        try:
            if writer.file is None:
                writer.open()
                with contextlib.suppress(OSError):
                    self._recover()
            entries: list[Intent | Outcome | Note] = []
            for entry in batch:
                if isinstance(entry, _Due):
                    note = self._vouched(entry)
                    entries.append(Note(entry.at, body("checkpoint", {"note": note})))
                else:
                    entries.append(entry)
            writer.write(Batch(writer.next, entries))
        except Exception:
            # What a driver or a function of the caller's raises may hold what was to be recorded.
            return False
        if note and self._checkpoints is not None:
            self._checkpoints.tell(note, self._anchor_failed)
        return True

    def _vouched(self, due: _Due) -> str:
        head, checkpoints = self._writer.head(), self._checkpoints
        assert head is not None and checkpoints is not None
        return checkpoints.sign(head, due.at)

    def _anchor_failed(self, what: str) -> None:
        with contextlib.suppress(AuditUnavailable):
            self.incident(Incident(kind="anchor_failed", detail=what))

    def _recover(self) -> None:
        """End the chains that dead processes have left, as `tracewall.audit.recovery` does."""
        signer = self._checkpoints.signer if self._checkpoints else None
        for left in self._server.abandoned(self.writer):
            head = Head(file=f"{left.writer}.jsonl", n=left.n, sha256=left.sha256)
            lines = ending(head, left.open_intents, self._clock(), signer)
            # Another process may be doing the same, with another time in it.
            with contextlib.suppress(OSError):
                self._server.append(left.writer, left.n + 1, lines)
