"""Views are followed as the server itself follows them, however they are stacked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracewall.sql.catalog import QUERIES, Catalog, Definition, read
from tracewall.sql.statement import (
    Misunderstood,
    Statement,
    Understanding,
    inherited,
    understand,
)

SCHEMA = """
CREATE SCHEMA v;
SET search_path = v;
CREATE TABLE users (id int PRIMARY KEY, gone int, name text, secret text, doc jsonb, age int);
ALTER TABLE users DROP COLUMN gone;
CREATE TABLE orders (id int, user_id int, note text, total int) PARTITION BY RANGE (id);
CREATE TABLE orders_1 (total int, note text, user_id int, id int);
ALTER TABLE orders ATTACH PARTITION orders_1 FOR VALUES FROM (0) TO (9);
CREATE VIEW held AS SELECT id, name, upper(secret) AS loud, secret AS hush, secret::int AS num
    FROM users WHERE age > 1;
CREATE VIEW twice AS SELECT hush || note AS mixed, orders.id, loud
    FROM held JOIN orders ON user_id = held.id;
CREATE VIEW parts AS SELECT o.id, o.note FROM orders o;
CREATE MATERIALIZED VIEW kept AS SELECT hush, count(*) AS n FROM held GROUP BY hush;
CREATE VIEW entry AS SELECT id, secret AS hush, name FROM users WHERE id > 0 WITH CHECK OPTION;
CREATE VIEW entry_of AS SELECT hush, id, upper(hush) AS loud FROM entry;
CREATE VIEW sets AS SELECT id, unnest(ARRAY[secret]) AS one FROM users;
CREATE VIEW united AS SELECT id, secret AS x FROM users UNION SELECT id, note FROM orders;
CREATE VIEW nulls AS SELECT id, name, secret IS NULL AS none FROM users WHERE secret IS NOT NULL;
CREATE FUNCTION own(text) RETURNS text LANGUAGE sql RETURN $1;
CREATE VIEW odd AS SELECT id, own(secret) AS x FROM users;
CREATE VIEW odder AS SELECT id FROM odd;
CREATE VIEW catalogs AS SELECT rolname FROM pg_catalog.pg_authid;
CREATE VIEW now_view AS SELECT now() AS n, current_user AS u;
CREATE VIEW sided AS SELECT id, name FROM users;
CREATE RULE aside AS ON INSERT TO sided DO INSTEAD
    INSERT INTO orders (id, note) VALUES (new.id, new.name);
CREATE VIEW "Odd Name" ("a b", "select") AS SELECT id, secret FROM users;
CREATE TABLE same (id int, other text);
CREATE VIEW pathless AS SELECT id, other FROM same;
CREATE TYPE mood AS ENUM ('good');
CREATE TABLE moods (id int, now mood);
CREATE VIEW good AS SELECT id FROM moods WHERE now = 'good';
CREATE VIEW picky AS SELECT id, CASE WHEN age > 3 THEN secret END AS part FROM users;
CREATE VIEW pickier AS SELECT part FROM picky;
CREATE VIEW either AS SELECT secret AS x FROM users UNION ALL SELECT 'none';
CREATE VIEW listed (a, b) AS VALUES (1, 'x'), (2, 'y');
CREATE VIEW said AS VALUES (1, 'x'), (2, 'y');
CREATE VIEW over_sided AS SELECT id, name FROM sided;
CREATE TABLE ruled (id int);
CREATE RULE beside AS ON INSERT TO ruled DO ALSO INSERT INTO orders (id) VALUES (new.id);
CREATE VIEW over_ruled AS SELECT id FROM ruled;
CREATE VIEW triggered AS SELECT id, name FROM users;
CREATE FUNCTION elsewhere() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN old; END';
CREATE TRIGGER elsewhere INSTEAD OF INSERT OR UPDATE OR DELETE ON triggered
    FOR EACH ROW EXECUTE FUNCTION elsewhere();
CREATE VIEW over_triggered AS SELECT id, name FROM triggered;
CREATE VIEW picking AS SELECT o.id, (
    SELECT u.secret FROM users u WHERE u.age > 3 AND u.id = o.user_id) AS one FROM orders o;
