"""Unique keys bound what comes back: the bound is there where it should be, and never wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.pq import ExecStatus

from tracewall.approval.request import Parameter
from tracewall.asked import by_keys
from tracewall.sql.catalog import FINGERPRINT, QUERIES, Catalog, read
from tracewall.sql.extent import extent
from tracewall.sql.grammar import Text

SCHEMA = """
create table t (id int primary key, u uuid unique, name text unique, big bigint unique,
    n numeric unique, code varchar(20) unique, fix char(8) unique, at timestamptz unique,
    a int, b int, unique (a, b), fk int, num int, word text);
insert into t select i, ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid,
    chr(96 + i), 9007199254740990 + i, 1 + i * 1e-20, chr(64 + i),
    repeat(' ', i % 2) || chr(96 + i), '2026-01-01'::timestamptz + i * interval '1 microsecond',
    i % 3, i, i % 4, i % 2, chr(96 + i % 2)
    from generate_series(1, 12) i;
create table s (id bigint primary key, t_id int, word text unique, num int unique deferrable,
    part int, low text, loose text, none int unique);
insert into s select i, i % 5, chr(96 + i), i, i % 2, chr(64 + i), chr(96 + i), null
    from generate_series(1, 12) i;
create unique index on s (part) where part > 5;
create unique index on s (lower(low));
create table parent (id int primary key, v int);
create table heir () inherits (parent);
insert into parent select i, i from generate_series(1, 4) i;
insert into heir select i, i from generate_series(1, 4) i;
create table parts (id int primary key, v int) partition by range (id);
create table parts_1 partition of parts for values from (1) to (5);
create table parts_2 partition of parts for values from (5) to (99);
insert into parts select i, i from generate_series(1, 9) i;
create view seen as select * from t;
create table ruled (id int primary key);
insert into ruled values (1);
create rule more as on update to ruled do also update t set num = 9;
create type kind as enum ('a', 'b');
create function many(int) returns setof int language sql as 'select generate_series(1, 5)';
"""
ODD = """
create collation odd (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create table odds (id int primary key, plain text unique, folded text collate odd unique,
    mixed text, either text collate odd);
create unique index on odds (mixed collate "C");
create unique index on odds (either collate "C");
insert into odds select i, p, f, p, p from
    (values (1, 'a', 'x'), (2, 'A', 'y'), (3, 'b', 'z'), (4, 'B', 'w')) v (i, p, f);
"""


class Database:
    """A database, what its catalog says, and what it answers."""

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self.conn = conn
        self.catalog = self.read()

    def read(self) -> Catalog:
        """Read the catalog anew."""
        return read(self._answer(question) for question in QUERIES)

    def _answer(self, question: bytes) -> bytes:
        value = self.conn.pgconn.exec_(question).get_value(0, 0)
        assert value is not None
        return value

    def fingerprint(self) -> bytes:
        """Give the catalog's."""
        return self._answer(FINGERPRINT)

    def bound(self, query: str, *values: tuple[int, str | None]) -> int:
        """Give how many rows a statement is said to have at most; -1: nobody knows."""
        known = extent(Text(query.encode()).parse(), self.catalog).keyed
        parameters = [
            Parameter.of(type, 0, None if value is None else value.encode())
            for type, value in values
        ]
        return by_keys(known, parameters)

    def rows(self, query: str, *values: tuple[int, str | None]) -> int:
        """Give how many rows come back or are changed, and undo it; -1: the server refuses."""
        done = self.conn.pgconn
        done.exec_(b"begin")
        result = done.exec_params(
            query.encode(),
            [None if value is None else value.encode() for _, value in values],
            [type for type, _ in values],
        )
        done.exec_(b"rollback")
        if result.status == ExecStatus.TUPLES_OK:
            return result.ntuples
        return (result.command_tuples or 0) if result.status == ExecStatus.COMMAND_OK else -1


@pytest.fixture(scope="module")
def base(request: Any) -> Iterator[Database]:
    """A database with keys of every kind, and duplicates wherever they may be."""
    server = request.getfixturevalue("server")
    name = "tracewall_keys"
    with psycopg.connect(server.conninfo, autocommit=True) as admin:
        admin.execute(f"drop database if exists {name}")
        admin.execute(f"create database {name}")
        with psycopg.connect(server.conninfo, dbname=name, autocommit=True) as conn:
            conn.execute(SCHEMA)
            with pytest.raises(psycopg.errors.UniqueViolation):
                conn.execute("create unique index concurrently on s (t_id)")
            yield Database(conn)
        admin.execute(f"drop database {name}")


ID = "00000000-0000-0000-0000-000000000001"
INT, TEXT, FLOAT, NUMERIC, INTS, UUID = 23, 25, 701, 1700, 1007, 2950


@pytest.mark.parametrize(
    ("query", "values", "most"),
    [
        ("select * from t where id = 1", (), 1),
        ("select * from t where 1 = t.id and num > 0", (), 1),
        ("select * from only t where id = $1", ((INT, "1"),), 1),
        ("select * from t where id = $1", ((0, "1"),), 1),
        ("select * from t where name = $1", ((TEXT, "a"),), 1),
        ("select * from t where code = 'A'", (), 1),
        ("select * from t where u = $1::uuid", ((TEXT, ID),), 1),
        ("select * from t where u = $1", ((UUID, ID),), 1),
        ("select * from t where n = 2", (), 1),
        ("select * from t where a = 1 and b = $1", ((INT, "4"),), 1),
        ("select * from t where id in (1, 2, $1)", ((INT, "3"),), 3),
        ("select * from t where id = any($1)", ((INTS, "{1,2,3}"),), 3),
        ("select * from t where id = any($1::int[])", ((0, "{1,2}"),), 2),
        ("select * from t where id = any(array[1, 2])", (), 2),
        ("select * from t where id = any('{1,2,3,4}')", (), 4),
        ("select * from t x join s y on y.id = x.fk where x.id = $1", ((INT, "1"),), 1),
        ("select * from t x left join s y on y.id = x.fk where x.id = 5", (), 1),
        ("select * from t x, s y where x.id = 5 and y.id in (1, 2)", (), 2),
        ("select count(*), num from t where id = 1 group by num", (), 1),
        ("select * from parts where id = 3", (), 1),
        ("update t set num = 0 where id = $1", ((INT, "1"),), 1),
        ("update t set num = y.id from s y where t.id = 1 and y.id = t.fk", (), 1),
        ("delete from t using s y where t.id = y.t_id and y.id = 1 returning t.id", (), 1),
        ("insert into s select 100 from t where id = 1", (), 1),
        ("copy (select * from t where id = 1) to stdout", (), 1),
    ],
)
def test_what_a_key_bounds(base: Database, query: str, values: Any, most: int) -> None:
    """A statement that names a unique key has its bound, and no more rows than that."""
    assert base.bound(query, *values) == most
    if not query.startswith("copy"):
        assert 0 <= base.rows(query, *values) <= most


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("select * from t where id > 1", ()),
        ("select * from t where num = 1", ()),
        ("select * from t where a = 1", ()),
        ("select * from t where id = 1 or true", ()),
        ("select * from t where not (id = 1)", ()),
        ("select * from t where id = id", ()),
        ("select * from t where id <> all('{1}')", ()),
        ("select * from t where id is not distinct from 1", ()),
        ("select * from t where id + 0 = 1", ()),
        ("select * from t where id = num", ()),
        ("select * from t where id = (select max(id) from t)", ()),
        ("select * from t where id = any(select id from t)", ()),
        ("select * from t where big = 9007199254740993::float8", ()),
        ("select * from t where big = $1", ((FLOAT, "9007199254740993"),)),
        ("select * from t where n = $1", ((FLOAT, "1"),)),
        ("select * from t where n = 1::float4", ()),
        ("select * from t where id = $1 and n = $1", ((0, "1"),)),
        ("select * from t where name = 'a' collate \"C\"", ()),
        ("select * from t where at = '2026-01-01'::date", ()),
        ("select * from t where fix = 'a'::text", ()),
        ("select * from s where num = 1", ()),
        ("select * from s where part = 1", ()),
        ("select * from s where low = 'A'", ()),
        ("select * from s where lower(low) = 'a'", ()),
        ("select * from s where t_id = 1", ()),
        ("select * from parent where id = 1", ()),
        ("select * from seen where id = 1", ()),
        ("select many(1) from t where id = 1", ()),
        ("select generate_series(1, 9) from t where id = 1", ()),
        ("select * from t, generate_series(1, 9) where id = 1", ()),
        ("select * from t x right join s y on x.id = y.id where x.id = 1", ()),
        ("select * from s x left join t y on x.id = 1", ()),
        ("select * from s x left join t y on y.id = 1", ()),
        ("select * from t x join s y on true where x.id = 1", ()),
        ("select id, num from t where id = 1 group by grouping sets ((id, num), (id), ())", ()),
        ("select * from t where id = 1 union all select * from t", ()),
        (
            "with t as (select i as id from generate_series(1, 3) i) select * from t where id = 1",
            (),
        ),
        ("select * from t x (one) where one = 1", ()),
        ("select * from t as x (a, b, id) where id = 'a'", ()),
        ("update ruled set id = 2 where id = 1", ()),
        ("select * from t where id = any($1)", ((NUMERIC, "{1}"),)),
        ("select * from (t x join s y on true) where x.id = 1", ()),
    ],
)
def test_what_no_key_bounds(base: Database, query: str, values: Any) -> None:
    """What a key does not surely bound has no bound by it."""
    assert base.bound(query, *values) == -1
    assert base.rows(query, *values) >= 0 or "any($1)" in query or "$1 and" in query


