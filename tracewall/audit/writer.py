"""Entries become chained lines in a file; a file that went bad is followed by a new one."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from tracewall.audit.file import AppendedFile, sync_directory
from tracewall.audit.record import FIRST_PREV, FORMAT, Head, body, plain, seal
from tracewall.events import Ended
from tracewall.version import __version__

Entry: TypeAlias = tuple[float, bytes | tuple[int, Ended]]
"""When, and what: an encoded body, or an outcome with the public number of its intent."""

_REMEMBERED_FILES: Final = 256


class Writer:
    """Writes entries to a file of this process; one thread at a time.

    Entries have public numbers, which go on from file to file: record ``n`` of the
    current file has the number ``base + n``, and ``base`` is 0 in the first file.
    """

    __slots__ = ("_base", "_clock", "_directory", "_durability", "_earlier", "_n", "_prev", "file")

    def __init__(self, directory: Path, durability: str, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._durability = durability
        self._clock = clock
        self.file: AppendedFile | None = None
        self._earlier: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED_FILES)
        self._base = 1
        self._n = 0
        self._prev = FIRST_PREV

    def number(self, place: int) -> int:
        """Return the public number of the entry that is written after `place` others."""
        return self._base + self._n + place

    def write(self, entries: Sequence[Entry]) -> None:
        """Write all entries, or none of them.

        Raises:
            OSError: none was written; the next call tries again, in a new file if need be.
        """
        file = self.file
        if file is None or not file.usable:
            file = self.open()
        told = [
            (at, said if isinstance(said, bytes) else self._outcome(*said)) for at, said in entries
        ]
        lines, prev = seal(self._n, self._prev, told)
        file.append(lines)
        self._n, self._prev = self._n + len(told), prev

    def open(self) -> AppendedFile:
        """Start a new file: the first one, or the next after a fork or after one went bad.

        Raises:
            OSError: there is no new file, and the old state is kept.
        """
        now = self._clock()
        file = AppendedFile(self._directory, now)
        try:
            line, prev = seal(0, FIRST_PREV, [(now, self._header(file))])
            file.append(line)
            if self._durability == "synced":
                sync_directory(self._directory)
        except OSError:
            # Nothing was promised about it yet, and each further try would leave one more.
            file.close()
            with contextlib.suppress(OSError):
                (self._directory / file.name).unlink()
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

    def _header(self, file: AppendedFile) -> bytes:
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

    def _outcome(self, number: int, ended: Ended) -> bytes:
        """Encode an outcome, now that it is known which file it goes to."""
        try:
            told = plain(ended)
        except ValueError:
            told = plain(Ended(status="unknown"))
        if number > self._base:
            return b'"kind":"outcome","intent":%d,"ended":%b' % (number - self._base, told)
        base, writer = self._written_before(number)
        said = b'"kind":"outcome","intent":%d,"of":"%b","ended":%b'
        return said % (number - base, writer.encode(), told)

    def _written_before(self, number: int) -> tuple[int, str]:
        """Find the earlier file with this number; one long forgotten has no name."""
        files = (file for file in reversed(self._earlier) if file[0] < number)
        return next(files, (0, ""))
