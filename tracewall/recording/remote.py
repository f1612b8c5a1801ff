"""Recordings at a URL (s3://, gs://, az://, sftp://, ...), by fsspec.

Objects there can't grow, so recordings are made in a folder and shipped when they are closed.
A recording gets its name there when all of it has arrived and was read back: nobody sees a part
of one. Errors of a store may quote addresses and credentials, so only their class is told.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import posixpath
import re
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import IO, Any, Final, NamedTuple

from tracewall.recording.store import HOLD, SUFFIXES, Entry, Store, id_of

_PART: Final = ".part"
_TRIAL: Final = b"tracewall doctor was here"
_CHUNK: Final = 1 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
# Where there are no directories. Making one would make a bucket of a name that is mistyped.
_FLAT: Final = frozenset(
    ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "r2", "tos", "memory")
)
_CHANGED: Final = ("mtime", "LastModified", "last_modified", "updated")


class RemoteUnavailable(Exception):
    """What the URL needs is not installed, or there is no such place."""


class Sum(NamedTuple):
    """What proves that two copies are alike: how many bytes, and their SHA-256."""

    size: int
    sha256: str


class Remote:
    """Recordings below a URL.

    Raises:
        RemoteUnavailable: what the URL needs is not installed.
        OSError: it is out of reach.
    """

    def __init__(self, url: str) -> None:
        installed(url)
        from fsspec.core import url_to_fs

        with _told():
            found: tuple[Any, str] = url_to_fs(url)
        self._files, self._root = found[0], found[1].rstrip("/")

    def entries(self) -> Iterator[Entry]:
        """Yield what there is, oldest first.

        Raises:
            OSError: the store can't be read.
        """
        found = self._found()
        for path in sorted(found, key=posixpath.basename):
            rule, _, file = path[len(self._root) + 1 :].partition("/")
            if not (_NAME.fullmatch(rule) and _NAME.fullmatch(file) and file.endswith(SUFFIXES)):
                continue
            id = id_of(file)
            held = f"{self._root}/{rule}/{id}{HOLD}" in found
            size = int(found[path].get("size") or 0)
            yield Entry(id, rule, file, size, self._changed(path, found[path]), held)

    def _found(self) -> dict[str, Any]:
        with _told():
            # Others ship and delete, too.
            self._files.invalidate_cache()
            found: dict[str, Any] = self._files.find(self._root, detail=True)
        return found

    def _changed(self, path: str, told: dict[str, Any]) -> float:
        """Tell when an object came (Unix seconds); who can't tell how old it is keeps it."""
        value = next((told[key] for key in _CHANGED if told.get(key)), None)
        # A file system of fsspec's that keeps no times says NotImplementedError.
        with contextlib.suppress(ValueError, NotImplementedError):
            if value is None:
                with _told():
                    value = self._files.modified(path)
            if isinstance(value, str):
                value = datetime.fromisoformat(value)
            return float(value.timestamp() if isinstance(value, datetime) else value)
        return float("inf")

    def open(self, entry: Entry) -> IO[bytes]:
        """Open a recording to read it.

        Raises:
            OSError: it can't be opened; reading from it may raise the same.
        """
        with _told():
            opened: IO[bytes] = self._files.open(self._path(entry, entry.file), "rb")
        return io.BufferedReader(_Stream(opened), _CHUNK)

    def remove(self, entry: Entry) -> None:
        """Delete a recording.

        Raises:
            OSError: it is on hold, or can't be deleted.
        """
        with _told():
            if self._files.exists(self._path(entry, f"{entry.id}{HOLD}")):
                raise PermissionError(errno.EPERM, "it is on hold")
            self._files.rm_file(self._path(entry, entry.file))

    def hold(self, entry: Entry, why: str) -> None:
        """Keep a recording from being pruned."""
        with _told():
            self._files.pipe_file(self._path(entry, f"{entry.id}{HOLD}"), why.encode())

    def release(self, entry: Entry) -> None:
        """Take that back."""
        path = self._path(entry, f"{entry.id}{HOLD}")
        with _told():
            if self._files.exists(path):
                self._files.rm_file(path)

    def sweep(self, before: float) -> None:
        """Delete what was left half done before a moment (Unix seconds)."""
        for path, told in self._found().items():
            if path.endswith(_PART) and self._changed(path, told) < before:
                with _told():
                    self._files.rm_file(path)

    def tried(self) -> tuple[str, str]:
        """Do with a few bytes what is done with a recording, and delete them again.

        Gives what can't be done there (``listed``, ``written``, ``read``, ``renamed`` or
        ``deleted``), and why; both empty: all can. ``missing``: there is no such directory yet.
        """
        if _FLAT.isdisjoint(self._kinds) and not self._is_there():
            return "missing", "it is made with the first recording"
        # What stays behind by an accident is swept, as any part is.
        part, moved = (f"{self._root}/doctor-{secrets.token_hex(8)}{_PART}" for _ in range(2))
        steps: tuple[tuple[str, Callable[[], object]], ...] = (
            ("listed", self._found),
            ("written", lambda: self._files.pipe_file(part, _TRIAL)),
            ("read", lambda: self._same(part)),
            ("renamed", lambda: self._files.mv(part, moved)),
            ("deleted", lambda: self._files.rm_file(moved)),
        )
        for step, do in steps:
            try:
                with _told():
                    do()
            except OSError as error:
                self._forget(part, moved)
                return step, str(error.strerror)
        return "", ""

    def _is_there(self) -> bool:
        with _told():
            return bool(self._files.exists(self._root))

    def _same(self, path: str) -> None:
        if self._files.cat_file(path) != _TRIAL:
            raise OSError(errno.EIO, "it is not what was written")

    def _forget(self, *paths: str) -> None:
        for path in paths:
            with contextlib.suppress(OSError), _told():
                self._files.rm_file(path)

    def take(self, store: Store, entry: Entry) -> tuple[Sum, bool]:
        """Copy a recording from another store: what it is, and whether it was not here before.

        A hold on it comes first, so that it is never here without.

        Raises:
            OSError: it can't be copied, did not arrive whole, or another one has its name.
        """
        path = self._path(entry, entry.file)
        if entry.held:
            self.hold(entry, "on hold where it came from")
        with _told():
            if self._files.exists(path):
                with store.open(entry) as source:
                    found = _sum(source)
                if self._sum(path) != found:
                    raise FileExistsError(errno.EEXIST, "another recording of that name is there")
                return found, False
            self._make_home(posixpath.dirname(path))
            return self._copied(store, entry, path), True

    def _copied(self, store: Store, entry: Entry, path: str) -> Sum:
        part = f"{path}.{secrets.token_hex(4)}{_PART}"
        with store.open(entry) as source, self._files.open(part, "wb") as sink:
            sent = _sum(source, sink)
        if self._sum(part) != sent:
            self._files.rm_file(part)
            raise OSError(errno.EIO, "it did not arrive whole")
        if self._here:
            os.chmod(part, 0o600)
        self._files.mv(part, path)
        if self._files.size(path) != sent.size:
            raise OSError(errno.EIO, "it did not arrive whole")
        return sent

    def _sum(self, path: str) -> Sum:
        with self._files.open(path, "rb") as stream:
            return _sum(stream)

    @property
    def _kinds(self) -> tuple[str, ...]:
        found = self._files.protocol
        return (found,) if isinstance(found, str) else tuple(found)

    @property
    def _here(self) -> bool:
        """True where it is this machine's own files, which have modes."""
        return "file" in self._kinds

    def _make_home(self, home: str) -> None:
        if self._here:
            os.makedirs(home, mode=0o700, exist_ok=True)
        elif _FLAT.isdisjoint(self._kinds):
            self._files.makedirs(home, exist_ok=True)

    def _path(self, entry: Entry, file: str) -> str:
        if not (_NAME.fullmatch(entry.rule) and _NAME.fullmatch(file)):
            raise FileNotFoundError(errno.ENOENT, "no such recording")
        return f"{self._root}/{entry.rule}/{file}"


