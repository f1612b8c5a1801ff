"""What every store of requests promises, held of each kind."""

from __future__ import annotations

import multiprocessing
import os
import stat
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


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """The file is made for its owner only, and one that others may read or write is refused."""
    path = tmp_path / "store.db"
    SqliteStore(path).add("a", "act", b"c", 2e9, used=False)
    for made in tmp_path.iterdir():
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
    os.chmod(path, 0o644)
    with pytest.raises(StoreUnavailable, match="others"):
        SqliteStore(path)


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
