"""The log in PostgreSQL: appended by a function, proved by its lines, refused in time."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tracewall.audit.anchor import Checkpoints
from tracewall.audit.follow import decoded
from tracewall.audit.migration import migration
from tracewall.audit.notes import Signer, opened
from tracewall.audit.postgres import PostgresLog
from tracewall.audit.recovery import ending
from tracewall.audit.verify import records, verify
from tracewall.cli import main
from tracewall.cli.audit_database import Following, note
from tracewall.errors import AuditUnavailable, PolicyError
from tracewall.events import Ended, Incident, What, Who
from tracewall.logbook import log_of
from tracewall.policy.load import load
from tracewall.testing import Bench, FakeBackend

SIGNER = Signer("audit.test", bytes(range(32)))


def test_what_is_kept_verifies(place: Any, tmp_path: Path, who: Who, what: What) -> None:
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


def test_commands_read_it_by_its_uri(place: Any, who: Who, what: What, capfd: Any) -> None:
    """Where a command takes a directory it takes the database's URI, and reading is recorded."""
    log = place.log()
    log.outcome(log.intent(who, what), Ended(status="ok"))
    log.close()
    assert main(["audit", "verify", place.uri]) == 0
    assert "4 records hold together" in capfd.readouterr().out
    assert main(["audit", "search", place.uri, "--who", "ana", "--json"]) == 0
    (found,) = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert found["ended"]["status"] == "ok"
    assert main(["audit", "export", place.uri, "--kind", "audit_read", "--format", "csv"]) == 0
    assert "search by" in capfd.readouterr().out
    assert main(["audit", "tail", place.uri, "-n", "1", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["kind"]
    assert main(["audit", "verify", place.uri, "--schema", "nowhere"]) == 2
    assert "can't be read" in capfd.readouterr().err


def test_it_is_followed(place: Any, who: Who, what: What) -> None:
    """Each record that comes is given once, of every chain, and none of those before."""
    with place.log() as log:
        log.incident(Incident(kind="unsafe"))
        follower = Following((place.admin, "tracewall_audit"))
        assert list(follower.new()) == []
        log.incident(Incident(kind="policy_loaded"))
        with place.log() as other:
            other.incident(Incident(kind="mismatch"))
        kinds = [decoded(line)["kind"] for line in follower.new()]
        assert sorted(kinds) == ["closed", "incident", "incident", "opened"]
        assert list(follower.new()) == []


def test_a_reader_may_read_and_be_recorded_only(place: Any, tmp_path: Path) -> None:
    """The migration's reader sees the record, leaves one of its own, and changes nothing."""
    with psycopg.connect(place.admin, autocommit=True) as conn:
        conn.execute("drop schema tracewall_audit cascade")
        conn.execute(f"create role {place.role}_r login password 'pw'")
        conn.execute(migration(place.role, "tracewall_audit", f"{place.role}_r"))
    try:
        with place.log() as log:
            log.incident(Incident(kind="unsafe"))
        reader = make_conninfo(place.admin, user=f"{place.role}_r", password="pw")
        with psycopg.connect(reader, autocommit=True) as conn:
            for statement in (
                "update tracewall_audit.records set line = ''",
                "delete from tracewall_audit.heads",
                "insert into tracewall_audit.records values ('x', 0, '')",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    conn.execute(statement)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                line = '{"n":4,"prev":""}'
                conn.execute("select tracewall_audit.append(%s, 4, %s)", (log.writer, [line]))
        note((reader, "tracewall_audit"), Incident(kind="audit_read"))
        kinds = [r["incident"]["kind"] for r in place.records(tmp_path) if "incident" in r]
        assert kinds == ["unsafe", "audit_read"]
    finally:
        with psycopg.connect(place.admin, autocommit=True) as conn:
            conn.execute(f"drop owned by {place.role}_r")
            conn.execute(f"drop role {place.role}_r")


def test_the_owner_prunes_it(place: Any, tmp_path: Path, capfd: Any) -> None:
    """Old chains go, on record and signed for; the log's own role can't have them go."""
    (tmp_path / "key").write_text(SIGNER.secret())
    keys = 'keep_for = "1d"\nsigning_key_file = "key"'
    policy = place.policy(tmp_path, keys)
    with place.log(checkpoints=Checkpoints(SIGNER)) as log:
        log.incident(Incident(kind="unsafe"))
    with place.log(checkpoints=Checkpoints(SIGNER)) as open_one:
        head = open_one.head()
        heads = [log.head(), head]
        prune = ["audit", "prune", "--config", str(policy), "--conninfo"]
        assert main([*prune, place.admin]) == 0
        assert "0 chains" in capfd.readouterr().out, "not old enough"
        with psycopg.connect(place.admin, autocommit=True) as owner:
            owner.execute(
                "update tracewall_audit.heads set received = received - interval '2 days'"
            )
        assert main([*prune, place.writer]) == 2
        assert "nothing is deleted" in capfd.readouterr().err
        assert main([*prune, place.admin]) == 0
        assert "1 chain, 4 records" in capfd.readouterr().out, "what is open stays"
    report = verify(place.fetched(tmp_path), head=heads, keys=[SIGNER.public])
    assert report.ok and len(report.files) == 2
    assert [r["files"] for r in records(tmp_path / "log") if r["kind"] == "retired"] == [1]


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
        "alter table tracewall_audit.records disable trigger all",
        "create table tracewall_audit.x ()",
        "select n from tracewall_audit.heads",
        "copy tracewall_audit.records to stdout",
        "grant all on all tables in schema tracewall_audit to current_user",
    ],
)
def test_the_writer_may_append_only(place: Any, statement: str) -> None:
    """The log's own login can neither read, change, delete nor add but by the function."""
    place.log().close()
    with psycopg.connect(place.writer) as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement)


