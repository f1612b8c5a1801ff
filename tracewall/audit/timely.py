"""A deadline for a log whose disk may hang: its calls run in threads, and are waited for in time.

1. A call that is not through in time is refused, and nothing is sent; what it may still record
   later is ended as ``abandoned``.
2. While a call hangs, further ones are refused at once.
3. An outcome is not waited for by anybody: what outcomes have filled is written in a thread, too.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

from tracewall.audit.failing import LATE
from tracewall.audit.log import FileLog
from tracewall.audit.record import Head
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, Incident, Moment, What, Who
from tracewall.locks import Lock

_MOST_THREADS: Final = 16
"""So many threads wait for one sync of the disk at most, as a log's group commit has it."""

T = TypeVar("T")


class _Call(Generic[T]):
    """A call on its way; ``fate`` is decided once, by who comes first: in time, or late."""

    __slots__ = ("done", "error", "fate", "result", "run")

    def __init__(self, run: Callable[[], T]) -> None:
        self.run = run
        self.fate: dict[str, str] = {}
        self.result: T | None = None
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def is_(self, fate: str) -> bool:
        """Tell whether this is, or becomes now, what it has come to."""
        return self.fate.setdefault("is", fate) == fate


class TimelyLog:
    """An audit log in files that keeps nobody waiting for longer than a deadline.

    Args:
        log: what keeps the record.
        deadline: how long (seconds) a call may take.

    A thread that hangs in the kernel can't be ended; it is left alone, and holds up nothing
    but this log.
    """

    def __init__(self, log: FileLog, deadline: float) -> None:
        self._log, self._deadline = log, deadline
        log.later = self._offer
        self.patience = deadline
        self._begin()
        # At the end of the interpreter, too, nobody waits for longer.
        atexit.unregister(log.close)
        atexit.register(self.close)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._calls: SimpleQueue[_Call[Any]] = SimpleQueue()
        self._running: set[_Call[Any]] = set()
        self._threads = self._idle = 0
        self._late = self._offered = False
        self._lock = Lock()

    def intent(self, who: Who, what: What, moment: Moment | None = None) -> int:
        """Record what is about to be sent; raise `AuditUnavailable` unless it is kept in time."""

        def late(number: int) -> None:
            self._log.outcome(number, Ended(status="abandoned"))

        return self._in_time(lambda: self._log.intent(who, what, moment), late)

    def outcome(self, intent: int, ended: Ended) -> None:
        """Record how the statement of an intent ended; never raises, never waits."""
        self._log.outcome(intent, ended)

    def _offer(self, write: Callable[[], None]) -> None:
        """Have a thread write what is due, unless one is about to."""
        self._mine()
        if self._offered or self._hangs():
            return
        self._offered = True

        def written() -> None:
            self._offered = False
            write()

        self._calls.put(_Call(written))
        self._see_to_threads()

    def incident(self, incident: Incident) -> None:
        """Record anything else; raise `AuditUnavailable` unless it is kept in time."""
        self._in_time(lambda: self._log.incident(incident))

    def flush(self, kept: str = "") -> None:
        """Write everything pending; raise `AuditUnavailable` if it can't be, in time."""
        self._in_time(lambda: self._log.flush(kept))

    def head(self) -> Head:
        """Return the last record written; raise `AuditUnavailable` if there is none in time."""
        return self._in_time(self._log.head)

    def close(self) -> None:
        """End the log; raise `AuditUnavailable` where that fails, or takes too long."""
        atexit.unregister(self.close)
        self._in_time(self._log.close)

    def _mine(self) -> None:
        if self._pid != os.getpid():
            # The child of a fork has none of the threads.
            self._begin()

    def _hangs(self) -> bool:
        return self._late and bool(self._running)

    def _in_time(self, run: Callable[[], T], late: Callable[[T], None] | None = None) -> T:
        self._mine()
        if self._hangs():
            raise AuditUnavailable(LATE)

        def told() -> T:
            result = run()
            if not call.is_("in time") and late is not None:
                late(result)
            return result

        call = _Call(told)
        try:
            self._calls.put(call)
            self._see_to_threads()
            in_time = call.done.acquire(timeout=self._deadline)
        except BaseException:
            # An interrupt: whoever got no number can't tell the end of what has one.
            if call.is_("late"):
                raise
            call.done.acquire()
            if call.error is None and late is not None:
                late(call.result)  # type: ignore[arg-type]  # no error, so there is a result
            raise
        if not in_time and call.is_("late"):
            # It may have come through this very moment.
            self._late = call.done.locked()
            raise AuditUnavailable(LATE)
        if not in_time:
            call.done.acquire()
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[return-value]  # no error, so there is a result

    def _see_to_threads(self) -> None:
        with self._lock:
            if self._calls.qsize() <= self._idle or self._threads >= _MOST_THREADS:
                return
            self._threads += 1
            self._idle += 1
        threading.Thread(
            target=self._work, args=(self._calls,), name="tracewall-audit", daemon=True
        ).start()

    def _work(self, calls: SimpleQueue[_Call[Any]]) -> None:
        while True:
            call = calls.get()
            with self._lock:
                self._idle -= 1
            self._running.add(call)
            try:
                call.result = call.run()
            except BaseException as error:
                # Whoever waits for the call raises it.
                call.error = error
            self._running.discard(call)
            self._late = False
            with self._lock:
                self._idle += 1
            call.done.release()


def opened(make: Callable[[], FileLog], deadline: float) -> TimelyLog:
    """Make a log whose first file is waited for no longer than its calls are (seconds).

    Raises:
        AuditUnavailable: it can't be made, or not in time; it is closed when it is made late.
    """

    def made() -> None:
        try:
            call.result = make()
            if not call.is_("in time"):
                call.result.close()
        except BaseException as error:
            call.error = error
        call.done.release()

    call = _Call(make)
    threading.Thread(target=made, name="tracewall-audit", daemon=True).start()
    if not call.done.acquire(timeout=deadline):
        if call.is_("late"):
            raise AuditUnavailable(
                "the audit log could not be opened within the policy's audit.deadline"
            )
        call.done.acquire()
    if call.error is not None:
        raise call.error
    assert call.result is not None
    return TimelyLog(call.result, deadline)