CREATE VIEW apart AS SELECT DISTINCT name, secret FROM users;
CREATE VIEW locking AS SELECT id FROM users FOR UPDATE;
CREATE VIEW of_kept AS SELECT doc -> 'kept' AS kept FROM users;
"""


@dataclass(frozen=True)
class Base:
    """A server with the schema, in a transaction that is rolled back."""

    conn: psycopg.Connection[Any]
    notices: list[str]

    def catalog(self) -> Catalog:
        """Read the catalog as it is."""
        return read([self.conn.execute(q).pgresult.get_value(0, 0) for q in QUERIES])


@pytest.fixture(scope="module")
def base(admin_dsn: str) -> Iterator[Base]:
    """The schema on a server."""
    with psycopg.connect(admin_dsn) as conn:
        conn.execute(SCHEMA)
        notices: list[str] = []
        conn.add_notice_handler(lambda told: notices.append(told.message_detail or ""))
        yield Base(conn, notices)
        conn.rollback()


@pytest.fixture(scope="module")
def known(base: Base) -> Catalog:
    """The catalog of the schema."""
    return base.catalog()


def named(catalog: Catalog, column: tuple[int, int]) -> str:
    """Give a column as ``table.column``."""
    relation = catalog.relations[column[0]]
    name = next((c.name for c in relation.columns if c.attnum == column[1]), "")
    return f"{relation.name}.{name}" if name else relation.name


def read_as(sql: str, catalog: Catalog, *opaque: str) -> Understanding:
    """Read a statement, with columns that may be read as they stand."""
    return understand(sql.encode(), catalog, opaque=lambda name: name in opaque)


def statement(sql: str, catalog: Catalog, *opaque: str) -> Statement:
    """Read a statement that is understood."""
    found = read_as(sql, catalog, *opaque)
    assert isinstance(found, Statement), found
    return found


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT hush FROM held", {"held.hush EXACT", "users.secret EXACT"}),
        ("SELECT loud FROM held", {"held.loud EXACT", "users.secret DERIVED"}),
        (
            "SELECT loud FROM twice",
            {"twice.loud EXACT", "held.loud EXACT", "users.secret DERIVED"},
        ),
        (
            "SELECT mixed FROM twice",
            {"twice.mixed EXACT", "held.hush DERIVED", "users.secret DERIVED"}
            | {"orders.note DERIVED"},
        ),
        ("SELECT hush FROM kept", {"kept.hush EXACT", "held.hush EXACT", "users.secret EXACT"}),
        ("SELECT n FROM kept", {"kept.n EXACT"}),
        ("SELECT note FROM parts", {"parts.note EXACT", "orders.note EXACT"}),
        ("SELECT one FROM sets", {"sets.one EXACT", "users.secret DERIVED"}),
        (
            "SELECT x FROM united",
            {"united.x EXACT", "users.secret EXACT", "orders.note EXACT"},
        ),
        ('SELECT "select" FROM "Odd Name"', {"Odd Name.select EXACT", "users.secret EXACT"}),
        ("SELECT h.x FROM held AS h (i, n, l, x)", {"held.hush EXACT", "users.secret EXACT"}),
        ("SELECT other FROM pathless", {"pathless.other EXACT", "same.other EXACT"}),
        ("SELECT id FROM good", {"good.id EXACT", "moods.id EXACT"}),
    ],
)
def test_a_views_column_is_its_own_and_those_beneath(
    known: Catalog, sql: str, expected: set[str]
) -> None:
    """Each column of a view shows itself, and what it is made of as that flows into it."""
    ((_, flow),) = statement(sql, known).columns
    assert {f"{named(known, source.column)} {source.how.name}" for source in flow} == expected


def oid_of(catalog: Catalog, name: str) -> int:
    """Give the oid of a relation of the schema."""
    relation = catalog.find("v", name)
    assert relation is not None
    return relation.oid


def charged_columns(sql: str, catalog: Catalog) -> set[str]:
    """Give the relations and columns that are read by way of views."""
    return {named(catalog, a[1:3]) for a in statement(sql, catalog).accesses if a.via}


def charged(sql: str, catalog: Catalog) -> tuple[set[str], set[str]]:
    """Give what is read by way of views, and what is used."""
    read_by = statement(sql, catalog)
    accesses = {
        f"{access.action} {named(catalog, (access.relation, access.attnum))}"
        for access in read_by.accesses
        if access.via
    }
    uses = {
        f"{use.how} {named(catalog, source.column)}"
        for use in read_by.uses
        for source in (*use.flow, *use.other)
    }
    return accesses, uses


def test_a_statement_is_charged_for_the_columns_it_reads(known: Catalog) -> None:
    """What decides on the rows is charged always, what makes a column with that column."""
    rows = {"select users", "select users.age"}
    assert charged("SELECT id FROM held", known) == (
        rows | {"select users.id"},
        {"compare users.age"},
    )
    assert charged("SELECT num FROM held", known) == (
        rows | {"select users.secret"},
        {"compare users.age", "compute users.secret"},
    )
    assert charged("SELECT count(*) FROM held", known)[0] == rows


def test_what_decides_how_many_rows_there_are_is_charged_always(known: Catalog) -> None:
    """Functions that give rows, the sides of a UNION, and tests for NULL concern all columns."""
    views = ("SELECT id FROM sets", "SELECT id FROM united", "SELECT id FROM nulls")
    for sql in (*views, "SELECT name FROM apart", "SELECT count(*) FROM apart"):
        assert "select users.secret" in charged(sql, known)[0], sql
    assert "compute users.secret" in charged("SELECT id FROM sets", known)[1]
    assert "group users.secret" in charged("SELECT id FROM united", known)[1]
    assert "group users.secret" in charged("SELECT count(*) FROM apart", known)[1]
    # Whatever chooses the rows of a view beneath chooses those of the view upon it.
    assert "compare users.age" in charged("SELECT count(*) FROM twice", known)[1]


def test_a_view_that_cannot_be_followed_is_refused(known: Catalog) -> None:
    """It is, and what stands on it, unless its columns are named; then it is a base relation."""
    for view in ("odd", "odder", "catalogs", "locking"):
        found = read_as(f"SELECT * FROM {view}", known)
        assert isinstance(found, Misunderstood)
        assert "can't be followed" in found.reason
    ((_, flow),) = statement("SELECT x FROM odd", known, "v.odd.x").columns
    assert {named(known, source.column) for source in flow} == {"odd.x"}
    assert isinstance(read_as("SELECT id, x FROM odd", known, "v.odd.x"), Misunderstood)
    assert isinstance(read_as("SELECT id FROM odder", known, "v.odd.id"), Misunderstood)
    # That its columns may be read does not let its rows be locked.
    locked = read_as("SELECT x FROM odd FOR UPDATE", known, "v.odd.x")
    assert isinstance(locked, Misunderstood)
    # Being named changes nothing for a view that can be followed.
    ((_, flow),) = statement("SELECT hush FROM held", known, "v.held.hush").columns
    assert {named(known, source.column) for source in flow} == {"held.hush", "users.secret"}


def test_a_catalog_is_printed_without_the_texts_of_views(known: Catalog) -> None:
    """Tools print it among a traceback's locals: it tells which database it is of, and no more."""
    told = f"Catalog(database={known.database!r}, role={known.role!r}, search_path="
    assert any(each.text for each in known.definitions.values())
    assert repr(known).startswith(told)
    assert "select" not in repr(known).lower()


