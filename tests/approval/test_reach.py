"""How far a statement reaches: what passes at once, and what is asked for whatever comes."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.adapt import Dumper
from psycopg.pq import Format

import tracewall
from tracewall.errors import ApprovalRequired, Forbidden

RULE = """
[[approvals]]
name = "export"
rows = 10
approvers = ["boss", "lead"]
"""
ALWAYS = [
    "true",
    "1 = 1 or id = 5",
    "id = id",
    "note.id = id and true",
    "id = coalesce(id, 0)",
    "not (id = 5 and false)",
    "(id = 1 or id = id) is true",
    "id in (id)",
    "id between id and id",
    "id is not null",
    "id in (select id from note)",
    "exists (select 1)",
    "now() > '2020-01-01'",
]
SOMETIMES = [
    "id = {}",
    "id = id and id = {}",
    "(id = {}) is true",
    "body = 'note {}'",
    "id in (select {} from other right join note x on true)",
    "id in (select n.id from note n where n.id = {})",
]


def ask(conn: Any, query: str, *params: Any) -> None:
    """Have people asked about a statement."""
    with pytest.raises(ApprovalRequired):
        conn.execute(query, *params)


def test_conditions_that_lack(office: Any) -> None:
    """Changing every row is asked for, also by a condition that names no column."""
    rule = '[[approvals]]\nname = "all"\nno_where = true\napprovers = ["boss"]\n'
    with office.connect(office.wall(rule)) as conn:
        for query in (
            "delete from note",
            "update note set body = ''",
            "truncate note",
            *(f"delete from note where {always}" for always in ALWAYS),
        ):
            ask(conn, query)
        for number, some in enumerate(SOMETIMES, start=1):
            conn.execute(f"delete from note where {some.format(number)}")
    assert office.raw("select count(*) from note") == [(40 - len(SOMETIMES),)]


def test_a_unique_key_passes_at_once(office: Any) -> None:
    """A statement bounded by a key passes by every door: nothing is asked before."""
    wall = office.wall(RULE.replace("rows = 10", "rows = 3"))
    query = "select body from note where id = %s"
    with office.connect(wall) as conn:
        for number in (1, 2, 3):
            assert len(conn.execute(query, (number,)).fetchall()) == 1
        assert (
            len(conn.execute("select id from note where id = any(%s)", ([1, 2, 9],)).fetchall())
            == 3
        )
        with conn.pipeline():
            assert len(conn.execute(query, (4,)).fetchall()) == 1
        assert len(list(conn.cursor().stream(query, (5,)))) == 1
        conn.cursor().executemany("update note set body = '' where id = %s", [(1,), (2,), (3,)])
        with pytest.raises(Forbidden, match="batch"):
            conn.cursor().executemany("update note set body = '' where id = %s", [(1,)] * 4)
        ask(conn, "select id from note where id = any(%s) and id > 0", ([*range(20)],))


MANY = [*range(1, 20)]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", [tracewall.Cursor, tracewall.RawCursor])
@pytest.mark.parametrize(
    ("query", "sets"),
    [
        ("delete from note where id = any({})", [([1],), (MANY,)]),
        ("update note set body = '' where id = any({})", [([1],), ([2],), ([3, 4],)]),
        ("delete from note where id = {}", [(1,), (2,), (None,), ("3",)]),
        ("select id from note limit {}", [(1,), (20,)]),
        ("select id from note limit {}", [(1,), (None,)]),
    ],
)
def test_each_set_of_a_batch_is_counted(
    office: Any, kind: Any, query: str, sets: list[Any], lazy: bool
) -> None:
    """A later set that can have more rows than the first one does not get by a rule's number."""
    wall = office.wall(RULE.replace("rows = 10", "rows = 3"))
    text = query.format("$1" if kind is tracewall.RawCursor else "%s")
    with office.connect(wall) as conn:
        conn.cursor().executemany("delete from other where id = %s", [(1,), (2,), (3,)])
        with pytest.raises(Forbidden, match="batch"):
            given = iter(sets) if lazy else sets
            kind(conn).executemany(text, given, returning="select" in text)
    changed = "select 40 - count(*) from note where body <> ''"
    assert office.raw(changed)[0][0] <= 3


