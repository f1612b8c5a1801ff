"""Locks on files, which end with the process that holds them; Windows has none."""

from __future__ import annotations

from typing import Final

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]  # the module or nothing

AVAILABLE: Final = fcntl is not None
"""False where nobody can tell whether a process holds a file, because none can hold one."""


def hold(fd: int) -> bool:
    """Lock an open file for this process and its children; false: that can't be had."""
    return AVAILABLE and _taken(fd, fcntl.LOCK_EX)


def is_held(fd: int) -> bool:
    """Tell whether somebody else holds a file; what can't be asked counts as held.

    Args:
        fd: the file, opened to ask this alone: a lock that came with it would be given back.
    """
    if not AVAILABLE:
        return False
    if not _taken(fd, fcntl.LOCK_SH):
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def hold_alone(fd: int) -> bool:
    """Lock an open file for this process, and for no child of it; false: that can't be had."""
    if not AVAILABLE:
        return False
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _taken(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
