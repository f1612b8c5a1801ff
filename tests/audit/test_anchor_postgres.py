"""Checkpoints in PostgreSQL: a second place that the service may only add to."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tracewall.audit.anchor import Checkpoints
from tracewall.audit.log import FileLog
from tracewall.audit.notary import SCHEMA, PostgresAnchor, migration
from tracewall.audit.notes import Signer, checkpoint, opened
from tracewall.audit.record import FIRST_PREV, Head, files, seal
from tracewall.audit.stored import kept
from tracewall.audit.verify import records, verify
from tracewall.cli import main
from tracewall.errors import PolicyError
from tracewall.events import Ended, Incident, What, Who
from tracewall.logbook import log_of
from tracewall.policy.load import load

SIGNER = Signer("audit.test", bytes(range(32)))
KEY = SIGNER.public


class Anchored:
    """A database with a place for checkpoints, and its writer's login."""

    def __init__(self, admin: str, role: str) -> None:
        self.admin, self.role = admin, role
        parts = {k: v for k, v in conninfo_to_dict(admin).items() if k != "password"}
        self.conninfo = make_conninfo(**{**parts, "user": role})
        host, rest = quote(str(parts.pop("host")), safe=""), urlencode(parts)
        self.uri = f"postgresql:///?host={host}&{rest}"

    def anchor(self, **options: Any) -> PostgresAnchor:
        return PostgresAnchor(self.conninfo, password=lambda: "pw", **options)

    def heads(self) -> list[Head]:
        return [opened(note, [KEY]) for note in kept(self.admin, SCHEMA)]

    def run(self, statement: str) -> None:
        with psycopg.connect(self.admin, autocommit=True) as conn:
            conn.execute(statement.encode())


@pytest.fixture
def second(scratch_dsn: str) -> Iterator[Anchored]:
    role = f"anchor_{secrets.token_hex(4)}"
    made = Anchored(scratch_dsn, role)
    made.run(f"create role {role} login password 'pw'")
    made.run(migration(role))
    yield made
    made.run(f"drop owned by {role}; drop role {role}")


def fill(log: Any, who: Who, what: What, count: int) -> None:
    for _ in range(count):
        log.outcome(log.intent(who, what), Ended(status="ok"))


def policy(second: Anchored, folder: Path, more: str = "") -> Path:
    (folder / "key").write_text(SIGNER.secret())
    (folder / "key.pub").write_text(str(KEY))
    (folder / "password").write_text("pw")
    path = folder / "policy.toml"
    path.write_text(
        "version = 1\n[audit]\nsigning_key_file = 'key'\ncheckpoint_records = 10\n"
        f'anchor_conninfo = "{second.conninfo}"\nanchor_password_file = "password"\n{more}\n'
        '[[issuers]]\nname = "t"\nissuer = "https://t.test"\naudience = "a"\nkeys = "j.json"\n'
        '[[grants]]\ngroups = ["g"]\nactions = ["select"]\ntables = ["s.*"]\n'
    )
    return path


def test_a_policy_s_checkpoints_are_kept_and_prove_a_cut_end(
    second: Anchored, tmp_path: Path, who: Who, what: What, capsys: Any
) -> None:
    """What the database keeps shows that the log's end is missing, and a changed log."""
    log = log_of(load(policy(second, tmp_path)), ())
    fill(log, who, what, 30)
    log.close()
    (file,) = files(tmp_path / "audit")
    assert second.heads()[-1] == verify(tmp_path / "audit").files[0].head
    ask = ["audit", "verify", str(tmp_path / "audit"), "--key", str(tmp_path / "key.pub")]
    ask += ["--anchor", second.uri]
    assert main(ask) == 0
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole[:-1]))
    assert main(ask) == 1
    file.write_bytes(seal(0, FIRST_PREV, [(1.0, b'"kind":"closed"')] * len(whole))[0])
    assert main(ask) == 1
    file.unlink()
    assert main(ask) == 1
    assert main([*ask, "--anchor-schema", "nowhere"]) == 2
    assert second.role not in capsys.readouterr().err


def test_a_head_that_nobody_signed_is_no_proof(second: Anchored, tmp_path: Path) -> None:
    """Another key's checkpoint, and one with another hash, in the database are told as faults."""
    with FileLog(tmp_path / "audit", checkpoints=Checkpoints(SIGNER, [second.anchor()])) as log:
        log.incident(Incident(kind="unsafe"))
    (tmp_path / "key.pub").write_text(str(KEY))
    ask = ["audit", "verify", str(tmp_path / "audit"), "--key", str(tmp_path / "key.pub")]
    ask += ["--anchor", second.uri]
    assert main(ask) == 0
    (head,) = {each.file: each for each in second.heads()}.values()
    wrong = Head(file=head.file, n=1, sha256="ab" * 32)
    second.anchor()(SIGNER.note(checkpoint(wrong, 1.0)))
    second.run("delete from tracewall_anchor.notes where id < (select max(id) from "
               "tracewall_anchor.notes)")  # fmt: skip
    assert main(ask) == 1
    second.anchor()(Signer("audit.test", bytes(32)).note(checkpoint(head, 1.0)))
    assert main(ask) == 1


