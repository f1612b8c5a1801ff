"""Requests in a SQLite file: for one machine.

Whoever can write the file can delete requests, and can make a used grant look unused; they
can't make decisions, for these are signed. So the file is its owner's alone.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tracewall.approval.store import Kept, Spending, StoreUnavailable

_SCHEMA = """
CREATE TABLE IF NOT EXISTS request (
    id TEXT PRIMARY KEY, act TEXT NOT NULL, content BLOB NOT NULL, asked_at REAL NOT NULL,
    expires_at REAL NOT NULL, state TEXT NOT NULL DEFAULT 'open', uses INTEGER NOT NULL DEFAULT 0,
    used_at REAL NOT NULL DEFAULT 0, outcome TEXT NOT NULL DEFAULT '',
    review TEXT NOT NULL DEFAULT '', who TEXT NOT NULL DEFAULT '',
    over_at REAL NOT NULL DEFAULT 0) STRICT;
CREATE INDEX IF NOT EXISTS request_act ON request (act, state);
CREATE TABLE IF NOT EXISTS verdict (
    request TEXT NOT NULL REFERENCES request, person TEXT NOT NULL, kind TEXT NOT NULL,
    note TEXT NOT NULL, PRIMARY KEY (request, person, kind)) STRICT;
CREATE TABLE IF NOT EXISTS spent (
    who TEXT NOT NULL, budget TEXT NOT NULL, at REAL NOT NULL, rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL, run TEXT NOT NULL DEFAULT '', until REAL NOT NULL DEFAULT 0) STRICT;
CREATE INDEX IF NOT EXISTS spent_by ON spent (who, budget, at);
"""
_SECOND = """
ALTER TABLE request ADD COLUMN who TEXT NOT NULL DEFAULT '';
ALTER TABLE request ADD COLUMN over_at REAL NOT NULL DEFAULT 0;
UPDATE request SET over_at = expires_at + 31622400;
ALTER TABLE spent ADD COLUMN run TEXT NOT NULL DEFAULT '';
ALTER TABLE spent ADD COLUMN until REAL NOT NULL DEFAULT 0;
UPDATE spent SET until = at + 31622400;
"""
"""From the first version's: what was asked then may be valid for a year."""
_INDEXES = """
CREATE INDEX IF NOT EXISTS request_by ON request (who, state, expires_at);
CREATE INDEX IF NOT EXISTS request_over ON request (over_at);
CREATE INDEX IF NOT EXISTS spent_until ON spent (until);
"""
_SELECT = "SELECT id, content, state, uses, used_at, outcome, review FROM request"
_OPEN = (
    "state = 'open' AND uses = 0 AND expires_at > ? AND NOT EXISTS (SELECT 1 FROM verdict v"
    " WHERE v.request = r.id AND v.kind IN ('deny', 'revoke'))"
)
_URGENT = (
    "(review = 'open' OR (state = 'open' AND over_at > ? AND NOT EXISTS (SELECT 1 FROM verdict v"
    " WHERE v.request = r.id AND v.kind IN ('deny', 'revoke'))))"
)
_BUSY_SECONDS = 15.0
_LOOK_SECONDS = 0.1
_VERSION = 2


