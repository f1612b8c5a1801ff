"""The text of a statement that is fit for logs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.sql import grammar


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT 1", "SELECT ?"),
        ("SELECT $1, 'a'", "SELECT $1, ?"),
        ("SELECT a FROM t WHERE b = -1.5e3 AND c = .5", "SELECT a FROM t WHERE b = -? AND c = ?"),
        ("SELECT E'a', B'1', X'f', N'a', $$a$$, $t$a$t$", "SELECT ?, ?, ?, N?, ?, ?"),
        ("SELECT 'a'\n  'b'", "SELECT ?"),
        ("SELECT 0x1f, 1_000", "SELECT ?, ?"),
        ("SELECT/* x */1 -- y", "SELECT ?"),
        ('  SELECT\n\ta1, "b\'2"', 'SELECT a1, "b\'2"'),
        ("SELECT true, NULL", "SELECT true, NULL"),
        ("SELECT x FROM t ORDER BY 2", "SELECT x FROM t ORDER BY ?"),
        ("SELECT 'ü' AS ü", "SELECT ? AS ü"),
    ],
)
def test_literals_and_comments_are_taken_out(sql: Any, text: Any) -> None:
    """Each literal becomes ?, comments go, blanks become one, and all else stays as it is."""
    assert grammar.without_literals(sql.encode()) == text


@pytest.mark.parametrize(
    "sql",
    [
        "SET a = 'hush'",
        "COPY t FROM '/hush'",
        "COPY t TO PROGRAM 'hush' WITH (NULL 'hush')",
        "DO $$ hush $$",
        "CREATE ROLE r PASSWORD 'hush'",
        "CREATE USER MAPPING FOR a SERVER b OPTIONS (password 'hush')",
        "CREATE SUBSCRIPTION s CONNECTION 'hush' PUBLICATION p",
        "PREPARE p AS SELECT 'hush'",
        "EXECUTE p ('hush', 424242)",
        "PREPARE TRANSACTION 'hush'",
        "NOTIFY a, 'hush'",
        "COMMENT ON TABLE t IS 'hush'",
        "CREATE TABLE t (a text DEFAULT 'hush')",
        "CREATE TABLE t AS SELECT 'hush'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'hush'",
        "SELECT * FROM JSON_TABLE('hush', '$.hush' COLUMNS (a int PATH '$.hush'))",
        "SELECT interval 'hush', date '424242-01-01'",
        "SELECT 'hush' FROM WHERE",
        "SELECT 'hush'; SELECT 424242",
    ],
)
def test_no_literal_of_any_statement_is_left(sql: Any) -> None:
    """Literals are taken out of every kind of statement, refused and broken ones too."""
    text = grammar.without_literals(sql.encode())
    assert "hush" not in text
    assert "424242" not in text


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    st.integers(0, 10**9),
)
def test_a_literal_never_shows(text: Any, number: Any) -> None:
    """Whatever a literal holds, the text for logs is the same."""
    quoted = "'" + text.replace("'", "''") + "'"
    sql = f"SELECT {quoted}, {number}, $q${text.replace('$', '')}$q$"
    assert grammar.without_literals(sql.encode()) == "SELECT ?, ?, ?"


_PIECES = st.sampled_from(
    "a e b_1 x$2 $1 . .. , ( ) [ ] :: = - -> / * + ; 1 .5 1.5e3 0x1f 1_0 'h' e'h' b'1' $$h$$ "
    '$t$h$t$ --h /*h*/ "a  b" "it\'s" ü SELECT'.split(" ")
)


@given(st.lists(st.tuples(_PIECES, st.sampled_from(["", " ", "\t\n", "\n"])), max_size=12))
def test_a_text_that_needs_no_scanner_is_as_the_scanner_would_have_it(pieces: Any) -> None:
    """Texts without anything that could begin a literal are told as all others are."""
    sql = "".join(piece + gap for piece, gap in pieces)
    try:
        scanned = grammar.without_literals(f"/* */ {sql}".encode())
    except grammar.Unparsable:
        return
    assert grammar.without_literals(sql.encode()) == scanned


@pytest.mark.parametrize("sql", [b"SELECT '", b"SELECT /*", b"SELECT \xff", b'SELECT "'])
def test_what_cannot_be_scanned_has_no_text(sql: Any) -> None:
    """What PostgreSQL's scanner does not read is Unparsable, and gives no text at all."""
    with pytest.raises(grammar.Unparsable) as caught:
        grammar.without_literals(sql)
    assert caught.value.__cause__ is None
    assert caught.value.reason


@given(st.binary(max_size=200))
def test_reading_raises_nothing_but_unparsable(sql: Any) -> None:
    """Whatever bytes come, reading them gives a tree or Unparsable."""
    try:
        assert isinstance(grammar.parse(sql), dict)
    except grammar.Unparsable as refused:
        assert refused.reason
