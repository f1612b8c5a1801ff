"""A file that only grows, by whole records, and knows when it can't be trusted any more."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from pathlib import Path
from typing import Final

from tracewall.audit.record import SUFFIX
from tracewall.filelocks import hold
from tracewall.locks import Lock

# Not every system has fdatasync; fsync promises more and costs more.

_SYNC: Final = "fdatasync" if hasattr(os, "fdatasync") else "fsync"


def prepare(directory: Path, *, durable: bool) -> None:
    """Make the directory (mode 0700) if it is not there, and refuse one that everybody may change.

    Raises:
        OSError: it can't be made, or everybody may remove files in it.
    """
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in missing if durable else ():
        sync_directory(path.parent)
    mode = directory.stat().st_mode
    if os.name == "posix" and mode & 0o002 and not mode & 0o1000:
        raise OSError(errno.EPERM, "everybody may change the directory (use one below it)")


def named(now: float) -> str:
    """Name a new file by the time (Unix seconds), this process and chance."""
    # To the microsecond, so that files sort as they were begun.
    started = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}.{int(now % 1 * 1e6):06}Z"
    return f"{started}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"


class AppendedFile:
    """One new file, open for appending by this process alone.

    ``usable`` turns false for good when nobody can tell any more what the file holds:
    it was removed, another hand changed its size, a torn record could not be cut off, or
    the disk failed to sync (after which a second sync may claim success for lost data).
    """

    __slots__ = ("_fd", "_path", "_synced", "_syncing", "name", "size", "usable")

    def __init__(self, directory: Path, now: float) -> None:
        """Create the file with mode 0600, named by `now` (Unix seconds), process and chance.

        It has that name once it is settled: until then nobody takes it for one that was left.
        """
        self.name = named(now)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        self._path = directory / f".{self.name}.new"
        self._fd = os.open(self._path, flags, 0o600)
        hold(self._fd)
        self.size = 0
        self.usable = True
        self._synced = 0
        self._syncing = Lock()

    @property
    def writer(self) -> str:
        """The file's name without its suffix: the id of this writer."""
        return self.name.removesuffix(SUFFIX)

    def append(self, data: bytes) -> None:
        """Add `data` whole or not at all, in one write where the system allows it.

        Raises:
            OSError: it was not added; `usable` tells whether trying again makes sense.
                The same holds for an interrupt (KeyboardInterrupt).
        """
        self._look()
        grown = self.size + len(data)
        try:
            done = os.write(self._fd, data)
            while done < len(data):
                done += _progress(os.write(self._fd, data[done:]))
        except BaseException:
            # An interrupt too: it comes when the system returns from a write that was done.
            self._cut_back()
            raise
        self.size = grown

    def _look(self) -> None:
        """Refuse a file that was removed or that another hand has written to or cut."""
        state = os.fstat(self._fd)
        if state.st_nlink == 0:
            self.usable = False
            raise OSError(errno.ENOENT, "the file was removed")
        if state.st_size != self.size:
            self.usable = False
            raise OSError(errno.EIO, "the file was changed by another hand")

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._fd, self.size)
        except OSError:
            self.usable = False

    def sync(self, mark: int) -> None:
        """Return when the first `mark` bytes are on the disk; one thread syncs for all that wait.

        Raises:
            OSError: they may not be; the file is not `usable` any more.
        """
        with self._syncing:
            if self._synced >= mark:
                return
            if not self.usable:
                raise OSError(errno.EIO, "an earlier sync failed")
            size = self.size
            try:
                getattr(os, _SYNC)(self._fd)
            except OSError:
                self.usable = False
                raise
            self._synced = size

    def close(self) -> None:
        """Let the file go; a sync under way ends first, for its descriptor may be reused."""
        with self._syncing:
            self.let_go()

    def settle(self, *, durable: bool) -> None:
        """Give the file its name, and put that on the disk where it is to be; raises OSError."""
        path = self._path.with_name(self.name)
        self._path.rename(path)
        self._path = path
        if durable:
            sync_directory(path.parent)

    def discard(self) -> None:
        """Close and delete a file that nothing was promised about."""
        self.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def let_go(self) -> None:
        """Close the descriptor without waiting: in a child process nobody opens its locks."""
        self.usable = False
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _progress(written: int) -> int:
    if written <= 0:
        raise OSError(errno.EIO, "nothing was written")
    return written


def sync_directory(directory: Path) -> None:
    """Put the names in a directory on the disk (nothing to do where the system can't)."""
    if os.name != "posix":
        return
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