def test_sets_that_a_rule_s_number_leaves_room_for_pass(office: Any) -> None:
    """What counts is what all sets can have, however it is spread over them."""
    query = "select id from note where id = any(%s)"
    found = 0
    with office.connect(office.wall()) as conn, conn.cursor() as cursor:
        cursor.executemany(query, [([1],), ([2, 3, 4, 5],), ([6],)], returning=True)
        for _ in range(3):
            found += len(cursor.fetchall())
            cursor.nextset()
    assert found == 6


@pytest.mark.parametrize("door", ["execute", "executemany"])
def test_a_buffer_that_changes_is_what_it_was(office: Any, door: str) -> None:
    """What was looked at is what leaves, though the program's buffer changes meanwhile."""
    office.raw("create table blob (id bytea primary key); grant all on blob to public")
    office.raw("insert into blob values ('one'), ('two')")
    held = bytearray(b"one")

    def changed(gen: Any) -> Any:
        try:
            step = next(gen)
            while True:
                held[:] = b"two"
                step = gen.send((yield step))
        except StopIteration as ex:
            return ex.value

    class Held(Dumper):
        """Gives the program's own buffer."""

        oid = psycopg.adapters.types["bytea"].oid
        format = Format.BINARY

        def dump(self, obj: Any) -> Any:
            return held

    with office.connect(office.wall(), autocommit=False) as conn, conn.cursor() as cursor:
        cursor.adapters.register_dumper(bytearray, Held)
        waits = conn.wait
        conn.wait = lambda gen, *rest: waits(changed(gen), *rest)
        if door == "execute":
            cursor.execute("delete from blob where id = %b", (held,))
        else:
            cursor.executemany("delete from blob where id = %b", [(held,)])
        conn.wait = waits
        conn.commit()
    assert held == b"two"
    assert office.raw("select id from blob") == [(b"two",)]


class Binary(int):
    """The number of psycopg's binary format, which says that it is the text's."""

    def __int__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False


class Eight(Dumper):
    """Dumps eight digits: a 1 as text, more than any table has as a binary number."""

    oid = psycopg.adapters.types["int8"].oid
    format: Any = Binary(1)

    def dump(self, obj: Any) -> bytes:
        return b"00000001"


@pytest.mark.parametrize("door", ["execute", "executemany"])
def test_a_format_is_what_libpq_takes_it_for(office: Any, door: str) -> None:
    """A LIMIT is read as the server will read it, whatever the program's dumper says of it."""
    with office.connect(office.wall()) as conn, conn.cursor() as cursor:
        cursor.adapters.register_dumper(int, Eight)
        with pytest.raises(Forbidden):
            if door == "execute":
                cursor.execute("select id from note limit %s", (1,))
            else:
                cursor.executemany("select id from note limit %s", [(1,)], returning=True)


def test_rows_that_a_key_does_not_let_through_are_withheld(office: Any) -> None:
    """Where the key is gone since the catalog was read, no second row is handed out."""
    office.conninfo += '"\ncatalog_max_age = "1h'
    query = "select id from other where id = 1"
    with office.connect(office.wall()) as conn:
        conn.execute(query)
        office.raw("alter table other drop constraint other_pkey")
        office.raw("insert into other select 1, 'x' from note limit 5")
        with pytest.raises(tracewall.Withheld, match="unique keys"):
            conn.execute(query)
        with pytest.raises(tracewall.Withheld, match="unique keys"):
            list(conn.cursor().stream(query))


def test_what_a_view_gathers_is_asked_for(office: Any) -> None:
    """A view whose rows hold many others' does not get by the number, nor one over it."""
    office.raw(
        "create view gathered as select string_agg(body, ',') as bodies from note;"
        "create view over_it as select upper(bodies) as b from gathered;"
        "create view plain as select id from note where id < 3;"
        "grant select on gathered, over_it, plain to public"
    )
    with office.connect(office.wall()) as conn:
        ask(conn, "select bodies from gathered")
        ask(conn, "select b from over_it limit 1")
        assert len(conn.execute("select id from plain").fetchall()) == 2
