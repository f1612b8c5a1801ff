"""Long results: masked columns are rewritten many rows at a time, and no value is missed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.adapt import Loader
from psycopg.rows import dict_row

from tracewall.errors import Withheld

SETUP = """
    CREATE TABLE zoo.many (id int PRIMARY KEY, mail text, key text, card varchar, pay int,
        born date, doc jsonb, note text);
    INSERT INTO zoo.many SELECT i,
        CASE i % 7 WHEN 0 THEN NULL WHEN 1 THEN 'zqk no address' ELSE 'zqk' || i || '@e' || i % 3
            || '.org' END,
        CASE i % 11 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 't' ELSE 'zqkjxv' || i END,
        CASE i % 5 WHEN 0 THEN 'zqk' WHEN 1 THEN '[redacted]' ELSE 'zqkjxvé' || i END,
        CASE i % 3 WHEN 0 THEN NULL ELSE i * 1000 END, date '1973-06-15' + i,
        jsonb_build_object('zqk', i), CASE i % 4 WHEN 0 THEN 'write to zqk@example.com' END
    FROM generate_series(1, 700) i;
"""
RULES = """
[[masks]]
name = "mail"
columns = ["zoo.many.mail"]
method = "email"
[[masks]]
name = "key"
columns = ["zoo.many.key"]
method = "{}"
{}
[[masks]]
name = "card"
columns = ["zoo.many.card"]
method = "partial"
keep_last = 2
[[masks]]
name = "pay"
columns = ["zoo.many.pay"]
method = "number"
bucket = 5000
[[masks]]
name = "doc"
columns = ["zoo.many.doc"]
method = "redact"
[[scans]]
name = "notes"
columns = ["zoo.many.note"]
detectors = ["email"]
"""
METHODS = {"redact": "", "null": "", "hash": "", "constant": 'value = "7"'}
SQL = "SELECT id, mail, key, card, pay, born, doc, note FROM zoo.many ORDER BY id"


@pytest.fixture(scope="module")
def guards(zoo: Any) -> dict[str, Any]:
    """Give a guarded connection for each method over the column `key`."""
    zoo.plain.execute(SETUP)
    return {
        method: zoo.guarded(RULES.format(method, options), mask_key=b"k" * 32)
        for method, options in METHODS.items()
    }


def declared(conn: Any, binary: bool) -> list[Any]:
    """Fetch by a server-side cursor, 300 rows at a time."""
    with conn.transaction(), conn.cursor("zoo") as cursor:
        cursor.itersize = 300
        return list(cursor.execute(SQL, binary=binary))


def by_many(cursor: Any) -> Iterator[Any]:
    """Fetch 200 rows at a time."""
    while found := cursor.fetchmany(200):
        yield from found


WAYS: dict[str, Any] = {
    "fetchall": lambda conn, binary: conn.cursor(binary=binary).execute(SQL).fetchall(),
    "fetchmany": lambda conn, binary: list(by_many(conn.cursor(binary=binary).execute(SQL))),
    "dict_row": lambda conn, binary: [
        tuple(row.values())
        for row in conn.cursor(binary=binary, row_factory=dict_row).execute(SQL).fetchall()
    ],
    "declared": declared,
    "chunks": lambda conn, binary: list(conn.cursor().stream(SQL, binary=binary, size=100)),
}


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
def test_many_rows_come_as_one_by_one(guards: Any, method: str, way: str, binary: bool) -> None:
    """By whatever way rows come, they are those that come singly; nothing shows in any."""
    conn = guards[method]
    if way == "chunks" and psycopg.capabilities.has_stream_chunked() is False:
        pytest.skip("libpq gives rows of a stream singly")
    found = WAYS[way](conn, binary)
    assert found == list(conn.cursor(binary=binary).execute(SQL))
    assert len(found) == 700 and "zqk" not in repr([row[:-2] for row in found])
    assert [row[0] for row in found] == list(range(1, 701))
    assert {row[-1] for row in found} == {None, "write to [email]"}


@pytest.mark.parametrize("method", METHODS)
def test_what_is_null_stays_null_and_nothing_else_becomes_it(
    zoo: Any, guards: Any, method: str
) -> None:
    """In long results too, as the rows' other way out (COPY) shows them."""
    for column in ("mail", "key", "card"):
        sql = f"SELECT {column} FROM zoo.many ORDER BY id"
        clear = zoo.plain.execute(sql).fetchall()
        shown = guards[method].execute(sql).fetchall()
        with guards[method].cursor().copy(f"COPY ({sql}) TO STDOUT") as copy:
            copy.set_types(["text"])
            assert list(copy.rows()) == shown
        if column != "key" or method != "null":
            assert [row == (None,) for row in shown] == [row == (None,) for row in clear]


