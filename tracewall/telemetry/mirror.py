"""The audit record, mirrored as OpenTelemetry log records: best effort, never in the way.

1. A record is queued and emitted by a thread of its own, so that no statement waits for a processor
   or an exporter, whatever is set up.
2. Where the queue is full, records are dropped, and the next one says how many.
3. Nothing that goes wrong here reaches a statement; the audit log itself is what is relied on.

Python's API for log records is not declared stable: it is the package ``opentelemetry._logs``,
whose keyword form of ``emit`` is there from 1.38 on.
"""

from __future__ import annotations

import inspect
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from opentelemetry import context
from opentelemetry._logs import Logger, LoggerProvider, SeverityNumber, get_logger
from opentelemetry.context import Context

from tracewall.events import Ended, Incident, Moment, What, Who
from tracewall.locks import RLock
from tracewall.version import __version__

MOST: Final = 10_000
"""How many records wait at most."""


_PATIENCE: Final = 2.0
_QUIET: Final = frozenset({"ok", "unknown"})
_log: Final = logging.getLogger("tracewall.telemetry")


class MirrorUnavailable(Exception):
    """The installed opentelemetry-api is too old for log records."""


class Mirror:
    """Emits what the audit log is told, as log records of the events ``tracewall.audit.*``.

    Args:
        provider: whose logger is used; None: the global one, also if it is set later.

    Raises:
        MirrorUnavailable: opentelemetry-api is older than 1.38.
    """

    def __init__(self, provider: LoggerProvider | None = None) -> None:
        if "event_name" not in inspect.signature(Logger.emit).parameters:
            raise MirrorUnavailable("mirroring the record needs opentelemetry-api 1.38 or later")
        self._provider = provider
        self._logger = get_logger("tracewall", __version__, provider)
        self._waiting: deque[tuple[Context, dict[str, Any]]] = deque()
        self._changed = threading.Condition(RLock())
        self._pid, self._running = 0, False
        self._dropped = 0
        self._busy = self._complained = self._closed = False

    def intent(self, number: int, who: Who, what: What, moment: Moment | None) -> None:
        """Mirror an intent; below the caller's span."""
        told = {"who": _plain(who), "what": _plain(what)}
        if moment is not None:
            told |= _plain(moment)
        attributes: dict[str, Any] = {
            "tracewall.intent": number,
            "tracewall.session": who.session,
            "tracewall.decision": what.decision,
            "tracewall.rule": what.rule,
            "tracewall.policy": what.policy,
            "db.system.name": "postgresql",
            "db.namespace": who.database,
            "db.query.summary": what.summary,
            "db.query.text": what.text,
        }
        self._add("intent", told, attributes, loud=what.decision != "allowed")

    def outcome(self, number: int, ended: Ended) -> None:
        """Mirror an outcome."""
        attributes: dict[str, Any] = {
            "tracewall.intent": number,
            "tracewall.status": ended.status,
            "db.response.status_code": ended.sqlstate,
        }
        told = {"intent": number, "ended": _plain(ended)}
        self._add("outcome", told, attributes, loud=ended.status not in _QUIET)

    def incident(self, incident: Incident) -> None:
        """Mirror an incident."""
        session = incident.who.session if incident.who else ""
        attributes: dict[str, Any] = {
            "tracewall.incident": incident.kind,
            "tracewall.policy": incident.policy,
            "tracewall.session": session,
        }
        self._add("incident", {"incident": _plain(incident)}, attributes, loud=True)

    def close(self) -> None:
        """Wait a little until what waits is emitted."""
        if self._pid != os.getpid():
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._busy, _PATIENCE)
            self._closed = True
            self._changed.notify_all()

    def _add(
        self, kind: str, told: Mapping[str, Any], attributes: Mapping[str, Any], *, loud: bool
    ) -> None:
        severity = SeverityNumber.WARN if loud else SeverityNumber.INFO
        said: dict[str, Any] = {
            "timestamp": time.time_ns(),
            "severity_number": severity,
            "severity_text": severity.name,
            "body": told,
            "attributes": {name: value for name, value in attributes.items() if value != ""},
            "event_name": f"tracewall.audit.{kind}",
        }
        if self._pid != os.getpid():
            # The child of a fork has no thread, and what waited is the parent's.
            self._changed, self._pid, self._running = (
                threading.Condition(RLock()),
                os.getpid(),
                False,
            )
            self._waiting.clear()
        with self._changed:
            if len(self._waiting) >= MOST or self._closed:
                self._dropped += 1
                return
            if self._dropped:
                said["attributes"]["tracewall.dropped"] = self._dropped
                self._dropped = 0
            self._waiting.append((context.get_current(), said))
            self._changed.notify_all()
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="tracewall-mirror", daemon=True).start()

    def _run(self) -> None:
        changed = self._changed
        while True:
            with changed:
                self._busy = False
                changed.notify_all()
                changed.wait_for(lambda: bool(self._waiting) or self._closed)
                if not self._waiting:
                    return
                where, said = self._waiting.popleft()
                self._busy = True
            try:
                self._logger.emit(context=where, **said)
            except Exception as error:
                # A processor may raise anything; the record is kept elsewhere.
                if not self._complained:
                    self._complained = True
                    _log.warning("the mirror failed with %s", type(error).__name__)


def _plain(value: Any) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(value)
    return told
