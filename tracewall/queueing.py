"""Which judgement each result of a pipeline belongs to."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from functools import partial
from typing import Any

from tracewall.sending import send_or_break
from tracewall.session import Admission

Sending = Generator[Any, Any, None]
"""What psycopg sends by, a generator."""


def even_gen(pipeline: Any, pgconn: Any, sending: Sending) -> Sending:
    """Queue a statement in a pipeline; a connection where only half of that is done is closed.

    A command of which no result is expected would have each later result be another cursor's:
    an alarm of the program's may come anywhere.
    """
    commands, results = pipeline.command_queue, pipeline.result_queue
    before = len(commands) - len(results)
    try:
        yield from sending
    except BaseException:
        if len(commands) - len(results) != before:
            pgconn.finish()
        raise


class Queueing:
    """The part of a guarded cursor that waits for results in a pipeline."""

    _admission: Admission | None
    _shown: Any
    _conn: Any
    _pgconn: Any
    _waiting: deque[tuple[Any, Admission, Any]] | None = None

    def _queued(self) -> None:
        """Note which judgement the statement just queued in the pipeline belongs to."""
        pipeline, admission = self._conn._pipeline, self._admission
        self._make_sure(pipeline)
        if self._waiting is None:
            self._waiting = deque()
        assert admission is not None
        admission.queued = True
        self._waiting.append((pipeline, admission, self._shown))

    def _make_sure(self, pipeline: Any) -> None:
        # A command that fails to leave would shift every later result to another cursor.
        queue = pipeline.command_queue
        queue.append(partial(send_or_break, self._pgconn, queue.pop()))

    def _next_waiting(self) -> Admission | None:
        while self._waiting:
            pipeline, admission, shown = self._waiting.popleft()
            if pipeline is self._conn._pipeline:
                self._admission, self._shown = admission, shown
                return admission
        return None