class _Stream(io.RawIOBase):
    """What a store gives to read, with its failures told as all others are."""

    def __init__(self, opened: IO[bytes]) -> None:
        self._opened = opened

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _told():
            data = self._opened.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            with _told():
                self._opened.close()
        super().close()


def installed(url: str) -> None:
    """Look whether what a URL needs is here; nothing is asked of its place.

    Raises:
        RemoteUnavailable: it is not.
    """
    try:
        import fsspec
    except ImportError:
        message = 'URLs need fsspec: pip install "pgtracewall[fsspec]"'
        raise RemoteUnavailable(message) from None
    try:
        for link in url.split("::"):
            if "://" in link:
                fsspec.get_filesystem_class(link.partition("://")[0])
            else:
                fsspec.get_filesystem_class(link)
    except (ImportError, ValueError) as error:
        raise RemoteUnavailable(str(error)) from None


def _sum(source: IO[bytes], sink: IO[bytes] | None = None) -> Sum:
    """Read to the end, and copy what is read."""
    digest, size = hashlib.sha256(), 0
    while data := source.read(_CHUNK):
        digest.update(data)
        size += len(data)
        if sink is not None:
            sink.write(data)
    return Sum(size, digest.hexdigest())


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Raise whatever a store raises as an `OSError` that quotes nothing."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "it is not there") from None
    except PermissionError as error:
        said = error.strerror if error.errno == errno.EPERM else None
        raise PermissionError(errno.EACCES, said or "that is not permitted there") from None
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else type(error).__name__
        if error.errno in (errno.EEXIST, errno.EIO) and error.strerror:
            said = error.strerror
        raise OSError(error.errno or errno.EIO, said) from None
    except Exception as error:
        raise OSError(errno.EIO, f"the store failed ({type(error).__name__})") from None