def test_the_search_path_of_the_caller_does_not_reach_definitions(base: Base) -> None:
    """A view keeps its meaning where the search path gives another to the names in it."""
    with base.conn.transaction(force_rollback=True):
        base.conn.execute("CREATE SCHEMA x; CREATE TABLE x.same (id int, other text)")
        base.conn.execute("SET LOCAL search_path = x, v")
        catalog = base.catalog()
    ((_, flow),) = statement("SELECT other FROM v.pathless", catalog).columns
    (beneath,) = {source.column[0] for source in flow} - {catalog.find("v", "pathless").oid}
    assert catalog.relations[beneath].schema == "v"


WRITES = {
    "INSERT INTO entry (id, hush) VALUES (1, 'a')": {"users.id", "users.secret"},
    "UPDATE entry SET hush = 'a' WHERE id = 1": {"users.secret"},
    "UPDATE entry_of SET hush = 'a'": {"entry.hush", "users.secret"},
    "INSERT INTO parts (note) VALUES ('a')": {"orders.note"},
}


@pytest.mark.parametrize("sql", WRITES)
def test_what_is_written_through_a_view_is_written_beneath(known: Catalog, sql: str) -> None:
    """Each column written is one of the view and of what it shows, with the right to both."""
    found = statement(sql, known)
    view = next(a.relation for a in found.accesses if a.action in ("insert", "update"))
    written = {write.target for write in found.writes if write.target[0] != view}
    assert {named(known, target) for target in written} == WRITES[sql]
    asked = {(a.relation, a.attnum) for a in found.accesses if a.action in ("insert", "update")}
    assert asked >= {write.target for write in found.writes}


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO twice (id) VALUES (1)",
        "UPDATE held SET loud = 'a'",
        "UPDATE entry_of SET loud = 'a'",
        "UPDATE twice SET id = 1",
        "UPDATE odd SET id = 1",
        "UPDATE kept SET n = 1",
        "DELETE FROM kept",
        "DELETE FROM twice",
        "INSERT INTO sided VALUES (1, 'a')",
        "DELETE FROM odd",
        "DELETE FROM triggered",
        # What the server does then is what a rule or trigger beneath the view says.
        "INSERT INTO over_sided VALUES (1, 'a')",
        "INSERT INTO over_ruled VALUES (1)",
        "INSERT INTO over_triggered VALUES (1, 'a')",
        "UPDATE over_triggered SET name = 'a'",
        "DELETE FROM over_triggered",
    ],
)
def test_what_is_not_mapped_plainly_is_not_written(known: Catalog, sql: str) -> None:
    """Joins, computed columns, materialized views and rules are not written through."""
    assert isinstance(read_as(sql, known, "v.odd.id", "v.odd.x"), Misunderstood)