def test_collations_decide_what_is_equal(base: Database) -> None:
    """A key bounds only what is compared by its own collation; one that folds case may not."""
    try:
        base.conn.execute(ODD)
    except psycopg.errors.Error as ex:
        pytest.skip(f"the server has no such collations ({ex.sqlstate})")
    base.catalog = base.read()
    for query, most in [
        ("select * from odds where plain = 'a'", 1),
        ("select * from odds where folded = 'X'", 1),
        ("select * from odds where plain = 'a' collate odd", -1),
        ("select * from odds where plain = $1 collate odd", -1),
        ("select * from odds where mixed = 'a'", -1),
        ("select * from odds where either = 'a'", -1),
        ("select x.id from odds x join odds y on x.plain = y.folded where y.id = 1", -1),
        ("select x.id from odds x join odds y on x.plain = y.either where y.id = 1", -1),
        ("select x.id from odds x join odds y on x.plain = y.plain where y.id = 1", 1),
    ]:
        values = ((TEXT, "a"),) if "$1" in query else ()
        assert base.bound(query, *values) == most, query
        assert base.rows(query, *values) <= most or most < 0
    base.conn.execute("create domain fold as text collate odd")
    base.catalog = base.read()
    query = "select * from odds where plain = 'a'::fold"
    assert (base.rows(query), base.bound(query)) == (2, -1)


