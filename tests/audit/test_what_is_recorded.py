"""What the record of a real connection holds: who, on what, in which transaction, how it ended."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

import tracewall
from tracewall.audit.log import FileLog
from tracewall.audit.verify import records, verify
from tracewall.errors import AuditUnavailable
from tracewall.testing import Bench

POLICY = """
version = 1
[audit]
durability = "written"
{audit}
[[issuers]]
name = "test"
issuer = "https://idp.test"
audience = "api"
keys = "jwks.json"
[[grants]]
name = "all"
groups = ["staff"]
actions = ["select", "insert", "update", "delete"]
tables = ["public.*"]
[[grants]]
name = "vault"
groups = ["staff"]
actions = ["select"]
tables = ["safe.*"]
audit = "synced"
[[masks]]
name = "cards"
columns = ["public.people.card"]
method = "redact"
audit = "synced"
"""


@pytest.fixture(scope="module")
def database(module_dsn: str) -> str:
    with psycopg.connect(module_dsn, autocommit=True) as conn:
        conn.execute("create table people (id int primary key, name text, card text)")
        conn.execute("insert into people values (1, 'ann', 'CARD-CANARY')")
        conn.execute("create schema safe create table gold (id int)")
        conn.execute("create table late (id int primary key deferrable initially deferred)")
    return module_dsn


@pytest.fixture
def bench(database: str, tmp_path: Path) -> Iterator[Bench]:
    yield from _bench(database, tmp_path, "")


@pytest.fixture
def strict(database: str, tmp_path: Path) -> Iterator[Bench]:
    yield from _bench(database, tmp_path, 'writes = "synced"')


def _bench(database: str, tmp_path: Path, audit: str) -> Iterator[Bench]:
    (tmp_path / "policy.toml").write_text(POLICY.format(audit=audit))
    with Bench.load(tmp_path / "policy.toml", conninfo=database) as bench:
        yield bench


def told(bench: Bench) -> list[dict[str, Any]]:
    bench.wall.audit.flush()
    return list(records(bench.audit))


def statements(bench: Bench) -> list[tuple[str, int, str]]:
    """Give summary, transaction and status of each statement, in order."""
    found = told(bench)
    ends = {r["intent"]: r["ended"]["status"] for r in found if r["kind"] == "outcome"}
    return [
        (r["what"]["summary"], r.get("transaction", 0), ends.get(r["n"], "open"))
        for r in found
        if r["kind"] == "intent"
    ]


def incidents(bench: Bench) -> list[str]:
    return [r["incident"]["kind"] for r in told(bench) if r["kind"] == "incident"]


def test_who_and_on_what(bench: Bench, database: str) -> None:
    """Issuer, subject, token, system, database, role, relations and columns are in each intent."""
    with bench.connect("staff", autocommit=True) as conn:
        conn.execute("select name from people where card = %s", ("PARAM-CANARY",))
    with psycopg.connect(database) as plain:
        (system,) = plain.execute("select system_identifier from pg_control_system()").fetchone()  # type: ignore[misc]
    (intent,) = (r for r in told(bench) if r["kind"] == "intent")
    who, what = intent["who"], intent["what"]
    assert who["issuer"] == "https://idp.test" and who["subject"] == "someone"
    assert who["token_id"] and who["session"] and who["role"]
    assert who["system"] == str(system)
    assert what["relations"] == {"public.people": ["select"]}
    assert set(what["columns"]["public.people"]) == {"name", "card"}
    assert "CANARY" not in bench.recorded()


def test_a_role_that_may_not_know_the_system_is_told_none(scratch_dsn: str, tmp_path: Path) -> None:
    """Where the server keeps its identifier from the role, connecting works without it."""
    (tmp_path / "policy.toml").write_text(POLICY.format(audit="").replace("safe", "public"))
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute("create table people (card text)")
        role = "r" + os.urandom(4).hex()
        conn.execute(f"create role {role} login password 'pw'")
        conn.execute("revoke execute on function pg_control_system() from public")
        try:
            login = psycopg.conninfo.make_conninfo(scratch_dsn, user=role)
            loaded = Bench.load(tmp_path / "policy.toml", conninfo=login, password=lambda: "pw")
            with loaded as bench:
                with bench.connect("staff", autocommit=True) as guarded:
                    assert guarded._session is not None
                    assert guarded._session.catalog.system == ""  # type: ignore[union-attr]
        finally:
            conn.execute(f"drop role {role}")


def test_transactions_are_numbered_and_their_ends_recorded(bench: Bench) -> None:
    """Each statement names its transaction, and commit() and rollback() are records too."""
    with bench.connect("staff") as conn:
        conn.execute("select 1")
        conn.execute("select 2")
        conn.commit()
        conn.execute("select 3")
        conn.rollback()
        conn.commit()
        conn.autocommit = True
        conn.execute("select 4")
        with conn.transaction(), conn.transaction():
            conn.execute("select 5")
    assert [(s, n) for s, n, _ in statements(bench)] == [
        ("SELECT", 1),
        ("SELECT", 1),
        ("COMMIT", 1),
        ("SELECT", 2),
        ("ROLLBACK", 2),
        ("SELECT", 0),
        ("SAVEPOINT", 3),
        ("SELECT", 3),
        ("RELEASE", 3),
        ("COMMIT", 3),
    ]
    assert {status for _, _, status in statements(bench)} == {"ok"}


def test_transactions_by_text_are_the_same(bench: Bench) -> None:
    """Commands that come as statements count, with AND CHAIN too."""
    with bench.connect("staff", autocommit=True) as conn:
        for text in ("begin", "select 1", "commit and chain", "select 2", "rollback", "select 3"):
            conn.execute(text)
    assert [(s, n) for s, n, _ in statements(bench)] == [
        ("BEGIN", 0),
        ("SELECT", 1),
        ("COMMIT", 1),
        ("SELECT", 2),
        ("ROLLBACK", 2),
        ("SELECT", 0),
    ]


def test_a_commit_that_fails_is_recorded_as_failed(bench: Bench) -> None:
    """A deferred constraint and a COMMIT that the server answers by ROLLBACK are no success."""
    with bench.connect("staff") as conn:
        conn.execute("insert into late values (1), (1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            conn.commit()
        with pytest.raises(psycopg.errors.DivisionByZero):
            conn.execute("select 1/0")
        conn.commit()
    ends = [(s, n, status) for s, n, status in statements(bench) if s == "COMMIT"]
    assert ends == [("COMMIT", 1, "error"), ("COMMIT", 2, "error")]


def test_two_phase_commit_is_recorded_without_its_name(bench: Bench) -> None:
    """Preparing and finishing are records; the transaction's name is a literal, and stays out."""
    with bench.connect("staff") as conn:
        xid = conn.xid(1, "GTRID-CANARY", "branch")
        conn.tpc_begin(xid)
        conn.execute("select 1")
        # A server with max_prepared_transactions = 0 refuses it, and rolls back.
        with suppress(psycopg.NotSupportedError):
            conn.tpc_prepare()
            conn.tpc_rollback()
        conn._tpc = None
    assert "PREPARE TRANSACTION" in [s for s, _, _ in statements(bench)]
    assert "CANARY" not in bench.recorded()


