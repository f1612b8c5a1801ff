"""The corpus of what applications send: none of it is refused, and nothing but masks changes it.

Each statement is run in a transaction of its own, by plain psycopg and guarded, and rolled
back; its columns, rows, count and status must be the same. A masked value may differ where
the plain one is among the protected ones, and only there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "statements"
FAMILIES = {
    path.stem: path.read_text("utf-8").removesuffix(";\n").split(";\n")
    for path in sorted(HERE.glob("*.sql"))
}


def told(conn: Any, statement: str) -> tuple[list[tuple[str, int]], list[tuple[Any, ...]], Any]:
    """Give the columns, rows, and the count and status of a statement, and roll it back."""
    try:
        cursor = conn.execute(statement)
        columns = [(column.name, column.type_code) for column in cursor.description or []]
        rows = cursor.fetchall() if columns else []
        return columns, rows, (cursor.rowcount, cursor.statusmessage)
    finally:
        conn.rollback()


def is_protected(value: Any, shop: Any) -> bool:
    """Tell whether a value is a protected one, or one of those that the corpus writes."""
    return isinstance(value, str) and (
        value in shop.protected or bool(re.fullmatch(r"\w+@shop\.example|4242", value))
    )


@pytest.mark.parametrize("statement", [one for listed in FAMILIES.values() for one in listed])
def test_a_legitimate_statement_gives_what_it_always_gave(shop: Any, statement: str) -> None:
    """Guarded, a statement gives what plain psycopg gives, but for masked values."""
    columns, rows, status = told(shop.plain, statement)
    seen_columns, seen_rows, seen_status = told(shop.guarded, statement)
    assert (seen_columns, seen_status) == (columns, status)
    for row, seen in zip(rows, seen_rows, strict=True):
        for value, shown in zip(row, seen, strict=True):
            if is_protected(value, shop):
                assert shown == "[redacted]"
            else:
                assert shown == value


def test_protected_values_are_masked(shop: Any) -> None:
    """The comparison is no empty one: the corpus asks for protected values, which come masked."""
    asked = "SELECT email, card FROM customers"
    plain, guarded = (told(conn, asked)[1] for conn in (shop.plain, shop.guarded))
    assert {value for row in plain for value in row} == shop.protected
    assert not {value for row in guarded for value in row} & shop.protected


def test_the_corpus_is_large_enough() -> None:
    """There are at least 300 statements in at least ten families."""
    assert len({one for listed in FAMILIES.values() for one in listed}) >= 300
    assert len(FAMILIES) >= 10
