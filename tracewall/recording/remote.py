"""Recordings at a URL (s3://, gs://, az://, sftp://, ...), by fsspec.

Objects there can't grow, so recordings are made in a folder and shipped when they are closed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import IO, Any

from tracewall.recording.store import HOLD, SUFFIXES, Entry, Store


class RemoteUnavailable(Exception):
    """What the URL needs is not installed, or there is no such place."""


class Remote:
    """Recordings below a URL.

    Raises:
        RemoteUnavailable: what the URL needs is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            message = 'URLs need fsspec: pip install "pgtracewall[fsspec]"'
            raise RemoteUnavailable(message) from None
        try:
            found: tuple[Any, str] = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise RemoteUnavailable(str(error)) from None
        self._files, self._root = found

    def entries(self) -> Iterator[Entry]:
        """Yield what there is, oldest first.

        Raises:
            OSError: the store can't be read.
        """
        found: dict[str, Any] = self._files.find(self._root, detail=True)
        names = set(found)
        for path in sorted(found, key=posixpath.basename):
            file = posixpath.basename(path)
            if file.endswith(SUFFIXES):
                id = file.partition(".jsonl")[0]
                home = posixpath.dirname(path)
                held = f"{home}/{id}{HOLD}" in names
                rule = posixpath.basename(home)
                changed = self._changed(path)
                yield Entry(id, rule, file, int(found[path].get("size") or 0), changed, held)

    def _changed(self, path: str) -> float:
        try:
            return float(self._files.modified(path).timestamp())
        except NotImplementedError:
            # Who can't tell how old it is keeps it.
            return float("inf")

    def open(self, entry: Entry) -> IO[bytes]:
        """Open a recording to read it."""
        opened: IO[bytes] = self._files.open(self._path(entry, entry.file), "rb")
        return opened

    def remove(self, entry: Entry) -> None:
        """Delete a recording."""
        self._files.rm_file(self._path(entry, entry.file))

    def hold(self, entry: Entry, why: str) -> None:
        """Keep a recording from being pruned."""
        self._files.pipe_file(self._path(entry, f"{entry.id}{HOLD}"), why.encode())

    def release(self, entry: Entry) -> None:
        """Take that back."""
        if entry.held:
            self._files.rm_file(self._path(entry, f"{entry.id}{HOLD}"))

    def take(self, store: Store, entry: Entry) -> bool:
        """Copy a recording from another store; False: it is here already, as large.

        Raises:
            OSError: it can't be copied, or did not arrive whole.
        """
        path = self._path(entry, entry.file)
        if self._files.exists(path) and self._files.size(path) == entry.size:
            return False
        self._files.makedirs(posixpath.dirname(path), exist_ok=True)
        with store.open(entry) as source:
            data = source.read()
        self._files.pipe_file(path, data)
        if self._files.size(path) != len(data):
            raise OSError(f"{entry.id} did not arrive whole")
        return True

    def _path(self, entry: Entry, file: str) -> str:
        return f"{self._root}/{entry.rule}/{file}"
