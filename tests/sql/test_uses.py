"""What a statement compares and computes, which rights it needs, and what it writes where."""

from __future__ import annotations

from typing import Any

import pytest

SECRET = "users.secret"
NAME_AND_NOTES = ("users.name", "users.notes")


@pytest.mark.parametrize(
    "condition",
    [
        "secret = 'a'",
        "secret = $1",
        "$1 = secret",
        "secret <> 'a'",
        "secret != $1",
        "secret IN ('a', 'b', $1)",
        "secret NOT IN ('a')",
        "secret = ANY ($1)",
        "secret = ANY ('{a,b}')",
        "secret = ANY (ARRAY['a', $1])",
        "secret IS NOT DISTINCT FROM 'a'",
        "secret = 'a'::text COLLATE \"C\"",
        "secret = 'a' || $1",
        "secret = lower($1)",
        "secret = ANY (string_to_array($1, ','))",
        "secret = current_user",
        "CASE secret WHEN 'a' THEN true END",
        "NOT secret = 'a'",
        "(secret = 'a') IS TRUE",
        "(secret = 'a') = (id = 3)",
        "secret OPERATOR(pg_catalog.=) 'a'",
    ],
)
def test_equality_with_a_constant_is_equality(reader: Any, condition: Any) -> None:
    """Telling whether a column equals a literal or a parameter is a use by equality."""
    uses = reader.uses(f"SELECT id FROM users WHERE {condition}")
    assert ("equality", SECRET) in uses
    assert not {("compare", SECRET), ("join", SECRET), ("compute", SECRET)} & uses


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM users u JOIN orders o ON u.secret = o.secret",
        "SELECT 1 FROM users u, orders o WHERE u.secret = o.secret",
        "SELECT 1 FROM users JOIN orders USING (secret)",
        "SELECT 1 FROM users NATURAL JOIN orders",
        "SELECT 1 FROM users WHERE secret IN (SELECT secret FROM orders)",
        "SELECT 1 FROM users WHERE secret = ANY (SELECT secret FROM orders)",
        "SELECT 1 FROM users WHERE secret NOT IN (SELECT secret FROM orders)",
        "SELECT 1 FROM users WHERE secret = (SELECT secret FROM orders LIMIT 1)",
        "SELECT 1 FROM users u, orders o WHERE u.secret IN ('a', o.secret)",
        "UPDATE orders SET total = 1 FROM users u WHERE u.secret = orders.secret",
        "DELETE FROM orders USING users u WHERE u.secret = orders.secret",
    ],
)
def test_equality_of_two_columns_is_a_join(reader: Any, sql: Any) -> None:
    """Telling which rows of two columns are equal is a use as a join, of both columns."""
    assert {("join", SECRET), ("join", "orders.secret")} <= reader.uses(sql)


