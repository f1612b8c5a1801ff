"""Rows of COPY come apart and together again without loss, whatever spelling was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tracewall
from tracewall.copy_rows import cover
from tracewall.shield import Veil
from tracewall.sql.copying import CopyFormat

TEXT, INT, JSONB, DATES = 25, 23, 3802, 1182
SPELLINGS = [
    ("", CopyFormat()),
    ("delimiter '|'", CopyFormat(delimiter="|")),
    ("delimiter E'\\x01', null ''", CopyFormat(delimiter="\x01", null="")),
    ("format csv", CopyFormat("csv", ",", "")),
    (
        "format csv, delimiter 'x', quote '''', escape '$', null 'zz', force_quote *",
        CopyFormat("csv", "x", "zz", "false", "'", "$"),
    ),
    ("format csv, delimiter '\\', quote '|'", CopyFormat("csv", "\\", "", "false", "|", "|")),
    ("format binary", CopyFormat("binary")),
]
TEXTS = st.none() | st.text(
    st.sampled_from("ab xz$'\"|,\\\t\n\r\b\x01é漢N.") | st.characters(exclude_characters="\0"),
    max_size=12,
).filter(lambda text: not any(0xD800 <= ord(char) <= 0xDFFF for char in text))


@pytest.fixture(scope="module")
def server_side(admin_dsn: str) -> Iterator[Any]:
    """A plain connection with a table for what comes back, and one that copies out."""
    with psycopg.connect(admin_dsn, autocommit=True) as conn:
        conn.execute("create temp table back (a text, b text, c int)")
        with psycopg.connect(admin_dsn, autocommit=True) as other:
            yield conn, other


def spelled(conn: Any, rows: list[Any], options: str) -> list[bytes]:
    """Give rows as the server spells them."""
    values = psycopg.sql.SQL(", ").join(
        psycopg.sql.SQL("({}::text, {}::text, {}::int)").format(*row) for row in rows
    )
    query = psycopg.sql.SQL("copy (select * from (values {}) as v) to stdout ({})").format(
        values, psycopg.sql.SQL(options)
    )
    with conn.cursor().copy(query if options else str(query.as_string(conn))[:-3]) as copy:
        return [bytes(row) for row in copy]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 9)), min_size=1, max_size=4))
@pytest.mark.parametrize("options, spelling", SPELLINGS, ids=lambda each: str(each)[:20])
def test_a_mask_that_changes_nothing_changes_nothing(
    server_side: Any, options: str, spelling: CopyFormat, rows: list[Any]
) -> None:
    """Masked fields are read as the server meant them, and spelled so that it reads them back."""
    conn, other = server_side
    seen: list[Any] = []

    def same(value: object) -> object:
        seen.append(value)
        return value

    veils = {0: Veil("same", same), 2: Veil("same", same)}
    covers = cover(spelling, [TEXT, TEXT, INT], veils, conn)
    conn.execute("truncate back")
    options_in = options.replace(", force_quote *", "")
    into = f"copy back from stdin ({options_in})" if options else "copy back from stdin"
    with conn.cursor().copy(into) as copy:
        for row in spelled(other, rows, options):
            copy.write(covers(row))
    got = conn.execute("select * from back").fetchall()
    blank = spelling.null == "" and spelling.format == "text"
    expected = [tuple(None if blank and v == "" else v for v in row) for row in rows]
    assert sorted(got, key=repr) == sorted(expected, key=repr)
    if not blank:
        assert [v for v in seen if isinstance(v, str)] == [r[0] for r in rows if r[0] is not None]


def test_a_row_that_is_spelled_otherwise_is_withheld() -> None:
    """Rows with another number of fields, or of another form, are not handed out."""
    veils = {0: Veil("all", lambda value: None)}
    for spelling, rows in (
        (CopyFormat(), [b"a\n", b"a\tb\tc\n", b"a\tb"]),
        (CopyFormat(delimiter="|"), [b"a\n", b"a|b|c\n", b"a|b\\"]),
        (CopyFormat("csv", ",", ""), [b'"a\n', b'"a"b,c\n', b"a,b,c\n", b"a\n", b"a,b", b""]),
        (CopyFormat("binary"), [b"", b"PGCOPY\n\xff\r\n\0", b"\0\2", b"PGCOPY\n\xff\r\n\0" * 9]),
    ):
        for row in rows:
            with pytest.raises(tracewall.Withheld):
                cover(spelling, [TEXT, TEXT], veils, None)(row)


def test_a_word_for_null_confirms_no_guess() -> None:
    """In text format, where a value can look like the word for NULL, such a word is refused."""
    with pytest.raises(tracewall.Forbidden):
        cover(CopyFormat(null="sk-guess"), [TEXT], {0: Veil("keys", lambda value: "x")}, None)


def test_what_psycopg_cannot_spell_is_withheld() -> None:
    """A masked value of a type that has no spelling in the format asked for is withheld."""
    point = 600
    covers = cover(CopyFormat("binary"), [point], {0: Veil("all", lambda value: 1)}, None)
    row = b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\1\0\0\0\2ab"
    with pytest.raises(tracewall.Withheld) as withheld:
        covers(row)
    assert withheld.value.__context__ is None
    hidden = cover(CopyFormat("binary"), [point], {0: Veil("all", lambda value: None)}, None)
    assert hidden(row).endswith(b"\0\1\xff\xff\xff\xff")


def test_a_document_that_hides_a_member_twice_hides_both() -> None:
    """A document is always spelled anew: what parsing lost of the original does not come back."""
    json = 114
    covers = cover(CopyFormat(), [json], {0: Veil("same", lambda value: value)}, None)
    assert covers(b'{"a": "first", "a": "second"}\n') == b'{"a": "second"}\n'
