"""What a scan has put in place of a find is not written over what it stands for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tracewall.errors import Forbidden

RULES = """
[[grants]]
name = "lifted"
groups = ["clear"]
actions = ["select", "update"]
tables = ["zoo.*"]
lifts = ["notes"]

[[scans]]
name = "notes"
columns = ["zoo.logs.note", "zoo.logs.doc", "zoo.logs.tags", "zoo.logs.code"]
detectors = ["email", "password", "card"]
{}

[[scans.patterns]]
name = "ticket"
regex = "TCK-[0-9]{{6}}"

[[scans.masks]]
detectors = ["card"]
method = "partial"
keep_last = 4
"""
REAL = "write to ada@example.com, TCK-123456"


@pytest.fixture(scope="module")
def zoo_with_logs(zoo: Any) -> Any:
    """A table of searched texts and documents, and a view of it."""
    zoo.plain.execute(
        "CREATE TABLE zoo.logs (id int PRIMARY KEY, note text, doc jsonb, tags text[], "
        "code varchar, state text)"
    )
    zoo.plain.execute("CREATE VIEW zoo.seen AS SELECT id, note, state FROM zoo.logs")
    return zoo


@pytest.fixture(scope="module")
def guards(zoo_with_logs: Any) -> dict[str, Any]:
    """Give a guarded connection for each of the policy's three ways."""
    ways = ("refuse_updates", "refuse_writes", "allow")
    said = {way: f'write_back = "{way}"' if way != "refuse_updates" else "" for way in ways}
    return {way: zoo_with_logs.guarded(RULES.format(line)) for way, line in said.items()}


@pytest.fixture
def conn(zoo_with_logs: Any, guards: dict[str, Any]) -> Iterator[Any]:
    """A connection under the default; what is stored must be there still, afterwards."""
    plain = zoo_with_logs.plain
    plain.execute("DELETE FROM zoo.logs")
    doc = {"say": json.dumps({"to": "ada@example.com"}), "password": "zqkjxvw-tulip"}
    plain.execute(
        "INSERT INTO zoo.logs VALUES (1, %s, %s, %s, '4111 1111 1111 1111', 'new')",
        (REAL, Jsonb(doc), [REAL]),
    )
    before = plain.execute("SELECT note, doc, tags, code FROM zoo.logs WHERE id = 1").fetchone()
    yield guards["refuse_updates"]
    after = plain.execute("SELECT note, doc, tags, code FROM zoo.logs WHERE id = 1").fetchone()
    assert after == before


def seen(conn: Any) -> dict[str, Any]:
    """Give what a caller sees of the first row."""
    row = conn.execute("SELECT note, doc, tags, code FROM zoo.logs WHERE id = 1").fetchone()
    note, doc, tags, code = row
    assert note == "write to [email], [ticket]" and code == "[masked]1111"
    assert json.loads(doc["say"]) == {"to": "[email]"} and doc["password"] == "[secret]"
    return {"note": note, "doc": doc, "tags": tags, "code": code}


def refused(work: Any) -> None:
    """Expect a refusal that says which scan, what to do, and nothing of the value."""
    with pytest.raises(Forbidden, match="a scan has hidden") as caught:
        work()
    decision = caught.value.decision
    assert decision is not None and decision.rule == "scans.notes"
    assert "write_back" in str(caught.value) and "ticket" not in str(caught.value)


@pytest.mark.parametrize("way", ["%s", "%t", "%b"])
@pytest.mark.parametrize("column", ["note", "doc", "tags", "code"])
def test_a_searched_value_is_not_saved_as_it_was_shown(conn: Any, column: str, way: str) -> None:
    """As a parameter in either format, in a document within a text, and in a list."""
    shown = seen(conn)[column]
    value = Jsonb(shown) if column == "doc" else shown
    refused(lambda: conn.execute(f"UPDATE zoo.logs SET {column} = {way} WHERE id = 1", (value,)))


