"""How long the record is kept: old files are packed, and deleted when their time has come.

1. A file is retired whole, the oldest first, and only when nobody writes to it.
2. Before a file is deleted, the log records its head and up to when everything is retired,
   so that verification can tell a retired file from one that somebody took away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tracewall.audit.locks import abandoned, ordinary
from tracewall.audit.packing import PACKED, SUFFIXES, Compression, writer
from tracewall.audit.record import SUFFIX, Head, digest, files, lines, plain_name


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """When files end and how long they stay; 0 means no limit.

    A file ends after ``rotate_bytes`` or ``rotate_seconds``, and is packed by ``compression``
    where ``pack`` is set. Files are deleted ``keep_seconds`` after their last record, and the
    oldest ones while there are more than ``keep_bytes`` of them.
    """

    rotate_bytes: int = 0
    rotate_seconds: float = 0.0
    keep_seconds: float = 0.0
    keep_bytes: int = 0
    pack: bool = False
    compression: Compression = "gzip"

    def ends(self, size: int, age: float) -> bool:
        """Tell whether a file of that size (bytes) and age (seconds) is to end."""
        large = bool(self.rotate_bytes) and size >= self.rotate_bytes
        return large or (bool(self.rotate_seconds) and not 0 <= age < self.rotate_seconds)


def pack(directory: Path, own: str, compression: Compression = "gzip") -> None:
    """Pack the files that nobody writes to any more.

    Raises:
        OSError: one can't be read or written; the plain one is still there.
    """
    for path in files(directory):
        if path.name.endswith(SUFFIX) and path.name != own:
            with abandoned(path) as fd:
                if fd is not None:
                    _pack(path, fd, compression)


def _pack(path: Path, plain: int, compression: Compression) -> None:
    packed = path.with_name(path.name + SUFFIXES[compression])
    draft = packed.with_name(f"{packed.name}.draft")
    before = os.fstat(plain)
    # Made anew, for what has that name may be a link to another file.
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "wb") as raw:
        with (
            open(plain, "rb", closefd=False) as source,
            writer(compression, raw) as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
        raw.flush()
        os.fsync(raw.fileno())
        os.utime(raw.fileno(), ns=(before.st_atime_ns, before.st_mtime_ns))
    draft.replace(packed)
    path.unlink()


def retirable(directory: Path, keeping: Keeping, now: float, own: str) -> list[Path]:
    """List the files whose time has come at `now` (Unix seconds), oldest first."""
    found = [(path, path.lstat()) for path in files(directory) if ordinary(path)]
    total, chosen = sum(state.st_size for _, state in found), []
    for path, state in found:
        old = keeping.keep_seconds and now - state.st_mtime >= keeping.keep_seconds
        many = keeping.keep_bytes and total > keeping.keep_bytes
        if plain_name(path) == own or not (old or many) or not _is_free(path):
            # Whole files from the oldest on: "everything before" must be true.
            break
        chosen.append(path)
        total -= state.st_size
    return chosen


def retirement(chosen: list[Path]) -> dict[str, Any]:
    """Give what the log records of files that will be deleted.

    ``before`` is the beginning of a name: every file whose name comes before it may be gone.
    """
    last = plain_name(chosen[-1])
    heads = [head for path in chosen[-_TOLD:] if (head := _head(path))]
    return {"before": f"{last}~", "files": len(chosen), "heads": heads}


_TOLD = 64


def delete(chosen: list[Path]) -> Iterator[str]:
    """Delete files; give the names of those that could not be."""
    for path in chosen:
        try:
            path.unlink()
        except OSError:
            yield plain_name(path)


def _head(path: Path) -> Head | None:
    n, last = -1, b""
    with contextlib.suppress(OSError):
        for line in lines(path):
            if line.endswith(b"\n"):
                n, last = n + 1, line[:-1]
    if n < 0:
        return None
    return Head(file=plain_name(path), n=n, sha256=digest(last).decode())


def _is_free(path: Path) -> bool:
    if path.suffix in PACKED:
        return True
    with abandoned(path) as fd:
        return fd is not None
