"""Checkpoints: from time to time the log's end is signed and told to a second place.

1. A checkpoint is a record of the log, right after the record that it vouches for.
2. The same note goes to the anchors, in a thread of its own, so that no statement waits.
3. Where anchors are behind, they get the newest note only: it vouches for all before it.
4. An anchor that fails is told to the log, once for each time that it begins to fail.
"""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from tracewall.audit.notes import Signer, checkpoint
from tracewall.audit.record import Head

Anchor: TypeAlias = Callable[[str], None]
"""Keeps a note where the log's writers can't change it; whatever it raises is a failure."""

_PATIENCE: Final = 5.0


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
        self._sender = Sender(anchors)
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
        self._sender.send(note, failed)

    def close(self) -> None:
        """Wait a few seconds at most until the newest note is told."""
        self._sender.close()


class Sender:
    """Tells notes to anchors in a thread of its own, the newest only."""

    def __init__(self, anchors: Sequence[Anchor]) -> None:
        self._anchors = tuple(anchors)
        self._failing: set[Anchor] = set()
        self._changed = threading.Condition()
        self._waiting: tuple[str, Callable[[str], None]] | None = None
        self._thread: threading.Thread | None = None
        self._busy = self._closed = False
        self._pid = 0

    def send(self, note: str, failed: Callable[[str], None]) -> None:
        """Let a note be told soon."""
        if not self._anchors:
            return
        if self._pid != os.getpid():
            # The child of a fork has no thread, and may have copied a lock that is held.
            self._changed, self._thread, self._pid = threading.Condition(), None, os.getpid()
            self._busy = False
        with self._changed:
            self._waiting = note, failed
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="tracewall-anchor", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Wait a few seconds at most until nothing waits."""
        if self._pid != os.getpid():
            return
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is None and not self._busy, _PATIENCE)
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._closed)
                if self._waiting is None:
                    return
                (note, failed), self._waiting = self._waiting, None
                self._busy = True
            for anchor in self._anchors:
                self._tell(anchor, note, failed)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _tell(self, anchor: Anchor, note: str, failed: Callable[[str], None]) -> None:
        try:
            anchor(note)
        except Exception as error:
            if anchor not in self._failing:
                self._failing.add(anchor)
                failed(f"an anchor does not take checkpoints: {type(error).__name__}")
        else:
            self._failing.discard(anchor)


class FileAnchor:
    """Appends notes to a file, which should be where the log's writers can't cut it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, note: str) -> None:
        """Append a note, and bring it to the disk."""
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, (note + "\n").encode())
            os.fsync(fd)
        finally:
            os.close(fd)


class HttpAnchor:
    """Posts notes (``text/plain``) to a URL; any answer but 2xx is a failure."""

    def __init__(self, url: str, timeout: float = _PATIENCE) -> None:
        self._url, self._timeout = url, timeout
        # No proxy from the environment, and no redirect to somewhere else.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def __call__(self, note: str) -> None:
        """Post a note."""
        request = urllib.request.Request(  # noqa: S310 (the policy's loader takes https only)
            self._url,
            data=note.encode(),
            headers={"Content-Type": "text/plain; charset=utf-8"},
            method="POST",
        )
        with self._opener.open(request, timeout=self._timeout) as answer:
            answer.read(1024)
