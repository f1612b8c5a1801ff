"""Entries become chained lines in a file; a file that went bad is followed by a new one.

A file is whatever takes lines at its end: one of a disk's, or a chain in a database.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Generic, Protocol, TypeVar

from tracewall.audit.record import FIRST_PREV, FORMAT, LONGEST, Head, body, plain, seal
from tracewall.audit.waiting import Batch, Intent, Note, Outcome
from tracewall.events import Ended
from tracewall.version import __version__

_REMEMBERED_FILES: Final = 256
_INTENT: Final = b'"kind":"intent","who":%b,"what":%b%b'
_STATEMENT: Final = b'"kind":"statement","who":%b,"what":%b%b,"ended":%b'
_UNKNOWN: Final = plain(Ended(status="unknown"))


class Appended(Protocol):
    """What takes lines at its end; ``usable`` is false once nobody can tell what it holds."""

    name: str
    usable: bool

    @property
    def writer(self) -> str:
        """The file's name without its suffix: the id of this writer."""
        ...

    def append(self, data: bytes) -> None:
        """Add lines whole or not at all; raises OSError."""
        ...

    def settle(self, *, durable: bool) -> None:
        """Show a new file to others, and have it outlive the machine; raises OSError."""
        ...

    def discard(self) -> None:
        """Take back a file that nothing was promised about."""
        ...

    def close(self) -> None:
        """Let it go."""
        ...

    def let_go(self) -> None:
        """Let it go in a forked child, where it is the parent's."""
        ...


File = TypeVar("File", bound=Appended)


class Writer(Generic[File]):
    """Writes entries to a file of this process; one thread at a time.

    Args:
        begin: makes a new file, named by the time (Unix seconds); raises OSError.
        durability: what each file's first record says of it.
        clock: Unix time in seconds.

    Entries have public numbers, which go on from file to file: record ``n`` of the
    current file has the number ``base + n``, and ``base`` is 0 in the first file.
    """

    __slots__ = ("_base", "_begin", "_clock", "_durability", "_earlier", "_n", "_prev", "file")

    def __init__(
        self, begin: Callable[[float], File], durability: str, clock: Callable[[], float]
    ) -> None:
        self._begin = begin
        self._durability = durability
        self._clock = clock
        self.file: File | None = None
        self._earlier: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED_FILES)
        self._base = 1
        self._n = 0
        self._prev = FIRST_PREV

    @property
    def next(self) -> int:
        """The public number of the next entry to be written."""
        return self._base + self._n

    def write(self, batch: Batch) -> None:
        """Write all entries, or none of them; what they are is final after the first try.

        Raises:
            OSError: none was written; the next call tries again, in a new file if need be.
        """
        file = self.file
        if file is None or not file.usable:
            file = self.open()
        count = len(batch.entries)
        if not count:
            return
        lines, prev = seal(self._n, self._prev, self._bodies(batch))
        n = self._n + count
        file.append(lines)
        # No call from here on: an interrupt between the file and the count would break the chain.
        self._n, self._prev = n, prev

    def _bodies(self, batch: Batch) -> Iterator[tuple[float, bytes]]:
        """Encode the entries; an intent whose outcome has joined it becomes a statement."""
        # From then on no outcome joins an entry, as `Batch` has it.
        decide = batch.decided.setdefault
        for number, entry in enumerate(batch.entries, batch.first):
            if type(entry) is Intent:
                if (ended := decide(number, None)) is None:
                    yield entry.at, _INTENT % (entry.who, entry.what, entry.more)
                else:
                    said = (entry.who, entry.what, entry.more, _told(ended))
                    yield entry.at, _STATEMENT % said
            elif type(entry) is Outcome:
                yield entry.at, self._outcome(entry.intent, _told(entry.ended))
            else:
                assert type(entry) is Note
                yield entry.at, entry.body

    def open(self) -> File:
        """Start a new file: the first one, or the next after a fork or after one went bad.

        Raises:
            OSError: there is no new file, and the old state is kept.
        """
        now = self._clock()
        file = self._begin(now)
        try:
            line, prev = seal(0, FIRST_PREV, [(now, self._header(file))])
            file.append(line)
            file.settle(durable=self._durability == "synced")
        except BaseException:
            # Nothing was promised about it yet, and each further try would leave one more.
            file.discard()
            raise
        if self.file:
            self._earlier.append((self._base, self.file.writer))
            self.file.close()
        self.file, self._base = file, self._base + self._n - 1
        self._n, self._prev = 1, prev
        return file

    def head(self) -> Head | None:
        """Return the last record written; None before the first file is open."""
        if self.file is None:
            return None
        return Head(file=self.file.name, n=self._n - 1, sha256=self._prev.decode())

    def leave_to_parent(self, queued: int) -> None:
        """In a forked child: let go of the parent's file, and skip the numbers it has given out."""
        if self.file:
            self._earlier.append((self._base, self.file.writer))
            self.file.let_go()
        self.file = None
        self._base, self._n = self._base + self._n + queued, 0

    def _header(self, file: File) -> bytes:
        told: dict[str, object] = {
            "format": FORMAT,
            "writer": file.writer,
            "pid": os.getpid(),
            "durability": self._durability,
            "tracewall": __version__,
        }
        if head := self.head():
            told["follows"] = head
        return body("opened", told)

    def _outcome(self, number: int, told: bytes) -> bytes:
        """Give the body of an outcome, now that it is known which file it goes to."""
        if number > self._base:
            return b'"kind":"outcome","intent":%d,"ended":%b' % (number - self._base, told)
        base, writer = self._written_before(number)
        said = b'"kind":"outcome","intent":%d,"of":"%b","ended":%b'
        return said % (number - base, writer.encode(), told)

    def _written_before(self, number: int) -> tuple[int, str]:
        """Find the earlier file with this number; one long forgotten has no name."""
        files = (file for file in reversed(self._earlier) if file[0] < number)
        return next(files, (0, ""))


def _told(ended: Ended) -> bytes:
    """Encode how a statement ended; what can't be told must not block the log."""
    try:
        told = plain(ended)
    except (ValueError, TypeError):
        return _UNKNOWN
    return told if len(told) < LONGEST // 4 else _UNKNOWN