def test_an_operator_of_a_users_takes_the_bound_away(base: Database) -> None:
    """Where ``=`` may mean somebody else's operator nothing is known to be unique by it."""
    query = "select * from t where code = $1"
    assert base.bound(query, (1043, "x")) == 1
    base.conn.execute(
        "create function same(varchar, varchar) returns bool language sql as 'select true';"
        "create operator = (leftarg = varchar, rightarg = varchar, function = same)"
    )
    try:
        base.catalog = base.read()
        assert base.rows(query, (1043, "x")) == 12
        assert base.bound(query, (1043, "x")) == -1
        assert base.bound("select * from t where code operator(pg_catalog.=) 'x'") == -1
    finally:
        base.conn.execute("drop function same cascade")
        base.catalog = base.read()


@pytest.mark.parametrize(
    "change",
    [
        "drop index {}",
        "alter table late drop constraint late_pkey, add primary key (id) deferrable",
        "update pg_index set indisvalid = false where indexrelid = '{}'::regclass",
        "create table late_heir () inherits (late)",
    ],
)
def test_a_key_that_goes_is_seen(base: Database, change: str) -> None:
    """The catalog's fingerprint is another after any change of what is unique."""
    base.conn.execute("create table late (id int primary key, v int)")
    name = "late_pkey"
    if change.startswith("drop index"):
        base.conn.execute("alter table late drop constraint late_pkey")
        base.conn.execute("create unique index late_v on late (id)")
        name = "late_v"
    try:
        before, base.catalog = base.fingerprint(), base.read()
        assert base.bound("select * from late where id = 1") == 1
        base.conn.execute(change.format(name))
        assert base.fingerprint() != before
        base.catalog = base.read()
        assert base.bound("select * from late where id = 1") == -1
    finally:
        base.conn.execute("drop table late cascade")
        base.catalog = base.read()


