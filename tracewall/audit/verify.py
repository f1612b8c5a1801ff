"""Proving a log: every line is read again and must follow from the line before it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, Final

import msgspec

from tracewall.audit.notes import BadNote, PublicKey, opened, vouched
from tracewall.audit.record import (
    DAMAGED,
    FIRST_PREV,
    FORMAT,
    LONGEST,
    Head,
    digest,
    files,
    lines,
    plain_name,
    sealed,
)


class Fault(msgspec.Struct, frozen=True):
    """The first thing wrong with a file: the ``line`` (from 1; 0: the file itself) and what it is.

    ``what`` is one of our own sentences, perhaps with numbers; it never quotes the file.
    """

    line: int
    what: str


class FileReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in one file.

    ``records`` is how many hold together, up to the first ``fault``; ``torn`` how many
    bytes of an unfinished record are at the end (a crash leaves those); ``open_intents``
    the numbers of intents without an outcome; ``closed`` whether the log was closed in
    order; ``head`` the last good record, to be remembered; ``signed`` how many records
    from the first on are vouched for by a checkpoint of a known key; ``found`` how many of
    them by nobody but the process that ended the file after a crash, which took them as it
    found them.
    """

    file: str
    records: int = 0
    fault: Fault | None = None
    torn: int = 0
    open_intents: tuple[int, ...] = ()
    closed: bool = False
    head: Head | None = None
    signed: int = 0
    found: int = 0

    @property
    def ok(self) -> bool:
        """True when nothing is wrong; a torn end and open intents are no faults."""
        return self.fault is None


class Report(msgspec.Struct, frozen=True):
    """What was found in a log: one report for each file, oldest first."""

    files: tuple[FileReport, ...]

    @property
    def ok(self) -> bool:
        """True when no file has a fault."""
        return all(file.ok for file in self.files)

    @property
    def records(self) -> int:
        """How many records hold together."""
        return sum(file.records for file in self.files)


class _Line(msgspec.Struct):
    """The members of a record that verification reads."""

    n: int
    prev: str
    at: float
    kind: str
    writer: str = ""
    format: int = 0
    follows: Head | None = None
    intent: int = -1
    of: str | None = None
    note: str = ""
    before: str = ""


_decode: Final = msgspec.json.Decoder(_Line).decode


class _Faulty(Exception):
    """Ends the walk through a file at its first fault."""


def verify(
    path: str | PathLike[str],
    *,
    head: Head | Iterable[Head] = (),
    keys: Iterable[PublicKey] = (),
) -> Report:
    """Check the whole chain of a log: one file, or a directory of them.

    Any change of a byte, any record dropped, moved, doubled or put in is found and its
    line named. That the end of a file was cut off, or that all was written anew by
    somebody who knows how, shows only against a remembered `head` (one or several), or in
    a directory against the file that follows one that went bad.

    With `keys`, every checkpoint must be signed by one of them, and a log that was closed in
    order must have one at its end: then nobody without the key can have written it anew.

    Raises:
        OSError: the path can't be read.
    """
    where = Path(path)
    paths = files(where)
    heads = [head] if isinstance(head, Head) else list(head)
    if where.is_dir():
        heads += [followed for file in paths if (followed := _followed(file))]
    return check(paths, heads, tuple(keys))


def check(
    paths: Collection[Path], heads: Collection[Head] = (), keys: Collection[PublicKey] = ()
) -> Report:
    """Check files that belong to one log; see `verify`."""
    walks = [_Walk(file, heads, keys) for file in paths]
    for walk in walks:
        walk.read()
    _refuse_copies(walks)
    _close_across_files(walks)
    reports = [walk.report() for walk in walks]
    horizon = max((walk.retired for walk in walks if not walk.fault), default="")
    for name in sorted({known.file for known in heads} - {plain_name(file) for file in paths}):
        # A file's name begins with its beginning: what is older was retired, and that is recorded.
        if name >= horizon:
            reports.append(FileReport(file=name, fault=Fault(0, "the file is missing")))
    return Report(tuple(reports))


def records(path: str | PathLike[str]) -> Iterator[dict[str, Any]]:
    """Read the records of a log, file after file, each as the mapping it was written from.

    Nothing is proved. A line that is no record comes as ``{"kind": "unreadable", "file":
    its name, "line": its number}``, so that a reader sees the gap.

    Raises:
        OSError: the path can't be read.
    """
    for file in files(Path(path)):
        if not file.is_file() and Path(path).is_dir():
            # A pipe of that name would be waited for.
            yield {"kind": "unreadable", "file": plain_name(file), "line": 0}
            continue
        for number, line in enumerate(lines(file), 1):
            yield _mapping(line) or {"kind": "unreadable", "file": plain_name(file), "line": number}