def test_nor_by_any_other_update(conn: Any) -> None:
    """As a literal, prepared, in a batch, by a view, by ON CONFLICT and by MERGE."""
    shown = seen(conn)["note"]
    update = "UPDATE zoo.logs SET note = %s WHERE id = %s"
    refused(lambda: conn.execute(f"UPDATE zoo.logs SET note = '{shown}'"))
    refused(lambda: conn.execute(update, (shown, 1), prepare=True))
    refused(lambda: conn.cursor().executemany(update, [("x", 7), (shown, 1)]))
    refused(lambda: conn.execute("UPDATE zoo.seen SET note = %s", (shown,)))
    upsert = "INSERT INTO zoo.logs (id, note) VALUES (1, %s) ON CONFLICT (id) DO UPDATE SET note = "
    refused(lambda: conn.execute(f"{upsert} excluded.note", (shown,)))
    if conn.info.server_version >= 150000:
        merge = "MERGE INTO zoo.logs l USING (SELECT 1 AS id) s ON l.id = s.id"
        refused(lambda: conn.execute(f"{merge} WHEN MATCHED THEN UPDATE SET note = %s", (shown,)))


def test_rows_that_are_added_may_quote_what_was_seen(conn: Any, guards: Any) -> None:
    """Nothing is lost by it, unless the policy says that such rows are copies."""
    shown = seen(conn)["note"]
    insert = "INSERT INTO zoo.logs (id, note) VALUES (%s, %s)"
    conn.execute(insert, (2, f"somebody said: {shown}"))
    conn.cursor().executemany(insert, [(3, shown), (4, shown)])
    with conn.cursor().copy("COPY zoo.logs (id, note) FROM STDIN") as copy:
        copy.write_row((5, shown))
    strict = guards["refuse_writes"]
    refused(lambda: strict.execute(insert, (6, shown)))
    refused(lambda: strict.cursor().executemany(insert, [(6, "x"), (7, shown)]))


@pytest.mark.parametrize("how", ["", "(FORMAT binary)", "(FORMAT csv)"])
@pytest.mark.parametrize("size", [1, 1000])
def test_copies_are_looked_at_where_the_policy_says_so(
    zoo_with_logs: Any, conn: Any, how: str, size: int
) -> None:
    """Also where a mark lies over the edge of two blocks."""
    with psycopg.connect(zoo_with_logs.dsn) as plain, suppress(Forbidden):
        strict = zoo_with_logs.guarded(RULES.format('write_back = "refuse_writes"'))
        sql = "SELECT 9, 'zqk [email] zqk'::text"
        with plain.cursor().copy(f"COPY ({sql}) TO STDOUT {how}") as out:
            data = b"".join(map(bytes, out))
        with strict.cursor().copy(f"COPY zoo.logs (id, note) FROM STDIN {how}") as copy:
            for at in range(0, len(data), size):
                copy.write(data[at : at + size])
        pytest.fail("it was copied")
    assert zoo_with_logs.plain.execute("SELECT FROM zoo.logs WHERE id = 9").fetchall() == []


def test_what_is_not_the_scans_to_hide_is_written(conn: Any, guards: Any) -> None:
    """Words of other detectors, other columns, conditions, and where the policy allows it."""
    shown = seen(conn)["note"]
    conn.execute("INSERT INTO zoo.logs (id, note) VALUES (2, 'x')")
    for words in ("[iban]", "[EMAIL]", "[e-mail]", "email", "your [name], [redacted-email]"):
        conn.execute("UPDATE zoo.logs SET note = %s WHERE id = 2", (words,))
    conn.execute("UPDATE zoo.logs SET state = %s WHERE id = 2", (shown,))
    conn.execute("UPDATE zoo.logs SET state = 's' WHERE note LIKE %s", ("%[email]%",))
    conn.execute("SELECT id FROM zoo.logs WHERE note = %s", (shown,))
    guards["allow"].execute("UPDATE zoo.logs SET note = %s WHERE id = 2", (shown,))


def test_who_sees_the_real_text_may_write_such_words(zoo_with_logs: Any, conn: Any) -> None:
    """Where the scan is lifted, what they write is not what the scan has left."""
    clear = zoo_with_logs.guarded(RULES.format(""), "clear")
    assert clear.execute("SELECT note FROM zoo.logs").fetchone() == (REAL,)
    clear.execute("UPDATE zoo.logs SET note = 'about [email]' WHERE id = 2")