@pytest.mark.parametrize(
    "condition",
    [
        "secret > 'a'",
        "secret LIKE 'a%'",
        "secret NOT ILIKE $1",
        "secret SIMILAR TO 'a'",
        "secret ~ '^a'",
        "secret BETWEEN 'a' AND 'b'",
        "secret BETWEEN SYMMETRIC $1 AND $2",
        "secret <> ALL ('{a}')",
        "secret = ALL (SELECT 'a')",
        "upper(secret) = 'A'",
        "secret || '' = 'a'",
        "substr(secret, 1, 1) IN ('a')",
        "coalesce(secret, 'b') = 'a'",
        "(secret, id) = ('a', 1)",
        "CASE WHEN secret > 'a' THEN true END",
        "CASE upper(secret) WHEN 'A' THEN true END",
        "greatest(secret, 'a') = 'a'",
        "secret::bool",
        "(secret || 'x') IS NULL",
        "nullif(secret, 'a') IS NULL",
        "length(secret) > 3",
        "starts_with(secret, 'a')",
        "secret = name || 'x'",
        "users IS NULL",
        "users = ROW(1)",
        "EXISTS (SELECT 1 FROM decoy WHERE users.secret > decoy.x)",
        "'a' = ANY (ARRAY[secret, 'b'])",
        "tail = 'abcd'",
        "tail IS NULL",
    ],
)
def test_any_other_comparison_is_a_full_one(reader: Any, condition: Any) -> None:
    """Ordering, matching, and equality of what is computed count as a full comparison."""
    assert ("compare", SECRET) in reader.uses(f"SELECT id FROM users WHERE {condition}")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT g FROM users, generate_series(1, 9) g WHERE ssn = g + 0",
        "SELECT g FROM users, generate_series(1, 9) g WHERE ssn = g",
        "SELECT g.ssn FROM users JOIN generate_series(1, 9) g (ssn) USING (ssn)",
        "SELECT g.ssn FROM users NATURAL JOIN generate_series(1, 9) g (ssn)",
        "SELECT g FROM users JOIN generate_series(1, 9) g ON g IN (ssn)",
        "SELECT v FROM users, (VALUES (1), (2)) q (v) WHERE v = ssn",
        "SELECT 1 FROM users WHERE ssn IN (SELECT generate_series(1, 9))",
        "SELECT 1 FROM users WHERE ssn IN (SELECT 7)",
        "SELECT n FROM (SELECT ssn AS s, 0 AS n FROM users UNION ALL SELECT g, g FROM"
        " generate_series(1, 9) g) q JOIN users u ON q.s = u.ssn",
        "SELECT g FROM users u, users w, generate_series(1, 9) g WHERE u.ssn IN (w.ssn, g)",
        "SELECT CASE ssn WHEN g THEN g END FROM users, generate_series(1, 9) g",
        "SELECT nullif(g, ssn) FROM users, generate_series(1, 9) g",
        "SELECT 1 FROM users WHERE ssn = random() * 9",
        "SELECT CASE WHEN ssn = row_number() OVER () THEN 1 END FROM users",
        "SELECT count(*) FROM users GROUP BY ssn HAVING ssn = count(*)",
        "SELECT 1 FROM users WHERE ssn = (SELECT 7)",
        "SELECT g FROM users u FULL JOIN generate_series(1, 9) g (ssn) USING (ssn) JOIN users w"
        " USING (ssn)",
        "WITH RECURSIVE r (s) AS (SELECT ssn FROM users UNION ALL SELECT 7 FROM r)"
        " SELECT 1 FROM r JOIN users ON s = ssn",
        "SELECT v FROM users u, LATERAL (VALUES (u.ssn), (7)) q (v), users w WHERE w.ssn = v",
        "INSERT INTO users (ssn) SELECT g FROM generate_series(1, 9) g ON CONFLICT DO NOTHING",
        "INSERT INTO users (ssn) VALUES ((SELECT 7)) ON CONFLICT DO NOTHING",
    ],
)
def test_equality_with_made_up_values_is_a_full_comparison(reader: Any, sql: Any) -> None:
    """Equality with a column of made-up values would tell the value: it is no mere equality."""
    assert ("compare", "users.ssn") in reader.uses(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT secret, name FROM users",
        "SELECT count(secret) FROM users",
        "SELECT 1 FROM users WHERE secret IS NOT NULL",
        "SELECT secret FROM users UNION ALL SELECT secret FROM orders",
        "SELECT coalesce(secret, 'x'), length(secret), secret::text FROM users",
        "SELECT 1 FROM users WHERE EXISTS (SELECT secret FROM orders)",
        "INSERT INTO users (secret) VALUES ('a')",
        "UPDATE users SET secret = $1",
    ],
)
def test_handing_on_and_counting_use_nothing(reader: Any, sql: Any) -> None:
    """Handing a value on, counting it, writing it, or testing it for NULL is no use of it."""
    assert reader.uses(sql) == set()