class SqliteStore:
    """Keeps requests in the file at `path`, which is made where it is missing.

    Raises:
        StoreUnavailable: the file can't be used, or others than its owner may.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        # By process, for a connection may be neither used nor closed on the other side of a fork.
        self._idle: dict[int, sqlite3.Connection] = {}
        weakref.finalize(self, _let_go, self._idle)
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            mode = self._path.stat().st_mode
        except OSError as ex:
            raise StoreUnavailable(f"the file of requests can't be used: {ex.strerror}") from None
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise StoreUnavailable(
                "the file of requests is open to others than its owner: chmod 600"
            )
        with self._connected() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > _VERSION:
                raise StoreUnavailable(
                    "the file of requests was made by a later tracewall: upgrade this one"
                )
            if not version:
                db.execute("PRAGMA journal_mode = WAL")
                # What was opened before does not count as open in this mode.
                _let_go(self._idle)
        if version < _VERSION:
            self._renew()

    def _renew(self) -> None:
        with self._connected(writing=True) as db:
            # Another process may have been quicker.
            version = db.execute("PRAGMA user_version").fetchone()[0]
            script = {0: _SCHEMA, 1: _SECOND}.get(version, "") + _INDEXES
            for statement in script.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def _connected(
        self, *, writing: bool = False, synced: bool = True
    ) -> Iterator[sqlite3.Connection]:
        try:
            self._stay()
            # One connection for each use: it may be another thread, or a child of a fork.
            db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
            try:
                db.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
                if writing:
                    db.execute("BEGIN IMMEDIATE")
                yield db
                if writing:
                    db.execute("COMMIT")
            finally:
                db.close()
        except sqlite3.Error as ex:
            name = getattr(ex, "sqlite_errorname", type(ex).__name__)
            raise StoreUnavailable(f"the file of requests can't be used ({name})") from None

    def _stay(self) -> None:
        """Keep one connection that does nothing, so that no other is the last.

        When the last one is closed, SQLite writes its log back and waits for the disk twice.
        """
        if os.getpid() in self._idle:
            return
        made = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            # Only one that has read counts as open.
            made.execute("SELECT count(*) FROM sqlite_master").fetchall()
        except sqlite3.Error:
            made.close()
            raise
        if self._idle.setdefault(os.getpid(), made) is not made:
            made.close()

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
        asked_at = time.time()
        used_at = asked_at if used else 0.0
        state, review, uses = ("used", "open", 1) if used else ("open", "", 0)
        made = (id, act, content, asked_at, expires_at, state)
        with self._connected(writing=True) as db:
            query = f"SELECT count(*) FROM request r WHERE who = ? AND {_OPEN}"  # noqa: S608 (a constant)
            if most and db.execute(query, (who, now)).fetchone()[0] >= most:
                return False
            db.execute(
                "INSERT INTO request (id, act, content, asked_at, expires_at, state, review, uses,"
                " used_at, who, over_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*made, review, uses, used_at, who, over_at or expires_at),
            )
        return True

    def pending(self, act: str, now: float) -> str:
        """Give the id of an open request for an act that waits still; empty: none."""
        with self._connected() as db:
            found = db.execute(
                f"SELECT r.id FROM request r WHERE act = ? AND {_OPEN}"  # noqa: S608 (a constant)
                " ORDER BY asked_at DESC LIMIT 1",
                (act, now),
            ).fetchone()
        return str(found[0]) if found else ""

    def get(self, id: str) -> Kept | None:
        """Give a request, or None where there is none of that id."""
        with self._connected() as db:
            db.execute("BEGIN")
            row = db.execute(f"{_SELECT} WHERE id = ?", (id,)).fetchone()
            return self._kept(db, row) if row else None

    def all(self, *, most: int = 100) -> Sequence[Kept]:
        """Give the newest requests; those that somebody has to look at before all others."""
        with self._connected() as db:
            db.execute("BEGIN")
            query = f"{_SELECT} r ORDER BY {_URGENT} DESC, asked_at DESC, id LIMIT ?"
            rows = db.execute(query, (time.time(), most)).fetchall()
            return [self._kept(db, row) for row in rows]

    def _kept(
        self, db: sqlite3.Connection, row: tuple[str, bytes, str, int, float, str, str]
    ) -> Kept:
        notes = db.execute("SELECT note FROM verdict WHERE request = ? ORDER BY rowid", row[:1])
        return Kept(*row, notes=tuple(note for (note,) in notes))

    def decide(self, id: str, person: str, kind: str, note: str) -> bool:
        """Keep somebody's verdict; False: there is no such request, or it is used up."""
        state = "used" if kind == "review" else "open"
        with self._connected(writing=True) as db:
            kept = db.execute(
                "INSERT INTO verdict (request, person, kind, note) SELECT id, ?, ?, ? FROM request"
                " WHERE id = ? AND state = ? ON CONFLICT DO NOTHING",
                (person, kind, note, id, state),
            ).rowcount
            if kept and kind == "review":
                db.execute("UPDATE request SET review = 'closed' WHERE id = ?", (id,))
        return kept == 1

    def use(self, id: str, now: float, *, once: bool) -> bool:
        """Use a request that is open, atomically; False: it was not open (any more)."""
        state = "used" if once else "open"
        with self._connected(writing=True) as db:
            used = db.execute(
                "UPDATE request SET state = ?, uses = uses + 1, used_at = ?, outcome = ''"
                " WHERE id = ? AND state = 'open' AND NOT EXISTS (SELECT 1 FROM verdict v"
                " WHERE v.request = request.id AND v.kind IN ('deny', 'revoke'))",
                (state, now, id),
            ).rowcount
        return used == 1

    def settle(self, id: str, outcome: str) -> None:
        """Keep what became of the last use."""
        # Should the machine die, the outcome is unknown, as it is where nobody tells it.
        with self._connected(writing=True, synced=False) as db:
            db.execute("UPDATE request SET outcome = ? WHERE id = ?", (outcome, id))

    def spend(self, spending: Spending, now: float) -> bool:
        """Count what is had against a budget, atomically; False: it would be passed."""
        by, run = (spending.who, spending.budget), spending.run
        # Counts survive the death of the process; that of the machine may cost the last few.
        with self._connected(writing=True, synced=False) as db:
            db.execute(
                "DELETE FROM spent WHERE who = ? AND budget = ? AND at <= ?",
                (*by, now - spending.per),
            )
            rows, size, runs = db.execute(
                "SELECT coalesce(sum(rows), 0), coalesce(sum(bytes), 0),"
                " count(DISTINCT CASE WHEN run NOT IN ('', ?) THEN run END) FROM spent"
                " WHERE who = ? AND budget = ?",
                (run, *by),
            ).fetchone()
            over = (
                0 < spending.most_rows < rows + spending.rows
                or 0 < spending.most_bytes < size + spending.bytes
                or 0 < spending.most_runs < runs + bool(run)
            )
            if over and not spending.gives_back:
                return False
            if run:
                db.execute(
                    "DELETE FROM spent WHERE who = ? AND budget = ? AND run = ?"
                    " AND rows = 0 AND bytes = 0",
                    (*by, run),
                )
            db.execute(
                "INSERT INTO spent (who, budget, at, rows, bytes, run, until)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*by, now, spending.rows, spending.bytes, run, now + spending.per),
            )
        return True

    def prune(self, before: float, now: float, *, most: int = 1_000) -> int:
        """Delete requests that were over before a time, and tell how many; at most so many."""
        with self._connected(writing=True) as db:
            over = db.execute(
                "SELECT id FROM request WHERE over_at < ? AND used_at < ? AND review <> 'open'"
                " ORDER BY over_at LIMIT ?",
                (before, before, most),
            ).fetchall()
            db.executemany("DELETE FROM verdict WHERE request = ?", over)
            db.executemany("DELETE FROM request WHERE id = ?", over)
            db.execute(
                "DELETE FROM spent WHERE rowid IN"
                " (SELECT rowid FROM spent WHERE until <= ? LIMIT ?)",
                (now, most),
            )
        return len(over)

    def wait(self, id: str, seconds: float) -> None:
        """Wait until something about a request may have changed, or so long."""
        time.sleep(max(0.0, min(seconds, _LOOK_SECONDS)))

    def close(self) -> None:
        """Let go of the connection that is held."""
        _let_go(self._idle)


def _let_go(idle: dict[int, sqlite3.Connection]) -> None:
    if kept := idle.pop(os.getpid(), None):
        kept.close()
