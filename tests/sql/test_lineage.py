"""Which base columns show in each output, and how they got there."""

from __future__ import annotations

from typing import Any

import pytest

SECRET, OTHER = "users.secret", "orders.secret"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT secret FROM users",
        "SELECT u.secret FROM users u",
        "SELECT users.secret FROM users",
        "SELECT app.users.secret FROM app.users",
        "SELECT x.c FROM users x (a, b, c)",
        "SELECT s FROM (SELECT secret FROM users) q (s)",
        "SELECT secret FROM (SELECT secret FROM (SELECT * FROM users) a) b",
        "SELECT sec FROM (users JOIN decoy USING (id)) j (i, n, sec)",
        "WITH q AS (SELECT secret FROM users) SELECT secret FROM q",
        "WITH q (s) AS (SELECT secret FROM users) SELECT s FROM q",
        "WITH a AS (SELECT secret FROM users), b AS (SELECT * FROM a) SELECT * FROM b",
        "WITH decoy AS (SELECT secret FROM users) SELECT secret FROM decoy",
        "SELECT (SELECT secret FROM users LIMIT 1)",
        "SELECT s FROM users u, LATERAL (SELECT u.secret AS s) q",
        "SELECT s FROM users u, LATERAL (VALUES (u.secret)) q (s)",
        "SELECT DISTINCT secret FROM users",
        "SELECT secret FROM users GROUP BY secret",
        "SELECT secret FROM users UNION ALL SELECT secret FROM users",
        "SELECT secret FROM ONLY users",
        "SELECT secret FROM users WHERE id = $1 FOR UPDATE",
        "UPDATE users SET name = 'n' RETURNING secret",
        "UPDATE users u SET name = 'n' RETURNING u.secret",
        "UPDATE users SET name = 'n' RETURNING old.secret",
        "INSERT INTO users (id) VALUES (1) RETURNING new.secret",
        "INSERT INTO users (id) VALUES (1) RETURNING secret",
        "DELETE FROM users RETURNING secret",
        "DELETE FROM decoy USING users u WHERE decoy.id = u.id RETURNING u.secret",
        "WITH d AS (DELETE FROM users RETURNING secret) SELECT secret FROM d",
        "WITH RECURSIVE r AS (SELECT secret FROM users UNION ALL SELECT secret FROM r)"
        " SELECT secret FROM r",
        "WITH RECURSIVE r (s) AS (SELECT secret FROM users) SELECT s FROM r",
    ],
)
def test_a_value_handed_on_is_exact(reader: Any, sql: Any) -> None:
    """A column's value that is handed on unchanged is EXACT, wherever it passes through."""
    assert reader.flows(sql) == [{f"{SECRET} EXACT"}]


@pytest.mark.parametrize(
    "expression",
    [
        "secret::text",
        "CAST(secret AS varchar)",
        'secret COLLATE "C"',
        "COALESCE(secret, '')",
        "CASE WHEN id = 1 THEN secret END",
        "CASE id WHEN 1 THEN 'x' ELSE secret END",
        "NULLIF(secret, 'x')",
        "GREATEST(secret, 'x')",
        "LEAST('x', secret)",
        "max(secret)",
        "min(secret)",
        "to_jsonb(secret)",
        "first_value(secret) OVER ()",
        "lag(secret) OVER (ORDER BY id)",
        "secret::jsonb",
    ],
)
def test_a_part_of_a_value_is_part(reader: Any, expression: Any) -> None:
    """What hands out one of several values, or a part that is left as it is, gives a PART."""
    (words,) = reader.flows(f"SELECT {expression} FROM users")
    assert words - {"users.id COMPARED"} == {f"{SECRET} PART"}


@pytest.mark.parametrize(
    "expression",
    [
        "array_agg(secret)",
        "(array_agg(secret))[1]",
        "secret::jsonb -> 'a'",
        "secret::jsonb ->> 0",
        "secret::jsonb #>> '{a,b}'",
        "(secret::jsonb)['a']",
        "jsonb_extract_path(secret::jsonb, 'a')",
        "ARRAY(SELECT secret FROM users)",
        "unnest(array_agg(secret))",
    ],
)
def test_what_is_taken_out_or_gathered_is_taken(reader: Any, expression: Any) -> None:
    """Parts of a document or list, and values gathered in one, are told from the whole."""
    assert reader.flows(f"SELECT {expression} FROM users") == [{f"{SECRET} TAKEN"}]
    assert reader.flows(f"SELECT coalesce({expression}) FROM users") == [{f"{SECRET} TAKEN"}]


