"""An erasable record in PostgreSQL: one pseudonym for the fleet, and one erasure reaches it all."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tracewall.audit.migration import migration
from tracewall.audit.people import Person
from tracewall.audit.register import REMEMBERED, Known, StoredPeople
from tracewall.audit.server import Server
from tracewall.audit.verify import verify
from tracewall.cli import main
from tracewall.errors import AuditUnavailable
from tracewall.testing import Bench

POLICY = """
version = 1
[audit]
erasable = true
[[issuers]]
name = "test"
issuer = "https://idp.test"
audience = "api"
keys = "jwks.json"
[[grants]]
name = "all"
groups = ["staff"]
actions = ["select"]
tables = ["public.*"]
"""


class Machine:
    """One of the service's processes: a wall whose log is in the shared database."""

    def __init__(self, place: Any, folder: Path) -> None:
        (folder / "policy.toml").write_text(POLICY)
        self.bench = Bench.load(folder / "policy.toml", conninfo=place.admin, audit=place.log())

    def run(self, subject: str, sql: str = "select 1") -> None:
        token = self.bench.token("staff", subject=subject)
        with self.bench.connect(token=token, autocommit=True) as conn:
            conn.execute(sql)


@pytest.fixture
def fleet(place: Any, tmp_path: Path) -> Iterator[list[Machine]]:
    with psycopg.connect(place.admin, autocommit=True) as conn:
        conn.execute("create table t (id int)")
    machines = []
    for at in range(2):
        (tmp_path / str(at)).mkdir()
        machines.append(Machine(place, tmp_path / str(at)))
    yield machines
    for machine in machines:
        machine.bench.close()


def subjects(place: Any, folder: Path) -> list[str]:
    return [each["who"]["subject"] for each in place.records(folder) if each["kind"] == "intent"]


def erase(place: Any, subject: str) -> int:
    return main(["audit", "erase", place.uri, "--subject", subject])


def test_a_person_has_one_pseudonym_in_the_fleet(
    place: Any, fleet: list[Machine], tmp_path: Path
) -> None:
    """Two machines name one person alike and two differently; nothing of them is on a machine."""
    for machine in fleet:
        machine.run("ann-canary")
        machine.run("bob")
    told = subjects(place, tmp_path / "log")
    assert len(told) == 4 and len(set(told)) == 2
    assert all(each.startswith("p-") for each in told)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"ann-canary" in path.read_bytes() for path in files)
    assert not list(tmp_path.rglob("people.sqlite"))


def test_one_erasure_reaches_them_all(
    place: Any, fleet: list[Machine], tmp_path: Path, capfd: Any
) -> None:
    """Name and salt are in no page of the database; the chain verifies; search shows no name."""
    for machine in fleet:
        machine.run("ann-canary")
        machine.run("bob")
    with psycopg.connect(place.admin, autocommit=True) as look:
        ((salt,),) = look.execute(
            "select salt from tracewall_audit.people where subject = 'ann-canary'"
        ).fetchall()
        assert main(["audit", "search", place.uri, "--who", "ann-canary", "--json"]) == 0
        found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        assert {each["name"] for each in found if "what" in each} == {"ann-canary"}
        assert erase(place, "ann-canary") == 0
        for relation in ("people", "people_pkey", "people_pseudonym_key"):
            ((data,),) = look.execute(
                "select pg_read_binary_file(pg_relation_filepath(%s))",
                (f"tracewall_audit.{relation}",),
            ).fetchall()
            assert b"ann-canary" not in data and salt not in data
    assert erase(place, "ann-canary") == 2
    capfd.readouterr()
    assert main(["audit", "search", place.uri, "--who", "ann-canary"]) == 0
    assert "ann-canary" not in capfd.readouterr().out
    assert main(["audit", "search", place.uri, "--who", "bob", "--json"]) == 0
    assert '"name":"bob"' in capfd.readouterr().out
    assert verify(place.fetched(tmp_path)).ok
    kinds = [
        each["incident"]["kind"] for each in place.records(tmp_path / "2") if "incident" in each
    ]
    assert "erased" in kinds


def test_an_open_connection_goes_on_as_somebody_new(
    place: Any, fleet: list[Machine], tmp_path: Path
) -> None:
    """Once a process asks again who is who, its connections have the new pseudonym."""
    machine = fleet[0]
    token = machine.bench.token("staff", subject="ann")
    with machine.bench.connect(token=token, autocommit=True) as conn:
        conn.execute("select 1")
        assert erase(place, "ann") == 0
        conn.execute("select 2")
        vars(machine.bench.wall)["_people"]._clock = lambda: time.monotonic() + REMEMBERED
        conn.execute("select 3")
    machine.bench.wall.audit.flush()
    first, second, third = subjects(place, tmp_path / "log")
    assert first == second != third


class Told:
    """A register whose people change when it is told to."""

    def __init__(self) -> None:
        self.asked, self.salt = 0, b"a"

    def of(self, issuer: str, subject: str) -> Person:
        self.asked += 1
        return Person(issuer, subject, "p", self.salt)