def test_what_a_view_beneath_computes_of_a_column_needs_that_column(known: Catalog) -> None:
    """A denial of a base column stands also where two views lie on it, and one computes."""
    for sql in ("SELECT loud FROM twice", "SELECT loud FROM held", "SELECT part FROM pickier"):
        through = {named(known, a[1:3]) for a in statement(sql, known).accesses if a.via}
        assert "users.secret" in through, sql


@pytest.mark.parametrize(
    "sql",
    ["SELECT part FROM picky", "SELECT part FROM pickier", "SELECT one FROM picking"],
)
def test_what_a_view_s_column_compares_is_compared(known: Catalog, sql: str) -> None:
    """Whoever reads the column learns what its condition tells, however views are stacked."""

    def compared(sql: str) -> set[str]:
        uses = statement(sql, known).uses
        return {named(known, s.column) for u in uses if u.how == "compare" for s in u.flow}

    assert "users.age" in compared(sql)
    assert "users.age" not in compared("SELECT id FROM picky")
    assert "users.age" in charged_columns(sql, known)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("either.x", {"users.secret"}),
        ("held.hush", {"users.secret"}),
        ("held.loud", set()),
        ("users.secret", set()),
    ],
)
def test_a_column_that_may_show_another_inherits_its_rules(
    known: Catalog, name: str, expected: set[str]
) -> None:
    """What shows a column unchanged, among others perhaps, is protected as the column is."""
    view, _, column = name.partition(".")
    relation = known.find("v", view)
    assert relation is not None
    attribute = relation.column(column)
    assert attribute is not None
    beneath = inherited((relation.oid, attribute.attnum), known)
    assert {named(known, each) for each in beneath} == expected


