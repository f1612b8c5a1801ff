"""The audit log in PostgreSQL: appended by a function, with the chain checked by the server.

1. The log has a login of its own, whose role may call one function, and nothing else.
2. One thread writes for all: what gathers while it waits for the server goes in one call.
3. An intent returns when the server has committed it, or refuses after the deadline.
4. Whether a call that was broken off came through is not known: it is repeated as it was,
   and the server takes what it has already only if it is the same.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg import sql

from tracewall.audit.failing import encoded
from tracewall.audit.record import FIRST_PREV, FORMAT, body, members, plain, seal
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, Incident, Moment, What, Who
from tracewall.version import __version__

SCHEMA: Final = "tracewall_audit"
_MOST_WAITING: Final = 10_000
_CACHED: Final = 1_024
_OLDEST_SECONDS: Final = 1.0


class PostgresLog:
    """An audit log in a database, for `Wall.load(audit=...)`.

    Args:
        conninfo: a libpq connection string of the log's own role, which the migration names
            (``tracewall audit migration``).
        schema: the migration's schema.
        password: gives the role's password at each log-in.
        deadline: how long (seconds) a statement waits for its record at most.
        clock: Unix time in seconds.

    An intent blocks its thread for a round trip and the server's commit; in an event loop
    it blocks the loop so long. How strongly a record is kept is the server's
    ``synchronous_commit``. All methods may be called from any thread, and after a fork.

    Raises:
        AuditUnavailable: the server does not take the first record.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        schema: str = SCHEMA,
        password: Callable[[], str] | None = None,
        deadline: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._conninfo, self._password = conninfo, password
        self._append = sql.SQL("SELECT {}.append(%s, %s, %s)").format(sql.Identifier(schema))
        self._deadline = deadline
        self._clock = clock
        self._closed = False
        self._fragments: dict[Who | What, bytes] = {}
        self._start()
        with self._changed:
            try:
                self._await(self._queued - 1)
            except AuditUnavailable:
                # The thread gives up, too.
                self._closed = True
                raise
        atexit.register(self.close)

    def _start(self) -> None:
        """Begin a chain, with a thread that writes it; a forked child begins its own."""
        self._pid = os.getpid()
        self._changed = threading.Condition()
        now = self._clock()
        started = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}.{int(now % 1 * 1e6):06}Z"
        self.writer = f"{started}-{self._pid}-{secrets.token_hex(4)}"
        self._waiting: list[tuple[float, bytes]] = []
        self._queued = self._kept = self._attempts = 0
        self._urgent = False
        header = {"format": FORMAT, "writer": self.writer, "pid": self._pid}
        told = {**header, "durability": "postgresql", "tracewall": __version__}
        self._add(body("opened", told))
        writing = threading.Thread(target=self._write, name="tracewall-audit", daemon=True)
        writing.start()

    def intent(self, who: Who, what: What, moment: Moment | None = None) -> int:
        """Record what is about to be sent, and return the record's number.

        Raises:
            AuditUnavailable: the server has not said that it keeps it, within the deadline.
        """
        more = members(moment) if moment is not None else b""
        told = b'"kind":"intent","who":%b,"what":%b%b'
        said = told % (self._fragment(who), self._fragment(what), more)
        with self._here():
            number = self._add(said)
            try:
                self._await(number)
            except AuditUnavailable:
                # It may have come through, or come through later: this closes it then.
                ended = plain(Ended(status="abandoned"))
                self._add(b'"kind":"outcome","intent":%d,"ended":%b' % (number, ended))
                raise
        return number

    def outcome(self, intent: int, ended: Ended) -> None:
        """Record how the statement of an intent ended, with what is sent next; never raises."""
        try:
            told = plain(ended)
        except (ValueError, TypeError):
            told = plain(Ended(status="unknown"))
        with contextlib.suppress(AuditUnavailable), self._here():
            self._add(b'"kind":"outcome","intent":%d,"ended":%b' % (intent, told))

    def incident(self, incident: Incident) -> None:
        """Record anything else; raise `AuditUnavailable` unless it is kept."""
        said = encoded(lambda: body("incident", {"incident": incident}))
        with self._here():
            self._await(self._add(said))

    def flush(self, kept: str = "") -> None:
        """Return when all that was told is kept; raise `AuditUnavailable` if it is not."""
        with self._here():
            self._await(self._queued - 1)

    def close(self) -> None:
        """Write what waits and a last record, and log out; raise `AuditUnavailable` if it fails."""
        if self._closed or self._pid != os.getpid():
            return
        atexit.unregister(self.close)
        with self._changed:
            self._closed = True
            try:
                self._await(self._add(body("closed", {}), last=True))
            finally:
                self._changed.notify_all()

    def _here(self) -> threading.Condition:
        if self._pid != os.getpid():
            self._start()
        return self._changed

    def _fragment(self, value: Who | What) -> bytes:
        told = self._fragments.get(value)
        if told is None:
            told = encoded(lambda: plain(value))
            if len(self._fragments) >= _CACHED:
                self._fragments.clear()
            self._fragments[value] = told
        return told

    def _add(self, said: bytes, *, last: bool = False) -> int:
        """Queue a record; its place in the chain is its number."""
        if self._closed and not last:
            raise AuditUnavailable("the audit log is closed")
        if len(self._waiting) >= _MOST_WAITING:
            raise AuditUnavailable("the audit log's database does not keep up")
        self._waiting.append((self._clock(), said))
        self._queued += 1
        return self._queued - 1

    def _await(self, number: int) -> None:
        """Return when a record is kept; raise after the deadline, or when an attempt failed."""
        self._urgent = True
        tried = self._attempts
        self._changed.notify_all()
        # The attempt under way may be one that began before.
        self._changed.wait_for(
            lambda: self._kept > number or self._attempts > tried + 1, self._deadline
        )
        if self._kept <= number:
            raise AuditUnavailable("the audit log's database did not take the record")

    def _write(self) -> None:
        """Send what waits, for as long as the log is open; runs in a thread of its own."""
        prev, conn = FIRST_PREV, None
        changed = self._changed
        while True:
            with changed:
                changed.wait_for(lambda: self._urgent or self._over(), _OLDEST_SECONDS)
                batch, first, self._urgent = list(self._waiting), self._kept, False
                if not batch and self._over():
                    break
            if not batch:
                continue
            lines, after = seal(first, prev, batch)
            try:
                conn = conn or self._connect()
                told = [line.decode("ascii") for line in lines.splitlines()]
                conn.execute(self._append, (self.writer, first, told))
            except Exception:
                # What the server says of it may hold what was to be recorded.
                if conn is not None:
                    conn.close()
                conn = None
            with changed:
                if conn is not None:
                    prev, self._kept = after, first + len(batch)
                    del self._waiting[: len(batch)]
                else:
                    self._attempts += 1
                changed.notify_all()
                if conn is None and self._closed:
                    break
        if conn is not None:
            conn.close()

    def _over(self) -> bool:
        return self._closed and not self._waiting

    def _connect(self) -> psycopg.Connection[Any]:
        milliseconds = max(1, round(self._deadline * 1000))
        options: dict[str, Any] = {"password": self._password()} if self._password else {}
        conn = psycopg.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=max(2, round(self._deadline)),
            tcp_user_timeout=milliseconds,
            application_name="tracewall-audit",
            **options,
        )
        conn.execute(
            "SELECT pg_catalog.set_config('statement_timeout', %s, false)", (str(milliseconds),)
        )
        return conn
