"""The audit log in files: an intent before each statement, an outcome after it.

Rules of this room:

1. `FileLog.intent` returns only when the record is kept as strongly as configured.
2. Whoever got a number for an intent finds it in the log, in one place only.
3. What could not be written stays queued; until a write succeeds, each intent is refused.
4. A process writes only to files it has created; the child of a fork starts its own.
5. Outcomes wait for the next intent, so that a statement costs one write; with `buffered`
   one that finds its intent still waiting joins it, so that a statement costs one record.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from tracewall.audit.anchor import Checkpoints
from tracewall.audit.failing import at_once, encoded, nobody_hears, sync, unavailable
from tracewall.audit.file import AppendedFile, prepare
from tracewall.audit.fragments import Fragments
from tracewall.audit.keeping import Keeping
from tracewall.audit.record import Head, body, members
from tracewall.audit.upkeep import Upkeep
from tracewall.audit.waiting import Batch, Entry, Intent, Note, Outcome
from tracewall.audit.writer import Writer
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, Incident, Moment, What, Who
from tracewall.locks import Lock

Durability: TypeAlias = Literal["buffered", "written", "synced"]

BATCH: Final = 64

_OLDEST_SECONDS: Final = 1.0


class FileLog:
    """An append-only, hash-chained log with one file for each process that writes.

    Args:
        directory: where the files are; made with mode 0700 if it is missing.
        durability: what an intent has reached when `intent` returns. ``buffered``: this
            process's memory, whose death loses at most the last 64 records; a record is a
            whole statement where its end was told before it was written. ``written``: the
            kernel, which outlives the process. ``synced``: the disk, which outlives the
            machine. An outcome is always held back until the next intent, `flush` or
            `close`, so the death of the process may lose outcomes with any setting; where
            their intents are written, verification lists them as open.
        checkpoints: signs the log's end from time to time, and tells a second place.
        keeping: when a file ends and the next one begins, and how long files stay.
        clock: Unix time in seconds.

    All methods may be called from any thread. After a fork the child opens a file of its
    own on first use. The log closes itself at the end of the interpreter; a child that
    ends by ``os._exit`` (as those of multiprocessing do) has to call `close`.

    Raises:
        AuditUnavailable: the first file can't be made.
        ValueError: the durability is none of the three.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        durability: Durability = "written",
        checkpoints: Checkpoints | None = None,
        keeping: Keeping = Keeping(),  # noqa: B008 (a frozen value)
        clock: Callable[[], float] = time.time,
    ) -> None:
        if durability not in get_args(Durability):
            raise ValueError(f"durability must be one of {', '.join(get_args(Durability))}")
        self._buffered = durability == "buffered"
        self._synced = durability == "synced"
        self.patience = inf if self._synced else 0.0
        self._checkpoints = checkpoints
        self._keeping = keeping
        self._clock = clock
        self._lock = Lock()
        # Outcomes arrive without a lock: a generator that the garbage collector ends in the
        # middle of `intent` reports its outcome in the thread that holds the lock.
        self._ended: list[Outcome] = []
        self._oldest = 0.0
        # Has what outcomes have filled written; whoever keeps nobody waiting puts a thread here.
        self.later: Callable[[Callable[[], None]], None] = at_once
        self._failing = False
        self._closed = False
        self._fragments = Fragments()
        home = Path(directory).absolute()
        self._writer = Writer(partial(AppendedFile, home), durability, clock)
        try:
            prepare(home, durable=self._synced)
            self._writer.open()
        except OSError as error:
            raise unavailable(error) from error
        self._batch = Batch(self._writer.next)
        self._began = clock()
        signer = checkpoints.signer if checkpoints else None
        self._upkeep = Upkeep(home, keeping, signer, clock, self._note)
        _follow_forks(self)
        atexit.register(self.close)
        self._upkeep.begin(self._name())

    def intent(self, who: Who, what: What, moment: Moment | None = None) -> int:
        """Record what is about to be sent, and return the record's number.

        The number goes to `outcome`. It is the record's ``n`` for as long as this process
        has written to one file only.

        Raises:
            AuditUnavailable: the record could not be kept as strongly as configured, so
                nothing may be sent.
        """
        fragments = self._fragments
        told_who, told_what = fragments[who], fragments[what]
        more = members(moment) if moment is not None else b""
        kept = what.kept
        number = None
        try:
            with self._lock:
                entry = Intent(self._clock(), told_who, told_what, more)
                number = self._add(entry, not self._buffered or bool(kept))
                if not self._synced and kept != "synced":
                    return number
                file, mark = self._written()
            sync(file, mark)
        except BaseException:
            # An interrupt too: whoever got no number can't tell the end of what has one.
            if number is not None:
                self.outcome(number, Ended(status="abandoned"))
            raise
        return number

    def outcome(self, intent: int, ended: Ended) -> None:
        """Record how the statement of an intent ended; never raises, never waits for a disk.

        With `buffered` it joins its intent's record if that still waits. Else a record of
        its own goes out with the next intent, `flush` or `close`, or with the next outcome
        when 64 records or a second have gathered.
        """
        if self._closed:
            return
        at = self._clock()
        if not (self._buffered and self._batch.join(intent, ended)):
            self._ended.append(Outcome(at, intent, ended))
        # Looked at and then taken, for a lock got by acquire() is lost to an interrupt. What is
        # not locked is not held by this thread, so that this waits for a write at most.
        if self._due(at) and not self._lock.locked():
            # A failed write keeps what is queued and refuses the next intent.
            with contextlib.suppress(Exception):
                self.later(self._write_due)

    def _write_due(self) -> None:
        with self._lock:
            if not self._closed:
                self._write()

    def incident(self, incident: Incident) -> None:
        """Record anything else, at once.

        Raises:
            AuditUnavailable: the record could not be kept; it is not tried again.
        """
        said = encoded(lambda: body("incident", {"incident": incident}))
        with self._lock:
            self._add(Note(self._clock(), said), True)
            file, mark = self._written()
        if self._synced:
            sync(file, mark)

    def _note(self, kind: str, told: Mapping[str, Any]) -> None:
        """Record something of the log's own, at once, and vouch for it."""
        said = encoded(lambda: body(kind, told))
        with self._lock:
            self._add(Note(self._clock(), said), True)
            if self._checkpoints is not None:
                self._vouch(self._checkpoints, last=True)
                self._write()

    def flush(self, kept: str = "") -> None:
        """Write what is queued, pending outcomes included, as strongly as configured.

        Args:
            kept: ``synced`` brings it to the disk even where the log's durability is less.

        Raises:
            AuditUnavailable: it could not be written; it stays queued.
        """
        with self._lock:
            if not self._closed and (self._batch.entries or self._ended):
                self._write()
            file, mark = self._written()
        if self._synced or kept == "synced":
            sync(file, mark)

    def close(self) -> None:
        """Write what is queued and a last record, then refuse every further intent.

        Raises:
            AuditUnavailable: what was queued is lost; the log is closed all the same.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            atexit.unregister(self.close)
            try:
                self._write_the_end()
            finally:
                self._batch = Batch(self._writer.next)
                if self._writer.file:
                    self._writer.file.close()
        self._upkeep.end()

    def head(self) -> Head:
        """Return the last record written, to be remembered where the log's writers can't write.

        Raises:
            AuditUnavailable: there is no file (after a fork) and none can be made.
        """
        with self._lock:
            if self._writer.file is None and not self._closed:
                self._write()
            head = self._writer.head()
        if head is None:
            raise AuditUnavailable("the audit log is closed")
        return head

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _add(self, entry: Entry, at_once: bool) -> int:
        """Queue an entry, write what it is time for, and return the entry's number."""
        if self._closed:
            raise AuditUnavailable("the audit log is closed")
        at_once = at_once or self._failing
        if not at_once and self._due(entry.at):
            # Without the new one, which shall wait for its outcome.
            self._write()
            self._oldest = entry.at
        if self._ended:
            self._take_outcomes()
        entries = self._batch.entries
        place = len(entries)
        number = self._batch.first + place
        try:
            entries.append(entry)
            if at_once:
                self._write()
        except AuditUnavailable:
            del entries[place]
            raise
        except BaseException:
            # Interrupted: what is in the batch is written, or will be.
            if isinstance(entry, Intent) and entry in entries[place : place + 1]:
                self._ended.append(Outcome(entry.at, number, Ended(status="abandoned")))
            raise
        return number

    def _take_outcomes(self) -> None:
        # Not clear(): another outcome may arrive between the two lines.
        count = len(self._ended)
        self._batch.entries += self._ended[:count]
        del self._ended[:count]

    def _due(self, at: float) -> bool:
        """Tell whether a batch is full or its oldest record has waited long enough."""
        if not 0 <= at - self._oldest < _OLDEST_SECONDS:
            if self._oldest:
                return True
            self._oldest = at
        return len(self._batch.entries) + len(self._ended) >= BATCH

    def _write(self) -> None:
        """Write the batch in one go; on AuditUnavailable all of it stays queued."""
        self._take_outcomes()
        # A new batch, for an outcome may be looking at the old one; made before the write, so
        # that no interrupt comes between the two.
        after = Batch(self._writer.next + len(self._batch.entries))
        try:
            self._writer.write(self._batch)
        except OSError as error:
            self._failing = True
            raise unavailable(error) from error
        # After the write, so that a fork in another thread may skip numbers but repeats none.
        self._batch = after
        self._oldest = 0.0
        self._failing = False
        if self._checkpoints is not None:
            self._vouch(self._checkpoints)
        file = self._writer.file
        if file is not None and self._keeping.ends(file.size, self._clock() - self._began):
            self._rotate()

    def _rotate(self) -> None:
        """End the file and begin the next; where that fails, it is tried with the next write."""
        if self._closed:
            return
        try:
            if self._checkpoints is not None:
                self._writer.write(self._batch)
                self._batch = Batch(self._writer.next)
                self._vouch(self._checkpoints, last=True)
            end = Note(self._clock(), body("closed", {}))
            self._writer.write(Batch(self._batch.first, [*self._batch.entries, end]))
        except OSError:
            return
        self._batch, file = Batch(self._writer.next), self._writer.file
        try:
            if file is not None and self._synced:
                file.sync(file.size)
            self._writer.open()
        except OSError:
            # Nothing may stand after the end: the next write opens another file.
            if file is not None:
                file.close()
            return
        self._batch, self._began = Batch(self._writer.next), self._clock()
        self._upkeep.begin(self._name(), 0)

    def _name(self) -> str:
        return self._writer.file.name if self._writer.file else ""

    def _write_the_end(self) -> None:
        self._take_outcomes()
        if self._writer.file or self._batch.entries:
            if self._batch.entries and self._checkpoints is not None:
                self._write()
            if self._checkpoints is not None:
                self._vouch(self._checkpoints, last=True)
            self._batch.entries.append(Note(self._clock(), body("closed", {})))
            self._write()
        if self._synced:
            sync(*self._written())
        if self._checkpoints is not None and (head := self._writer.head()):
            # The very end is vouched for only elsewhere: after it nothing may stand in the file.
            self._checkpoints.tell(self._checkpoints.sign(head, self._clock()), nobody_hears)
            self._checkpoints.close()

    def _vouch(self, checkpoints: Checkpoints, *, last: bool = False) -> None:
        """Queue a checkpoint as the next record, if one is due."""
        head, at = self._writer.head(), self._clock()
        if head is None or self._batch.entries or not (last or checkpoints.due(head, at)):
            return
        if self._closed and not last:
            return
        note = checkpoints.sign(head, at)
        self._batch.entries.append(Note(at, body("checkpoint", {"note": note})))
        checkpoints.tell(note, self._anchor_failed)

    def _anchor_failed(self, what: str) -> None:
        with contextlib.suppress(AuditUnavailable):
            self.incident(Incident(kind="anchor_failed", detail=what))

    def _written(self) -> tuple[AppendedFile | None, int]:
        """Return the file and how much of it is to be synced."""
        file = self._writer.file
        return file, file.size if file else 0

    def _forked(self) -> None:
        """Leave the parent's file and queue to the parent; runs in the child before any thread."""
        self._lock = Lock()
        self._writer.leave_to_parent(len(self._batch.entries))
        self._batch, self._ended = Batch(self._writer.next), []
        self._oldest, self._failing = 0.0, False


def _follow_forks(log: FileLog) -> None:
    """Tell the log when it wakes up in a child process, for as long as it lives."""
    reference = weakref.ref(log)

    def forked() -> None:
        there = reference()
        if there is not None:
            there._forked()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forked)