def test_equal_values_have_equal_pseudonyms_in_long_results(zoo: Any, guards: Any) -> None:
    """What is remembered of values, and what is not, comes out the same."""
    rows = guards["hash"].execute("SELECT key FROM zoo.many ORDER BY id").fetchall()
    again = guards["hash"].execute("SELECT key FROM zoo.many ORDER BY id DESC").fetchall()
    assert rows == again[::-1]
    clear = zoo.plain.execute("SELECT key FROM zoo.many ORDER BY id").fetchall()
    assert len(set(rows)) == len(set(clear))


def told(error: BaseException | None) -> str:
    """Give all that an error holds: its words, its context, and what its frames hold."""
    if error is None:
        return ""
    frames, trace = [], error.__traceback__
    while trace is not None:
        if "/tests/" not in trace.tb_frame.f_code.co_filename:
            held = trace.tb_frame.f_locals.values()
            frames += [bytes(v) if isinstance(v, memoryview) else v for v in held]
        trace = trace.tb_next
    return f"{error!r} {frames!r}" + told(error.__cause__) + told(error.__context__)


@pytest.mark.parametrize("rows", [1, 500])
def test_an_error_of_a_mask_holds_no_value_in_any_frame(zoo: Any, guards: Any, rows: int) -> None:
    """What reports errors with the variables of their frames reports no masked value."""
    rule = '\n[[masks]]\nname = "own"\ncolumns = ["zoo.many.key"]\nmethod = "callable"\n'
    conn = zoo.guarded(rule + 'callable = "zookeeper:raises"\n')
    cursor = conn.execute(f"SELECT key FROM zoo.many WHERE key IS NOT NULL LIMIT {rows}")
    for fetch in (cursor.fetchone, cursor.fetchall):
        with pytest.raises(Withheld) as caught:
            fetch()
        assert "zqk" not in told(caught.value)


@pytest.mark.parametrize("limit, fits", [(21, True), (20, False), (6, False), (2000, True)])
def test_the_limit_counts_bytes_in_long_results(
    zoo: Any, guards: Any, limit: int, fits: bool
) -> None:
    """The longest of 300 texts has 21 bytes in 20 characters or less; one byte less is too few."""
    zoo.plain.execute(
        "CREATE TABLE IF NOT EXISTS zoo.long AS SELECT i, 'zqkjxvé' || lpad(i::text, 13, 'x') AS t"
        " FROM generate_series(1, 300) i"
    )
    rule = f'\n[limits]\nmasked_value = {limit}\n[[masks]]\nname = "t"\ncolumns = ["zoo.long.t"]\n'
    conn = zoo.guarded(rule + 'method = "partial"\nkeep_last = 2\n')
    cursor = conn.execute("SELECT t FROM zoo.long")
    if fits:
        assert len(cursor.fetchall()) == 300
        return
    with pytest.raises(Withheld, match=f"more than {limit} bytes") as caught:
        cursor.fetchall()
    assert "zqk" not in told(caught.value)


def test_what_psycopg_cannot_load_is_told_as_psycopg_tells_it(zoo: Any, guards: Any) -> None:
    """An infinite date in a clear column fails as it does without masks, NULL masks or not."""
    sql = "SELECT key, CASE WHEN id > 300 THEN 'infinity'::date END FROM zoo.many"
    with pytest.raises(psycopg.DataError) as theirs:
        zoo.plain.execute(sql).fetchall()
    for rows in (400, 700):
        cursor = guards["hash"].execute(sql)
        with pytest.raises(psycopg.DataError) as ours:
            cursor.fetchmany(rows)
        assert str(ours.value) == str(theirs.value) and "zqk" not in told(ours.value)


def test_the_callers_loaders_see_no_masked_value(guards: Any) -> None:
    """Not even those of the types that masked values are loaded by in between."""
    seen = []

    class Spy(Loader):
        def load(self, data: Any) -> Any:
            seen.append(bytes(data))
            return bytes(data).decode()

    conn = guards["redact"]
    cursor = conn.cursor()
    for name in ("text", "varchar", "bool", "int4", "jsonb"):
        cursor.adapters.register_loader(name, Spy)
    rows = cursor.execute(SQL).fetchall()
    assert rows[0][:2] == ("1", "[masked:mail:" + rows[0][1].partition("mail:")[2])
    assert b"zqk" not in b"".join(seen) and b"1000" not in seen
