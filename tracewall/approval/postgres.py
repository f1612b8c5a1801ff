"""Requests in a PostgreSQL database: for fleets.

The schema comes from `tracewall.approval.migration`; the role that logs in has only what
its side of the desk needs. Waiting wakes up by NOTIFY.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from tracewall.approval.migration import CHANNEL
from tracewall.approval.store import Kept, Spending, StoreSilent, StoreUnavailable
from tracewall.locks import Lock

_PATIENCE = 5
_TIMEOUT = "5000"
_UNMADE = frozenset({"3F000", "42P01", "42883"})
"""There is no such schema, table or function (SQLSTATEs)."""
_FORBIDDEN = "42501"


class PostgresStore:
    """Keeps requests in a database that the migration was run on.

    Args:
        conninfo: a libpq connection string.
        password: besides; empty: what libpq finds itself.
    """

    def __init__(self, conninfo: str, password: str = "") -> None:
        self._conninfo = conninfo
        self._secret = {"password": password} if password else {}
        self._lock = Lock()
        self._held: psycopg.Connection[Any] | None = None
        self._pid = os.getpid()

    def _connect(self) -> psycopg.Connection[Any]:
        made = psycopg.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=_PATIENCE,
            application_name="tracewall approvals",
            **self._secret,  # type: ignore[arg-type]  # password= is one of many
        )
        made.execute("SELECT set_config('statement_timeout', %s, false)", (_TIMEOUT,))
        made.execute("SELECT set_config('search_path', 'pg_catalog', false)")
        return made

    def _rows(self, query: str, *params: object, again: bool = False) -> list[Any]:
        """Ask; with `again`, once more over a new connection where the old one was broken."""
        with self._lock:
            if self._pid != os.getpid():
                # The child of a fork must not use, nor end, its parent's connection.
                self._held, self._pid = None, os.getpid()
            failure = StoreUnavailable("")
            for attempt in range(2 if again else 1):
                try:
                    if self._held is None or self._held.closed:
                        self._held = self._connect()
                    return self._held.execute(query, params).fetchall()
                except psycopg.Error as ex:
                    failure = _failed(ex)
                    broken = self._held is None or self._held.closed
                    if not broken or attempt:
                        break
        raise failure

    def add(
        self,
        id: str,
        act: str,
        content: bytes,
        expires_at: float,
        *,
        used: bool,
        who: str = "",
        most: int = 0,
        now: float = 0.0,
        over_at: float = 0.0,
    ) -> bool:
        """See `tracewall.approval.store.Store`; so are all that follow."""
        self._alive()
        query = (
            "SELECT tracewall.approval_ask(%s, %s, %b, %s::float8, %s, %s::float8, %s, %s::int,"
            " %s::float8)"
        )
        rest = (now or time.time(), who, most, over_at or expires_at)
        ((kept,),) = self._rows(query, id, act, content, expires_at, used, *rest)
        return bool(kept)

    def pending(self, act: str, now: float) -> str:
        """Give the id of an open request for an act that waits still; empty: none."""
        query = "SELECT tracewall.approval_pending(%s, %s::float8)"
        ((found,),) = self._rows(query, act, now, again=True)
        return found or ""

    def get(self, id: str) -> Kept | None:
        """Give a request, or None where there is none of that id."""
        rows = self._rows("SELECT * FROM tracewall.approval_get(%s)", id, again=True)
        return _kept(rows[0]) if rows else None

    def all(self, *, most: int = 100) -> Sequence[Kept]:
        """Give the newest requests; those that somebody has to look at before all others."""
        rows = self._rows("SELECT * FROM tracewall.approval_list(%s::int)", most, again=True)
        return [_kept(row) for row in rows]

    def decide(self, id: str, person: str, kind: str, note: str) -> bool:
        """Keep somebody's verdict; False: there is no such request, or it is used up."""
        self._alive()
        query = "SELECT tracewall.approval_decide(%s, %s, %s, %s)"
        ((kept,),) = self._rows(query, id, person, kind, note)
        return bool(kept)

    def use(self, id: str, now: float, *, once: bool) -> bool:
        """Use a request that is open, atomically; False: it was not open (any more).

        Where the answer is lost, the grant may be used up: nobody goes on by it then.
        """
        self._alive()
        ((used,),) = self._rows("SELECT tracewall.approval_use(%s, %s::float8, %s)", id, now, once)
        return bool(used)

    def settle(self, id: str, outcome: str) -> None:
        """Keep what became of the last use."""
        self._rows("SELECT tracewall.approval_settle(%s, %s)", id, outcome, again=True)

    def spend(self, spending: Spending, now: float) -> bool:
        """Count what is had against a budget, atomically; False: it would be passed."""
        self._alive()
        query = (
            "SELECT tracewall.approval_spend(%s, %s, %s::float8, %s::int8, %s::int8, %s,"
            " %s::int8, %s::int8, %s::int8, %s::float8)"
        )
        each = spending
        values = (each.who, each.budget, each.per, each.rows, each.bytes, each.run)
        most = (each.most_rows, each.most_bytes, each.most_runs)
        ((counted,),) = self._rows(query, *values, *most, now)
        return bool(counted)

    def prune(self, before: float, now: float, *, most: int = 1_000) -> int:
        """Delete requests that were over before a time, and tell how many; at most so many.

        The server keeps what was over less than a day ago by its own clock.
        """
        query = "SELECT tracewall.approval_prune(%s::float8, %s::float8, %s::int)"
        ((deleted,),) = self._rows(query, before, now, most, again=True)
        return int(deleted)

    def _alive(self) -> None:
        """Look whether the connection lives, before what must not be asked twice."""
        self._rows("SELECT 1", again=True)

    def wait(self, id: str, seconds: float) -> None:
        """Wait until something about a request may have changed, or so long."""
        try:
            with self._connect() as conn:
                conn.execute(f"LISTEN {CHANNEL}")
                kept = self.get(id)
                # What was decided before LISTEN wakes nobody; a first of two wakes too often.
                before = kept is None or kept.state != "open" or kept.notes
                for notice in conn.notifies(timeout=min(seconds, 0.2) if before else seconds):
                    if notice.payload == id:
                        return
        except psycopg.Error as ex:
            raise _failed(ex) from None

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._held is not None and self._pid == os.getpid():
                self._held.close()


def _kept(row: Any) -> Kept:
    id, content, state, uses, used_at, outcome, review, notes = row
    return Kept(id, bytes(content), state, uses, used_at, outcome, review, tuple(notes))


def _failed(error: psycopg.Error) -> StoreUnavailable:
    kind = StoreSilent if isinstance(error, psycopg.OperationalError) else StoreUnavailable
    return kind(_told(error))


def _told(error: psycopg.Error) -> str:
    """Say what is wrong, by the error's code alone: its words may quote what is asked for."""
    state = error.sqlstate or type(error).__name__
    if state in _UNMADE:
        return (
            f"the store of requests has no tables, or those of an older tracewall ({state}): "
            "run what `tracewall approvals migration` prints"
        )
    if state == _FORBIDDEN:
        return f"the login may not do this at the store of requests ({state})"
    return f"the store of requests is out of reach ({state})"