@pytest.mark.parametrize(
    "expression",
    [
        "secret || 'x'",
        "upper(secret)",
        "substr(upper(secret), 1, 1)",
        "length(left(secret, 3))",
        "substr('abc', ascii(secret))",
        "ascii(secret)",
        "length(upper(secret))",
        "length(repeat('x', ascii(secret)))",
        "octet_length(secret || '') + 1",
        "secret::varchar(3)",
        "secret::int",
        "secret::text[]",
        "secret::name",
        "ARRAY[secret]",
        "ROW(secret)",
        "ROW(1, secret)",
        "string_agg(secret, ',')",
        "array_length(ARRAY[1], ascii(secret))",
        "jsonb_build_object('a', secret)",
        "secret::jsonb -> name",
        "jsonb_extract_path('{}', secret)",
        "jsonb_extract_path(secret::jsonb, $1)",
        "nth_value(id, ascii(secret)) OVER ()",
        "encode(secret::bytea, 'hex')",
        "md5(secret)",
        "(ROW(secret)).f1",
        "extract(year FROM secret::date)",
        "secret IN ('a') AND upper(secret) || 'x'",
    ],
)
def test_what_is_computed_is_derived(reader: Any, expression: Any) -> None:
    """A value that is computed from a column carries it as DERIVED."""
    (words,) = reader.flows(f"SELECT {expression} FROM users")
    assert f"{SECRET} DERIVED" in words


@pytest.mark.parametrize(
    "expression",
    [
        "substr(secret, 1, 1)",
        "left(secret, 3)",
        "left(coalesce(secret, 'x'), 3)",
        "right(substring(secret FROM 2), 3)",
        "split_part(secret, '-', 2)",
        "(string_to_array(secret, '-'))[1]",
        "regexp_match(secret, 'a(.*)')",
        "max(right(secret, 2))",
    ],
)
def test_a_run_of_characters_is_a_slice(reader: Any, expression: Any) -> None:
    """Characters of a text that follow each other carry it as SLICED."""
    assert reader.flows(f"SELECT {expression} FROM users") == [{f"{SECRET} SLICED"}]


@pytest.mark.parametrize(
    "expression",
    ["length(secret)", "octet_length(secret) * 2", "sum(length(secret))", "length(max(secret))"],
)
def test_a_measure_is_measured(reader: Any, expression: Any) -> None:
    """A length, and arithmetic over it, is MEASURED: it shows little of the value."""
    assert reader.flows(f"SELECT {expression} FROM users") == [{f"{SECRET} MEASURED"}]


@pytest.mark.parametrize(
    "expression",
    [
        "secret = 'a'",
        "secret IN ('a', 'b')",
        "secret IS DISTINCT FROM 'a'",
        "secret LIKE 'a%'",
        "secret > 'a'",
        "secret BETWEEN 'a' AND 'b'",
        "secret = ANY ('{a}')",
        "secret IN (SELECT x FROM (VALUES ('a')) v (x))",
        "(secret = 'a')::int + 1",
        "upper((secret = 'a')::text)",
    ],
)
def test_a_comparison_is_compared(reader: Any, expression: Any) -> None:
    """A truth about a comparison, and what is made of it, is COMPARED."""
    assert reader.flows(f"SELECT {expression} FROM users") == [{f"{SECRET} COMPARED"}]


@pytest.mark.parametrize(
    "expression",
    [
        "1",
        "$1",
        "'a' || $1",
        "now()",
        "count(*)",
        "count(secret)",
        "secret IS NULL",
        "secret IS NOT NULL",
        "EXISTS (SELECT secret FROM users)",
        "row_number() OVER ()",
        "current_user",
        "ARRAY[1, 2]",
    ],
)
def test_counts_constants_and_null_tests_carry_nothing(reader: Any, expression: Any) -> None:
    """Counting a column or testing it for NULL carries nothing of it; nor does a constant."""
    assert reader.flows(f"SELECT {expression} FROM users") == [set()]


def test_made_up_values_beside_a_column_are_told(reader: Any) -> None:
    """A UNION or VALUES of a column with made-up values is AMONG, so that it is no plain column."""
    assert reader.flows("SELECT secret FROM users UNION ALL SELECT 'x'") == [{f"{SECRET} AMONG"}]
    assert reader.flows("SELECT v FROM users, LATERAL (VALUES (secret), ('x')) q (v)") == [
        {f"{SECRET} AMONG"}
    ]
    recursive = "WITH RECURSIVE r AS (SELECT 'x' UNION ALL SELECT secret FROM users) TABLE r"
    assert reader.flows(recursive) == [{f"{SECRET} AMONG"}]


