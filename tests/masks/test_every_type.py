"""Every base type of PostgreSQL under every method, by every door, in either format."""

from __future__ import annotations

import tomllib
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tracewall.errors import PolicyError, Withheld
from tracewall.masking.config import Method
from tracewall.policy.fitting import ColumnType, fit

SAMPLES = {
    "bool": "true", "bytea": r"\x5a5a514b4a5851515a", "char": "Z", "name": "zqkjxvwname",
    "int8": "7361529485716253", "int2": "31847", "int4": "1736152948", "regproc": "now",
    "text": "zqkjxvw plain text", "oid": "1736152948", "tid": "(17361,29)", "xid": "1736152948",
    "cid": "1736152948", "json": '{"zqkjxvw": "zqkjxvw", "n": 1736152}', "xml": "<a>zqkjxvw</a>",
    "point": "(17361.5,29481.5)", "lseg": "[(17361,1),(29481,2)]", "path": "((17361,1),(29481,2))",
    "box": "(29481,2),(17361,1)", "polygon": "((17361,1),(29481,2),(3,4))", "line": "{17361,2,3}",
    "float4": "17361.5", "float8": "1736152.9481", "money": "17361.52", "circle": "<(17361,2),3>",
    "macaddr": "08:00:2b:01:02:03", "inet": "192.0.2.173/24", "cidr": "198.51.100.0/24",
    "macaddr8": "08:00:2b:01:02:03:04:05", "bpchar": "zqkjxvwchar", "varchar": "zqkjxvwvarchar",
    "date": "1973-06-15", "time": "17:36:15.294816", "timestamp": "1973-06-15 17:36:15.2948",
    "timestamptz": "1973-06-15 17:36:15.2948+00", "interval": "17 days 36:15:29.481",
    "timetz": "17:36:15.294816+02", "bit": "1", "varbit": "101101110111", "numeric": "17361.529481",
    "refcursor": "zqkjxvwcursor", "regprocedure": "now()", "regoper": "||/", "regclass": "pg_class",
    "regoperator": "+(integer,integer)", "regtype": "integer", "regrole": "pg_read_all_data",
    "uuid": "6b8f2c1e-9d47-4a35-b1c8-7361529485aa", "pg_lsn": "17361/5294", "regnamespace": "zoo",
    "tsvector": "'zqkjxvw':1", "tsquery": "'zqkjxvw'", "regconfig": "english", "xid8": "17361529",
    "regdictionary": "simple", "jsonb": '{"zqkjxvw": ["zqkjxvw", 1736152]}', "regdatabase": "1",
    "txid_snapshot": "17361:17361:", "pg_snapshot": "17361:17361:", "jsonpath": '$."zqkjxvw"',
    "regcollation": '"C"', "int2vector": "1736 1529", "oidvector": "17361 15294",
    "int4range": "[17361,29481)", "numrange": "[17361.5,29481.5)", "int8range": "[17361,29481)",
    "tsrange": "[1973-06-15 17:36:15,1973-06-16 17:36:15)", "daterange": "[1973-06-15,1973-06-17)",
    "tstzrange": "[1973-06-15 17:36:15+00,1973-06-16 17:36:15+00)",
    "int4multirange": "{[17361,29481)}", "nummultirange": "{[17361.5,29481.5)}",
    "int8multirange": "{[17361,29481)}", "datemultirange": "{[1973-06-15,1973-06-17)}",
    "tsmultirange": "{[1973-06-15 17:36:15,1973-06-16 17:36:15)}",
    "tstzmultirange": "{[1973-06-15 17:36:15+00,1973-06-16 17:36:15+00)}",
    "_text": "{zqkjxvw,NULL,wvxjkqz}", "_int4": "{17361,29481}", "_jsonb": '{"[\\"zqkjxvw\\"]"}',
    "_uuid": "{6b8f2c1e-9d47-4a35-b1c8-7361529485aa}", "_timestamptz": "{1973-06-15 17:36+00}",
    "_money": "{17361.52}", "_int4range": '{"[17361,29481)"}', "_bytea": r'{"\\x5a5a514b"}',
    "zoo.mood": "zqkjxvwhappy", "zoo.pair": "(17361,zqkjxvwpair)", "zoo.digits": "1736152948",
    "zoo.mail": "zqkjxvw@example.com", "zoo._mood": "{zqkjxvwhappy}", "zoo._pair": None,
    "zoo.spans": "[17361,29481)",
}  # fmt: skip
"""A literal for each type, by its name; what it tells is in every one unmistakable."""

