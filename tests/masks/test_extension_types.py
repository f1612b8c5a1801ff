"""Types that extensions bring: masked as what psycopg loads them as, by every door."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

RULES = """
[[masks]]
name = "mail"
columns = ["zoo.mails.mail"]
method = "email"
[[masks]]
name = "key"
columns = ["zoo.mails.key"]
method = "redact"
[[masks]]
name = "nick"
columns = ["zoo.mails.nick"]
method = "hash"
[[scans]]
name = "note"
columns = ["zoo.mails.note"]
detectors = ["email"]
"""
SQL = "SELECT mail, key, nick, note, clear FROM zoo.mails ORDER BY id"


@pytest.fixture(scope="module")
def conn(zoo: Any) -> Any:
    """Guard a table with columns of citext."""
    try:
        zoo.plain.execute("CREATE EXTENSION citext SCHEMA public")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("the server has no citext")
    zoo.plain.execute(
        "CREATE TABLE zoo.mails (id int, mail citext, key citext, nick citext, note citext,"
        " clear citext)"
    )
    zoo.plain.execute(
        "INSERT INTO zoo.mails SELECT i, 'zqk@example.com', 'zqkjxvw', 'zqkjxvw',"
        " 'to zqk@example.com', 'Clear' FROM generate_series(1, 20) i"
    )
    zoo.plain.execute("INSERT INTO zoo.mails VALUES (21)")
    return zoo.guarded(RULES, mask_key=b"k" * 32)


def test_a_text_of_an_extension_is_masked_as_text(zoo: Any, conn: Any) -> None:
    """Each value is a str or NULL as in the clear; nothing of the original is left."""
    clear, rows = zoo.plain.execute(SQL).fetchall(), conn.execute(SQL).fetchall()
    assert [[type(v) for v in row] for row in rows] == [[type(v) for v in row] for row in clear]
    mail, key, nick, note, shown = rows[0]
    assert mail.startswith("z***") and mail.endswith("@example.com")
    assert key.startswith("[masked:key:") and nick.startswith("h_")
    assert (note, shown) == ("to [email]", "Clear")
    assert list(conn.execute(SQL)) == rows and rows[-1] == (None,) * 5
    with conn.cursor().copy(f"COPY ({SQL}) TO STDOUT") as copy:
        copy.set_types(["text"] * 5)
        assert list(copy.rows()) == rows


def test_in_the_binary_format_it_is_none(conn: Any) -> None:
    """What bytes of it mean only its maker knows; clear columns come as psycopg gives them."""
    rows = conn.cursor(binary=True).execute(SQL).fetchall()
    assert {row[:4] for row in rows} == {(None,) * 4}
    assert rows[0][4] == b"Clear"


def test_a_loader_of_the_callers_for_it_sees_clear_columns_only(zoo: Any, conn: Any) -> None:
    """The masked columns of the type are loaded by loaders of ours."""
    seen = []

    class Spy(psycopg.adapt.Loader):
        def load(self, data: Any) -> Any:
            seen.append(bytes(data))
            return bytes(data).decode().lower()

    info = psycopg.types.TypeInfo.fetch(zoo.plain, "citext")
    cursor = conn.cursor()
    oid = info.oid if info else 0
    cursor.adapters.register_loader(oid, Spy)
    assert cursor.execute(SQL).fetchall()[0][4] == "clear"
    assert set(seen) == {b"Clear"}
