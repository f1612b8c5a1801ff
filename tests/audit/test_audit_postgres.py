"""The log in PostgreSQL: appended by a function, proved by its lines, refused in time."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tracewall.audit.migration import migration
from tracewall.audit.postgres import PostgresLog
from tracewall.audit.verify import records, verify
from tracewall.cli import main
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, Incident, What, Who
from tracewall.testing import FakeBackend


class Place:
    """A database with a place for the log, its writer's login and its owner's."""

    def __init__(self, admin: str, role: str) -> None:
        self.admin, self.role = admin, role
        self.writer = make_conninfo(admin, user=role, password="pw")

    def log(self, **options: Any) -> PostgresLog:
        return PostgresLog(self.writer, password=lambda: "pw", **options)

    def fetched(self, folder: Path) -> Path:
        assert main(["audit", "fetch", str(folder / "log"), "--conninfo", self.admin]) == 0
        return folder / "log"


@pytest.fixture
def place(scratch_dsn: str) -> Iterator[Place]:
    role = f"audit_{secrets.token_hex(4)}"
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(f"create role {role} login password 'pw'")
        conn.execute(migration(role, "tracewall_audit"))
        yield Place(scratch_dsn, role)
        conn.execute(f"drop owned by {role}")
        conn.execute(f"drop role {role}")


def test_what_is_kept_verifies(place: Place, tmp_path: Path, who: Who, what: What) -> None:
    """Intents, outcomes and incidents come out as files that `verify` proves."""
    with psycopg.connect(place.admin) as look:
        log = place.log()
        number = log.intent(who, what)
        (count,) = look.execute("select count(*) from tracewall_audit.records").fetchone()  # type: ignore[misc]
        assert count == 2, "kept before intent() returned"
        log.outcome(number, Ended(status="ok", rows=1))
        log.incident(Incident(kind="policy_loaded"))
        log.close()
    report = verify(place.fetched(tmp_path))
    assert report.ok and report.files[0].closed and report.files[0].open_intents == ()
    kinds = [record["kind"] for record in records(tmp_path / "log")]
    assert kinds == ["opened", "intent", "outcome", "incident", "closed"]
    with pytest.raises(AuditUnavailable):
        log.intent(who, what)


@pytest.mark.parametrize(
    "statement",
    [
        "select line from tracewall_audit.records",
        "update tracewall_audit.records set line = ''",
        "delete from tracewall_audit.records",
        "insert into tracewall_audit.records values ('x', 0, '')",
        "update tracewall_audit.heads set n = 0",
        "truncate tracewall_audit.records, tracewall_audit.heads",
        "drop function tracewall_audit.append(text, bigint, text[])",
    ],
)
def test_the_writer_may_append_only(place: Place, statement: str) -> None:
    """The log's own login can neither read, change, delete nor add but by the function."""
    place.log().close()
    with psycopg.connect(place.writer) as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement)


def test_the_server_refuses_what_does_not_follow(place: Place, who: Who, what: What) -> None:
    """A line that is not the next of its chain, and a second truth about a line, are refused."""
    log = place.log()
    log.intent(who, what)
    append = "select tracewall_audit.append(%s, %s, %s)"
    with psycopg.connect(place.writer, autocommit=True) as conn:
        for first, line in (
            (2, '{"n":2,"prev":"' + "0" * 64 + '","at":1}'),
            (3, '{"n":3}'),
            (1, '{"n":1,"prev":"x"}'),
            (0, "{}"),
        ):
            with pytest.raises(psycopg.errors.IntegrityError):
                conn.execute(append, (log.writer, first, [line]))
        with pytest.raises(psycopg.errors.CheckViolation):
            line = '{"n":0,"prev":"' + "0" * 64 + '",\n}'
            conn.execute(append, ("another", 0, [line]))
    with psycopg.connect(place.admin, autocommit=True) as other:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute(append, (log.writer, 2, []))
    log.close()


def test_a_broken_connection_is_made_anew(
    place: Place, tmp_path: Path, who: Who, what: What
) -> None:
    """After the server ends the connection the chain goes on; what was refused is abandoned."""
    log, refused = place.log(), 0
    log.intent(who, what)
    with psycopg.connect(place.admin, autocommit=True) as admin:
        for _ in range(3):
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s",
                (place.role,),
            )
            try:
                log.outcome(log.intent(who, what), Ended(status="ok"))
            except AuditUnavailable:
                refused += 1
    log.outcome(log.intent(who, what), Ended(status="ok"))
    log.close()
    report = verify(place.fetched(tmp_path))
    assert report.ok and report.files[0].closed
    told = list(records(tmp_path / "log"))
    abandoned = [r for r in told if r.get("ended", {}).get("status") == "abandoned"]
    assert len(abandoned) == refused


def test_a_slow_server_is_not_waited_for(place: Place, who: Who, what: What) -> None:
    """Where the record is locked away, an intent is refused after the deadline."""
    log = place.log(deadline=0.5)
    with psycopg.connect(place.admin) as admin:
        admin.execute("lock table tracewall_audit.heads")
        started = time.monotonic()
        with pytest.raises(AuditUnavailable) as refused:
            log.intent(who, what)
        assert time.monotonic() - started < 20
        assert refused.value.__context__ is None
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            log.intent(who, what)
            break
        except AuditUnavailable:
            continue
    log.close()


def test_no_server_no_log() -> None:
    """A log whose server is not there is refused at once."""
    with pytest.raises(AuditUnavailable):
        PostgresLog("host=/nonexistent dbname=x", deadline=5)


def test_threads_share_a_chain(place: Place, tmp_path: Path, what: What) -> None:
    """Intents of many threads are each kept once, in one chain."""
    log = place.log(deadline=60)

    def work(name: str) -> None:
        me = Who(issuer="i", subject=name, session="s", database="d", role="r")
        for _ in range(10):
            log.outcome(log.intent(me, what), Ended(status="ok"))

    threads = [threading.Thread(target=work, args=(str(at),)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    report = verify(place.fetched(tmp_path))
    assert report.ok and report.records == 2 + 160 and report.files[0].open_intents == ()


def test_a_wall_takes_it(place: Place, tmp_path: Path) -> None:
    """A guarded connection keeps its record there."""
    from tracewall.testing import Bench

    policy = tmp_path / "policy.toml"
    policy.write_text(
        'version = 1\n[[issuers]]\nname = "t"\nissuer = "https://t.test"\naudience = "a"\n'
        'keys = "jwks.json"\n[[grants]]\ngroups = ["g"]\nactions = ["select"]\ntables = ["s.*"]\n'
    )
    with FakeBackend({"s.t": {"id": "int4"}}) as backend:
        backend.on("select id from s.t").rows([(1,)])
        with Bench.load(policy, backend, audit=place.log()) as bench:
            with bench.connect("g") as conn:
                assert conn.execute("select id from s.t").fetchall() == [(1,)]
    told = list(records(place.fetched(tmp_path)))
    assert [r["what"]["summary"] for r in told if r["kind"] == "intent"] == ["SELECT s.t", "COMMIT"]