def test_nothing_commits_that_cannot_be_recorded(bench: Bench, database: str) -> None:
    """Where the record fails before the commit, the transaction is rolled back."""
    conn = bench.connect("staff")
    conn.execute("insert into people values (77, 'x', 'y')")
    shutil.rmtree(bench.audit)
    with pytest.raises(AuditUnavailable):
        conn.commit()
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    with psycopg.connect(database) as plain:
        assert plain.execute("select from people where id = 77").fetchone() is None
    bench.audit.mkdir(mode=0o700)
    conn.close()


def test_a_rollback_needs_no_record(bench: Bench) -> None:
    """What takes changes back is carried out though the record fails."""
    conn = bench.connect("staff")
    conn.execute("insert into people values (78, 'x', 'y')")
    shutil.rmtree(bench.audit)
    conn.rollback()
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    bench.audit.mkdir(mode=0o700)
    conn.close()


def test_logins_are_recorded(bench: Bench) -> None:
    """A connection's beginning and end are records, with who; so is a login that fails."""
    bench.connect("staff").close()
    with bench.connect("staff") as conn:
        conn.execute("select 1")
        conn._wire.finish()
    assert incidents(bench)[:3] == ["policy_loaded", "connected", "disconnected"]
    connected = next(r for r in told(bench) if r.get("incident", {}).get("kind") == "connected")
    assert connected["incident"]["who"]["subject"] == "someone"


def test_a_failed_login_is_recorded(database: str, tmp_path: Path) -> None:
    """The server's refusal of the wall's login is a record with its code."""
    (tmp_path / "policy.toml").write_text(POLICY.format(audit=""))
    login = psycopg.conninfo.make_conninfo(database, dbname="no_such_database")
    with Bench.load(tmp_path / "policy.toml", conninfo=login) as bench:
        with pytest.raises(psycopg.OperationalError):
            bench.connect("staff")
        assert incidents(bench) == ["policy_loaded", "login_failed"]


