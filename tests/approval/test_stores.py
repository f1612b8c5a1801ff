"""What every store of requests promises, held of each kind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tracewall.approval.migration import migration
from tracewall.approval.postgres import PostgresStore
from tracewall.approval.sqlite import SqliteStore
from tracewall.approval.store import Spending, StoreUnavailable

ROUNDS, PROCESSES = 200, 8
FIRST = """
CREATE TABLE request (
    id TEXT PRIMARY KEY, act TEXT NOT NULL, content BLOB NOT NULL, asked_at REAL NOT NULL,
    expires_at REAL NOT NULL, state TEXT NOT NULL DEFAULT 'open', uses INTEGER NOT NULL DEFAULT 0,
    used_at REAL NOT NULL DEFAULT 0, outcome TEXT NOT NULL DEFAULT '',
    review TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE verdict (
    request TEXT NOT NULL REFERENCES request, person TEXT NOT NULL, kind TEXT NOT NULL,
    note TEXT NOT NULL, PRIMARY KEY (request, person, kind)) STRICT;
CREATE TABLE spent (
    who TEXT NOT NULL, budget TEXT NOT NULL, at REAL NOT NULL, rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL) STRICT;
PRAGMA user_version = 1;
"""


def test_a_request_comes_back_as_it_was_kept(make_store: Callable[[], Any]) -> None:
    """What one process keeps, another reads, its verdicts in the order they came in."""
    make_store().add("a", "act", b"\x00content", 2e9, used=False)
    store = make_store()
    assert store.decide("a", "bob", "approve", "note 1")
    assert store.decide("a", "cat", "approve", "note 2")
    assert not store.decide("a", "bob", "approve", "another")
    kept = make_store().get("a")
    assert (kept.content, kept.state, kept.notes) == (b"\x00content", "open", ("note 1", "note 2"))
    assert store.get("b") is None
    assert [kept.id for kept in store.all()] == ["a"]


def test_only_what_waits_is_found_again(make_store: Callable[[], Any]) -> None:
    """The request that waits for an act is found by it; one that has ended is not."""
    store = make_store()
    store.add("a", "act", b"c", 2e9, used=False)
    assert store.pending("act", 1e9) == "a"
    assert store.pending("act", 2e9) == store.pending("other", 1e9) == ""
    store.decide("a", "bob", "deny", "note")
    assert store.pending("act", 1e9) == ""


def test_a_grant_is_used_once(make_store: Callable[[], Any]) -> None:
    """Use takes what is open, once; nothing that was denied, taken back, or is not there."""
    store = make_store()
    for id in ("a", "denied", "revoked"):
        store.add(id, id, b"c", 2e9, used=False)
    store.decide("denied", "bob", "deny", "note")
    store.decide("revoked", "bob", "revoke", "note")
    used = [store.use(id, 1e9, once=True) for id in ("a", "a", "denied", "revoked", "none")]
    assert used == [True, False, False, False, False]
    kept = store.get("a")
    assert (kept.state, kept.outcome, kept.uses) == ("used", "", 1)
    store.settle("a", "done")
    assert store.get("a").outcome == "done"
    assert not store.decide("a", "bob", "revoke", "too late")


def test_a_shape_is_used_as_often_as_it_is_open(make_store: Callable[[], Any]) -> None:
    """What is not for once stays open, and counts its uses, until it is taken back."""
    store = make_store()
    store.add("a", "act", b"c", 2e9, used=False)
    assert store.use("a", 1e9, once=False) and store.use("a", 1e9, once=False)
    assert store.get("a").uses == 2
    store.decide("a", "bob", "revoke", "note")
    assert not store.use("a", 1e9, once=False)


def test_broken_glass_stays_to_be_reviewed(make_store: Callable[[], Any]) -> None:
    """What somebody did alone is used at once, and open for review until one is kept."""
    store = make_store()
    store.add("a", "act", b"c", 2e9, used=True)
    assert (store.get("a").state, store.get("a").review) == ("used", "open")
    assert not store.use("a", 1e9, once=True)
    assert store.decide("a", "bob", "review", "note")
    assert store.get("a").review == "closed"


def test_nobody_hides_what_waits_behind_what_is_over(make_store: Callable[[], Any]) -> None:
    """What is to be reviewed, and what waits, is listed before any number of what is over."""
    store = make_store()
    store.add("broken", "act", b"c", 2e9, used=True)
    store.add("waits", "act", b"c", 2e9, used=False, over_at=2e9)
    for at in range(4):
        store.add(f"denied{at}", "act", b"c", 2e9, used=False, over_at=2e9)
        store.decide(f"denied{at}", "p", "deny", "note")
        store.add(f"expired{at}", "act", b"c", 1e9, used=False, over_at=1e9)
    assert {kept.id for kept in store.all(most=2)} == {"broken", "waits"}
    assert [kept.id for kept in store.all(most=3)][2] == "expired3"


def test_a_budget_slides(make_store: Callable[[], Any]) -> None:
    """A budget takes what fits in its time, refuses the rest whole, and forgets what is old."""
    store = make_store()

    def spend(rows: int, at: float, who: str = "ann") -> bool:
        found: bool = store.spend(Spending(who, "b", 10.0, rows, rows, 100, 0), at)
        return found

    assert spend(60, 0.0) and spend(40, 5.0)
    assert not spend(1, 6.0)
    assert spend(1, 6.0, "bob")
    assert spend(60, 10.5)
    assert not spend(1, 14.9)


def test_what_is_given_back_can_be_had_again(make_store: Callable[[], Any]) -> None:
    """What was reserved and not had is given back as of its time, also over the budget."""
    store = make_store()
    assert store.spend(Spending("ann", "b", 10.0, 90, 9, 100), 0.0)
    assert not store.spend(Spending("ann", "b", 10.0, 20, 0, 100), 1.0)
    assert store.spend(Spending("ann", "b", 10.0, -80, -8, 10), 0.0)
    assert store.spend(Spending("ann", "b", 10.0, 90, 0, 100), 1.0)
    # Both are forgotten together: nothing is left that would make more of the budget.
    assert not store.spend(Spending("ann", "b", 10.0, 11, 0, 100), 10.5)
    assert store.spend(Spending("ann", "b", 10.0, 10, 0, 100), 10.5)


def test_runs_are_counted_once_each(make_store: Callable[[], Any]) -> None:
    """Different runs count, one that comes again does not, and each is forgotten in time."""
    store = make_store()

    def run(what: str, at: float, who: str = "ann") -> bool:
        spending = Spending(who, "b", 10.0, 0, 0, run=what, most_runs=2)
        found: bool = store.spend(spending, at)
        return found

    assert run("one", 0.0) and run("two", 1.0) and run("one", 2.0)
    assert not run("three", 3.0)
    assert run("three", 3.0, "bob")
    assert run("two", 10.5) and not run("three", 11.5)
    assert run("three", 12.5)


def test_a_person_has_so_many_requests_at_a_time(make_store: Callable[[], Any]) -> None:
    """Of one person so many wait; what is denied, expired, used or another's does not count."""
    store = make_store()

    def add(id: str, who: str = "ann", now: float = 1.0, used: bool = False) -> bool:
        found: bool = store.add(id, id, b"c", 100.0, used=used, who=who, most=2, now=now)
        return found

    assert add("a") and add("b") and not add("c")
    assert store.get("c") is None
    assert add("c", "bob")
    store.decide("a", "cat", "deny", "note")
    assert add("d") and not add("e")
    store.use("d", 1.0, once=True)
    assert add("e") and not add("f")
    assert add("f", now=101.0)
    store.add("g", "g", b"c", 100.0, used=True, who="ann")


def test_what_is_over_is_deleted_in_time(make_store: Callable[[], Any]) -> None:
    """What was over long ago goes, with its verdicts; what may be used or reviewed stays."""
    store = make_store()
    for id, over_at in (("old", 50.0), ("later", 500.0), ("used", 50.0)):
        store.add(id, id, b"c", 40.0, used=False, over_at=over_at)
    store.add("glass", "glass", b"c", 40.0, used=True, now=45.0)
    store.decide("old", "bob", "deny", "note")
    store.use("used", 450.0, once=True)
    assert store.prune(51.0, 51.0, most=0) == 0
    assert store.prune(51.0, 51.0) == 1
    assert store.get("old") is None
    assert {kept.id for kept in store.all()} == {"later", "used", "glass"}
    assert store.prune(501.0, 501.0) == 2
    assert [kept.id for kept in store.all()] == ["glass"]
    assert not store.use("old", 1.0, once=True)
    store.add("old", "old", b"c", 2e9, used=False)
    assert store.get("old").notes == () and store.use("old", 1.0, once=True)


def test_what_is_over_when_it_can_not_be_decided_any_more(make_store: Callable[[], Any]) -> None:
    """Who says nothing else has said that a request is over when its time to be decided is."""
    store = make_store()
    store.add("a", "act", b"c", 40.0, used=False)
    assert store.prune(40.0, 40.0) == 0
    assert store.prune(41.0, 41.0) == 1


def test_pruning_leaves_what_still_counts(make_store: Callable[[], Any]) -> None:
    """What was counted goes from the store after the time of its budget, and no sooner."""
    store = make_store()
    some = Spending("ann", "b", 60.0, 10, 0, most_rows=10)
    assert store.spend(some, 100.0)
    store.prune(100.0, 100.0)
    store.prune(159.0, 159.0)
    assert not store.spend(some, 159.0)
    store.prune(160.0, 160.0)
    assert store.spend(some, 160.0)


@pytest.mark.parametrize("of", ["rows", "bytes", "runs"])
def test_a_budget_of_one_is_one(make_store: Callable[[], Any], of: str) -> None:
    """The least budget there is lets one through, and not two; no budget lets any number."""
    store = make_store()

    def spent(number: int, **most: Any) -> bool:
        size = {"rows": 0, "bytes": 0} if of == "runs" else {"rows": 0, "bytes": 0, of: 1}
        run = f"run {number}" if of == "runs" else ""
        done: bool = store.spend(Spending("ann", str(most), 60.0, **size, run=run, **most), 1.0)
        return done

    most: dict[str, Any] = {f"most_{of}": 1}
    assert spent(1, **most) and not spent(2, **most)
    assert spent(1) and spent(2)


def test_giving_back_is_never_refused(make_store: Callable[[], Any]) -> None:
    """What was taken of a larger budget is given back where it is a smaller one since."""
    store = make_store()
    assert store.spend(Spending("ann", "b", 10.0, 90, 9, 100), 0.0)
    assert store.spend(Spending("ann", "b", 10.0, -10, -1, 5), 0.0)
    assert store.spend(Spending("ann", "b", 10.0, 20, 0, 100), 0.0)
    assert not store.spend(Spending("ann", "b", 10.0, 1, 0, 100), 0.0)


def test_only_a_review_closes_a_review(make_store: Callable[[], Any]) -> None:
    """A verdict of another kind, or on what is not to be reviewed, closes none."""
    store = make_store()
    store.add("a", "act", b"c", 2e9, used=False)
    assert store.decide("a", "bob", "approve", "note")
    assert not store.decide("a", "bob", "review", "note")
    assert (store.get("a").review, store.get("a").notes) == ("", ("note",))
    store.add("broken", "act", b"c", 2e9, used=True)
    assert not store.decide("broken", "bob", "approve", "note")
    kept = store.get("broken")
    assert (kept.review, kept.uses, kept.notes) == ("open", 1, ())
    assert abs(kept.used_at - time.time()) < 600


def test_waiting_ends(make_store: Callable[[], Any]) -> None:
    """A wait takes no longer than was asked for, and none is no wait."""
    store, start = make_store(), time.monotonic()
    store.wait("a", 0.0)
    store.wait("a", -1.0)
    store.wait("a", 0.05)
    assert 0.04 < time.monotonic() - start < 20


def test_a_file_of_the_first_version_goes_on(tmp_path: Path) -> None:
    """A file that the first version made is read, and what it holds is kept long enough."""
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as db:
        db.executescript(FIRST)
        db.execute(
            "INSERT INTO request (id, act, content, asked_at, expires_at)"
            " VALUES ('a', 'act', x'00', 1.0, 2e9)"
        )
    db.close()
    os.chmod(path, 0o600)
    store = SqliteStore(path)
    assert store.pending("act", 1e9) == "a"
    assert store.prune(2e9 + 31_000_000, 2e9) == 0
    assert store.spend(Spending("ann", "b", 10.0, 1, 1, 100), 0.0)
    assert SqliteStore(path).use("a", 1e9, once=True)


def _race(make: Callable[[], Any], barrier: Any, ids: list[str], wins: Any, number: int) -> None:
    store = make()
    for id in ids:
        barrier.wait(60)
        if store.use(id, 1e9, once=True):
            wins.put((id, number))
    store.close()
    wins.close()
    wins.join_thread()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the racers are forked")
# The children only race and end.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_racing_processes_have_one_winner(make_store: Callable[[], Any]) -> None:
    """Of eight processes that use one grant at the same time, exactly one may, in 200 rounds."""
    store = make_store()
    ids = [f"round-{n}" for n in range(ROUNDS)]
    for id in ids:
        store.add(id, id, b"c", 2e9, used=False)
    store.close()
    context = multiprocessing.get_context("fork")
    barrier, wins = context.Barrier(PROCESSES), context.Queue()
    racers = [
        context.Process(target=_race, args=(make_store, barrier, ids, wins, n), daemon=True)
        for n in range(PROCESSES)
    ]
    for racer in racers:
        racer.start()
    won = [wins.get(timeout=120)[0] for _ in ids]
    for racer in racers:
        racer.join(60)
    assert sorted(won) == sorted(ids)
    assert wins.empty()


def test_the_file_is_not_written_back_at_each_use(tmp_path: Path) -> None:
    """SQLite's log stays beside the file while a store is in use, and goes when it is closed."""
    store, log = SqliteStore(tmp_path / "r.db"), tmp_path / "r.db-wal"
    spending = Spending("ann", "rows", 60.0, rows=1, bytes=0, most_rows=10)
    assert store.spend(spending, 1e9) and log.exists()
    assert store.spend(spending, 1e9) and log.exists()
    store.close()
    assert not log.exists()
    assert store.spend(spending, 1e9), "a store that was closed opens again"
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_store_is_good_on_both_sides_of_a_fork(tmp_path: Path) -> None:
    """A child of the process uses and closes a connection of its own; the parent's goes on."""
    store = SqliteStore(tmp_path / "r.db")
    store.add("a", "act", b"c", 2e9, used=False)
    child = os.fork()
    if not child:
        told = 9
        with contextlib.suppress(Exception):
            told = 0 if store.use("a", 1e9, once=True) else 1
            store.close()
        os._exit(told)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / "r.db-wal").exists()
    assert not store.use("a", 1e9, once=True)
    store.close()


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """The file is made for its owner only, and one that others may read or write is refused."""
    path = tmp_path / "store.db"
    SqliteStore(path).add("a", "act", b"c", 2e9, used=False)
    for made in tmp_path.iterdir():
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
    os.chmod(path, 0o644)
    with pytest.raises(StoreUnavailable, match="others"):
        SqliteStore(path)