@pytest.mark.parametrize("sql", ["DELETE FROM held", "UPDATE held SET hush = 'a'"])
def test_what_is_changed_through_a_view_is_chosen_by_its_condition(
    known: Catalog, sql: str
) -> None:
    """The number of rows changed tells of the column that the view's rows are chosen by."""
    uses = statement(sql, known).uses
    assert "users.age" in {named(known, s.column) for use in uses for s in use.flow}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("DELETE FROM held", {"held", "users"}),
        ("DELETE FROM entry_of", {"entry_of", "entry", "users"}),
        ("UPDATE entry_of SET id = 1", {"entry_of", "entry", "users"}),
        ("SELECT id FROM parts FOR UPDATE", {"parts", "orders"}),
    ],
)
def test_what_is_done_to_a_view_is_done_to_each_relation_beneath(
    known: Catalog, sql: str, expected: set[str]
) -> None:
    """A denial of the action on any of them stands: each is told by itself, without columns."""
    done = {a for a in statement(sql, known).accesses if a.action != "select" and not a.attnum}
    assert {named(known, access[1:3]) for access in done} == expected
    assert {bool(a.via) for a in done if named(known, a[1:3]) in ("users", "orders")} == {True}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "its definition is not known"),
        ("SELECT FROM WHERE", ""),
        ("SELECT id, name, secret, age FROM v.users", "it has other columns than the catalog"),
        ("DELETE FROM v.users RETURNING id, name", ""),
        ("SELECT id, age > 3 FROM v.nowhere", ""),
    ],
)
def test_a_definition_that_is_not_the_view_s_is_not_followed(
    known: Catalog, text: str | None, why: str
) -> None:
    """A catalog whose text is missing, broken, of another view, or no query refuses the view."""
    oid = oid_of(known, "sided")
    changed = {**known.definitions, oid: Definition(oid, text, 28, (1, 2))}
    found = read_as("SELECT id FROM sided", replace(known, definitions=changed, followed={}))
    assert isinstance(found, Misunderstood)
    assert "can't be followed" in found.reason
    assert why in found.reason


def test_a_view_without_a_definition_is_not_followed(known: Catalog) -> None:
    """Nor is it written to: what the catalog does not tell is not guessed."""
    without = {o: each for o, each in known.definitions.items() if o != oid_of(known, "entry")}
    catalog = replace(known, definitions=without, followed={})
    for sql in ("SELECT id FROM entry", "DELETE FROM entry", "DELETE FROM entry_of"):
        assert isinstance(read_as(sql, catalog), Misunderstood), sql


def test_what_a_policy_hides_in_a_view_is_not_remembered_for_another(known: Catalog) -> None:
    """One catalog serves policies that hide different keys of the documents beneath a view."""

    def hides(column: tuple[int, int], key: str) -> bool:
        return named(known, column) == "users.doc" and key == "kept"

    catalog, sql = replace(known, followed={}), b"SELECT kept FROM of_kept"
    found = [understand(sql, catalog), understand(sql, catalog, hides=hides)]
    hows = []
    for each in found:
        assert isinstance(each, Statement)
        ((_, flow),) = each.columns
        hows += [s.how.name for s in flow if named(known, s.column) == "users.doc"]
    assert hows == ["TAKEN", "DERIVED"]


def test_a_view_of_values_has_no_columns_beneath(known: Catalog) -> None:
    """It is followed as any other, and nothing flows into it but its own text."""
    ((_, flow),) = statement("SELECT column2 FROM said", known).columns
    assert {named(known, source.column) for source in flow} == {"said.column2"}
    ((_, flow),) = statement("SELECT b FROM listed", known).columns
    assert {named(known, source.column) for source in flow} == {"listed.b"}


def test_a_rule_stands_only_against_what_it_is_for(known: Catalog) -> None:
    """A view with a rule for INSERT may be read and updated, and so may a view upon it."""
    for view in ("sided", "over_sided"):
        statement(f"SELECT name FROM {view}", known)
        statement(f"UPDATE {view} SET name = 'a'", known)
    statement("SELECT name FROM over_triggered", known)


# --- the server as witness -----------------------------------------------------------------

