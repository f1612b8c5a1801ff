"""Which column a name means: levels, joins, CTEs, stars, and the order they come in."""

from __future__ import annotations

from typing import Any

import pytest

from tracewall.sql.statement import Misunderstood

USERS = ["id", "name", "secret", "token", "ssn", "notes", "doc", "tail"]


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT * FROM users", USERS),
        ("TABLE users", USERS),
        ("SELECT u.* FROM users u, decoy", USERS),
        ("SELECT app.users.* FROM app.users", USERS),
        ("SELECT *, 1 AS one FROM decoy", ["id", "secret", "x", "one"]),
        ("SELECT * FROM decoy, orders", "id secret x id user_id total secret".split()),
        ("SELECT * FROM decoy d (a, b)", ["a", "b", "x"]),
        ("SELECT * FROM decoy JOIN orders USING (id)", "id secret x user_id total secret".split()),
        (
            "SELECT * FROM orders JOIN decoy USING (secret, id)",
            "secret id user_id total x".split(),
        ),
        ("SELECT * FROM decoy NATURAL JOIN orders", "id secret x user_id total".split()),
        ("SELECT * FROM orders NATURAL JOIN decoy", "id secret user_id total x".split()),
        ("SELECT * FROM decoy NATURAL JOIN logs", "id secret x at line".split()),
        ("SELECT j.* FROM decoy JOIN orders USING (id) AS j", ["id"]),
        (
            "SELECT d.* FROM decoy d JOIN orders USING (id) AS j",
            ["id", "secret", "x"],
        ),
        (
            "SELECT * FROM decoy JOIN orders USING (id) JOIN users USING (id)",
            ["id", "secret", "x", "user_id", "total", "secret", *USERS[1:]],
        ),
        (
            "SELECT * FROM (decoy JOIN orders USING (id)) j (a)",
            "a secret x user_id total secret".split(),
        ),
        ("SELECT * FROM (SELECT id, secret FROM users) q (a)", ["a", "secret"]),
        ("SELECT * FROM generate_series(1, 2) g", ["g"]),
        ("SELECT * FROM generate_series(1, 2) AS g (n)", ["n"]),
        ("SELECT * FROM generate_series(1, 2) WITH ORDINALITY", ["generate_series", "ordinality"]),
        ("SELECT * FROM jsonb_array_elements('[]') e", ["value"]),
        ("SELECT * FROM unnest(ARRAY[1]) u", ["u"]),
        ("SELECT * FROM string_to_table('a', ',')", ["string_to_table"]),
        ("VALUES (1, 2)", ["column1", "column2"]),
        ("SELECT * FROM (VALUES (1, 2)) v (a)", ["a", "column2"]),
        ("WITH q (a) AS (SELECT id, secret FROM users) SELECT * FROM q", ["a", "secret"]),
        ("WITH q AS (SELECT * FROM decoy) SELECT * FROM q r (a, b)", ["a", "b", "x"]),
        ("INSERT INTO decoy VALUES (1) RETURNING *", ["id", "secret", "x"]),
        ("UPDATE decoy SET x = 1 FROM logs RETURNING *", "id secret x at line".split()),
        ("UPDATE decoy SET x = 1 RETURNING old.*", ["id", "secret", "x"]),
        ("DELETE FROM decoy d USING logs l RETURNING l.*, d.id", ["at", "line", "id"]),
        ("SELECT", []),
        ("SELECT FROM users", []),
    ],
)
def test_a_star_stands_for_the_columns_in_the_servers_order(
    reader: Any, sql: Any, names: Any
) -> None:
    """A star expands to the columns that PostgreSQL gives, in its order, under its names."""
    assert reader.names(sql) == names