def test_an_open_transaction_at_the_end_is_told(bench: Bench) -> None:
    """Closing a connection in a transaction says that it is rolled back."""
    conn = bench.connect("staff")
    conn.execute("select 1")
    conn.close()
    last = [r for r in told(bench) if r["kind"] == "incident"][-1]
    assert last["incident"]["detail"] == "what was not committed is rolled back"


def test_a_cancelled_statement_is_told_as_such(bench: Bench) -> None:
    """The outcome of a cancelled statement is not that of a failed one."""
    with bench.connect("staff", autocommit=True) as conn:
        conn.execute("set statement_timeout = '20ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            conn.execute("select count(*) from people a, people b, generate_series(1, 100000000)")
    assert statements(bench)[-1][2] == "cancelled"


def test_copy_tells_its_bytes(bench: Bench) -> None:
    """The outcome of a COPY has the bytes of its rows, in either direction."""
    with bench.connect("staff") as conn:
        with conn.cursor().copy("copy people (id, name) from stdin") as copy:
            copy.write(b"500\tabc\n")
        with conn.cursor().copy("copy people (id, name) to stdout") as copy:
            size = sum(len(bytes(row)) for row in copy)
        conn.rollback()
    found = [r["ended"].get("bytes") for r in told(bench) if r["kind"] == "outcome"]
    assert found[:2] == [8, size]


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count what is brought to the disk."""
    name = "fdatasync" if hasattr(os, "fdatasync") else "fsync"
    real, count = getattr(os, name), 0

    def counted(fd: int) -> None:
        nonlocal count
        count += 1
        real(fd)

    monkeypatch.setattr(os, name, counted)
    return lambda: count


@pytest.mark.parametrize(
    ("statement", "synced"),
    [
        ("select name from people", False),
        ("select card from people", True),
        ("select name from people where card = 'x'", True),
        ("select id from safe.gold", True),
        ("select 1", False),
    ],
)
def test_rules_make_the_record_stronger(
    bench: Bench, syncs: Callable[[], int], statement: str, synced: bool
) -> None:
    """A grant that is used and a masked column that is touched may ask for the disk."""
    with bench.connect("staff", autocommit=True) as conn:
        before = syncs()
        conn.execute(statement)
        assert bool(syncs() - before) is synced
    kept = next(r["what"].get("kept") for r in told(bench) if r["kind"] == "intent")
    assert kept == ("synced" if synced else None)


def test_writes_may_be_kept_more_strongly(strict: Bench, syncs: Callable[[], int]) -> None:
    """Intent, outcome and commit of a write reach the disk; reads do without."""
    with strict.connect("staff", autocommit=True) as conn:
        before = syncs()
        conn.execute("select name from people")
        assert syncs() == before
        conn.execute("update people set name = name where id = 1")
        assert syncs() == before + 2
        with conn.transaction():
            conn.execute("update people set name = name where id = 1")
            assert syncs() == before + 3
        assert syncs() == before + 4


class Failing(FileLog):
    """A log that can't be flushed while `broken`."""

    broken = False

    def flush(self, kept: str = "") -> None:
        if self.broken:
            raise AuditUnavailable("the audit log could not be written")
        super().flush(kept)


def test_a_write_whose_outcome_is_lost_breaks_the_connection(database: str, tmp_path: Path) -> None:
    """In autocommit nothing can be taken back: nobody goes on as if it were recorded."""
    (tmp_path / "policy.toml").write_text(POLICY.format(audit='writes = "synced"'))
    log = Failing(tmp_path / "log")
    with Bench.load(tmp_path / "policy.toml", conninfo=database, audit=log) as bench:
        conn = bench.connect("staff", autocommit=True)
        log.broken = True
        with pytest.raises(AuditUnavailable):
            conn.execute("update people set name = name where id = 1")
        assert conn.closed
        log.broken = False


def test_an_async_cancellation_is_recorded(bench: Bench) -> None:
    """A statement that another thread cancels gets its outcome, and the log verifies."""
    with bench.connect("staff", autocommit=True) as conn:
        timer = threading.Timer(0.2, conn.cancel)
        timer.start()
        started = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            conn.execute("select count(*) from people a, generate_series(1, 2000000000)")
        assert time.monotonic() - started < 60
    assert statements(bench)[-1][2] == "cancelled"
    assert verify(bench.audit).ok


def test_a_refusal_tells_its_columns_to_the_record_alone(bench: Bench) -> None:
    """What a refused statement wanted is in the record, and not in the error."""
    with bench.connect("nobody", autocommit=True) as conn:
        with pytest.raises(tracewall.Forbidden) as refused:
            conn.execute("select card from people")
    (intent,) = (r for r in told(bench) if r["kind"] == "intent")
    assert intent["what"]["columns"] == {"public.people": ["card"]}
    assert refused.value.decision is not None and not refused.value.decision.relations
