"""What a position, a limit, a lock and a name that is used twice mean."""

from __future__ import annotations

from typing import Any

import pytest

from tracewall.sql.statement import Misunderstood

SECRET = "users.secret"


def used(reader: Any, sql: str, how: str) -> set[str]:
    """Give the columns that a statement uses in that way."""
    return {column for use, column in reader.uses(sql) if use == how}


def refusal(reader: Any, sql: str) -> str:
    """Give why a statement is not understood."""
    found = reader.anyhow(sql)
    assert isinstance(found, Misunderstood), found
    return found.reason


@pytest.mark.parametrize(
    ("sql", "how"),
    [
        ("SELECT id, secret, name FROM users ORDER BY 2", "sort"),
        ("SELECT secret, id, name FROM users ORDER BY 1 DESC", "sort"),
        ("SELECT id, name, secret FROM users ORDER BY 3", "sort"),
        ("SELECT max(id), secret FROM users GROUP BY 2", "group"),
        ("SELECT max(id), secret, count(name) FROM users GROUP BY ROLLUP (2)", "group"),
        ("SELECT DISTINCT ON (2) id, secret, name FROM users", "group"),
        ("SELECT id, secret, name FROM users UNION ALL TABLE decoy ORDER BY 2", "sort"),
    ],
)
def test_a_position_is_the_output_that_stands_there(reader: Any, sql: str, how: str) -> None:
    """A number in ORDER BY, GROUP BY or DISTINCT ON is a use of that output, of no other."""
    assert used(reader, sql, how) - {"decoy.secret"} == {SECRET}


@pytest.mark.parametrize("clause", ["ORDER BY 0", "ORDER BY 2", "GROUP BY 0", "GROUP BY 2"])
def test_a_position_without_an_output_is_refused(reader: Any, clause: str) -> None:
    """A number that no output stands at is not understood, zero among them."""
    assert "out of range" in refusal(reader, f"SELECT secret FROM users {clause}")


@pytest.mark.parametrize("clause", ["LIMIT", "OFFSET"])
@pytest.mark.parametrize(
    "body",
    [
        "SELECT id FROM decoy",
        "SELECT id FROM decoy UNION SELECT id FROM decoy",
        "SELECT id FROM decoy EXCEPT ALL SELECT id FROM decoy",
        "VALUES (1), (2)",
    ],
)
def test_what_counts_the_rows_is_read(reader: Any, body: str, clause: str) -> None:
    """A subquery in LIMIT or OFFSET needs its rights and is a use, whatever it limits."""
    sql = f"{body} {clause} (SELECT length(secret) FROM users)"
    assert {"select users", f"select {SECRET}"} <= reader.rights(sql)
    assert SECRET in {column for _, column in reader.uses(sql)}


def test_a_lock_through_a_subquery_is_of_what_is_read(reader: Any) -> None:
    """FOR UPDATE of a subquery asks to update the tables read, not those written elsewhere."""
    sql = (
        "WITH made AS (INSERT INTO decoy (x) VALUES (1))"
        " SELECT q.id FROM (SELECT id FROM users) q FOR UPDATE"
    )
    read = {"select users", "select users.id", "update users"}
    assert reader.rights(sql) == {"insert decoy", "insert decoy.x", *read}


def test_a_plain_cte_does_not_know_itself(reader: Any) -> None:
    """Without RECURSIVE a CTE that names itself reads the table of that name."""
    sql = "WITH decoy AS (SELECT name FROM users UNION ALL SELECT secret FROM decoy) TABLE decoy"
    assert {"select decoy", "select decoy.secret"} <= reader.rights(sql)
    (flow,) = reader.flows(sql)
    assert {words.split()[0] for words in flow} == {"users.name", "decoy.secret"}


@pytest.mark.parametrize("aliases", ["(a, b, a)", "(secret)"])
def test_a_name_that_two_columns_have_is_both(reader: Any, aliases: str) -> None:
    """Where aliases give two columns of a table one name, reading it is reading both."""
    name = aliases.strip("()").split(",")[0]
    sql = f"SELECT {name} FROM users u {aliases}"
    assert {"select users.id", f"select {SECRET}"} <= reader.rights(sql)
    (flow,) = reader.flows(sql)
    assert {words.split()[0] for words in flow} == {"users.id", SECRET}


@pytest.mark.parametrize(
    "item", ["decoy d (a, b, c, d)", "(SELECT 1) q (a, b)", "(VALUES (1)) v (a, b)"]
)
def test_more_aliases_than_columns_are_refused(reader: Any, item: str) -> None:
    """A list of names that is longer than the columns is refused, and said to be."""
    assert "names more columns" in refusal(reader, f"SELECT 1 FROM {item}")


def test_a_bare_system_column_is_of_the_one_table(reader: Any) -> None:
    """``ctid`` beside a subquery is the table's: a subquery has none."""
    sql = "SELECT ctid FROM users, (SELECT 1 AS one) q"
    assert reader.rights(sql) == {"select users"}


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM users WHERE ctid = '(0,1)'",
        "DELETE FROM users RETURNING users.ctid",
        "UPDATE users SET name = 'n' RETURNING users.xmin",
    ],
)
def test_a_system_column_of_what_is_written_is_read(reader: Any, sql: str) -> None:
    """A system column needs the right to read its table, also where the table is written."""
    assert "select users" in reader.rights(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE users SET name = 'n' RETURNING xmin",
        "DELETE FROM users RETURNING ctid",
        "INSERT INTO users (id) VALUES (1) RETURNING xmin",
        "INSERT INTO users (id) VALUES (1)"
        " ON CONFLICT (id) DO UPDATE SET name = 'n' WHERE xmin = '1'",
    ],
)
def test_a_bare_system_column_is_of_what_is_changed(reader: Any, sql: str) -> None:
    """``excluded``, ``old`` and ``new`` have no columns that a bare name means."""
    rights = reader.rights(sql)
    assert "select users" in rights
    assert not any(right.endswith(" ?") for right in rights)


def test_a_bare_system_column_of_two_tables_is_of_none(reader: Any) -> None:
    """Beside another table a bare system column is ambiguous, in RETURNING too."""
    sql = "UPDATE users SET name = 'n' FROM decoy RETURNING xmin"
    assert "select ?" in reader.rights(sql)


def test_a_star_of_a_row_is_no_value(reader: Any) -> None:
    """``(t).*`` in a list of values is refused as ``t.*`` is: it would be several."""
    for star in ("(u).*", "u.*"):
        sql = f"SELECT 1 FROM users u, LATERAL (VALUES ({star})) q"
        assert "a star stands where one value" in refusal(reader, sql)


def test_a_name_of_too_many_parts_is_refused(reader: Any) -> None:
    """A column with its database's name before it is not understood, and said to be so."""
    assert "table is not among" in refusal(reader, "SELECT shop.app.users.id FROM users")


def test_a_column_goes_before_a_row_of_its_name(reader: Any) -> None:
    """``(c).*`` is not the row of a table that is called as one of its columns is."""
    assert reader.names("SELECT (u).* FROM decoy u") == ["id", "secret", "x"]
    refusal(reader, "SELECT (secret).* FROM users secret")