def test_the_server_refuses_what_does_not_follow(place: Any, who: Who, what: What) -> None:
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


def test_a_broken_connection_is_made_anew(place: Any, tmp_path: Path, who: Who, what: What) -> None:
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


def test_a_slow_server_is_not_waited_for(place: Any, who: Who, what: What) -> None:
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


def test_threads_share_a_chain(place: Any, tmp_path: Path, what: What) -> None:
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


def test_a_wall_takes_it(place: Any, tmp_path: Path) -> None:
    """A guarded connection keeps its record there."""
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


def test_a_policy_keeps_its_record_there(place: Any, tmp_path: Path) -> None:
    """With `conninfo` in [audit] nothing else is needed, and no files are made."""
    policy = place.policy(tmp_path)
    with FakeBackend({"s.t": {"id": "int4"}}) as backend:
        backend.on("select id from s.t").rows([(1,)])
        with Bench.load(policy, backend, audit=log_of(load(policy), ())) as bench:
            with bench.connect("g") as conn:
                conn.execute("select id from s.t").fetchall()
    assert verify(place.fetched(tmp_path)).ok
    told = list(records(tmp_path / "log"))
    assert [r["what"]["summary"] for r in told if r["kind"] == "intent"] == ["SELECT s.t", "COMMIT"]
    assert not (tmp_path / "audit").exists()


def test_a_missing_password_is_told(place: Any, tmp_path: Path) -> None:
    """A policy whose password is not where it says can't be held, and says which."""
    policy = place.policy(tmp_path)
    (tmp_path / "password").unlink()
    with pytest.raises(PolicyError, match="audit log's database"):
        log_of(load(policy), ())


def test_checkpoints_vouch_for_it(place: Any, tmp_path: Path, who: Who, what: What) -> None:
    """With a key, notes stand in the chain and elsewhere; what the owner cuts off is told."""
    told: list[str] = []
    log = place.log(checkpoints=Checkpoints(SIGNER, [told.append], records=10))
    for _ in range(35):
        log.outcome(log.intent(who, what), Ended(status="ok"))
    head = log.head()
    log.close()
    path = place.fetched(tmp_path)
    heads = [opened(note, [SIGNER.public]) for note in told]
    report = verify(path, head=[*heads, head], keys=[SIGNER.public])
    assert report.ok and report.files[0].closed
    assert report.files[0].signed == report.records - 2
    assert heads[-1] == report.files[0].head
    with psycopg.connect(place.admin, autocommit=True) as owner:
        owner.execute("delete from tracewall_audit.records where n >= 30")
    again = place.fetched(tmp_path / "cut")
    assert verify(again, keys=[SIGNER.public]).ok, "a cut end alone can't be told"
    assert not verify(again, head=heads, keys=[SIGNER.public]).ok


