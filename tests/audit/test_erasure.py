"""An erasable record: pseudonyms and commitments in the chain, names and salts beside it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.audit.people import People, Person
from tracewall.audit.register import REMEMBERED
from tracewall.audit.search import joined
from tracewall.audit.verify import records, verify
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
actions = ["select", "insert"]
tables = ["public.*"]
"""


@pytest.fixture
def bench(scratch_dsn: str, tmp_path: Path) -> Iterator[Bench]:
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute("create table people (id int, name text)")
    (tmp_path / "policy.toml").write_text(POLICY)
    with Bench.load(tmp_path / "policy.toml", conninfo=scratch_dsn) as bench:
        yield bench


def run(bench: Bench, subject: str, sql: str, *parameters: object) -> None:
    token = bench.token("staff", subject=subject)
    with bench.connect(token=token, autocommit=True) as conn:
        conn.execute(sql, parameters or None)


def intents(bench: Bench) -> list[dict[str, Any]]:
    bench.wall.audit.flush()
    return [record for record in records(bench.audit) if record["kind"] == "intent"]


def test_the_chain_holds_no_name_and_no_hash_of_the_text(bench: Bench) -> None:
    """Neither subject nor token id nor an unsalted hash is in any file of the log."""
    sql = "select name from people where id = 42"
    run(bench, "SUBJECT-CANARY", sql)
    told = bench.recorded()
    assert "CANARY" not in told
    assert hashlib.sha256(sql.encode()).hexdigest() not in told
    (intent,) = intents(bench)
    assert intent["who"]["subject"].startswith("p-")
    assert set(intent["commitments"]) == {"text", "parameters"}


def test_a_person_has_one_pseudonym_in_a_log(bench: Bench) -> None:
    """Records of one person are linked over connections, those of two are told apart."""
    for subject in ("ann", "bob", "ann"):
        run(bench, subject, "select 1")
    first, second, third = (intent["who"]["subject"] for intent in intents(bench))
    assert first == third != second


def test_a_commitment_proves_what_was_sent(bench: Bench) -> None:
    """With the salt, text and parameters can be shown to be those of a record, and no others."""
    run(bench, "ann", "select name from people where id = %s::int and name = %s", 7, "x")
    (intent,) = intents(bench)
    person = People(bench.audit).all()[intent["who"]["subject"]]
    sent = b"select name from people where id = $1::int and name = $2"
    assert intent["commitments"]["text"] == person.commitment("text", (sent,))
    assert intent["commitments"]["parameters"] != person.commitment("parameters", ())
    assert person.subject == "ann"


def test_erasing_a_person_leaves_the_chain(bench: Bench) -> None:
    """Their name and salt are gone from every file, others' are not, and the log verifies."""
    run(bench, "ann-canary", "select 1")
    run(bench, "bob", "select 1")
    people = People(bench.audit)
    (salt,) = [p.salt for p in people.all().values() if p.subject == "ann-canary"]
    assert len(people.erase("ann-canary")) == 1
    assert [p.subject for p in people.all().values()] == ["bob"]
    for path in bench.audit.iterdir():
        assert b"ann-canary" not in path.read_bytes() and salt not in path.read_bytes()
    assert verify(bench.audit).ok
    assert people.erase("ann-canary") == []
    vars(bench.wall)["_people"]._clock = lambda: time.monotonic() + REMEMBERED
    run(bench, "ann-canary", "select 1")
    first, _, last = (intent["who"]["subject"] for intent in intents(bench))
    assert first != last, "who comes back is somebody new"


def test_only_the_issuers_subject_is_erased(tmp_path: Path) -> None:
    """With an issuer, a namesake of another issuer stays."""
    people = People(tmp_path)
    people.of("https://a", "ann"), people.of("https://b", "ann")
    assert len(people.erase("ann", "https://a")) == 1
    assert [p.issuer for p in people.all().values()] == ["https://b"]


def test_names_that_cannot_be_kept_refuse(tmp_path: Path) -> None:
    """Where pseudonyms can't be had nothing is recorded, and so nothing is sent."""
    (tmp_path / "people.sqlite").write_bytes(b"no database, but long enough to look at" * 100)
    with pytest.raises(AuditUnavailable) as refused:
        People(tmp_path).of("https://a", "NAME-CANARY")
    assert "CANARY" not in str(refused.value) and refused.value.__context__ is None


DRAW = """
from pathlib import Path
from tracewall.audit.people import People
for _ in range(4):
    print(People(Path(sys.argv[1])).of("https://a", "ann").pseudonym)
"""


def test_processes_agree_on_a_pseudonym(tmp_path: Path, start: Callable[..., Any]) -> None:
    """Whoever is first draws it; all the others get the same."""
    running = [start(DRAW, tmp_path) for _ in range(4)]
    told = []
    for process in running:
        with process:
            output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
        told += output.split()
    assert len(told) == 16
    assert len(set(told)) == 1


_PARTS = st.lists(st.none() | st.binary(max_size=4), max_size=4)


@given(_PARTS, _PARTS)
def test_no_two_sequences_are_committed_to_alike(first: Any, second: Any) -> None:
    """Lengths and NULLs count: ('a', 'b') is neither ('ab') nor ('a', 'b', NULL)."""
    person = Person("i", "s", "p", b"k" * 32)
    same = person.commitment("x", first) == person.commitment("x", second)
    assert same == (first == second)


@pytest.mark.parametrize("pipeline", [False, True])
def test_a_batch_commits_to_every_set(bench: Bench, pipeline: bool) -> None:
    """The outcome of an executemany commits to all sets that left, in order, and to no others."""
    sets = [(1, "a"), (2, None), (3, "c")]
    token = bench.token("staff", subject="ana")
    with bench.connect(token=token, autocommit=True) as conn, conn.cursor() as cursor:
        with conn.pipeline() if pipeline else nullcontext():
            cursor.executemany("insert into people values (%s, %s)", sets)
    ended = ends(bench)["INSERT public.people"]
    (person,) = People(bench.audit).all().values()

    def committed(sets: list[Any]) -> str:
        made = person.committing("sets")
        for number, name in sets:
            # As they leave: a smallint in binary, or in text, as psycopg has it.
            made.take((b"2", b"\0" + bytes([number]), name.encode() if name else None))
        return made.hexdigest()

    assert ended["sets"] == 3
    assert ended["written"] == committed(sets)
    assert ended["written"] != committed(sets[:2]) != committed([sets[1], sets[0]])


def test_a_copy_commits_to_what_it_writes(bench: Bench) -> None:
    """The outcome of a COPY FROM commits to its bytes, however they were cut."""
    token, found = bench.token("staff", subject="ana"), set()
    for blocks in (["1\ta\n2\tb\n"], ["1\ta", "\n2\t", "b\n"], ["1\ta\n2\tB\n"]):
        with bench.connect(token=token, autocommit=True) as conn, conn.cursor() as cursor:
            with cursor.copy("copy people from stdin") as copy:
                for block in blocks:
                    copy.write(block)
        found.add(ends(bench)["COPY public.people"]["written"])
    assert len(found) == 2


def ends(bench: Bench) -> dict[str, Any]:
    bench.wall.audit.flush()
    return {
        each["what"]["summary"]: each["ended"]
        for each in joined(records(bench.audit))
        if "what" in each
    }