NO_COLUMNS = {
    "pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list", "gtsvector", "aclitem",
    "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary",
}  # fmt: skip
"""Types that take no literal, or are the server's own to fill."""

METHODS = {
    "redact": "",
    "null": "",
    "constant": 'value = "7"',
    "partial": "keep_last = 4",
    "email": "",
    "hash": "",
    "date": 'unit = "year"',
    "number": "bucket = 1000",
    "callable": 'callable = "zookeeper:gone"',
}
SETUP = """
    CREATE TYPE zoo.mood AS ENUM ('zqkjxvwhappy', 'zqkjxvwsad');
    CREATE TYPE zoo.pair AS (a int, b text);
    CREATE DOMAIN zoo.digits AS text CHECK (VALUE ~ '^[0-9]+$');
    CREATE DOMAIN zoo.mail AS text;
    CREATE TYPE zoo.spans AS RANGE (subtype = int4);
"""


@pytest.fixture(scope="module")
def columns(zoo: Any) -> dict[str, str]:
    """Make a table with a column of each type, and a row; give the columns' types."""
    zoo.plain.execute(SETUP)
    known = {row[0] for row in zoo.plain.execute("SELECT typname FROM pg_type")}
    try:
        zoo.plain.execute("SELECT '<a/>'::xml")
    except psycopg.errors.FeatureNotSupported:
        # Some servers are built without it.
        known.discard("xml")
    made = {
        f"c{at}": name
        for at, name in enumerate(SAMPLES)
        if name.startswith("zoo.") or name in known
    }
    spelled = {
        column: f'"{name}"' if "." not in name else name.replace("._", '."_') + '"' * ("._" in name)
        for column, name in made.items()
    }
    listed = ", ".join(f"{column} {name}" for column, name in spelled.items())
    zoo.plain.execute(f"CREATE TABLE zoo.every (id int, {listed})")
    values = [SAMPLES[name] for name in made.values()]
    casts = ", ".join(f"%s::text::{name}" for name in spelled.values())
    zoo.plain.execute(f"INSERT INTO zoo.every VALUES (1, {casts})", values)
    zoo.plain.execute("INSERT INTO zoo.every (id) VALUES (2)")
    return made


def test_no_base_type_is_forgotten(zoo: Any) -> None:
    """Each base, range and multirange type that a column can have is tried."""
    found = zoo.plain.execute(
        "SELECT typname FROM pg_type WHERE typtype IN ('b', 'r', 'm') AND typcategory <> 'A'"
        " AND typnamespace = 'pg_catalog'::regnamespace AND typname !~ '^_'"
    )
    assert {row[0] for row in found} - SAMPLES.keys() - NO_COLUMNS == set()


def declared(conn: Any, sql: str, binary: bool) -> Any:
    """Fetch by a server-side cursor, row by row."""
    with conn.transaction(), conn.cursor("zoo") as cursor:
        cursor.itersize = 1
        return list(cursor.execute(sql, binary=binary))


DOORS = {
    "fetchall": lambda conn, sql, binary: conn.cursor(binary=binary).execute(sql).fetchall(),
    "fetchone": lambda conn, sql, binary: [
        (cursor := conn.cursor(binary=binary)).execute(sql).fetchone(),
        cursor.fetchone(),
    ],
    "server cursor": lambda conn, sql, binary: declared(conn, sql, binary),
    "stream": lambda conn, sql, binary: list(conn.cursor().stream(sql, binary=binary)),
}


@pytest.fixture(scope="module")
def guards(zoo: Any, columns: dict[str, str]) -> dict[str, Any]:
    """Give a guarded connection for each method."""
    listed = ", ".join(f'"zoo.every.{column}"' for column in columns)
    rule = '\n[[masks]]\nname = "all"\ncolumns = [{}]\nmethod = "{}"\n{}\n'
    return {
        method: zoo.guarded(rule.format(listed, method, options), mask_key=b"k" * 32)
        for method, options in METHODS.items()
    }


