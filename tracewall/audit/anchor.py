"""Checkpoints: from time to time the log's end is signed and told to a second place.

1. A checkpoint is a record of the log, right after the record that it vouches for.
2. The same note goes to the anchors, each in a thread of its own, so that no statement waits,
   nor one anchor for another.
3. Where an anchor is behind, it gets the newest note only: it vouches for all before it.
4. An anchor that fails, or hangs, is told to the log, once for each time that it begins to.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from tracewall.audit.notes import Signer, checkpoint
from tracewall.audit.record import Head
from tracewall.locks import RLock

Anchor: TypeAlias = Callable[[str], None]
"""Keeps a note where the log's writers can't change it; whatever it raises is a failure."""


_PATIENCE: Final = 5.0
_HANGS: Final = 60.0


class Checkpoints:
    """Says when a checkpoint is due, signs it, and hands it to the anchors.

    Args:
        signer: who vouches.
        anchors: where notes go.
        records: a checkpoint is due after so many records,
        seconds: or after so many seconds with any record.
    """

    def __init__(
        self,
        signer: Signer,
        anchors: Sequence[Anchor] = (),
        *,
        records: int = 1000,
        seconds: float = 60.0,
    ) -> None:
        self.signer = signer
        self._every, self._seconds = records, seconds
        self._senders = tuple(Sender(anchor) for anchor in anchors)
        self._file, self._last_n, self._last_at = "", -1, 0.0

    def due(self, head: Head, at: float) -> bool:
        """Tell whether records up to `head` are to be vouched for at a time (Unix seconds)."""
        if head.file != self._file:
            self._file, self._last_n, self._last_at = head.file, -1, at
        new = head.n - self._last_n
        old = not 0 <= at - self._last_at < self._seconds
        return new >= self._every or (new > 0 and old)

    def sign(self, head: Head, at: float) -> str:
        """Give the note that vouches for `head`; the next one is counted from here."""
        # Its own record is not worth another checkpoint.
        self._last_n, self._last_at = head.n + 1, at
        return self.signer.note(checkpoint(head, at))

    def tell(self, note: str, failed: Callable[[str], None]) -> None:
        """Hand a note to the anchors; `failed` is called with a word on one that fails."""
        for sender in self._senders:
            sender.send(note, failed)

    def close(self) -> None:
        """Wait a few seconds at most until the newest note is told."""
        until = time.monotonic() + _PATIENCE
        for sender in self._senders:
            sender.close(until - time.monotonic())


class Sender:
    """Tells notes to an anchor in a thread of its own, the newest only."""

    def __init__(self, anchor: Anchor) -> None:
        self._anchor = anchor
        self._failing = self._closed = False
        self._changed = threading.Condition(RLock())
        self._waiting: tuple[str, Callable[[str], None]] | None = None
        self._thread: threading.Thread | None = None
        self._since = 0.0
        self._pid = 0

    def send(self, note: str, failed: Callable[[str], None]) -> None:
        """Let a note be told soon; `failed` is called with a word where that goes wrong."""
        if self._pid != os.getpid():
            # The child of a fork has no thread, and may have copied a lock that is held.
            self._changed, self._thread, self._pid = threading.Condition(RLock()), None, os.getpid()
            self._since = 0.0
        with self._changed:
            self._waiting = note, failed
            self._changed.notify()
            hangs = bool(self._since) and time.monotonic() - self._since > _HANGS
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="tracewall-anchor", daemon=True
                )
                self._thread.start()
        if hangs and not self._failing:
            self._failing = True
            # By another thread: whoever sends may hold what the log is written under.
            word = "an anchor does not answer"
            threading.Thread(target=failed, args=(word,), daemon=True).start()

    def close(self, patience: float) -> None:
        """Wait so many seconds at most until nothing waits."""
        if self._pid != os.getpid():
            return
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is None and not self._since, patience)
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._closed)
                if self._waiting is None:
                    return
                (note, failed), self._waiting = self._waiting, None
                self._since = time.monotonic()
            self._tell(note, failed)
            with self._changed:
                self._since = 0.0
                self._changed.notify_all()

    def _tell(self, note: str, failed: Callable[[str], None]) -> None:
        try:
            self._anchor(note)
        except BaseException as error:
            # Somebody else's function may raise anything, SystemExit too, which would end the
            # thread; the record goes on without it.
            if not self._failing:
                self._failing = True
                failed(f"an anchor does not take checkpoints: {type(error).__name__}")
        else:
            self._failing = False


class FileAnchor:
    """Appends notes to a file, which should be where the log's writers can't cut it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, note: str) -> None:
        """Append a note whole, and bring it to the disk; raises OSError."""
        told = (note + "\n").encode()
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            written = os.write(fd, told)
            if written != len(told):
                # What is torn would spoil the next one, too; another's after it stays.
                end = os.lseek(fd, 0, os.SEEK_CUR)
                if os.fstat(fd).st_size == end:
                    os.ftruncate(fd, end - written)
                raise OSError(errno.ENOSPC, "the note did not fit")
            os.fsync(fd)
        finally:
            os.close(fd)


class HttpAnchor:
    """Posts notes (``text/plain``) to a URL; any answer but 2xx is a failure.

    Args:
        url: where to; no proxy of the environment and no redirect is followed.
        timeout: how long (seconds) it may take in all, once the name is resolved. Where several
            addresses of it have to be tried, each may take that long, and then nothing is sent.
    """

    def __init__(self, url: str, timeout: float = _PATIENCE) -> None:
        self._url, self._timeout = urlsplit(url), timeout

    def __call__(self, note: str) -> None:
        """Post a note."""
        url = self._url
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname or "", url.port, timeout=self._timeout)
        # The timeout of a socket begins anew with each byte that comes.
        late = threading.Event()
        watch = threading.Timer(self._timeout, _hang_up, (connection, late))
        watch.daemon = True
        watch.start()
        try:
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            headers = {"Content-Type": "text/plain; charset=utf-8"}
            connection.connect()
            # Whoever was to hang up while it connected found nothing to hang up.
            _refuse_late(late)
            connection.request("POST", target, note.encode(), headers)
            answer = connection.getresponse()
            answer.read(1024)
        finally:
            watch.cancel()
            connection.close()
        # An answer that is cut off may look like a whole one.
        _refuse_late(late)
        if not 200 <= answer.status < 300:
            raise OSError(f"the anchor answered {answer.status}")


def _refuse_late(late: threading.Event) -> None:
    if late.is_set():
        raise TimeoutError("the anchor did not answer in time")


def _hang_up(connection: http.client.HTTPConnection, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(OSError):
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
