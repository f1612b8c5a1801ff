"""Ways to make a statement look smaller than it is: none passes a rule that asks."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.adapt import Dumper
from psycopg.pq import Format

import tracewall
from tracewall.approval.facts import value
from tracewall.approval.request import Parameter
from tracewall.asked import asking
from tracewall.errors import ApprovalRequired

ROWS = """
[[approvals]]
name = "export"
rows = 10
approvers = ["boss"]
"""
NO_WHERE = """
[[approvals]]
name = "everything"
no_where = true
approvers = ["boss"]
"""
CHAIN = "with recursive r(n, had) as (select 0, ''::text union all {}) {} select had from r {}"
LAST = "order by n desc limit 1"
LARGER = {
    "a row of VALUES that is many": "insert into other values (generate_series(1, 50), 'x')",
    "zeros behind": "select id from note limit 1::text::bit(31)::int",
    "a letter's number": 'select id from note limit 9::text::"char"::int',
    "bytes as a number": "select id from note limit 9::text::bytea::int",
    "texts joined on the way": CHAIN.format(
        "select n + 1, had || (select body from note where id = n + 1) from r where n < 20",
        "",
        LAST,
    ),
    "a function on the way": CHAIN.format(
        "select n + 1, concat(had, body) from r join note on id = n + 1 where n < 20", "", LAST
    ),
    "a row as text on the way": CHAIN.format(
        "select n, s::text from (select r.n + 1 as n, r.had, body from r join note on id = r.n + 1"
        " where r.n < 20) s",
        "",
        LAST,
    ),
    "the path of a search": "with recursive r(n, body) as (select 0, '' union all"
    " select r.n + 1, note.body from r join note on id = r.n + 1 where r.n < 20)"
    " search depth first by body set path select path from r order by n desc limit 1",
}
SMALL = [
    "insert into other values (101, 'x')",
    "insert into other values (102, lower('X'))",
    "select id from note limit 5::int8",
    "select id from note limit 5::bigint::int",
    "with recursive r(n) as (select 1 union all select n + 1 from r where n < 9)"
    " select n from r order by n limit 9",
    "with recursive r(id, body) as (select id, body from note where id = 1 union"
    " select note.id, note.body from note join r on note.id = r.id + 1 where note.id < 5)"
    " select * from r limit 5",
]
ALL = [
    "merge into other o using (values (1)) v on true when matched then delete",
    "merge into other o using (values (1)) v(a) on o.id = o.id when matched then delete",
    "merge into other o using (values (1)) v(a) on o.id = v.a"
    " when not matched by source then update set body = ''",
    "delete from other using (values (1)) v(a) where v.a = 1",
    "delete from other using (values (1)) v(id) where v.id = 1",
    "delete from other where exists (select 1 from note where note.id = 1)",
    "update other set body = '' from note where note.id = 1",
    "delete from other where ctid is not null",
    "delete from other where tableoid is not null",
]
SOME = [
    "merge into other o using (values (1)) v(a) on o.id = v.a when matched then delete",
    "merge into other o using (values (2)) v(a) on true when matched and o.id = v.a then delete",
    "merge into other o using (values (99)) v(a) on o.id = v.a"
    " when not matched then insert values (99, 'x')",
    "delete from other using note where note.id = other.id and note.id = 3",
    "delete from other where exists (select 1 from note where note.id = other.id and id = 4)",
    "delete from other where id in (select id from note where id = 5)",
    "update other set body = '' where ctid = '(0,1)'",
]


class _Bytes(Dumper):
    """Sends digits that the server is to take for bytes."""

    oid = psycopg.adapters.types["bytea"].oid

    def dump(self, obj: Any) -> bytes:
        return b"9999"


class _Letter(_Bytes):
    """Sends a digit that the server is to take for a letter."""

    oid = psycopg.adapters.types['"char"'].oid

    def dump(self, obj: Any) -> bytes:
        return b"9"


class _Untyped(_Letter):
    """Sends digits, and leaves it to the server what they are."""

    oid = 0


def test_what_looks_smaller_than_it_is_is_asked_for(office: Any) -> None:
    """A bound counts only where nothing of the statement can make more rows of it."""
    wall = office.wall(ROWS)
    with office.connect(wall) as conn:
        for name, query in LARGER.items():
            with pytest.raises(ApprovalRequired):
                conn.execute(query)
                pytest.fail(name)
        for query in SMALL:
            assert conn.execute(query).rowcount <= 10, query
    assert office.raw("select count(*) from other") == [(2,)]


@pytest.mark.parametrize(
    ("dumper", "query"),
    [
        (_Bytes, "select id from note limit %t::int"),
        (_Letter, "select id from note limit %t::int"),
        (_Untyped, 'select $1::"char" is null, id from note limit $1::int'),
    ],
)
def test_a_limit_is_what_the_server_takes_it_for(office: Any, dumper: Any, query: str) -> None:
    """A parameter of another type than a number's bounds nothing, whatever its text looks like."""
    wall = office.wall(ROWS)
    raw = "$1" in query
    with office.connect(wall) as conn:
        cursor = psycopg.RawCursor(conn) if raw else conn.cursor()
        cursor.adapters.register_dumper(object, dumper)
        dumper.format = Format.TEXT
        with pytest.raises(ApprovalRequired):
            cursor.execute(query, [object()])
        with asking(reason="a number is one"):
            assert len(conn.execute("select id from note limit %s::int", (3,)).fetchall()) == 3
            assert len(conn.execute("select id from note limit %s", ("4",)).fetchall()) == 4


def test_what_the_client_binds_is_estimated_too(office: Any) -> None:
    """The planner is asked about what the client has bound as it will be sent."""
    wall = office.wall(ROWS)
    with office.connect(wall) as conn:
        cursor = tracewall.ClientCursor(conn)
        with pytest.raises(ApprovalRequired):
            cursor.execute("select id from note where id > %s", (2,))
        assert cursor.execute("select id from note where id < %s", (4,)).rowcount == 3


@pytest.mark.parametrize(
    ("type", "format", "raw", "shown"),
    [
        (25, 1, b"drop it", "'drop it'"),
        (1043, 1, b"a\x1b[2J", "'a\\x1b[2J'"),
        (3802, 1, b'\x01{"a": 1}', "'{\"a\": 1}'"),
        (3802, 1, b"\xff\x01", "'\\\\xff\\x01'"),
        (17, 1, b"\x01\x02", "\\x0102"),
        (23, 1, b"\xff\xff\xff\xff", "-1"),
        (0, 0, b"7", "'7'"),
        (25, 0, None, "NULL"),
    ],
)
def test_parameters_are_shown_as_what_they_are(
    type: int, format: int, raw: bytes | None, shown: str
) -> None:
    """Nobody hides a text from approvers by sending it in binary."""
    assert value(Parameter.of(type, format, raw)) == shown


def test_what_changes_all_rows_has_no_condition(office: Any) -> None:
    """MERGE counts as UPDATE and DELETE do; what is not about the rows changed is no condition."""
    wall = office.wall(NO_WHERE)
    office.raw("insert into other select n, 'x' from generate_series(1, 40) n")
    with office.connect(wall) as conn:
        for query in ALL:
            with pytest.raises(ApprovalRequired):
                conn.execute(query)
                pytest.fail(query)
        for query in SOME:
            assert conn.execute(query).rowcount <= 1, query
    assert office.raw("select count(*) > 30 from other") == [(True,)]