def _mapping(line: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (ValueError, RecursionError):
        return None


class _Walk:
    """Reads one file from its first line to its last, or to its first fault."""

    def __init__(self, path: Path, heads: Iterable[Head], keys: Collection[PublicKey]) -> None:
        self.writer = ""
        self.fault: Fault | None = None
        self.open: set[int] = set()
        self.ended_elsewhere: list[tuple[str, int]] = []
        self._path = path
        self._remembered = {
            (known.n, known.sha256) for known in heads if known.file == plain_name(path)
        }
        self._watched = {n for n, _ in self._remembered}
        self._line = 0
        self._n = 0
        self._prev = FIRST_PREV.decode()
        self._torn = 0
        self._closed = False
        self._keys = keys
        self._signed = 0
        self._found = 0
        self._retirements: list[tuple[int, str]] = []

    @property
    def retired(self) -> str:
        """Give up to which name files may be gone: none that began after this one.

        With keys, only what is signed for counts: whoever can write a file could say so.
        """
        name = plain_name(self._path)
        told = (min(before, name) for n, before in self._retirements if self._is_told(n))
        return max(told, default="")

    def _is_told(self, n: int) -> bool:
        return not self._keys or n < self._signed

    def read(self) -> None:
        """Walk through the file."""
        try:
            if not self._path.is_file():
                raise _Faulty("not a regular file")
            for line in lines(self._path):
                self._line += 1
                self._take(line)
            self._line += 1
            self._end()
        except _Faulty as fault:
            self.fault = Fault(self._line, str(fault))
        except OSError as error:
            if error.strerror != DAMAGED:
                raise
            self.fault = Fault(self._line, DAMAGED)

    def report(self) -> FileReport:
        """Sum up."""
        name = plain_name(self._path)
        return FileReport(
            file=name,
            records=self._n,
            fault=self.fault,
            torn=self._torn,
            open_intents=tuple(sorted(self.open)),
            closed=self._closed,
            head=Head(file=name, n=self._n - 1, sha256=self._prev) if self._n else None,
            signed=self._signed,
            found=self._found,
        )

    def _take(self, line: bytes) -> None:
        if self._closed:
            raise _Faulty("there is something after the end of the log")
        if not line.endswith(b"\n"):
            self._take_torn(line)
            return
        line = line[:-1]
        record = _parsed(line)
        if record.n != self._n:
            raise _Faulty(f"record {self._n} should be here, but this is record {record.n}")
        if record.prev != self._prev:
            raise _Faulty(f"record {record.n} does not follow from the record before it")
        prev = digest(line).decode()
        if record.n in self._watched and not self._known(record.n, prev):
            raise _Faulty(f"record {record.n} is not the one that is remembered")
        self._keep(record)
        self._n += 1
        self._prev = prev

    def _known(self, n: int, sha256: str) -> bool:
        """Tell whether everything remembered of a record agrees with this hash."""
        return all(known == sha256 for at, known in self._remembered if at == n)

    def _keep(self, record: _Line) -> None:
        """Note what the record says, and refuse one that has no place here."""
        if (record.kind == "opened") != (record.n == 0):
            raise _Faulty("the log does not begin here, or begins twice")
        match record.kind:
            case "opened":
                self._open(record)
            case "intent":
                self.open.add(record.n)
            case "outcome" if record.of is not None:
                self.ended_elsewhere.append((record.of, record.intent))
            case "outcome":
                self.open.discard(record.intent)
            case "closed":
                self._closed = True
                if self._keys and self._signed != record.n - 1:
                    raise _Faulty("the log was closed without a signed checkpoint before its end")
            case "checkpoint":
                self._vouched(record)
            case "retired":
                self._retirements.append((record.n, record.before))
            case "recovered":
                self._found = record.n - self._signed if self._keys else 0
            case "statement" | "incident":
                pass
            case _:
                raise _Faulty("a record of a kind that this version does not know")

    def _open(self, record: _Line) -> None:
        if record.format != FORMAT:
            raise _Faulty(f"this version reads format {FORMAT}, the file has {record.format}")
        self.writer = record.writer

    def _vouched(self, record: _Line) -> None:
        """Compare a checkpoint with what stands before it; who signed it matters with keys only."""
        try:
            head = opened(record.note, self._keys) if self._keys else vouched(record.note)
        except BadNote as ex:
            raise _Faulty(str(ex)) from None
        if head.file != plain_name(self._path):
            # The file before this one went bad when its checkpoint was due.
            return
        if (head.n, head.sha256) != (record.n - 1, record.prev):
            raise _Faulty(f"checkpoint {record.n} is not of the records before it")
        if self._keys:
            self._signed = record.n

    def _take_torn(self, line: bytes) -> None:
        """Accept the end of the file only if it looks like the beginning of the next record."""
        if len(line) > LONGEST:
            raise _Faulty("a line is too long to be a record")
        start = b'{"n":%d,"prev":"%b",' % (self._n, self._prev.encode())
        # A disk that lost power may leave zeros where the record should be.
        blank = not line.strip(b"\0")
        if not (blank or line.startswith(start) or start.startswith(line)) or sealed(line[:-1]):
            raise _Faulty("the last line was changed")
        self._torn = len(line)

    def _end(self) -> None:
        if not self._n and not self._torn:
            raise _Faulty("the file is empty")
        if beyond := {n for n in self._watched if n >= self._n}:
            raise _Faulty(f"the file ends before record {max(beyond)}, which is remembered")


def _parsed(line: bytes) -> _Line:
    if not sealed(line):
        raise _Faulty("the line was changed: its checksum is wrong")
    try:
        return _decode(line)
    except (ValueError, RecursionError):
        raise _Faulty("not a record") from None


def _followed(path: Path) -> Head | None:
    """Return the head of an earlier file that a file's first record remembers."""
    if not path.is_file():
        return None
    try:
        return _decode(next(lines(path), b"")).follows
    except (OSError, ValueError, RecursionError):
        return None


def _refuse_copies(walks: Iterable[_Walk]) -> None:
    """A writer has one file: a second one with its name inside is a copy."""
    seen: set[str] = set()
    for walk in walks:
        if walk.writer in seen and not walk.fault:
            walk.fault = Fault(1, "another file has the same writer")
        if walk.writer:
            seen.add(walk.writer)


def _close_across_files(walks: Iterable[_Walk]) -> None:
    """Close the intents whose outcomes went to a later file of the same process."""
    by_writer = {walk.writer: walk for walk in walks}
    for walk in walks:
        for writer, intent in walk.ended_elsewhere:
            if writer in by_writer:
                by_writer[writer].open.discard(intent)
