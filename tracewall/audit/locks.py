"""Who writes a file: the process that made it holds a lock on it for as long as it lives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nobody can tell, so every file counts as written to.
    fcntl = None  # type: ignore[assignment]


def hold(fd: int) -> None:
    """Lock a file that this process has made; a system that has no locks is put up with."""
    if fcntl is not None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return


@contextmanager
def abandoned(path: Path) -> Iterator[int | None]:
    """Take over a file whose writer is gone: its descriptor, or None if it may be written to."""
    if fcntl is None:
        yield None
        return
    fd = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
        else:
            yield fd
    finally:
        os.close(fd)
