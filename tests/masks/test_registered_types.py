"""Types and loaders that a caller registers, on masked columns: they never see what is hidden."""

from __future__ import annotations

from enum import Enum
from typing import Any

import psycopg
import pytest
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.hstore import register_hstore
from psycopg.types.multirange import MultirangeInfo, register_multirange
from psycopg.types.range import RangeInfo, register_range

SECRET = "zqkjxvw"
SETUP = """
    CREATE TYPE zoo.size AS ENUM ('zqkjxvwsmall', 'zqkjxvwlarge');
    CREATE TYPE zoo.place AS (street text, number int);
    CREATE TYPE zoo.names AS RANGE (subtype = text, multirange_type_name = zoo.many_names);
    CREATE TABLE zoo.goods (
        id int, size zoo.size, sizes zoo.size[], place zoo.place, names zoo.names,
        many zoo.many_names, label text, price int8, doc jsonb
    );
    INSERT INTO zoo.goods VALUES (
        1, 'zqkjxvwsmall', '{zqkjxvwsmall,zqkjxvwlarge}', '(zqkjxvwstreet,1736152948)',
        '[zqkjxvwa,zqkjxvwb)', '{[zqkjxvwa,zqkjxvwb)}', 'zqkjxvwlabel', 7361529485716253,
        '["zqkjxvwdoc"]'
    );
"""
COLUMNS = ("size", "sizes", "place", "names", "many", "label", "price", "doc")
METHODS = ("redact", "null", "partial", "email", "hash", "date", "number", "constant")
OPTIONS = {
    "partial": "keep_last = 1",
    "date": 'unit = "year"',
    "number": "bucket = 1000000",
    "constant": 'value = "7"',
}


class Size(Enum):
    """What the enum's labels load as."""

    SMALL = "zqkjxvwsmall"
    LARGE = "zqkjxvwlarge"


class Seen(list[str]):
    """What objects of the caller's were given."""

    def place(self, street: Any, number: Any) -> tuple[Any, Any]:
        """Take note of a composite's parts."""
        self.append(repr((street, number)))
        return (street, number)

    def loads(self, data: Any) -> Any:
        """Take note of a document."""
        self.append(repr(bytes(data)) if not isinstance(data, str) else data)
        return {}

    def loader(self, wire: Format) -> type[Loader]:
        """Give a loader that takes note of what it is given."""
        seen = self

        class Spy(Loader):
            format = wire

            def load(self, data: Any) -> Any:
                seen.append(repr(bytes(data)))
                return bytes(data)

        return Spy


@pytest.fixture(scope="module")
def goods(zoo: Any) -> Any:
    """A table with a column of each registered type, and a row."""
    zoo.plain.execute(SETUP)
    try:
        zoo.plain.execute("CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public")
    except psycopg.Error:
        zoo.hstore = False
    else:
        zoo.hstore = True
        zoo.plain.execute("ALTER TABLE zoo.goods ADD tags public.hstore")
        zoo.plain.execute('UPDATE zoo.goods SET tags = \'"zqkjxvwkey"=>"zqkjxvwtag"\'')
    return zoo


def columns(zoo: Any) -> tuple[str, ...]:
    """Give the masked columns there are."""
    return (*COLUMNS, *(("tags",) if zoo.hstore else ()))


def registered(zoo: Any, conn: Any) -> Seen:
    """Register everything that psycopg lets a caller register, on a connection."""
    seen, plain = Seen(), zoo.plain
    enum = EnumInfo.fetch(plain, "zoo.size")
    place = CompositeInfo.fetch(plain, "zoo.place")
    names, many = RangeInfo.fetch(plain, "zoo.names"), MultirangeInfo.fetch(plain, "zoo.many_names")
    assert enum and place and names and many
    register_enum(enum, conn, Size, mapping={each: each.value for each in Size})
    register_composite(place, conn, factory=seen.place)
    register_range(names, conn)
    register_multirange(many, conn)
    psycopg.types.json.set_json_loads(seen.loads, conn)
    if zoo.hstore:
        hstore = TypeInfo.fetch(plain, "hstore")
        assert hstore
        register_hstore(hstore, conn)
    for wire in (Format.TEXT, Format.BINARY):
        for oid in (0, 25, 20):
            conn.adapters.register_loader(oid, seen.loader(wire))
    return seen


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
@pytest.mark.parametrize("method", METHODS)
def test_a_registered_type_never_sees_a_masked_value(goods: Any, method: str, binary: bool) -> None:
    """Enums, composites, ranges, hstore, loaders and JSON callbacks of the caller's see nothing."""
    listed = ", ".join(f'"zoo.goods.{column}"' for column in columns(goods))
    option = OPTIONS.get(method, "")
    rule = f'\n[[masks]]\nname = "all"\ncolumns = [{listed}]\nmethod = "{method}"\n{option}\n'
    conn = goods.guarded(rule, mask_key=b"k" * 32)
    seen = registered(goods, conn)
    # What has a binary form on this server only.
    wanted = [column for column in columns(goods) if not (binary and column == "tags")]
    query = f"SELECT {', '.join(wanted)} FROM zoo.goods"
    found = [*conn.cursor(binary=binary).execute(query).fetchall()]
    found += conn.cursor().stream(query, binary=binary)
    with conn.transaction(), conn.cursor("goods") as declared:
        found += declared.execute(query, binary=binary).fetchall()
    assert len(found) == 3
    told = repr(found) + repr(seen)
    assert "7361529485716253" not in told and "1736152948" not in told
    # A number is no text, and the last letter is what `partial` shows.
    assert SECRET not in told
    assert SECRET.encode().hex() not in told


def test_a_clear_column_is_still_loaded_by_the_callers_own(goods: Any) -> None:
    """Where nothing is masked, what is registered is at work as with psycopg."""
    conn = goods.guarded("")
    seen = registered(goods, conn)
    found = conn.execute("SELECT size, place, label FROM zoo.goods").fetchone()
    assert found[0] is Size.SMALL
    assert found[2] == b"zqkjxvwlabel"
    assert SECRET in repr(seen)
