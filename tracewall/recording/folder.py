"""Recordings in a folder: one file each, in one folder for each rule."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from tracewall.filelocks import AVAILABLE, hold, hold_alone, is_held
from tracewall.recording.store import HOLD, SUFFIXES, Entry, id_of

NEW: Final = ".new"
"""How a file ends that is being made."""

SHIPPED: Final = ".shipped"
"""How the file beside a recording ends that tells that it has arrived elsewhere."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+")
_LONGEST_NOTE: Final = 4096
# Neither a link is followed nor a pipe waited for.
_READ: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class FileSink:
    """One new file, open for appending by this process alone."""

    __slots__ = ("_fd",)

    def __init__(self, path: Path) -> None:
        """Create the file with mode 0600.

        It gets its name when it is locked: no one who looks for files that nobody writes to
        may find it before.

        Raises:
            OSError: it can't be made.
        """
        unnamed = path.with_name(f"{path.name}{NEW}")
        self._fd = os.open(unnamed, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        hold(self._fd)
        try:
            unnamed.rename(path)
        except OSError:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        """Add `data`.

        Raises:
            OSError: it was not added whole.
        """
        if self._fd < 0:
            raise OSError(errno.EBADF, "the recording is closed")
        if os.fstat(self._fd).st_nlink == 0:
            raise OSError(errno.ENOENT, "the recording was removed")
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Let the file go."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class Folder:
    """Recordings below one directory, which is made with mode 0700 if it is missing.

    A rule's own directory is none where it is a link: what it leads to is not written, shown
    or deleted here.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)

    @property
    def lockable(self) -> bool:
        """True where it can be told whether a process still writes to a file."""
        return AVAILABLE

    def create(self, rule: str, session: str, *, sealed: bool) -> tuple[str, FileSink]:
        """Begin a recording, and give its id.

        Raises:
            OSError: it can't be made.
        """
        home = self.directory / rule
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if home.is_symlink():
            raise OSError(errno.ELOOP, "the rule's directory is a link")
        for path in (self.directory, home):
            mode = path.stat().st_mode
            if os.name == "posix" and mode & 0o002 and not mode & 0o1000:
                raise OSError(errno.EPERM, "everybody may change the directory")
        now = time.time()
        begun = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}.{int(now % 1 * 1e6):06}Z"
        id = f"{begun}-{session[:8]}-{secrets.token_hex(4)}"
        return id, FileSink(home / f"{id}{SUFFIXES[sealed]}")

    def discard(self, rule: str, id: str, *, sealed: bool) -> None:
        """Delete a recording that could not be begun: it tells nothing."""
        with contextlib.suppress(OSError):
            (self.directory / rule / f"{id}{SUFFIXES[sealed]}").unlink()

    def entries(self) -> Iterator[Entry]:
        """Yield what there is, oldest first.

        Raises:
            OSError: the directory can't be read.
        """
        homes = self._homes()
        found = [path for home in homes for path in home.iterdir() if _is_named(path.name)]
        for path in sorted(found, key=lambda path: path.name):
            # It may have been deleted in the meantime.
            with contextlib.suppress(FileNotFoundError):
                state = path.lstat()
                # A pipe of that name would be waited for, a link leads elsewhere.
                if stat.S_ISREG(state.st_mode):
                    yield self._entry(path, state)

    def _homes(self) -> list[Path]:
        if not self.directory.exists():
            return []
        return [path for path in self.directory.iterdir() if _is_home(path)]

    def sweep(self, before: float) -> None:
        """Delete what dead processes left half done before a moment (Unix seconds)."""
        for path in (path for home in self._homes() for path in home.glob(f"*{NEW}")):
            with contextlib.suppress(FileNotFoundError):
                state = path.lstat()
                if state.st_mtime < before and not stat.S_ISDIR(state.st_mode):
                    path.unlink()

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Keep other processes from shipping; false where one does already.

        Raises:
            OSError: nobody can have the lock here.
        """
        if not AVAILABLE:
            raise OSError(errno.ENOSYS, "files can't be locked here")
        if not self.directory.exists():
            yield False
            return
        fd = os.open(self.directory / ".shipping", _READ | os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield hold_alone(fd)
        finally:
            os.close(fd)

    def _entry(self, path: Path, state: os.stat_result) -> Entry:
        id = id_of(path.name)
        held = os.path.lexists(path.parent / f"{id}{HOLD}")
        rule, size, changed = path.parent.name, state.st_size, state.st_mtime
        return Entry(id, rule, path.name, size, changed, held, _is_open(path))

    def open(self, entry: Entry) -> IO[bytes]:
        """Open a recording to read it."""
        fd = os.open(self._path(entry), _READ)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "this is no file")
        return os.fdopen(fd, "rb")

    def remove(self, entry: Entry) -> None:
        """Delete a recording.

        Raises:
            OSError: it is on hold, or can't be deleted.
        """
        if os.path.lexists(self._beside(entry, HOLD)):
            raise PermissionError(errno.EPERM, "it is on hold")
        self._path(entry).unlink()
        self._beside(entry, SHIPPED).unlink(missing_ok=True)

    def hold(self, entry: Entry, why: str) -> None:
        """Keep a recording from being pruned."""
        with contextlib.suppress(FileExistsError):
            _create(self._beside(entry, HOLD), why)

    def release(self, entry: Entry) -> None:
        """Take that back."""
        self._beside(entry, HOLD).unlink(missing_ok=True)

    def shipped(self, entry: Entry) -> str:
        """Give what was written down when a recording had arrived elsewhere; empty: it has not."""
        try:
            fd = os.open(self._beside(entry, SHIPPED), _READ)
        except FileNotFoundError:
            return ""
        with os.fdopen(fd, encoding="utf-8", errors="replace") as stream:
            return stream.read(_LONGEST_NOTE)

    def mark_shipped(self, entry: Entry, told: str) -> None:
        """Write down that a recording has arrived elsewhere."""
        path = self._beside(entry, SHIPPED)
        path.unlink(missing_ok=True)
        _create(path, told)

    def _beside(self, entry: Entry, suffix: str) -> Path:
        path = self._path(entry)
        return path.with_name(f"{id_of(path.name)}{suffix}")

    def _path(self, entry: Entry) -> Path:
        home = self.directory / entry.rule
        if not _PLAIN.fullmatch(entry.rule) or not _is_named(entry.file) or not _is_home(home):
            raise FileNotFoundError(errno.ENOENT, "no such recording")
        return home / entry.file


def _create(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as stream:
        stream.write(text)


def _is_home(path: Path) -> bool:
    """Tell whether a path is a rule's directory."""
    plain = _PLAIN.fullmatch(path.name) and path.name not in (".", "..")
    return bool(plain) and path.is_dir() and not path.is_symlink()


def _is_named(file: str) -> bool:
    """Tell whether a file is called as a recording is."""
    return file.endswith(SUFFIXES) and bool(_PLAIN.fullmatch(file))


def _is_open(path: Path) -> bool:
    """Tell whether a process still holds a file's lock; what can't be asked counts as open."""
    if not AVAILABLE:  # Nobody can tell, so every file counts as closed.
        return False
    try:
        fd = os.open(path, _READ)
    except FileNotFoundError:
        raise
    except OSError:
        return True
    try:
        return is_held(fd)
    finally:
        os.close(fd)