COLUMNS = {
    "t": "id u name big n code fix at a b fk num word".split(),
    "s": "id t_id word num part low loose none".split(),
    "parent": ["id", "v"],
    "parts": ["id", "v"],
}
CONSTANTS = (
    "1 2 'a' 'A' 9007199254740993 1.00000000000000000001 1::float8 'a'::text 'a'::bpchar 1::int8 "
    "1::numeric 9007199254740993::float8 $1 $2 $1::int $2::text $1::float8 null true (1) "
    "'a'::name 1::oid -1 1::smallint '00000000-0000-0000-0000-000000000001'"
).split()
ARRAYS = "'{1,2,3}' array[1,2] $3 $3::int[] array['a','b'] '{a,b,c}'::text[] array[1.5,2]".split()
PARAMETERS = ((0, "1"), (0, "a"), (0, "{1,2,3}"))


@st.composite
def statements(draw: Any) -> str:
    """Draw a statement over one to three relations, with joins and conditions of all sorts."""
    tables = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=3))
    names = [f"x{at}" for at in range(len(tables))]

    def column() -> str:
        at = draw(st.integers(0, len(tables) - 1))
        return f"{names[at]}.{draw(st.sampled_from(COLUMNS[tables[at]]))}"

    def condition(depth: int = 0) -> str:
        one = draw(st.sampled_from("key key key equal join in any other and or not".split()))
        if one == "key":
            at = draw(st.integers(0, len(tables) - 1))
            return f"{names[at]}.id = {draw(st.sampled_from(CONSTANTS))}"
        if one in ("and", "or") and depth < 3:
            return f"({condition(depth + 1)} {one} {condition(depth + 1)})"
        if one == "not" and depth < 3:
            return f"not ({condition(depth + 1)})"
        if one == "in":
            items = draw(st.lists(st.sampled_from(CONSTANTS), min_size=1, max_size=3))
            return f"{column()} in ({', '.join(items)})"
        if one == "any":
            return f"{column()} = any({draw(st.sampled_from(ARRAYS))})"
        if one == "join":
            return f"{column()} = {column()}"
        symbol = "=" if one == "equal" else draw(st.sampled_from(["<>", ">=", "<="]))
        return f"{column()} {symbol} {draw(st.sampled_from(CONSTANTS))}"

    source = f"{tables[0]} {names[0]}"
    for table, name in zip(tables[1:], names[1:], strict=True):
        join = draw(st.sampled_from([", ", " join ", " left join ", " left join ", " right join "]))
        source += f"{join}{table} {name}" + ("" if join == ", " else f" on {condition()}")
    where = " and ".join(condition() for _ in range(draw(st.integers(1, 4))))
    target = draw(st.sampled_from(["*", "1", "count(*)", "generate_series(1, 4)"]))
    return f"select {target} from {source} where {where}"


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(query=statements(), types=st.sampled_from([(0, 0, 0), (INT, TEXT, INTS), (FLOAT, 0, 0)]))
def test_a_bound_is_never_wrong(base: Database, query: str, types: tuple[int, int, int]) -> None:
    """Whatever is asked, no more rows come than the bound says, where it says one."""
    values = tuple((type, value) for type, (_, value) in zip(types, PARAMETERS, strict=True))
    # Those that are not named can't be sent without a type.
    sent = [v if f"${at}" in query else (INT, "1") for at, v in enumerate(values, start=1)]
    most = base.bound(query, *sent)
    if most >= 0:
        assert base.rows(query, *sent) <= most
