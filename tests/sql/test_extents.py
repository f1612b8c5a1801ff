"""How far a statement reaches by its own text: no server, and nobody who is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tracewall.sql.catalog import Definition
from tracewall.sql.extent import Extent, extent
from tracewall.sql.grammar import Text


@pytest.fixture
def reach(reader: Any) -> Any:
    """Tell how far a statement reaches."""

    def told(sql: str) -> Extent:
        found: Extent = reader.statement(sql).extent
        return found

    return told


# --- rows that are gathered into a value --------------------------------------------

AGGREGATES = {
    "array_agg string_agg": "{}(name, ',')",
    "json_agg json_agg_strict jsonb_agg jsonb_agg_strict any_value xmlagg range_agg "
    "range_intersect_agg mode": "{}(name)",
    "json_object_agg json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict "
    "jsonb_object_agg jsonb_object_agg_strict jsonb_object_agg_unique "
    "jsonb_object_agg_unique_strict": "{}(name, secret)",
    "percentile_cont percentile_disc": "{}(0.5) WITHIN GROUP (ORDER BY id)",
}
CALLS = [call.format(name) for names, call in AGGREGATES.items() for name in names.split()]
WITH = "WITH RECURSIVE r(n, v) AS (SELECT 1, name FROM users UNION ALL {}) {} SELECT v FROM r"


def test_aggregates_that_keep_what_they_are_given_gather(reader: Any) -> None:
    """Each of them makes a value of any number of rows; those that are understood are found."""
    told = {}
    for call in CALLS:
        found = reader.anyhow(f"SELECT {call} FROM users")
        told[call] = getattr(getattr(found, "extent", None), "uncounted", None)
    assert False not in told.values(), told
    assert sum(value is True for value in told.values()) >= 8, told


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ARRAY(SELECT name FROM users)",
        "SELECT pg_catalog.array_agg(name) FROM users",
        "SELECT (SELECT string_agg(name, ',') FROM users)",
        "SELECT 1 FROM (SELECT array_agg(id) FROM users) s",
        "SELECT JSON_ARRAYAGG(name) FROM users",
        "SELECT JSON_OBJECTAGG(name: secret) FROM users",
        "SELECT JSON_ARRAY(SELECT name FROM users)",
        "WITH gone AS (DELETE FROM users WHERE id = 1 RETURNING id) SELECT id FROM gone",
        "WITH gone AS (DELETE FROM users WHERE id = 1) INSERT INTO orders (id) VALUES (1)",
        "TRUNCATE users",
        # Recursion that makes something of a row that may hold the rows before.
        WITH.format("SELECT n + 1, v || 'x' FROM r", ""),
        WITH.format("SELECT n + 1, upper(v) FROM r", ""),
        WITH.format("SELECT n + n, v FROM r", ""),
        WITH.format("SELECT n * 2, v FROM r", ""),
        WITH.format("SELECT n + 1, n::text FROM r", ""),
        WITH.format("SELECT n + 1, v FROM r", "SEARCH DEPTH FIRST BY v SET path"),
        WITH.format("SELECT n + 1, v FROM r", "CYCLE v SET is_cycle USING path"),
    ],
)
def test_what_gathers_is_not_counted(reader: Any, sql: str) -> None:
    """The number of rows of such a result does not tell how many rows it is about."""
    found = reader.anyhow(sql)
    assert not hasattr(found, "extent") or found.extent.uncounted, found


def test_recursion_that_keeps_its_values_gathers_nothing(reach: Any) -> None:
    """Numbers that go up, comparisons, choices and joins carry no row along."""
    for step in (
        "SELECT n + 1, v FROM r WHERE n < 9",
        "SELECT 1 + n, v FROM r",
        "SELECT n - $1, v FROM r",
        "SELECT n + 1::int, v FROM r",
        "SELECT n + 1, CASE WHEN v ~~ 'a%' THEN v ELSE NULL END FROM r",
        "SELECT n + 1, coalesce(u.name, v) FROM r JOIN users u ON u.name >= v",
        "SELECT n + 1, v FROM r WHERE v IN ('a', 'b') AND n IS NOT NULL",
    ):
        assert not reach(WITH.format(step, "")).uncounted, step
    # What does not read itself carries nothing, whatever it computes.
    assert not reach("WITH r AS (SELECT name || 'x' AS v FROM users) SELECT v FROM r").uncounted
    other = "WITH RECURSIVE r AS (SELECT upper(name) AS v FROM users) SELECT v FROM r"
    assert not reach(other).uncounted


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM users",
        "SELECT max(name) FROM users",
        "SELECT name FROM users WHERE id = ANY (ARRAY[1, 2])",
        "SELECT name FROM users WHERE EXISTS (SELECT 1 FROM orders)",
        "SELECT (SELECT name FROM users LIMIT 1)",
        "DELETE FROM users WHERE id = 1",
        "UPDATE users SET name = 'x' WHERE id = 1",
        "INSERT INTO orders (id) VALUES (1)",
    ],
)
def test_what_gathers_nothing_is_counted(reach: Any, sql: str) -> None:
    """One value is one row's, or a number; a change by itself tells how many it changed."""
    assert not reach(sql).uncounted


