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

from tracewall.recording.store import HOLD, SUFFIXES, Entry

try:
    import fcntl
except ImportError:  # Windows: nobody can tell, so every file counts as closed.
    fcntl = None  # type: ignore[assignment]  # the module or nothing

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+")


class FileSink:
    """One new file, open for appending by this process alone."""

    __slots__ = ("_fd",)

    def __init__(self, path: Path) -> None:
        """Create the file with mode 0600.

        Raises:
            OSError: it is there already, or can't be made.
        """
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

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

    Raises:
        OSError: everybody may remove files in the directory.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)

    def create(self, rule: str, session: str, *, sealed: bool) -> tuple[str, FileSink]:
        """Begin a recording, and give its id.

        Raises:
            OSError: it can't be made.
        """
        home = self.directory / rule
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
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
        found = [path for suffix in SUFFIXES for path in self.directory.glob(f"*/*{suffix}")]
        for path in sorted(found, key=lambda path: path.name):
            state = path.lstat()
            if not stat.S_ISREG(state.st_mode):
                # A pipe of that name would be waited for, a link leads elsewhere.
                continue
            id = path.name.partition(".jsonl")[0]
            held = (path.parent / f"{id}{HOLD}").exists()
            yield Entry(
                id, path.parent.name, path.name, state.st_size, state.st_mtime, held, _is_open(path)
            )

    def open(self, entry: Entry) -> IO[bytes]:
        """Open a recording to read it."""
        return self._path(entry).open("rb")

    def remove(self, entry: Entry) -> None:
        """Delete a recording."""
        self._path(entry).unlink()

    def hold(self, entry: Entry, why: str) -> None:
        """Keep a recording from being pruned."""
        path = self._path(entry).parent / f"{entry.id}{HOLD}"
        with contextlib.suppress(FileExistsError):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as stream:
                stream.write(why)

    def release(self, entry: Entry) -> None:
        """Take that back."""
        (self._path(entry).parent / f"{entry.id}{HOLD}").unlink(missing_ok=True)

    def _path(self, entry: Entry) -> Path:
        for part in (entry.rule, entry.file):
            if not _PLAIN.fullmatch(part) or part in (".", ".."):
                raise FileNotFoundError(errno.ENOENT, "no such recording", part)
        return self.directory / entry.rule / entry.file


def _is_open(path: Path) -> bool:
    """Tell whether a process still holds a file's lock."""
    if fcntl is None:
        return False
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