def pieces(value: object) -> set[str]:
    """Give the runs of four letters or digits that a value tells by itself."""
    text = repr(value).lower()
    for word in ("datetime", "timedelta", "decimal", "uuid", "range", "ipv4", "address", "none"):
        text = text.replace(word, " " * len(word))
    found = {text[at : at + 4] for at in range(len(text) - 3)}
    return {piece for piece in found if piece.isalnum()}


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("method", METHODS)
def test_what_comes_has_the_columns_type_and_tells_nothing(
    zoo: Any, columns: Any, guards: Any, method: str, door: str, binary: bool
) -> None:
    """Masked, a column has the Python type that it has in the clear, or None; NULL stays NULL."""
    every = [column for column in columns if not (binary and columns[column] in NO_BINARY)]
    sql = f"SELECT {', '.join(every)} FROM zoo.every ORDER BY id"
    clear, nulls = zoo.plain.cursor(binary=binary).execute(sql).fetchall()
    masked, masked_nulls = DOORS[door](guards[method], sql, binary)
    assert masked_nulls == nulls
    for column, before, after in zip(every, clear, masked, strict=True):
        name = columns[column]
        assert after is None or type(after) is type(before), (name, after)
        if method not in ("date", "number", "partial", "email", "hash"):
            # JSON keeps its keys.
            kept = {"zqkjxvw"} if name in ("json", "jsonb") else set()
            told = {p for p in pieces(before) & pieces(after) if not any(p in k for k in kept)}
            assert not told, (name, after)
        elif method == "hash":
            assert after is None or after != before or name in ("json", "jsonb"), name


NO_BINARY = {"int2vector", "txid_snapshot", "zoo._pair"} | {"tid", "regproc"}


def test_what_has_a_form_is_given_in_it(guards: Any, columns: Any) -> None:
    """A UUID's pseudonym is a UUID, a moment is cut, an address is one of nobody's."""
    by_type = {name: column for column, name in columns.items()}

    def shown(method: str, name: str) -> Any:
        return (
            guards[method]
            .execute(f"SELECT {by_type[name]} FROM zoo.every WHERE id = 1")
            .fetchone()[0]
        )

    assert isinstance(shown("hash", "uuid"), UUID)
    assert isinstance(shown("hash", "int8"), int)
    assert str(shown("hash", "inet")).startswith("2")
    assert shown("date", "date") == date(1973, 1, 1)
    assert isinstance(shown("date", "timestamptz"), datetime)
    assert shown("number", "int8") == 7361529485716000
    assert shown("number", "int4range").lower == 17000
    assert shown("partial", "text").endswith("text")
    assert shown("email", "zoo.mail").endswith("@example.com")
    assert shown("redact", "zoo.mood") is None and shown("constant", "zoo.mood") == "7"


TYPES = """
    SELECT a.attname, t.typname, t.oid::int8,
        CASE WHEN t.typcategory = 'A' THEN t.typelem::int8 ELSE 0 END
    FROM pg_attribute a
        JOIN pg_type d ON d.oid = a.atttypid
        JOIN pg_type t ON t.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END
    WHERE a.attrelid = 'zoo.every'::regclass AND a.attnum > 0
"""


@pytest.mark.parametrize("method", METHODS)
def test_what_is_told_of_a_method_and_a_type_is_what_is_shown(
    zoo: Any, columns: Any, guards: Any, method: str
) -> None:
    """Where `tracewall check` says that nothing is kept of a type, NULL or a mark is shown."""
    options: dict[str, Any] = tomllib.loads(METHODS[method])
    for column, name, oid, item in zoo.plain.execute(TYPES).fetchall():
        if column not in columns or method in ("null", "callable"):
            continue
        sql = f"SELECT {column} FROM zoo.every WHERE id = 1"
        (clear,), (shown,) = (
            zoo.plain.execute(sql).fetchone(),
            guards[method].execute(sql).fetchone(),
        )
        if clear is None or (isinstance(clear, dict) and method != "redact"):
            continue
        told = fit(Method(method, **options), ColumnType(name, oid, item))
        leaves = shown if isinstance(shown, list) else [shown]
        nothing = all(each is None for each in leaves)
        marked = any("[masked:all:" in str(each) for each in leaves)
        assert (told == "none") == nothing, (name, told, shown)
        assert (told == "redacted") <= marked, (name, told, shown)


def test_the_callers_own_types_never_see_a_value(zoo: Any, guards: Any, columns: Any) -> None:
    """A registered enum or composite of the caller's gets None, not a text it can't take."""
    from psycopg.types.composite import CompositeInfo, register_composite

    info = CompositeInfo.fetch(zoo.plain, "zoo.pair")
    assert info is not None
    register_composite(info, guards["redact"])
    column = next(column for column, name in columns.items() if name == "zoo.pair")
    for binary in (False, True):
        rows = guards["redact"].cursor(binary=binary).execute(f"SELECT {column} FROM zoo.every")
        assert rows.fetchall() == [(None,), (None,)]