def test_a_process_asks_again_after_a_minute() -> None:
    """It knows a person for so long, then hears of an erasure; the same person is one object."""
    now, register = [0.0], Told()
    people = Known(register, lambda: now[0])
    first = people.of("i", "ann")
    now[0] = REMEMBERED - 1
    assert people.of("i", "ann") is first and register.asked == 1
    assert not people.is_fresh("i", "ann") and not people.is_fresh("i", "bob")
    now[0] = REMEMBERED
    assert people.of("i", "ann") is first and register.asked == 2
    register.salt = b"b"
    now[0] = 2 * REMEMBERED
    assert people.of("i", "ann").salt == b"b"
    for at in range(5_000):
        people.of("i", str(at))
    assert len(people._known) <= 4_096


@pytest.mark.parametrize(
    "statement",
    [
        "select * from tracewall_audit.people",
        "select salt from tracewall_audit.people where subject = 'ann'",
        "select count(*) from tracewall_audit.people",
        "copy tracewall_audit.people to stdout",
        "delete from tracewall_audit.people",
        "update tracewall_audit.people set salt = ''",
        "insert into tracewall_audit.people values ('i', 's', 'p-1', '')",
        "truncate tracewall_audit.people",
        "vacuum full tracewall_audit.people",
        "begin; lock tracewall_audit.people in access share mode",
        "create or replace function tracewall_audit.person(text, text) returns int "
        "language sql as 'select 1'",
    ],
)
def test_the_writer_may_ask_for_one_person_only(place: Any, statement: str) -> None:
    """It gets the salt of whom it names, and can neither list, change, delete nor make people."""
    with psycopg.connect(place.writer, autocommit=True) as conn:
        person = "select * from tracewall_audit.person(%s, %s)"
        first = conn.execute(person, ("i", "ann")).fetchall()
        assert first == conn.execute(person, ("i", "ann")).fetchall()
        ((pseudonym, salt),) = first
        assert pseudonym.startswith("p-") and len(pseudonym) == 18 and len(salt) == 32
        conn.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        notices: list[str] = []
        try:
            conn.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            conn.rollback()
        else:
            assert "permission denied" in notices[0], "VACUUM only warns"
        assert conn.execute(person, ("i", "ann")).fetchall() == first


def test_readers_see_names_only_where_they_may(place: Any, capfd: Any) -> None:
    """The record's reader sees pseudonyms; the role of `--names` sees who is who, and salts."""
    reader, namer = f"{place.role}_r", f"{place.role}_n"
    with psycopg.connect(place.admin, autocommit=True) as conn:
        conn.execute("drop schema tracewall_audit cascade")
        for role in (reader, namer):
            conn.execute(f"create role {role} login password 'pw'")
        conn.execute(migration(place.role, "tracewall_audit", reader, namer))
    try:
        with place.log() as log:
            pseudonym = log.people.of("i", "ann").pseudonym
        for role, may in ((reader, False), (namer, True)):
            login = make_conninfo(place.admin, user=role, password="pw")
            with psycopg.connect(login, autocommit=True) as conn:
                if may:
                    found = conn.execute("select pseudonym from tracewall_audit.people").fetchall()
                    assert found == [(pseudonym,)]
                else:
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        conn.execute("select pseudonym from tracewall_audit.people")
                for statement in (
                    "delete from tracewall_audit.people",
                    "select tracewall_audit.person('i', 'ann')",
                ):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        conn.execute(statement)
        uri = place.uri_of(make_conninfo(place.admin, user=reader, password="pw"))
        assert main(["audit", "search", uri, "--who", "ann"]) == 0
        assert main(["audit", "erase", uri, "--subject", "ann"]) == 2
        assert "nothing is erased" in capfd.readouterr().err
    finally:
        with psycopg.connect(place.admin, autocommit=True) as conn:
            for role in (reader, namer):
                conn.execute(f"drop owned by {role}")
                conn.execute(f"drop role {role}")


def test_pseudonyms_are_drawn_once(place: Any) -> None:
    """However many ask for one person at once, all get the same, and another one another."""
    log = place.log()
    found: list[str] = []

    def ask() -> None:
        people = StoredPeople(lambda: Server(place.writer, "tracewall_audit", None, 30.0))
        found.append(people.of("i", "ann").pseudonym)
        people.close()

    asking = [threading.Thread(target=ask) for _ in range(8)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert len(found) == 8 and len(set(found)) == 1
    assert log.people.of("i", "bob").salt != log.people.of("i", "ann").salt
    log.close()


def test_without_the_place_nothing_is_sent(place: Any, fleet: list[Machine]) -> None:
    """Where pseudonyms can't be had the statement is refused, and no name is told."""
    with psycopg.connect(place.admin, autocommit=True) as conn:
        conn.execute("drop function tracewall_audit.person")
    with pytest.raises(AuditUnavailable) as refused:
        fleet[0].run("name-canary")
    assert "canary" not in str(refused.value) and refused.value.__context__ is None


async def test_an_event_loop_does_not_wait_for_pseudonyms(place: Any, fleet: list[Machine]) -> None:
    """While the database keeps somebody waiting for a name, other tasks run."""
    machine = fleet[0]
    with psycopg.connect(place.admin) as admin:
        admin.execute("lock table tracewall_audit.people")
        task = asyncio.create_task(machine.bench.connect_async("staff"))
        for _ in range(50):
            await asyncio.sleep(0.005)
        assert not task.done()
    conn = await task
    await conn.execute("select 1")
    await conn.close()