@pytest.mark.parametrize(
    ("sql", "column"),
    [
        ("SELECT (SELECT secret) FROM users", "users.secret"),
        ("SELECT (SELECT d.secret FROM decoy d WHERE d.id = users.id) FROM users", "decoy.secret"),
        ("SELECT (SELECT secret FROM decoy LIMIT 1) FROM users", "decoy.secret"),
        ("SELECT (SELECT name FROM decoy LIMIT 1) FROM users", "users.name"),
        ("SELECT (SELECT (SELECT name FROM logs) FROM decoy) FROM users", "users.name"),
        ("SELECT (SELECT secret FROM (SELECT 1) q) FROM users", "users.secret"),
        ("SELECT (SELECT secret FROM (SELECT users.secret) q) FROM users", "users.secret"),
        ("SELECT secret FROM (SELECT secret FROM orders) users", "orders.secret"),
        ("WITH users AS (SELECT secret FROM orders) SELECT secret FROM users", "orders.secret"),
        ("WITH users AS (SELECT * FROM users) SELECT secret FROM users", "users.secret"),
        ("WITH users AS (SELECT secret FROM orders) SELECT secret FROM app.users", "users.secret"),
        (
            "WITH q AS (SELECT secret FROM users) SELECT * FROM"
            " (WITH q AS (SELECT secret FROM orders) SELECT * FROM q) z",
            "orders.secret",
        ),
        (
            "WITH q AS (SELECT secret FROM users) (WITH q AS (SELECT secret FROM orders)"
            " SELECT * FROM q) UNION ALL SELECT * FROM q WHERE false",
            "orders.secret users.secret",
        ),
        ("SELECT motto FROM public.users", "public.users.motto"),
        ("SELECT secret FROM decoy secret", "decoy.secret"),
        ("SELECT x FROM users x (x)", "users.id"),
        ("SELECT id FROM users u RIGHT JOIN decoy d USING (id)", "decoy.id users.id"),
        ("SELECT decoy.id FROM users JOIN decoy USING (id)", "decoy.id"),
        ("SELECT j.id FROM users JOIN decoy USING (id) AS j", "decoy.id users.id"),
    ],
)
def test_a_name_means_what_it_means_to_postgresql(reader: Any, sql: Any, column: Any) -> None:
    """A name is a column of the innermost level that has one; an alias or CTE hides a table."""
    (words,) = reader.flows(sql)
    assert {word.split()[0] for word in words} == set(column.split())


def test_on_sees_nothing_beside_its_own_join(reader: Any) -> None:
    """ON looks past the other FROM items of its level, as PostgreSQL does, to the outer level."""
    sql = """
        SELECT (SELECT count(*) FROM (SELECT 'x' AS secret) beside,
                (SELECT 1 AS a) l JOIN (SELECT 1 AS b) r ON secret LIKE 's%')
        FROM users"""
    assert ("compare", "users.secret") in reader.uses(sql)
    qualified = sql.replace("secret LIKE", "users.secret LIKE").replace("beside", "users")
    assert ("compare", "users.secret") in reader.uses(qualified)


def test_group_by_looks_for_columns_on_its_own_level_only(reader: Any) -> None:
    """GROUP BY takes an output's name before a column of an outer level."""
    inner = "SELECT 1 AS n, secret AS x FROM users GROUP BY x"
    sql = f"SELECT (SELECT max(n) FROM ({inner}) q) FROM decoy"
    assert ("group", "users.secret") in reader.uses(sql)


@pytest.mark.parametrize(
    ("sql", "compared"),
    [
        ("SELECT id AS secret FROM users ORDER BY secret", {"users.id"}),
        ("SELECT id AS secret FROM users ORDER BY secret || ''", {"users.secret"}),
        ("SELECT secret AS id FROM users ORDER BY id", {"users.secret"}),
        ("SELECT secret FROM users ORDER BY 1", {"users.secret"}),
        ("SELECT count(*) AS secret FROM users GROUP BY secret", {"users.secret"}),
        ("SELECT secret AS s FROM users GROUP BY s", {"users.secret"}),
        ("SELECT secret AS s FROM users GROUP BY 1", {"users.secret"}),
        ("SELECT name FROM users GROUP BY ROLLUP (name, secret)", {"users.name", "users.secret"}),
        ("SELECT 1 FROM users GROUP BY GROUPING SETS ((secret), ())", {"users.secret"}),
        ("SELECT DISTINCT secret FROM users", {"users.secret"}),
        ("SELECT DISTINCT ON (secret) id FROM users", {"users.secret"}),
        ("SELECT DISTINCT ON (secret) id AS secret FROM users", {"users.id"}),
        ("SELECT DISTINCT ON (1) secret FROM users", {"users.secret"}),
        ("SELECT secret FROM users UNION SELECT 'x' ORDER BY secret", {"users.secret"}),
        ("SELECT secret FROM users UNION ALL SELECT 'x' ORDER BY 1", {"users.secret"}),
        ("SELECT secret FROM users EXCEPT ALL SELECT 'x'", {"users.secret"}),
        ("SELECT rank() OVER (PARTITION BY secret) FROM users", {"users.secret"}),
        ("SELECT rank() OVER w FROM users WINDOW w AS (ORDER BY secret)", {"users.secret"}),
        ("SELECT array_agg(id ORDER BY secret) FROM users", {"users.secret"}),
        ("SELECT count(DISTINCT secret) FROM users", {"users.secret"}),
        ("SELECT count(*) FILTER (WHERE secret > 'a') FROM users", {"users.secret"}),
        ("SELECT mode() WITHIN GROUP (ORDER BY secret) FROM users", {"users.secret"}),
        ("SELECT 1 FROM users LIMIT (SELECT ssn FROM users LIMIT 1)", {"users.ssn"}),
        ("SELECT 1 FROM users OFFSET (SELECT ssn FROM users LIMIT 1)", {"users.ssn"}),
        ("SELECT 1 FROM users HAVING max(secret) > 'a'", {"users.secret"}),
    ],
)
def test_orders_and_groups_mean_what_they_mean_to_postgresql(
    reader: Any, sql: Any, compared: Any
) -> None:
    """ORDER BY and DISTINCT ON prefer an output, GROUP BY an input; numbers are outputs."""
    full = {"compare", "sort", "group"}
    assert {name for how, name in reader.uses(sql) if how in full} == compared