@pytest.mark.parametrize(
    ("outer", "inner", "uncounted"),
    [
        ("SELECT array_agg(name) FROM app.users", "", True),
        ("SELECT name FROM app.users", "", False),
        ("SELECT name FROM app.beneath", "SELECT array_agg(name) FROM app.users", True),
        ("SELECT name FROM app.beneath", "SELECT name FROM app.users", False),
    ],
)
def test_a_view_gathers_where_what_is_beneath_does(
    reader: Any, outer: str, inner: str, uncounted: bool
) -> None:
    """However views are stacked, the rows that one of them has gathered are not counted."""
    view = reader.catalog.find("app", "people")
    beneath = msgspec.structs.replace(view, oid=210, name="beneath")
    known = {**reader.catalog.relations, 210: beneath}
    names = {(each.schema, each.name): each for each in known.values()}
    definitions = {200: Definition(200, text=outer), 210: Definition(210, text=inner)}
    catalog = replace(
        reader.catalog, relations=known, _names=names, definitions=definitions, followed={}
    )
    told = extent(Text(b"SELECT name FROM app.people").parse(), catalog, [200])
    assert told.uncounted is uncounted


# --- conditions ---------------------------------------------------------------------

ALL = [
    "",
    "WHERE true",
    "WHERE 1 = 1",
    "WHERE id = id",
    "WHERE users.id = id",
    "WHERE id = 1 OR true",
    "WHERE id = 1 OR id = id",
    "WHERE NOT (id = 1 AND true)",
    "WHERE NOT (NOT true)",
    "WHERE (id = id) IS TRUE",
    "WHERE (id = 1 OR true) IS NOT FALSE",
    "WHERE NOT (id = 1 AND id = id)",
    "WHERE (id = 1 AND 1 = 1) IS FALSE",
    "WHERE ctid IS NOT NULL",
    "WHERE EXISTS (SELECT 1 FROM orders WHERE orders.total = 1)",
    "WHERE EXISTS (SELECT 1 FROM users)",
    "WHERE id IN (SELECT id FROM users)",
    "WHERE id IN (SELECT u.id FROM users u WHERE true)",
    "WHERE $1",
]
SOME = [
    "WHERE id = 1",
    "WHERE 1 = id",
    "WHERE id = ssn",
    "WHERE users.id = $1",
    "WHERE true AND id = 1",
    "WHERE id = 1 AND true",
    "WHERE id = 1 OR name = 'x'",
    "WHERE NOT (id = 1)",
    "WHERE NOT (id = 1 OR true)",
    "WHERE NOT (id = 1 AND name = 'x')",
    "WHERE (id = 1) IS TRUE",
    "WHERE (id = 1 OR true) IS FALSE",
    "WHERE (id = 1 OR true) IS NOT TRUE",
    "WHERE (id = 1 AND true) IS NOT FALSE",
    "WHERE (id = 1) IS UNKNOWN",
    "WHERE name IS NULL",
    "WHERE name IS NOT NULL",
    "WHERE id IN (1, 2)",
    "WHERE id IN (SELECT user_id FROM orders)",
    "WHERE id IN (SELECT id FROM users WHERE name = 'x')",
    "WHERE id IN (SELECT u.id FROM users u WHERE u.name = 'x')",
    "WHERE EXISTS (SELECT 1 FROM orders WHERE user_id = users.id)",
    "WHERE name LIKE 'a%'",
    "WHERE length(name) > 3",
    "WHERE users IS NOT NULL",
]


@pytest.mark.parametrize("where", ALL)
@pytest.mark.parametrize("verb", ["DELETE FROM users", "UPDATE users SET notes = 'x'"])
def test_what_always_holds_is_no_condition(reach: Any, verb: str, where: str) -> None:
    """Constants, a column and itself, or other tables leave no row of what is changed out."""
    assert reach(f"{verb} {where}").unconditional == {verb.partition(" ")[0].lower()}