def test_columns_of_both_sides_meet(reader: Any) -> None:
    """A set operation's output has the sources of both sides, and the first side's name."""
    sql = "SELECT secret AS s FROM users UNION ALL SELECT total::text AS t FROM orders"
    assert reader.outputs(sql) == [("s", {f"{SECRET} EXACT", "orders.total PART"})]


def test_a_recursive_query_gathers_all_rounds(reader: Any) -> None:
    """What a recursive term moves from column to column reaches each of them."""
    sql = """
        WITH RECURSIVE r (a, b, c) AS (
            SELECT name, notes, secret FROM users UNION ALL SELECT b, c, a FROM r)
        SELECT a FROM r"""
    assert reader.flows(sql) == [{"users.name EXACT", "users.notes EXACT", f"{SECRET} EXACT"}]


def test_a_generated_column_shows_what_it_is_computed_from(reader: Any) -> None:
    """A generated column is EXACT itself, and INHERITED from the columns it is made of."""
    assert reader.flows("SELECT tail FROM users") == [{"users.tail EXACT", f"{SECRET} INHERITED"}]
    assert f"{SECRET} DERIVED" in reader.flows("SELECT upper(tail) FROM users")[0]
    assert f"{SECRET} DERIVED" in reader.flows("SELECT length(tail) FROM users")[0]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT u FROM users u",
        "SELECT users FROM users",
        "SELECT u::text FROM users u",
        "SELECT to_jsonb(u) FROM users u",
        "SELECT q FROM (SELECT secret FROM users) q",
        "SELECT j FROM (users JOIN decoy USING (id)) j",
        "WITH q AS (SELECT * FROM users) SELECT q FROM q",
        "UPDATE users SET name = 'n' RETURNING users",
        "UPDATE users SET name = 'n' RETURNING old",
        "SELECT max(u::text) FROM users u",
    ],
)
def test_a_whole_row_is_derived_from_its_columns(reader: Any, sql: Any) -> None:
    """A table's name where a value is expected means all of its columns, as DERIVED."""
    (words,) = reader.flows(sql)
    assert f"{SECRET} DERIVED" in words or f"{SECRET} PART" in words


def test_a_functions_name_means_its_one_value(reader: Any) -> None:
    """A function in FROM that gives one column is that value when it is called by its name."""
    sql = "SELECT e, e ->> 'k', value FROM users, jsonb_array_elements(doc) e"
    assert reader.flows(sql) == [{"users.doc TAKEN"}] * 3


def test_a_functions_rows_are_numbered_by_nothing(reader: Any) -> None:
    """WITH ORDINALITY adds a column that carries nothing."""
    sql = "SELECT x, n FROM users, unnest(ARRAY[secret]) WITH ORDINALITY f (x, n)"
    assert reader.flows(sql) == [{f"{SECRET} DERIVED"}, set()]


def test_a_column_beside_one_of_the_same_name_is_told_apart(reader: Any) -> None:
    """Qualified columns of the same name keep their own sources."""
    sql = "SELECT u.secret, o.secret FROM users u, orders o"
    assert reader.flows(sql) == [{f"{SECRET} EXACT"}, {f"{OTHER} EXACT"}]


def test_a_bare_name_of_several_tables_has_the_sources_of_all(reader: Any) -> None:
    """A name that may be any of several columns has the sources of all of them."""
    assert reader.flows("SELECT secret FROM users, orders") == [
        {f"{SECRET} EXACT", f"{OTHER} EXACT"}
    ]


def test_a_field_of_a_whole_row_is_its_column(reader: Any) -> None:
    """``(t).column`` and ``(t).*`` are the columns themselves, and read the whole row."""
    assert reader.flows("SELECT (u).secret FROM users u") == [{f"{SECRET} EXACT"}]
    assert reader.flows("SELECT (u).* FROM decoy u") == reader.flows("SELECT * FROM decoy")
    assert "select users.token" in reader.rights("SELECT (u).id FROM users u")
    assert reader.flows("SELECT ((u).doc) -> 'a' FROM users u") == [{"users.doc TAKEN"}]
    assert reader.rights("SELECT (u).nowhere FROM users u") >= {"select ?"}