_LEFT = """
from tracewall.audit.postgres import PostgresLog
log = PostgresLog(sys.argv[1])
open_one = log.intent(who, what)
log.outcome(log.intent(who, what), ended)
log.flush()
print("ready", flush=True)
time.sleep(3600)
"""


def test_dead_writers_are_ended(
    place: Any, tmp_path: Path, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After kill -9 the next log ends the chain, signed; that of a living process is left."""
    monkeypatch.setattr("tracewall.audit.server.GRACE", 0.0)
    checkpoints = Checkpoints(SIGNER)
    with start(_LEFT, place.writer) as process:
        assert process.stdout.readline() == b"ready\n"
        place.log().close()
        (left,) = (f for f in verify(place.fetched(tmp_path / "a")).files if f.open_intents)
        assert not left.closed
        process.kill()
    deadline = time.monotonic() + 30
    for at in range(1000):
        place.log(checkpoints=checkpoints).close()
        report = verify(place.fetched(tmp_path / str(at)), keys=[SIGNER.public])
        ended = next(file for file in report.files if file.file == left.file)
        if ended.closed:
            break
        assert time.monotonic() < deadline
    assert ended.ok and ended.open_intents == () and ended.found
    said = [r for r in records(tmp_path / str(at) / "log" / left.file) if r["kind"] == "outcome"]
    assert [(r["intent"], r["ended"]["status"]) for r in said] == [(2, "ok"), (1, "unknown")]


def test_a_chain_that_was_ended_is_followed(
    place: Any, tmp_path: Path, who: Who, what: What
) -> None:
    """A process that was taken for dead goes on in a new chain, which names the old one."""
    log = place.log()
    first = log.intent(who, what)
    old = log.head()
    lines = ending(old, [1], 1.0, None)
    with psycopg.connect(place.writer, autocommit=True) as other:
        append = "select tracewall_audit.append(%s, %s, %s)"
        other.execute(append, (log.writer, old.n + 1, lines.decode().splitlines()))
    deadline = time.monotonic() + 30
    while True:
        try:
            second = log.intent(who, what)
            break
        except AuditUnavailable:
            assert time.monotonic() < deadline
    log.outcome(first, Ended(status="ok"))
    log.outcome(second, Ended(status="ok"))
    log.close()
    report = verify(place.fetched(tmp_path))
    assert report.ok and len(report.files) == 2
    assert all(file.closed and not file.open_intents for file in report.files)
    new = list(records(tmp_path / "log" / report.files[1].file))
    assert new[0]["follows"]["file"] == old.file
    assert [r["of"] for r in new if "of" in r] == [old.file.removesuffix(".jsonl")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_writes_a_chain_of_its_own(place: Any, tmp_path: Path, run: Any) -> None:
    """Parent and child each go on in their own chain; the parent's connection stays its own."""
    script = """
from tracewall.audit.postgres import PostgresLog
log = PostgresLog(sys.argv[1], deadline=30)
first = log.intent(who, what)
child = os.fork()
if not child:
    log.outcome(first, Ended(status="unknown"))
    log.outcome(log.intent(who, what), ended)
    log.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
log.outcome(log.intent(who, what), ended)
log.close()
"""
    run(script, place.writer)
    report = verify(place.fetched(tmp_path))
    assert report.ok and len(report.files) == 2
    assert all(file.closed and not file.open_intents for file in report.files)


def test_kill_9_loses_no_intent(place: Any, tmp_path: Path, start: Any) -> None:
    """What an intent returned for is in the database, whatever moment the process died at."""
    script = """
from tracewall.audit.postgres import PostgresLog
log = PostgresLog(sys.argv[1])
count = 0
while True:
    log.outcome(log.intent(who, what), ended)
    count += 1
    print(count, flush=True)
"""
    rounds = int(os.environ.get("TRACEWALL_KILL_ROUNDS", "2"))
    accepted = []
    for at in range(rounds):
        with start(script, place.writer) as process:
            told = [process.stdout.readline()]
            time.sleep(0.003 * (at % 20))
            process.kill()
            told += [line for line in process.stdout if line.endswith(b"\n")]
        accepted.append(int(told[-1]))
    report = verify(place.fetched(tmp_path))
    assert report.ok and len(report.files) == rounds
    kept = [
        sum(each["kind"] == "intent" for each in records(tmp_path / "log" / file.file))
        for file in report.files
    ]
    assert all(has >= told for has, told in zip(kept, accepted, strict=True))