COLUMNS = {"users": ["id", "name", "secret", "age"], "orders": ["id", "user_id", "note"]}
EXPRESSIONS = [
    "{a}",
    "upper({a}::text)",
    "{a} IS NULL",
    "coalesce({a}::text, {b}::text)",
    "CASE WHEN {a} IS NULL THEN {b}::text END",
    "{a}::text || {b}::text",
    "count({a}) OVER (ORDER BY {b})",
    "(SELECT max(o.note) FROM v.orders o WHERE o.note = {a}::text)",
    "{a}::text = {b}::text",
    "'made up'",
]
CONDITIONS = [
    "{a} IS NOT NULL",
    "{a}::text > 'm'",
    "EXISTS (SELECT FROM v.orders e WHERE e.note = {a}::text)",
    "{a}::text IN ('a', 'b')",
    "{a}::text LIKE 'x%' OR {b} IS NULL",
    "true",
]
SHAPES = [
    "SELECT {list} FROM {x} AS x WHERE {where}",
    "SELECT {list} FROM {x} AS x LEFT JOIN {y} AS y ON x.{k}::text = y.{l}::text WHERE {where}",
    "SELECT DISTINCT {list} FROM {x} AS x",
    "SELECT q.* FROM (SELECT {list} FROM {x} AS x WHERE {where}) AS q LIMIT 3",
    "WITH c AS (SELECT * FROM {x}) SELECT {list} FROM c AS x ORDER BY {a}",
    "SELECT {list} FROM {x} AS x UNION ALL SELECT {list} FROM {x} AS x WHERE {where}",
]
_NUMBERS = itertools.count()


def draw_view(draw: Any, columns: dict[str, list[str]]) -> tuple[str, list[str]]:
    """Make up a view over any of the relations, and give its query and its columns."""
    x, y = (draw(st.sampled_from(sorted(columns))) for _ in "xy")

    def column() -> str:
        return "x." + str(draw(st.sampled_from(columns[x])))

    count = draw(st.integers(1, 3))
    listed = [
        draw(st.sampled_from(EXPRESSIONS)).format(a=column(), b=column()) + f" AS c{at}"
        for at in range(count)
    ]
    sql = draw(st.sampled_from(SHAPES)).format(
        list=", ".join(listed),
        x=f"v.{x}",
        y=f"v.{y}",
        k=draw(st.sampled_from(columns[x])),
        l=draw(st.sampled_from(columns[y])),
        a=column(),
        where=draw(st.sampled_from(CONDITIONS)).format(a=column(), b=column()),
    )
    return sql, [f"c{at}" for at in range(count)]


@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_following_never_reports_less_than_the_server(base: Base, data: Any) -> None:
    """Each column that the server reads for a view, on any level, is charged for all of it."""
    if base.conn.info.server_version < 160000:
        pytest.skip("the server prints what it checks from version 16 on")
    with base.conn.transaction(force_rollback=True):
        base.conn.execute("SET LOCAL search_path = v")
        columns, made = dict(COLUMNS), []
        for _ in range(data.draw(st.integers(1, 3), "depth")):
            made.append(f"view_{next(_NUMBERS)}")
            sql, columns[made[-1]] = draw_view(data.draw, columns)
            kind = data.draw(st.sampled_from(["VIEW", "VIEW", "MATERIALIZED VIEW"]))
            base.conn.execute(f"CREATE {kind} {made[-1]} AS {sql}")
        catalog = base.catalog()
        for name in made:
            found = statement(f"SELECT * FROM {name}", catalog)
            view = catalog.find("v", name)
            assert view is not None
            accesses = {(a.relation, a.attnum) for a in found.accesses if a.via == view.oid}
            told = read_by_server(base, catalog.definitions[view.oid].text or "")
            assert told <= accesses, name


def read_by_server(base: Base, sql: str) -> set[tuple[int, int]]:
    """Give the columns that the server checks the right to for a query; its views not expanded."""
    for setting in ("debug_print_parse = on", "client_min_messages = log"):
        base.conn.execute(f"SET LOCAL {setting}")
    base.notices.clear()
    base.conn.pgconn.prepare(b"", sql.strip().removesuffix(";").encode())
    told = " ".join(base.notices).replace("\n", " ")
    base.conn.execute("SET LOCAL debug_print_parse = off")
    found: set[tuple[int, int]] = set()
    for entry in re.findall(r"\{RTEPERMISSIONINFO(.*?)\}", told):
        (oid,) = re.findall(r":relid (\d+)", entry)
        (listed,) = re.findall(r":selectedCols \(b([ \d]*)\)", entry)
        found |= {(int(oid), int(at) - 7) for at in listed.split() if int(at) > 7}
    assert "RTEPERMISSIONINFO" in told
    return found