def test_an_error_of_a_mask_withholds_the_rows(zoo: Any, columns: Any) -> None:
    """A function that raises, or gives another type, hands out nothing of the row set."""
    for name in ("raises", "mistypes"):
        rule = (
            f'\n[[masks]]\nname = "own"\ncolumns = ["zoo.every.{{}}"]\nmethod = "callable"\n'
            f'callable = "zookeeper:{name}"\n'
        )
        column = next(column for column, kind in columns.items() if kind == "text")
        conn = zoo.guarded(rule.format(column))
        with pytest.raises(psycopg.Error) as caught:
            conn.execute(f"SELECT id, {column} FROM zoo.every").fetchall()
        told = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
        assert "zqkjxvw" not in told and "own" in told


@pytest.mark.parametrize("path", ["zookeeper:nobody", "zookeeper:NOT_A_FUNCTION", "no.zoo:gone"])
def test_a_function_that_there_is_not_is_told_at_once(zoo: Any, columns: Any, path: str) -> None:
    """The wall is not made, so that no value waits for a mask that can't be had."""
    rule = '\n[[masks]]\nname = "own"\ncolumns = ["zoo.every.c1"]\nmethod = "callable"\n'
    with pytest.raises(PolicyError, match="own"):
        zoo.load(f'{rule}callable = "{path}"\n')


def test_a_function_of_the_policys_own_masks_values(zoo: Any, columns: Any) -> None:
    """It gets the value as psycopg loads it, and never NULL."""
    column = next(column for column, name in columns.items() if name == "text")
    rule = f'\n[[masks]]\nname = "own"\ncolumns = ["zoo.every.{column}"]\nmethod = "callable"\n'
    conn = zoo.guarded(rule + 'callable = "zookeeper:shout"\n')
    rows = conn.execute(f"SELECT {column} FROM zoo.every ORDER BY id").fetchall()
    assert rows == [("Z!",), (None,)]


@pytest.mark.parametrize("kind", ["int2", "int4", "int4[]", "int4range"])
def test_a_masked_number_is_never_cut_to_its_columns_width(zoo: Any, kind: str) -> None:
    """Copied in binary, a pseudonym or a bound that has no room is withheld, not wrapped."""
    value = {"int4[]": "{-2147483648}", "int4range": "[-2147483648,1)", "int2": "-32768"}
    table = f"zoo.narrow_{kind.strip('[]')}{len(kind)}"
    zoo.plain.execute(f"CREATE TABLE {table} (hashed {kind}, cut {kind})")
    literal = value.get(kind, "-2147483648")
    zoo.plain.execute(f"INSERT INTO {table} VALUES (%s, %s)", (literal, literal))
    rules = (
        f'\n[[masks]]\nname = "h"\ncolumns = ["{table}.hashed"]\nmethod = "hash"\n'
        f'\n[[masks]]\nname = "c"\ncolumns = ["{table}.cut"]\nmethod = "number"\nbucket = 1000\n'
    )
    conn = zoo.guarded(rules, mask_key=b"k" * 32)
    for column in ("cut",) if kind == "int4range" else ("hashed", "cut"):
        with conn.cursor().copy(f"COPY (SELECT {column} FROM {table}) TO STDOUT") as copy:
            assert b"".join(copy)
        with (
            pytest.raises(Withheld, match="can't be spelled"),
            conn.cursor().copy(f"COPY (SELECT {column} FROM {table}) TO STDOUT BINARY") as copy,
        ):
            list(copy)


def test_an_array_of_what_psycopg_does_not_know_is_copied_masked(zoo: Any, guards: Any) -> None:
    """As texts in text; in binary there is no spelling but NULL, so that it is withheld."""
    zoo.plain.execute("CREATE TABLE zoo.sums (hidden money[], gone money[])")
    zoo.plain.execute("INSERT INTO zoo.sums VALUES ('{17361.52,NULL}', '{17361.52}')")
    conn = zoo.guarded(
        '\n[[masks]]\nname = "h"\ncolumns = ["zoo.sums.hidden"]\nmethod = "redact"\n'
        '\n[[masks]]\nname = "g"\ncolumns = ["zoo.sums.gone"]\nmethod = "null"\n',
        mask_key=b"k" * 32,
    )
    with conn.cursor().copy("COPY zoo.sums TO STDOUT") as copy:
        (row,) = copy.rows()
    assert row[0].startswith("{[masked:h:") and row[0].endswith("],NULL}") and row[1] is None
    with conn.cursor().copy("COPY (SELECT gone FROM zoo.sums) TO STDOUT BINARY") as copy:
        copy.set_types(["bytea"])
        assert list(copy.rows()) == [(None,)]
    with (
        pytest.raises(Withheld, match="can't be spelled"),
        conn.cursor().copy("COPY (SELECT hidden FROM zoo.sums) TO STDOUT BINARY") as copy,
    ):
        list(copy)
