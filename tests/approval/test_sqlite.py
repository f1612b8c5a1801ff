"""What the file of requests promises beyond what every store does: no server."""

from __future__ import annotations

import gc
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tracewall.approval.sqlite import SqliteStore
from tracewall.approval.store import Spending, StoreUnavailable

RUN = Spending("ann", "b", 60.0, 0, 0, run="run", most_runs=5)
CHANGES: dict[str, tuple[str, Callable[[SqliteStore], Any]]] = {
    "add": ("FULL", lambda store: store.add("b", "act", b"c", 2e9, used=False, who="ann", most=9)),
    "decide": ("FULL", lambda store: store.decide("a", "bob", "approve", "note")),
    "use": ("FULL", lambda store: store.use("a", 1.0, once=True)),
    "prune": ("FULL", lambda store: store.prune(1.0, 1.0)),
    "settle": ("NORMAL", lambda store: store.settle("a", "done")),
    "spend": ("NORMAL", lambda store: store.spend(RUN, 1.0)),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "requests.db"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What every connection that is opened from now on is told, one after the other."""
    heard: list[str] = []
    connect = sqlite3.connect

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        made = connect(*args, **options)
        made.set_trace_callback(heard.append)
        return made

    monkeypatch.setattr(sqlite3, "connect", traced)
    return heard


def held(path: Path, query: str) -> Any:
    """Give the first value that the file itself holds."""
    db = sqlite3.connect(path)
    try:
        return db.execute(query).fetchone()[0]
    finally:
        db.close()


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_one_that_waits_for_its_turn(
    path: Path, said: list[str], change: str
) -> None:
    """No other process comes between a look and a change; what gives a right is on the disk."""
    store = SqliteStore(path)
    store.add("a", "act", b"c", 2e9, used=False)
    said.clear()
    strength, work = CHANGES[change]
    work(store)
    assert said[:2] == [f"PRAGMA synchronous = {strength}", "BEGIN IMMEDIATE"]
    assert said[-1] == "COMMIT" and len(said) > 3
    store.close()


def test_what_is_read_is_of_one_moment(path: Path, said: list[str]) -> None:
    """A request comes with the verdicts that it had when it was read."""
    store = SqliteStore(path)
    store.add("a", "act", b"c", 2e9, used=False)
    for read in (lambda: store.get("a"), lambda: store.all()):
        said.clear()
        assert read()
        assert said[1] == "BEGIN" and len(said) > 3
    store.close()


def test_a_file_of_a_later_version_is_left_alone(path: Path) -> None:
    """What a later version made is not read by rules that it may not go by."""
    SqliteStore(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 3")
    db.close()
    with pytest.raises(StoreUnavailable, match="later tracewall"):
        SqliteStore(path)


def test_a_renewal_that_fails_changes_nothing(path: Path) -> None:
    """A file of the first version that can't be renewed stays as it was."""
    path.touch(mode=0o600)
    db = sqlite3.connect(path)
    db.executescript(
        "CREATE TABLE request (id TEXT, expires_at REAL); CREATE TABLE spent (run TEXT);"
        "PRAGMA user_version = 1;"
    )
    db.close()
    with pytest.raises(StoreUnavailable, match="SQLITE_ERROR"):
        SqliteStore(path)
    gc.collect()
    assert held(path, "PRAGMA user_version") == 1
    assert held(path, "SELECT count(*) FROM pragma_table_info('request')") == 2


def test_what_is_no_file_of_requests_is_told_without_its_place(path: Path) -> None:
    """A file of something else is unavailable; the error does not tell where it is."""
    path.write_bytes(b"something else, and long enough to be looked at" * 100)
    path.chmod(0o600)
    with pytest.raises(StoreUnavailable, match="NOTADB") as told:
        SqliteStore(path)
    assert str(path) not in str(told.value)
    # From Python 3.13 on a connection that was left open would warn.
    gc.collect()


def test_a_store_that_nobody_has_any_more_is_closed(path: Path) -> None:
    """Who forgets a store leaves no file open; who closes it may be another thread."""
    store = SqliteStore(path)
    assert store.spend(RUN, 1.0)
    log = path.with_name(path.name + "-wal")
    assert log.exists()
    del store
    gc.collect()
    assert not log.exists()
    other = SqliteStore(path)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(other.spend, RUN, 1.0).result()
        pool.submit(other.close).result()
    assert not log.exists()


def test_what_is_counted_takes_no_room_for_ever(path: Path) -> None:
    """The same run again takes the place of the last; what counts no more is pruned."""
    store = SqliteStore(path)
    for at in range(5):
        assert store.spend(RUN, float(at))
    assert held(path, "SELECT count(*) FROM spent") == 1
    store.prune(0.0, 63.0)
    assert held(path, "SELECT count(*) FROM spent") == 1
    store.prune(0.0, 64.0)
    assert held(path, "SELECT count(*) FROM spent") == 0
    store.close()


def test_a_hundred_are_listed(path: Path) -> None:
    """Who does not say how many gets the hundred newest."""
    store = SqliteStore(path)
    for at in range(101):
        store.add(str(at), "act", b"c", 2e9, used=False)
    assert len(store.all()) == 100
    assert len({kept.id for kept in store.all(most=1_000)}) == 101
    store.close()


def test_a_wait_looks_again_soon(path: Path) -> None:
    """However long somebody waits, they hear of a change within a moment."""
    store, start = SqliteStore(path), time.monotonic()
    store.wait("a", 3_600.0)
    assert time.monotonic() - start < 60
    store.close()