@pytest.mark.parametrize(
    "sql",
    [
        # Errors that depend on the value.
        "WITH q AS MATERIALIZED (SELECT 1 / ascii(secret) AS n FROM users) SELECT count(*) FROM q",
        "SELECT count(*) FROM (SELECT secret::int FROM users OFFSET 0) q",
        "UPDATE users SET secret = (1 / length(secret))::text",
        "INSERT INTO users (secret) SELECT (secret::int)::text FROM users",
        "SELECT 1 FROM decoy, LATERAL (SELECT secret::jsonb FROM users OFFSET 0) q",
        "SELECT count(*) FROM (SELECT users::text::int FROM users OFFSET 0) q",
        "SELECT count(*) FROM (SELECT jsonb_array_length(secret::jsonb) FROM users) q",
        # A number of rows that depends on the value.
        "SELECT count(*) FROM users, generate_series(1, ascii(secret))",
        "SELECT count(*) FROM (SELECT generate_series(1, ascii(secret)) FROM users) q",
        "SELECT max(n) FROM users, unnest(string_to_array(secret, NULL)) WITH ORDINALITY u (c, n)",
        "SELECT count(*) FROM users, jsonb_array_elements(secret::jsonb)",
        "SELECT count(*) FROM users, regexp_split_to_table(secret, '')",
        "SELECT 1 FROM users WHERE EXISTS (SELECT generate_series(1, ascii(secret) - 97))",
    ],
)
def test_what_can_fail_or_multiply_is_a_use(reader: Any, sql: Any) -> None:
    """An expression that can raise or make rows is a use, though its value is never shown."""
    assert ("compute", SECRET) in reader.uses(sql)


@pytest.mark.parametrize(
    ("sql", "rights"),
    [
        ("SELECT 1", set()),
        ("SELECT count(*) FROM users", {"select users"}),
        ("SELECT id FROM users", {"select users", "select users.id"}),
        (
            "SELECT 1 FROM users WHERE token = 'a' ORDER BY ssn",
            {"select users", "select users.token", "select users.ssn"},
        ),
        (
            "SELECT * FROM decoy",
            {"select decoy", *(f"select decoy.{c}" for c in ("id", "secret", "x"))},
        ),
        (
            "SELECT decoy FROM decoy",
            {"select decoy", *(f"select decoy.{c}" for c in ("id", "secret", "x"))},
        ),
        (
            "SELECT 1 FROM users JOIN decoy USING (id)",
            {"select users", "select decoy", "select users.id", "select decoy.id"},
        ),
        (
            "SELECT 1 FROM logs NATURAL JOIN logs_2024",
            {
                "select logs",
                "select logs_2024",
                *(f"select {t}.{c}" for t in ("logs", "logs_2024") for c in ("at", "line")),
            },
        ),
        ("SELECT id FROM users FOR UPDATE", {"select users", "select users.id", "update users"}),
        (
            "SELECT u.id FROM users u, decoy d FOR SHARE OF d",
            {"select users", "select decoy", "select users.id", "update decoy"},
        ),
        (
            "SELECT q.id FROM (SELECT id FROM users) q FOR UPDATE",
            {"select users", "select users.id", "update users"},
        ),
        ("SELECT 1 FROM (SELECT secret FROM users) q", {"select users", "select users.secret"}),
        ("WITH q AS (SELECT secret FROM users) SELECT 1", {"select users", "select users.secret"}),
        (
            "INSERT INTO decoy VALUES (1, 'a')",
            {"insert decoy", "insert decoy.id", "insert decoy.secret"},
        ),
        ("INSERT INTO decoy DEFAULT VALUES", {"insert decoy"}),
        ("INSERT INTO decoy (x) VALUES (1)", {"insert decoy", "insert decoy.x"}),
        (
            "INSERT INTO decoy (x) SELECT secret FROM users",
            {"insert decoy", "insert decoy.x", "select users", "select users.secret"},
        ),
        (
            "INSERT INTO decoy (id, x) VALUES (1, 'a')"
            " ON CONFLICT (id) DO UPDATE SET x = excluded.x",
            {"insert decoy", "insert decoy.id", "insert decoy.x", "select decoy.id"}
            | {"select decoy.x", "update decoy.x"},
        ),
        (
            "INSERT INTO decoy (id) VALUES (1) RETURNING secret",
            {"insert decoy", "insert decoy.id", "select decoy.secret"},
        ),
        ("UPDATE users SET name = 'a'", {"update users", "update users.name"}),
        (
            "UPDATE users SET name = secret WHERE id = 1 RETURNING ssn",
            {"update users", "update users.name"}
            | {f"select users.{c}" for c in ("secret", "id", "ssn")},
        ),
        (
            "UPDATE users SET (name, ssn) = (SELECT x, id FROM decoy)",
            {"update users", "update users.name", "update users.ssn"}
            | {"select decoy", "select decoy.x", "select decoy.id"},
        ),
        (
            "UPDATE users u SET name = d.x FROM decoy d WHERE d.id = u.id",
            {"update users", "update users.name", "select decoy"}
            | {"select decoy.x", "select decoy.id", "select users.id"},
        ),
        (
            "INSERT INTO decoy (x[(SELECT ssn FROM users)]) VALUES (1)",
            {"insert decoy", "insert decoy.x", "select users", "select users.ssn"},
        ),
        (
            "UPDATE decoy SET x[(SELECT ssn FROM users)] = 1",
            {"update decoy", "update decoy.x", "select users", "select users.ssn"},
        ),
        ("DELETE FROM users", {"delete users"}),
        ("DELETE FROM users WHERE id = 1", {"delete users", "select users.id"}),
        (
            "WITH d AS (DELETE FROM decoy RETURNING *) SELECT 1",
            {"delete decoy", *(f"select decoy.{c}" for c in ("id", "secret", "x"))},
        ),
        (
            "WITH i AS (INSERT INTO decoy (x) VALUES (1)) UPDATE users SET name = 'a'",
            {"insert decoy", "insert decoy.x", "update users", "update users.name"},
        ),
    ],
)
def test_each_relation_and_column_needs_its_right(reader: Any, sql: Any, rights: Any) -> None:
    """A statement needs, of each relation and column, the right to what it does to it, no more."""
    assert reader.rights(sql) == rights