@pytest.mark.parametrize("where", SOME)
@pytest.mark.parametrize("verb", ["DELETE FROM users", "UPDATE users SET notes = 'x'"])
def test_what_tells_rows_apart_is_a_condition(reach: Any, verb: str, where: str) -> None:
    """A column of what is changed, compared with anything but itself."""
    assert reach(f"{verb} {where}").unconditional == set()


def test_a_condition_is_about_the_name_that_the_relation_has(reach: Any) -> None:
    """An alias hides the relation's own name; a joined relation's columns are others."""
    assert not reach("DELETE FROM users u WHERE u.id = 1").unconditional
    assert reach("DELETE FROM users u WHERE u.id = u.id").unconditional
    joined = "DELETE FROM users USING orders o WHERE {}"
    assert not reach(joined.format("users.id = o.user_id")).unconditional
    assert reach(joined.format("o.total = 1")).unconditional
    assert reach(joined.format("o.total = o.user_id")).unconditional
    assert not reach("UPDATE app.users SET notes = 'x' WHERE app.users.id = 1").unconditional


def test_what_a_statement_does_inside_counts_too(reach: Any) -> None:
    """A change in WITH is without a condition as any other."""
    inside = "WITH gone AS (DELETE FROM {} RETURNING id) SELECT 1"
    assert reach(inside.format("users")).unconditional == {"delete"}
    assert reach(inside.format("users WHERE id = 1")).unconditional == set()
    assert reach("SELECT 1").unconditional == set()


# --- how many rows ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "most", "parameter"),
    [
        ("SELECT id FROM users", -1, 0),
        ("SELECT id FROM users LIMIT 5", 5, 0),
        ("SELECT id FROM users LIMIT 0", 0, 0),
        ("SELECT id FROM users LIMIT 5::int8", 5, 0),
        ("SELECT id FROM users LIMIT 5::pg_catalog.int4", 5, 0),
        ("SELECT id FROM users LIMIT 5::numeric(3)", -1, 0),
        ("SELECT id FROM users LIMIT 2 + 3", -1, 0),
        ("SELECT id FROM users LIMIT ALL", -1, 0),
        ("SELECT id FROM users LIMIT $2", -1, 2),
        ("SELECT id FROM users LIMIT $2::int", -1, 2),
        ("SELECT id FROM users ORDER BY id FETCH FIRST 5 ROWS ONLY", 5, 0),
        ("SELECT id FROM users ORDER BY id FETCH FIRST 5 ROWS WITH TIES", -1, 0),
        ("SELECT count(*) FROM users", 1, 0),
        ("SELECT count(*), max(name) FROM users", 1, 0),
        ("SELECT count(*) FROM users GROUP BY name", -1, 0),
        ("SELECT count(*), name FROM users GROUP BY name", -1, 0),
        ("SELECT count(*) OVER () FROM users", -1, 0),
        ("SELECT count(*) FROM users UNION ALL SELECT id FROM users", -1, 0),
        ("VALUES (1), (2), (3)", 3, 0),
        ("INSERT INTO orders (id) VALUES (1)", 1, 0),
        ("INSERT INTO orders (id) VALUES (1), (2)", 2, 0),
        ("INSERT INTO orders DEFAULT VALUES", 1, 0),
        ("INSERT INTO orders (id) SELECT id FROM users", -1, 0),
        ("INSERT INTO orders (id) SELECT id FROM users LIMIT 3", 3, 0),
        ("DELETE FROM users WHERE id = 1", -1, 0),
        ("DECLARE c CURSOR FOR SELECT id FROM users LIMIT 4", 4, 0),
        ("COPY (SELECT id FROM users LIMIT 4) TO STDOUT", 4, 0),
    ],
)
def test_rows_are_bounded_by_the_text_alone(
    reader: Any, sql: str, most: int, parameter: int
) -> None:
    """By a limit as it stands, by VALUES, or by an aggregate over everything; else by nothing."""
    told = reader.statement(sql).extent
    assert (told.most, told.parameter) == (most, parameter)


def test_a_limit_that_is_used_elsewhere_is_taken_as_a_number_only(reach: Any) -> None:
    """A parameter that stands elsewhere, too, may be sent as a text that is no number there."""
    alone = reach("SELECT id FROM users LIMIT $1").typed
    twice = reach("SELECT id FROM users WHERE name = $1::text LIMIT $1").typed
    assert twice < alone and {20, 21, 23} <= twice
