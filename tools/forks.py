"""Work in processes forked from this one, and how each of them ends."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable


class Pool:
    """Processes forked from this one, at most so many at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: dict[int, tuple[int, float, Callable[[str, str], None]]] = {}

    def start(
        self, work: Callable[[], str | None], seconds: float, done: Callable[[str, str], None]
    ) -> None:
        """Run `work` in a fork as soon as there is room; `done` gets verdict and the killer."""
        while len(self._running) >= self._most:
            self._look()
        end, mouth = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(end)
            _child(work, mouth)
        os.close(mouth)
        self._running[pid] = (end, time.monotonic() + seconds, done)

    def finish(self) -> None:
        """Wait for those that still run."""
        while self._running:
            self._look()

    def _look(self) -> None:
        time.sleep(0.004)
        for pid, (end, deadline, done) in list(self._running.items()):
            over = time.monotonic() > deadline
            if over:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            found, status = os.waitpid(pid, 0 if over else os.WNOHANG)
            if not found:
                continue
            del self._running[pid]
            with os.fdopen(end, "rb") as pipe:
                killer = pipe.read().decode()
            well = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
            done("slow" if over else "survived" if well else "killed", killer)


def _child(work: Callable[[], str | None], mouth: int) -> None:
    os.setpgid(0, 0)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    code = 1
    # Whatever the mutant does, this process ends here.
    with contextlib.suppress(BaseException):
        killer = work()
        os.write(mouth, (killer or "").encode())
        code = 1 if killer else 0
    os._exit(code)