def test_later_ctes_of_with_recursive_are_not_mistaken_for_tables(reader: Any) -> None:
    """Under RECURSIVE a CTE may name a later one; a table of that name is not read instead."""
    sql = """
        WITH RECURSIVE a AS (SELECT secret || '' AS x FROM decoy),
            decoy AS (SELECT secret FROM users)
        SELECT x FROM a"""
    assert isinstance(reader.anyhow(sql), Misunderstood)
    assert reader.flows(sql.replace("RECURSIVE", "")) == [{"decoy.secret DERIVED"}]


def test_names_of_the_system_catalog_are_its_own(reader: Any) -> None:
    """A bare pg_ name is the system catalog's, even where a user's table is called so."""
    assert reader.rights("SELECT trap FROM pg_class") == {"select ?"}
    assert reader.rights("SELECT trap FROM public.pg_class") == {
        "select public.pg_class",
        "select public.pg_class.trap",
    }


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT secret FROM nowhere",
        "SELECT nothing FROM users",
        "SELECT u.nothing FROM users u",
        "SELECT ctid FROM users, decoy",
        "SELECT q.xmin FROM (SELECT 1 FROM users) q",
        "SELECT * FROM nowhere",
        "SELECT * FROM app.nowhere",
        "SELECT * FROM nowhere.users",
        "SELECT * FROM shop.app.users",
        "SELECT * FROM pg_stats",
        "SELECT * FROM pg_catalog.pg_stats",
        "SELECT * FROM information_schema.columns",
        'SELECT * FROM "Users"',
        'SELECT "SECRET" FROM users',
        "SELECT 1 FROM users WHERE nothing = 1",
        "SELECT 1 FROM users ORDER BY nothing",
        "INSERT INTO nowhere VALUES (1)",
        "INSERT INTO users (nothing) VALUES (1)",
        "UPDATE users SET nothing = 1",
        "UPDATE nowhere SET a = 1",
        "DELETE FROM nowhere",
        "DELETE FROM users WHERE nothing = 1",
        "SELECT nowhere.a FROM nowhere",
    ],
)
def test_what_is_unknown_becomes_a_right_that_nobody_has(reader: Any, sql: Any) -> None:
    """An unknown relation or column, a system column among them, is a right on nothing."""
    assert any(right.endswith(" ?") for right in reader.rights(sql))


@pytest.mark.parametrize(
    "clause", ["SEARCH BREADTH FIRST BY {} SET made", "CYCLE {} SET made USING p"]
)
def test_what_a_recursion_adds_tells_of_what_it_follows(reader: Any, clause: str) -> None:
    """The columns of SEARCH and CYCLE hold, and compare, the columns that they are over."""
    sql = (
        "WITH RECURSIVE r AS (SELECT id, secret FROM users UNION ALL SELECT id, secret FROM r) "
        f"{clause.format('secret')} SELECT made FROM r"
    )
    assert reader.flows(sql) == [{"users.secret DERIVED"}]
    assert ("compare", "users.secret") in reader.uses(sql)
