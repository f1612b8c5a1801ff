"""Whatever a column holds: a mask shows no more of it than its method says that it keeps."""

from __future__ import annotations

import json
import math
import string
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import partial
from math import floor, isfinite
from struct import pack, unpack
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from psycopg.pq import Format
from psycopg.types.json import Json, Jsonb
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from tracewall.errors import Withheld
from tracewall.masking.markers import mark

EXAMPLES = 6
KEY = b"a key that only this test knows!"
METHODS = {
    "redact": 'method = "redact"',
    "nothing": 'method = "null"',
    "constant": 'method = "constant"\nvalue = "7"',
    "first": 'method = "partial"\nkeep_first = 3',
    "last": 'method = "partial"\nkeep_last = 4',
    "ends": 'method = "partial"\nkeep_first = 2\nkeep_last = 3',
    "mail": 'method = "email"',
    "hash_a": 'method = "hash"',
    "hash_b": 'method = "hash"',
    "hash_c": 'method = "hash"',
    "year": 'method = "date"\nunit = "year"',
    "hour": 'method = "date"\nunit = "hour"',
    "bucket": 'method = "number"\nbucket = 1000',
    "small": 'method = "number"\nbucket = 0.5',
    "own": 'method = "callable"\ncallable = "zookeeper:gone"',
}
"""Columns of each table, all of them with the same value, and the mask that each is under."""

PARTS = {"first": (3, 0), "last": (0, 4), "ends": (2, 3)}
FIXED = ("2001:db8:", "/128", "/32", "-01-01T00:00:00+00:00", ":00:00+00:00")
"""What pseudonyms and cut moments have in common, whatever the value."""

PLAIN = st.characters(codec="utf-8", exclude_characters="\0")
TEXT = st.one_of(
    st.text(PLAIN, max_size=30), st.text(string.ascii_letters + string.digits + " @._-[]*"),
    st.emails(), st.from_regex(r"[0-9]{13,16}", fullmatch=True),
)  # fmt: skip
WORD = st.text(string.ascii_lowercase, min_size=1, max_size=12)
DATES = st.dates(date(1, 1, 1), date(9999, 12, 31)).map(str)
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=4).map("{:f}".format)
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(-1e6, 1e6),
    st.text(PLAIN, max_size=12),
)  # fmt: skip
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORD, inner, max_size=3)),
    max_leaves=8,
)


def whole(bits: int) -> SearchStrategy[str]:
    """Give integers of so many bits, signed."""
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1).map(str)


def spans(bounds: SearchStrategy[str]) -> SearchStrategy[str]:
    """Give ranges between bounds, some open, some empty."""
    edges = st.one_of(st.just(""), bounds)
    return st.one_of(
        st.just("empty"), st.builds("[{},{})".format, edges, edges), bounds.map("[{0},{0}]".format)
    )