SQUAT = """
create schema tracewall;
create table tracewall.approval_version (version int not null);
create function tracewall.more() returns trigger language plpgsql as
    'begin create table public.taken (); return new; end';
create trigger more before insert on tracewall.approval_version
    for each row execute function tracewall.more();
"""


@pytest.mark.parametrize("given", ["", "alter schema tracewall owner to current_user"])
def test_the_migration_takes_nothing_of_anothers(scratch_dsn: str, given: str) -> None:
    """Who was there before has nothing done by whoever runs the migration."""
    eve = conninfo_to_dict(scratch_dsn)["dbname"] + "_Eve"
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(f'create role "{eve}"')
        conn.execute(f'grant create on database {conn.info.dbname} to "{eve}"')
        conn.execute(f'set role "{eve}"')
        conn.execute(SQUAT)
        conn.execute("reset role")
        conn.execute(given)
        with pytest.raises(psycopg.errors.RaiseException, match="another role's"):
            conn.execute(migration(eve))
        conn.execute("rollback")
        assert conn.execute("select to_regclass('public.taken')").fetchone() == (None,)
        conn.execute("drop schema tracewall cascade")
        conn.execute(f'set role "{eve}"')
        for _ in range(2):
            conn.execute(migration(eve))
        conn.execute("reset role")
        conn.execute(f'drop owned by "{eve}"')
        conn.execute(f'drop role "{eve}"')