def test_the_service_may_add_checkpoints_only(second: Anchored) -> None:
    """It reads, changes and deletes none, and adds nothing else."""
    with psycopg.connect(second.conninfo, password="pw", autocommit=True) as conn:
        for statement in (
            "select * from tracewall_anchor.notes",
            "insert into tracewall_anchor.notes (role, note) values ('x', 'tracewall.audit/')",
            "update tracewall_anchor.notes set note = ''",
            "delete from tracewall_anchor.notes",
            "truncate tracewall_anchor.notes",
            "create table tracewall_anchor.mine (a int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement.encode())
        for text in ("", "nonsense", "tracewall.audit/" + "x" * 20_000, None):
            with pytest.raises(psycopg.errors.IntegrityError):
                conn.execute("select tracewall_anchor.keep(%s)", (text,))


def test_a_database_out_of_reach_holds_nothing_up(
    second: Anchored, tmp_path: Path, who: Who, what: What
) -> None:
    """It is told to the log once, without a word of the server's; later notes arrive again."""
    second.run(f"alter role {second.role} nologin")
    checkpoints = Checkpoints(SIGNER, [second.anchor()], records=4)
    with FileLog(tmp_path, checkpoints=checkpoints) as log:
        until = time.monotonic() + 30
        while not any(each["kind"] == "incident" for each in records(tmp_path)):
            fill(log, who, what, 4)
            assert time.monotonic() < until
            time.sleep(0.02)
        second.run(f"alter role {second.role} login")
        while not second.heads():
            fill(log, who, what, 4)
            assert time.monotonic() < until
            time.sleep(0.02)
    incidents = [each["incident"] for each in records(tmp_path) if each["kind"] == "incident"]
    assert [each["kind"] for each in incidents] == ["anchor_failed"]
    assert incidents[0]["detail"] == "an anchor does not take checkpoints: OSError"
    assert second.heads()[-1] == verify(tmp_path).files[0].head


def test_a_slow_database_is_given_up(
    second: Anchored, tmp_path: Path, who: Who, what: What
) -> None:
    """What keeps a note waiting is asked no longer than the timeout, and no statement waits."""
    checkpoints = Checkpoints(SIGNER, [second.anchor(timeout=0.3)], records=4)
    with psycopg.connect(second.admin) as conn, FileLog(tmp_path, checkpoints=checkpoints) as log:
        conn.execute("lock table tracewall_anchor.notes")
        started = time.monotonic()
        fill(log, who, what, 50)
        assert time.monotonic() - started < 10
        while not any(each["kind"] == "incident" for each in records(tmp_path)):
            assert time.monotonic() - started < 30
            time.sleep(0.02)
        conn.rollback()
    assert second.heads()[-1] == verify(tmp_path).files[0].head


def test_a_place_that_is_none_is_told(second: Anchored, tmp_path: Path) -> None:
    """Without its password, without a key, beside nothing, or where the record is: no policy."""
    good = policy(second, tmp_path)
    (tmp_path / "password").unlink()
    with pytest.raises(PolicyError, match="password of the anchor"):
        log_of(load(good), ())
    text = good.read_text()
    for old, new, word in (
        ("signing_key_file = 'key'\n", "", "without a signing key"),
        (f'anchor_conninfo = "{second.conninfo}"\n', "", "checkpoints in PostgreSQL"),
        (
            "version = 1\n[audit]\n",
            f'version = 1\n[audit]\nconninfo = "{second.conninfo}"\n',
            "itself",
        ),
        ("anchor_password_file", "anchor_password_env = 'X'\nanchor_password_file", "password_env"),
        ("user=", "password=CANARY user=", "password"),
    ):
        good.write_text(text.replace(old, new))
        with pytest.raises(PolicyError, match=word) as caught:
            load(good)
        assert "CANARY" not in str(caught.value)


def test_nobody_else_s_schema_keeps_checkpoints(second: Anchored) -> None:
    """The script may be run again by its owner, and changes nothing that is another role's."""
    second.anchor()(SIGNER.note(checkpoint(Head(file="1-1-1.jsonl", n=1, sha256="ab" * 32), 1.0)))
    second.run(migration(second.role))
    assert len(second.heads()) == 1
    second.run(f"alter table tracewall_anchor.notes owner to {second.role}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="run this as its owner"):
        second.run(migration(second.role))
