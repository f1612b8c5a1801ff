"""What a process that died has left: its log is ended in its place, and in its name.

1. Only a file that nobody holds, and that verifies, is touched; a faulty one is evidence.
2. A torn record at its end is cut off, and told by its length and hash.
3. Intents without an outcome get ``unknown``: nobody can say whether they were carried out.
4. Then the file is closed, with a checkpoint where there is a key.
5. A file that had not got its name yet tells nothing, and is deleted once it is old.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tracewall.audit.locks import abandoned, ordinary, still_named
from tracewall.audit.notes import Signer, checkpoint
from tracewall.audit.record import SUFFIX, UNNAMED, Head, body, digest, files, plain_name, seal
from tracewall.audit.verify import FileReport, check
from tracewall.events import Ended

_YOUNG: Final = 60.0
"""How long (seconds) a file without a name is left alone: its maker may not have its lock yet."""


def recover(directory: Path, *, own: str, at: float, signer: Signer | None = None) -> Iterator[str]:
    """End the logs of dead processes in a directory; give the names of faulty ones.

    Args:
        directory: where the files are.
        own: the name of the file that this process writes.
        at: the time that the records get (Unix seconds).
        signer: signs the end.

    Raises:
        OSError: a file can't be read or written.
    """
    named = [path for path in files(directory) if path.name.endswith(SUFFIX) and path.name != own]
    plain = [path for path in named if ordinary(path)]
    yield from (plain_name(path) for path in named if not ordinary(path))
    for path in plain:
        if _is_closed(path):
            continue
        with abandoned(path) as fd:
            if fd is None:
                continue
            (report, *_) = _reports(path, plain)
            if report.fault is not None:
                yield plain_name(path)
            elif not report.closed and report.head is not None and still_named(fd, path):
                _end(fd, report, at, signer)


def sweep(directory: Path, *, at: float) -> None:
    """Delete what processes have left that died before the first file of theirs had its name.

    Args:
        directory: where the files are.
        at: the time (Unix seconds).

    Raises:
        OSError: the directory can't be read.
    """
    for path in directory.iterdir():
        if UNNAMED.fullmatch(path.name):
            with abandoned(path) as fd, contextlib.suppress(OSError):
                if fd is not None and at - os.fstat(fd).st_mtime > _YOUNG and still_named(fd, path):
                    path.unlink()


def _end(fd: int, report: FileReport, at: float, signer: Signer | None) -> None:
    size = os.fstat(fd).st_size
    torn = os.pread(fd, report.torn, size - report.torn) if report.torn else b""
    head = report.head
    assert head is not None, "an empty file has no torn record to speak of"
    told: dict[str, object] = {"torn": len(torn)} if torn else {}
    if torn:
        told["sha256"] = digest(torn).decode()
    lines = ending(head, report.open_intents, at, signer, told)
    os.ftruncate(fd, size - len(torn))
    os.write(fd, lines)


def ending(
    head: Head,
    open_intents: Iterable[int],
    at: float,
    signer: Signer | None,
    torn: Mapping[str, object] = MappingProxyType({}),
) -> bytes:
    """Give the lines that end a log in place of its process; `torn` is told of it."""
    unknown = Ended(status="unknown")
    said = [body("recovered", torn)]
    said += [body("outcome", {"intent": n, "ended": unknown}) for n in open_intents]
    lines, prev = seal(head.n + 1, head.sha256.encode(), ((at, each) for each in said))
    last, n = b"", head.n + 1 + len(said)
    if signer is not None:
        note = signer.note(checkpoint(Head(file=head.file, n=n - 1, sha256=prev.decode()), at))
        last, prev = seal(n, prev, [(at, body("checkpoint", {"note": note}))])
        n += 1
    closed, _ = seal(n, prev, [(at, body("closed", {}))])
    return lines + last + closed


def _reports(path: Path, others: Iterable[Path]) -> list[FileReport]:
    """Verify a file, with those of the same process: an outcome may be in a later one."""
    process = path.name.split("-")[1:2]
    kin = [other for other in others if other.name.split("-")[1:2] == process and other != path]
    return [report for report in check([path, *kin]).files if report.file == plain_name(path)]


def _is_closed(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 200))
            return b'"kind":"closed","crc":"' in stream.read().rsplit(b"\n", 2)[-2:][0]
    except OSError:
        # Another user's: what one can't read must not keep the others from being ended.
        return True