def listed(items: SearchStrategy[str]) -> SearchStrategy[str]:
    """Give arrays of one and of two dimensions, as PostgreSQL spells them."""
    quoted = items.map(
        lambda item: '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )  # chapter 8.15.6
    row = st.lists(st.one_of(quoted, st.just("NULL")), max_size=3)
    flat = row.map(lambda each: "{" + ",".join(each) + "}")
    two = st.tuples(quoted, quoted).map(lambda pair: f"{{{{{pair[0]}}},{{{pair[1]}}}}}")
    return st.one_of(flat, two)


JSON = DOCUMENTS.map(partial(json.dumps, ensure_ascii=False))
KINDS: dict[str, SearchStrategy[str]] = {
    "bool": st.sampled_from(["true", "false"]),
    "bytea": st.binary(max_size=20).map(lambda value: "\\x" + value.hex()),
    '"char"': st.sampled_from(string.ascii_letters),
    "name": WORD, "text": TEXT, "varchar": TEXT, "varchar(60)": TEXT, "bpchar": TEXT,
    "char(12)": WORD,
    "int2": whole(16), "int4": whole(32), "int8": whole(64),
    "oid": st.integers(0, 2**32 - 1).map(str),
    "float4": st.floats(width=32).map(repr), "float8": st.floats().map(repr),
    "numeric": st.one_of(NUMBERS, st.just("NaN")), "numeric(14,2)": whole(32), "money": whole(32),
    "date": DATES, "time": st.times().map(str),
    "timetz": st.times().map(lambda value: f"{value}+02"),
    "timestamp": MOMENTS.map(str), "timestamptz": MOMENTS.map(lambda value: f"{value}+02"),
    "interval": st.timedeltas().map(lambda value: f"{value.days} days {value.seconds} seconds"),
    "uuid": st.uuids().map(str), "inet": ADDRESSES, "cidr": ADDRESSES,
    "inet with mask": st.ip_addresses(v=4).map("{}/20".format),
    "macaddr": st.binary(min_size=6, max_size=6).map(bytes.hex),
    "macaddr8": st.binary(min_size=8, max_size=8).map(bytes.hex),
    "bit(12)": st.from_regex("[01]{12}", fullmatch=True),
    "varbit": st.from_regex("[01]{0,40}", fullmatch=True),
    "json": JSON, "jsonb": JSON, "jsonpath": WORD.map("$.{}".format),
    "xml": WORD.map("<a>{}</a>".format), "tsvector": WORD, "tsquery": WORD,
    "point": st.builds("({},{})".format, st.integers(), st.integers()),
    "pg_lsn": st.integers(0, 2**32 - 1).map("{:X}/0".format), "xid8": st.integers(0).map(str),
    "int4range": spans(whole(32)), "int8range": spans(whole(64)), "numrange": spans(NUMBERS),
    "daterange": spans(DATES), "tsrange": spans(MOMENTS.map(lambda value: f'"{value}"')),
    "tstzrange": spans(MOMENTS.map(lambda value: f'"{value}+02"')),
    "int4multirange": spans(whole(32)).map("{{{}}}".format),
    "datemultirange": spans(DATES).map("{{{}}}".format),
    "text[]": listed(TEXT), "varchar[]": listed(TEXT), "int4[]": listed(whole(32)),
    "int8[]": listed(whole(64)), "numeric[]": listed(NUMBERS), "bool[]": listed(st.just("t")),
    "float8[]": listed(st.floats().map(repr)), "date[]": listed(DATES), "jsonb[]": listed(JSON),
    "timestamptz[]": listed(MOMENTS.map("{}+00".format)), "inet[]": listed(ADDRESSES),
    "uuid[]": listed(st.uuids().map(str)), "int4range[]": listed(spans(whole(32))),
    "bytea[]": listed(st.binary(max_size=9).map(lambda value: "\\x" + value.hex())),
    "money[]": listed(whole(32)),
    "zoo.mood": st.sampled_from(["zqkjxvwhappy", "zqkjxvwsad"]),
    "zoo.mood[]": listed(st.sampled_from(["zqkjxvwhappy", "zqkjxvwsad"])),
    "zoo.pair": st.builds("({},{})".format, whole(32), WORD),
    "zoo.pair[]": listed(st.builds("({},{})".format, whole(32), WORD)),
    "zoo.spans": spans(whole(32)), "zoo.note": TEXT,
    "zoo.digits": whole(32).map(lambda n: n.strip("-")),
    "zoo.born": DATES, "zoo.body": JSON, "zoo.tags": listed(TEXT), "zoo.span": spans(DATES),
    "hstore": st.builds("{}=>{}".format, WORD, WORD), "citext": TEXT,
    "ltree": st.builds("{}.{}".format, WORD, WORD),
}  # fmt: skip
"""What a value of each type looks like, as a literal."""

FOUND = {
    # A range that a mask has made empty, beside one that was.
    "int4range[]": [(['{{"empty"},{"[0,0]"}}'], "bucket"), (['{"empty","[0,0]"}'], "redact")],
    "int4range": [(["[0,0]"], "bucket")],
}
"""Values that one of these tests has failed with, and the column that was stored again."""

SETUP = """
    CREATE TYPE zoo.mood AS ENUM ('zqkjxvwhappy', 'zqkjxvwsad');
    CREATE TYPE zoo.pair AS (a int, b text);
    CREATE TYPE zoo.spans AS RANGE (subtype = int4);
    CREATE DOMAIN zoo.digits AS text CHECK (VALUE ~ '^[0-9]+$');
    CREATE DOMAIN zoo.note AS varchar;
    CREATE DOMAIN zoo.born AS date;
    CREATE DOMAIN zoo.body AS jsonb;
    CREATE DOMAIN zoo.tags AS text[];
    CREATE DOMAIN zoo.span AS daterange;
"""
EXTENSIONS = ("hstore", "citext", "ltree")
TABLES = {kind: f"of{at}" for at, kind in enumerate(KINDS)}
COLUMNS = ", ".join(("clear", *METHODS))


class Menagerie(NamedTuple):
    """A guarded connection, a plain one, and the types that the server has."""

    zoo: Any
    guard: Any
    kinds: frozenset[str]


@pytest.fixture(scope="module")
def menagerie(zoo: Any) -> Menagerie:
    """Make a table for each type, with a column for each method."""
    zoo.plain.execute(SETUP)
    kinds = set(KINDS)
    for name in EXTENSIONS:
        try:
            zoo.plain.execute(f"CREATE EXTENSION {name} SCHEMA public")
        except psycopg.errors.FeatureNotSupported:
            kinds.remove(name)
    try:
        zoo.plain.execute("SELECT '<a/>'::xml")
    except psycopg.errors.FeatureNotSupported:
        # Some servers are built without it.
        kinds.remove("xml")
    for kind in kinds:
        columns = ", ".join(f"{name} {kind.removesuffix(' with mask')}" for name in METHODS)
        clear = f"clear {kind.removesuffix(' with mask')}"
        zoo.plain.execute(f"CREATE TABLE zoo.{TABLES[kind]} (id serial, {clear}, {columns})")
    rules = [
        f'\n[[masks]]\nname = "{name}"\ncolumns = ["zoo.of*.{name}"]\n{how}\n'
        for name, how in METHODS.items()
    ]
    return Menagerie(zoo, zoo.guarded("".join(rules), mask_key=KEY), frozenset(kinds))


# --- doors ----------------------------------------------------------------------------


def fetched(conn: Any, sql: str, binary: bool, oids: list[int]) -> list[Any]:
    """Fetch all rows at once."""
    found: list[Any] = conn.cursor(binary=binary).execute(sql).fetchall()
    return found


def declared(conn: Any, sql: str, binary: bool, oids: list[int]) -> list[Any]:
    """Fetch by a server-side cursor."""
    with conn.transaction(), conn.cursor("zoo") as cursor:
        cursor.itersize = 3
        return list(cursor.execute(sql, binary=binary))


def streamed(conn: Any, sql: str, binary: bool, oids: list[int]) -> list[Any]:
    """Take rows as they come."""
    return list(conn.cursor().stream(sql, binary=binary))


def known(oid: int, binary: bool) -> int | str:
    """Give a type by which psycopg can load what is copied."""
    with suppress(psycopg.ProgrammingError):
        psycopg.adapters.get_dumper_by_oid(oid, Format(binary))
        return oid
    loads = psycopg.adapters.get_loader(oid, Format(binary)) is not None
    return "bytea" if binary and not loads else "text"


def copied(conn: Any, sql: str, binary: bool, oids: list[int]) -> list[Any]:
    """Copy rows out, and load them as the types that they were."""
    how = "(FORMAT BINARY)" if binary else ""
    with conn.cursor().copy(f"COPY ({sql}) TO STDOUT {how}") as copy:
        try:
            copy.set_types([known(oid, binary) for oid in oids])
        except psycopg.ProgrammingError:
            # An array of what psycopg has no dumper for.
            reject()
        return list(copy.rows())


DOORS = (fetched, declared, streamed, copied)

# --- what methods keep ----------------------------------------------------------------


def spell(value: Any) -> str:
    """Give the text form of a scalar."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value.isoformat() if isinstance(value, date | time) else str(value)


def pairs(before: Any, after: Any) -> Iterator[tuple[Any, Any]]:
    """Pair the scalars of a value with what stands for them; shapes must be the same."""
    if after is None:
        return
    assert type(after) is type(before), (type(before), type(after))
    if isinstance(before, dict):
        assert list(before) == list(after)
        before, after = list(before.values()), list(after.values())
    if isinstance(before, Range):
        assert (before.isempty, before.bounds) == (after.isempty, after.bounds)
        before, after = [before.lower, before.upper], [after.lower, after.upper]
        assert [each is None for each in before] == [each is None for each in after]
    if isinstance(before, list | tuple | Multirange):
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            yield from pairs(one, other)
    else:
        yield before, after


def kept(column: str, value: Any) -> list[str]:
    """Give what the column's method says that it keeps of a scalar, worked out anew."""
    if column in PARTS and isinstance(value, str):
        first, last = PARTS[column]
        enough = len(value) - first - last >= max(4, first + last)
        return [value[:first], value[len(value) - last :]] if enough else []
    if column == "mail" and isinstance(value, str):
        name, _, domain = value.partition("@")
        return [name[0] if len(name) > 2 else "", "@" + domain] if name and domain else []
    if column in ("year", "hour") and isinstance(value, date):
        return [spell(cut(value, column))]
    if column in ("bucket", "small") and not isinstance(value, bool):
        made = floored(value, Fraction("1000" if column == "bucket" else "0.5"))
        # Where it is copied as a float4 it is the nearest of these.
        return [spell(made), f"{made}.0", spell(single(made))]
    return ["7"] if column == "constant" else []


def cut(value: Any, unit: str) -> Any:
    """Truncate a date or a moment, in UTC where it has a zone."""
    if not isinstance(value, datetime):
        return value.replace(month=1, day=1) if unit == "year" else value
    moment = value.astimezone(UTC) if value.tzinfo else value
    hour = moment.replace(minute=0, second=0, microsecond=0)
    made = hour if unit == "hour" else hour.replace(month=1, day=1, hour=0)
    return made.astimezone(value.tzinfo) if value.tzinfo else made


def single(value: Any) -> Any:
    """Give the float4 that is nearest to a float."""
    if not isinstance(value, float):
        return value
    try:
        return unpack("f", pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def floored(value: Any, bucket: Fraction) -> Any:
    """Give the greatest multiple of a bucket that is not above a number."""
    if not isinstance(value, int | float | Decimal) or not isfinite(value):
        return ""
    exact = floor(Fraction(repr(value) if isinstance(value, float) else value) / bucket) * bucket
    if isinstance(value, Decimal):
        with localcontext() as context:
            context.prec = 200
            return Decimal(exact.numerator) / exact.denominator
    return float(exact) if isinstance(value, float) else floor(exact)


def marks(column: str) -> list[str]:
    """Give what a mask may put in place of what it hides."""
    made = mark(KEY, column)
    return [made.whole, made.middle, made.local, *FIXED]


def runs(text: str, without: Iterable[str] = ()) -> set[str]:
    """Give all runs of four characters, but for what some texts hold."""
    for each in without:
        text = text.replace(each, "\0")
    return {run for at in range(len(text) - 3) if "\0" not in (run := text[at : at + 4])}


def check(column: str, before: Any, after: Any) -> None:
    """Check that what stands for a value tells no more of it than the method keeps."""
    for one, other in pairs(before, after):
        told = runs(spell(one)) & runs(spell(other), marks(column))
        for text in kept(column, one):
            told -= runs(text)
        assert not told, (column, one, other)


# --- the properties -------------------------------------------------------------------


def stored(there: Menagerie, kind: str, values: list[str], times: int) -> list[int]:
    """Put values into all columns of a type's table; give the columns' types."""
    table, plain = TABLES[kind], there.zoo.plain
    plain.execute(f"DELETE FROM zoo.{table}")
    type = kind.removesuffix(" with mask")
    picked = ", ".join(["v"] * (1 + len(METHODS)))
    try:
        plain.execute(
            f"INSERT INTO zoo.{table} ({COLUMNS}) SELECT {picked} FROM (SELECT a.t::{type} v FROM"
            " unnest(%s::text[]) a(t), generate_series(1, %s)) b",
            (values, times),
        )
        found = plain.execute(f"SELECT {COLUMNS} FROM zoo.{table}")
        found.fetchall()
    except psycopg.DataError:
        # No literal of the type, or none that psycopg can load.
        reject()
    return [column.type_code for column in found.description]


@pytest.mark.parametrize("kind", KINDS)
def test_no_mask_ever_shows_more_than_its_method_keeps(menagerie: Menagerie, kind: str) -> None:
    """By whatever door and in either format; types and shapes stay; twice is no more than once."""
    if kind not in menagerie.kinds:
        pytest.skip("the server does not have it")

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(
        st.lists(KINDS[kind], min_size=1, max_size=4),
        st.sampled_from([1, 5]),
        st.sampled_from(DOORS),
        st.booleans(),
        st.sampled_from(list(METHODS)),
    )
    def holds(values: list[str], times: int, door: Any, binary: bool, again: str) -> None:
        oids = stored(menagerie, kind, values, times)
        sql = f"SELECT {COLUMNS} FROM zoo.{TABLES[kind]} ORDER BY id"
        try:
            rows = door(menagerie.guard, sql, binary, oids)
        except psycopg.errors.UndefinedFunction:
            # No binary form on the server's side.
            reject()
        except Withheld as ex:
            assert door is copied and unspelled(kind, binary) and "can't be spelled" in str(ex)
            reject()
        assert len(rows) == times * len(values)
        for clear, *masked in rows:
            for column, after in zip(METHODS, masked, strict=True):
                if column.startswith("hash"):
                    continue
                check(column, clear, after)
            hashes = masked[list(METHODS).index("hash_a") :][:3]
            check_pseudonyms(clear, hashes)
        shown = rows[0][1 + list(METHODS).index(again)]
        if shown is not None:
            twice(menagerie, kind, again, shown, binary)

    for values, column in FOUND.get(kind, ()):
        holds = example(values, 1, fetched, False, column)(holds)
    holds()


def unspelled(kind: str, binary: bool) -> bool:
    """Tell whether COPY has no way to spell some masked values of a type.

    A pseudonym or the bound below a number may need more bytes than the type has, and a list
    in an array of documents could be of either.
    """
    narrow = kind.removesuffix("[]").removesuffix("range") in ("int2", "int4", "int8", "oid")
    return (binary and narrow) or kind.endswith("[]")


def check_pseudonyms(clear: Any, hashes: list[Any]) -> None:
    """Check pseudonyms for three purposes: chance does not give all of them the same run."""
    found = [list(pairs(clear, each)) for each in hashes]
    for made in zip(*found, strict=True):
        before = spell(made[0][0])
        shown = [
            runs(spell(after), marks(f"hash_{at}"))
            for at, (_, after) in zip("abc", made, strict=True)
        ]
        told = runs(before).intersection(*shown)
        assert not told, made


def twice(there: Menagerie, kind: str, column: str, shown: Any, binary: bool) -> None:
    """Store what a mask has shown and read it through that mask once more."""
    table, plain = TABLES[kind], there.zoo.plain
    plain.execute(f"DELETE FROM zoo.{table}")
    try:
        sql = f"INSERT INTO zoo.{table} ({column}) VALUES (%s)"
        plain.execute(sql, (bound(kind, shown),))
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError):
        # Not every domain and length has room for a mark, nor every type a way back.
        return
    cursor = there.guard.cursor(binary=binary).execute(f"SELECT {column} FROM zoo.{table}")
    (again,) = cursor.fetchone()
    if column.startswith("hash"):
        check_kind(shown, again)
    else:
        assert again == without_empty(shown)


def without_empty(value: Any) -> Any:
    """Give what a mask shows of what it has shown, once that was stored.

    A range of one truncated day is empty for the server, and of empty ranges nothing is shown.
    """
    if type(value) is list:
        return [without_empty(each) for each in value]
    empty = isinstance(value, Range) and value.lower == value.upper is not None
    return None if empty and value.bounds != "[]" else value


def check_kind(before: Any, after: Any) -> None:
    """Check that both have the same shape and types, with as many values."""
    assert [type(one) for one, _ in pairs(before, after)] == [
        type(other) for _, other in pairs(before, after)
    ]
    assert after is not None


def bound(kind: str, value: Any) -> Any:
    """Give a value as psycopg takes it for a type."""
    if kind == "json":
        return Json(value)
    if kind in ("jsonb", "zoo.body"):
        return Jsonb(value)
    if kind == "jsonb[]":
        return [None if each is None else Jsonb(each) for each in value]
    return value
