"""Ships recordings to a URL: from the folder where they are made, in a thread of its own.

1. Only what nobody writes to any more is shipped, whichever process wrote it: so what a dead one
   has left goes at the next start.
2. Of the processes that share a folder one ships at a time, who has its lock.
3. No statement waits for it. Where a place is out of reach it is tried again, later and later.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from tracewall.locks import Lock
from tracewall.recording.folder import Folder
from tracewall.recording.remote import Remote, RemoteUnavailable
from tracewall.recording.store import Entry

LOOK: Final = 30.0
"""How long (seconds) until it is looked for recordings of processes that have died."""

_FIRST: Final = 1.0
_LONGEST: Final = 300.0
_TOLD: Final = 1000
# So many in a row: the place is at fault, and not a recording.
_ENOUGH: Final = 3


def ship(folder: Folder, remote: Remote, to: str, entry: Entry, *, remove: bool) -> str:
    """Bring a recording to a URL; say what has arrived, nothing where it had already.

    It is deleted here after that if wanted, and if it is not on hold.

    Args:
        folder: where it is.
        remote: where it goes.
        to: the URL, of which only a digest is written down.
        entry: the recording; nobody may write to it any more.
        remove: whether it is deleted here.

    Raises:
        OSError: it did not arrive whole, or it can't be deleted here.
    """
    place = hashlib.sha256(to.encode()).hexdigest()[:16]
    held = " held" if entry.held else ""
    told, before = "", folder.shipped(entry)
    if not before.startswith(f"{place} "):
        found, new = remote.take(folder, entry)
        before = f"{place} {found.size} {found.sha256}"
        folder.mark_shipped(entry, before + held)
        told = f"{found.size} bytes, SHA-256 {found.sha256}" if new else ""
    elif held and not before.endswith(held):
        # It was held here after it had gone.
        remote.hold(entry, "on hold where it came from")
        folder.mark_shipped(entry, before + held)
    if remove and not entry.held:
        folder.remove(entry)
    return told


class Shipper:
    """Ships what is in a folder, from the time it is started until it is closed.

    Args:
        folder: where recordings are made.
        url: where they go.
        remove: whether what has arrived is deleted here.
        most: how many bytes may wait before nothing more may be recorded (0: no limit).
        tell: is told what has arrived and what has not: its kind, and one sentence.
        opened: opens the URL.
    """

    def __init__(
        self,
        folder: Folder,
        url: str,
        *,
        remove: bool = False,
        most: int = 0,
        tell: Callable[[str, str], None],
        opened: Callable[[str], Remote] = Remote,
    ) -> None:
        self._folder, self._url, self._remove, self._most = folder, url, remove, most
        self._record, self._opened = tell, opened
        self._remote: Remote | None = None
        self._waiting = 0
        self._done: set[tuple[str, bool]] = set()
        self._troubled: set[str] = set()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._lock = Lock()
        self._thread: threading.Thread | None = None
        self._process = 0

    def start(self) -> None:
        """Begin to ship; in a child of the process that began it, begin again."""
        with self._lock:
            if self._process == os.getpid() or self._closing.is_set():
                return
            self._process, self._remote = os.getpid(), None
            self._thread = threading.Thread(target=self._run, name="tracewall-shipper", daemon=True)
            self._thread.start()

    @property
    def overdue(self) -> bool:
        """True where more waits than may."""
        return 0 < self._most < self._waiting

    def wake(self, size: int = 0) -> None:
        """Say that another recording is closed, of so many bytes."""
        self._waiting += size
        self.start()
        self._wake.set()

    def close(self, patience: float = 5.0) -> None:
        """Ship what there is, for so long (seconds) at most; the rest goes at the next start."""
        self._closing.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and self._process == os.getpid():
            thread.join(patience)

    def _run(self) -> None:
        pause = _FIRST
        while True:
            last, began = self._closing.is_set(), time.monotonic()
            self._wake.clear()
            done = self.run_once()
            if last:
                return
            if done:
                pause = _FIRST
                self._wake.wait(LOOK)
                # However often recordings are closed, a tenth of the time is for looking.
                self._closing.wait(max(_FIRST, 9 * (time.monotonic() - began)))
            else:
                # Processes that lost the same place don't come back to it at once.
                self._closing.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311  # no secret, but a pause
                pause = min(pause * 2, _LONGEST)

    def run_once(self) -> bool:
        """Ship what is there; false where it has to be tried again."""
        with contextlib.suppress(OSError), self._folder.locked() as alone:
            return not alone or self._round()
        return False

    def _round(self) -> bool:
        failed, waiting, done = 0, 0, set[tuple[str, bool]]()
        for entry in self._folder.entries():
            if entry.open or not entry.size:
                continue
            name = (f"{entry.rule}/{entry.id}", entry.held)
            if name in self._done:
                done.add(name)
            elif failed < _ENOUGH and self._ship(entry):
                done.add(name)
                failed = 0
            else:
                failed, waiting = failed + 1, waiting + entry.size
        self._done, self._waiting = done, waiting
        return not waiting

    def _ship(self, entry: Entry) -> bool:
        name = f"{entry.rule}/{entry.id}"
        try:
            if self._remote is None:
                self._remote = self._opened(self._url)
            told = ship(self._folder, self._remote, self._url, entry, remove=self._remove)
        except (OSError, RemoteUnavailable) as error:
            self._remote = None
            if name not in self._troubled and len(self._troubled) < _TOLD:
                self._troubled.add(name)
                why = getattr(error, "strerror", "") or type(error).__name__
                self._tell("recording_unshipped", f"{name}: {why}")
            return False
        self._troubled.discard(name)
        if told:
            self._tell("recording_shipped", f"{name}: {told}")
        return True

    def _tell(self, kind: str, detail: str) -> None:
        # Where the record can't be kept statements are refused; nobody waits for this thread.
        with contextlib.suppress(Exception):
            self._record(kind, detail)