@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        ("INSERT INTO decoy VALUES (1, 'a')", [("decoy.id", set()), ("decoy.secret", set())]),
        (
            "INSERT INTO decoy (x, id) SELECT secret, ssn FROM users",
            [("decoy.x", {"users.secret EXACT"}), ("decoy.id", {"users.ssn EXACT"})],
        ),
        (
            "INSERT INTO decoy (x) VALUES ((SELECT secret FROM users LIMIT 1)), ('a')",
            [("decoy.x", {"users.secret AMONG"})],
        ),
        (
            "INSERT INTO decoy (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET x = decoy.secret",
            [("decoy.id", set()), ("decoy.x", {"decoy.secret EXACT"})],
        ),
        ("UPDATE users SET name = secret", [("users.name", {"users.secret EXACT"})]),
        ("UPDATE users SET name = upper(secret)", [("users.name", {"users.secret DERIVED"})]),
        ("UPDATE users SET name = (secret = 'a')", [("users.name", {"users.secret COMPARED"})]),
        ("UPDATE users SET doc['a'] = to_jsonb(secret)", [("users.doc", {"users.secret DERIVED"})]),
        (
            "UPDATE users SET (name, notes) = (secret, token)",
            [("users.name", {"users.secret EXACT"}), ("users.notes", {"users.token EXACT"})],
        ),
        (
            "UPDATE users SET (name, notes) = (SELECT secret, id FROM orders LIMIT 1)",
            [(name, {"orders.secret DERIVED", "orders.id DERIVED"}) for name in NAME_AND_NOTES],
        ),
        ("UPDATE users SET name = DEFAULT", [("users.name", set())]),
        (
            "WITH q AS (UPDATE users SET name = secret RETURNING token) UPDATE decoy SET x ="
            " (SELECT token FROM q)",
            [("users.name", {"users.secret EXACT"}), ("decoy.x", {"users.token EXACT"})],
        ),
        ("DELETE FROM users", []),
    ],
)
def test_each_write_has_its_sources(reader: Any, sql: Any, writes: Any) -> None:
    """What is written into a column carries the sources that it comes from."""
    assert reader.writes(sql) == writes