def test_the_asking_role_can_not_decide(scratch_dsn: str) -> None:
    """In PostgreSQL who asks reaches no table and can't decide; who decides can't use."""
    names = [conninfo_to_dict(scratch_dsn)["dbname"] + suffix for suffix in ("_ask", "_decide")]
    parts = {k: v for k, v in conninfo_to_dict(scratch_dsn).items() if k != "password"}
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        for name in names:
            conn.execute(f"create role {name} login password 'pw'")
        for _ in range(2):
            conn.execute(migration(*names))
        asking, deciding = (
            PostgresStore(make_conninfo(**{**parts, "user": name}), "pw") for name in names
        )
        asking.add("a", "act", b"c", 2e9, used=False)
        for refused in (
            lambda: asking.decide("a", "me", "approve", "note"),
            lambda: asking.all(),
            lambda: asking._rows("SELECT * FROM tracewall.approval_request"),
            lambda: asking._rows("DELETE FROM tracewall.approval_verdict RETURNING 1"),
            lambda: deciding.use("a", 1e9, once=True),
            lambda: deciding.add("b", "act", b"c", 2e9, used=False),
        ):
            with pytest.raises(StoreUnavailable, match="42501"):
                refused()
        assert deciding.decide("a", "bob", "approve", "note")
        assert asking.use("a", 1e9, once=True)
        for store in (asking, deciding):
            store.close()
        for name in names:
            conn.execute(f"drop owned by {name}")
            conn.execute(f"drop role {name}")


def test_a_store_that_was_never_made_says_how_to_make_it(scratch_dsn: str) -> None:
    """Where the migration was not run, the error says so, and holds nothing of the connection."""
    with contextlib.closing(PostgresStore(scratch_dsn)) as store:
        with pytest.raises(StoreUnavailable, match="approvals migration") as told:
            store.get("apr_none")
    assert "dbname" not in str(told.value)
