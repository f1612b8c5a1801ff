"""Files whose writers are gone: a process holds a lock on the file it writes while it lives.

Others may be able to put names into the directory of a log. So nothing is followed there,
and nothing touched but plain files of this user's own that have no second name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracewall.filelocks import AVAILABLE, hold


@contextmanager
def abandoned(path: Path) -> Iterator[int | None]:
    """Take over a file whose writer is gone: its descriptor, or None if it may be written to."""
    if not AVAILABLE:  # Nobody can tell, so every file counts as written to.
        yield None
        return
    try:
        # A pipe of that name must not be waited for.
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield None
        return
    try:
        yield fd if _is_own(fd) and hold(fd) else None
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
