"""Who writes a file: the process that made it holds a lock on it for as long as it lives.

Others may be able to put names into the directory of a log. So nothing is followed there,
and nothing touched but plain files of this user's own that have no second name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nobody can tell, so every file counts as written to.
    fcntl = None  # type: ignore[assignment]  # the module or nothing


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
    try:
        # A pipe of that name must not be waited for.
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield None
        return
    try:
        yield fd if _is_own(fd) and _taken(fd) else None
    finally:
        os.close(fd)


def ordinary(path: Path) -> bool:
    """Tell whether a name is a plain file's, and not that of a link, a pipe or a directory."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def still_named(fd: int, path: Path) -> bool:
    """Tell whether a name is still that of an open file."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except OSError:
        return False


def _is_own(fd: int) -> bool:
    state = os.fstat(fd)
    return stat.S_ISREG(state.st_mode) and state.st_nlink == 1 and state.st_uid == os.geteuid()


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
