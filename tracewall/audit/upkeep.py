"""What is done beside the writing of a log: in a thread, when a file is begun."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from tracewall.audit.keeping import Keeping, delete, pack, retirable, retirement
from tracewall.audit.notes import Signer
from tracewall.audit.recovery import recover, sweep
from tracewall.events import Incident

Note: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Records something: its kind, and what it says. Raises where it can't be recorded."""

_PATIENCE = 1.0


class Upkeep:
    """Ends dead processes' logs, packs what is closed, and deletes what is old.

    Args:
        directory: where the files are.
        keeping: how long they stay.
        signer: signs the end of what is recovered.
        clock: Unix time in seconds.
        note: records what was done.
    """

    def __init__(
        self,
        directory: Path,
        keeping: Keeping,
        signer: Signer | None,
        clock: Callable[[], float],
        note: Note,
    ) -> None:
        self._directory, self._keeping = directory, keeping
        self._signer, self._clock, self._note = signer, clock, note
        self._thread: threading.Thread | None = None
        self._told: set[str] = set()
        self._pid = 0

    def begin(self, own: str, patience: float = _PATIENCE) -> None:
        """Look after the directory; wait for it so many seconds at most.

        Args:
            own: the name of the file that this process writes.
            patience: seconds.
        """
        running = self._thread if self._pid == os.getpid() else None
        if running is None or not running.is_alive():
            self._pid = os.getpid()
            self._thread = running = threading.Thread(
                target=self._run, args=(own,), name="tracewall-audit-upkeep", daemon=True
            )
            running.start()
        # What the thread itself records may begin a file.
        if running is not threading.current_thread():
            running.join(patience)

    def end(self) -> None:
        """Wait a little for what is under way."""
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(_PATIENCE)

    def _run(self, own: str) -> None:
        # What fails today is tried again when the next file begins.
        with contextlib.suppress(Exception):
            self._recover(own)
        with contextlib.suppress(Exception):
            sweep(self._directory, at=self._clock())
        with contextlib.suppress(Exception):
            if self._keeping.pack:
                pack(self._directory, own, self._keeping.compression)
        with contextlib.suppress(Exception):
            self._retire(own)

    def _recover(self, own: str) -> None:
        at = self._clock()
        for name in recover(self._directory, own=own, at=at, signer=self._signer):
            if name not in self._told:
                self._told.add(name)
                detail = f"the file {name} of the audit log does not verify; it is left as it is"
                self._fault(detail)

    def _retire(self, own: str) -> None:
        chosen = retirable(self._directory, self._keeping, self._clock(), own)
        if not chosen:
            return
        self._note("retired", retirement(chosen))
        for name in delete(chosen):
            detail = f"the file {name} of the audit log is retired and could not be deleted"
            self._fault(detail)

    def _fault(self, detail: str) -> None:
        self._note("incident", {"incident": Incident(kind="audit_fault", detail=detail)})
