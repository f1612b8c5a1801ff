"""psycopg's `TypeInfo.fetch` and its kin, live, under a policy that masks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.multirange import MultirangeInfo, register_multirange
from psycopg.types.range import Range, RangeInfo, register_range

from tracewall.errors import Forbidden
from tracewall.testing import Bench

POLICY = """
version = 1
[[issuers]]
name = "test"
issuer = "https://idp.test"
audience = "api"
keys = "jwks.json"
[[grants]]
name = "read"
groups = ["staff", "programs"]
actions = ["select"]
tables = ["public.*"]
[[grants]]
name = "types"
groups = ["programs"]
actions = ["select"]
tables = ["pg_catalog.*"]
[[masks]]
name = "homes"
columns = ["public.people.home"]
method = "redact"
[[masks]]
name = "moods"
columns = ["public.people.mood"]
method = "null"
"""
SCHEMA = """
create type mood as enum ('sad', 'glad');
create type place as (name text, floor int);
create type span as range (subtype = int4);
create table people
  (id int, mood mood, felt mood, home place, work place, during span, days span_multirange);
insert into people values
  (1, 'sad', 'glad', '(zqk-attic,7)', '(office,2)', '[1,5)', '{[1,2),[3,4)}')
"""


@pytest.fixture
def bench(scratch_dsn: str, tmp_path: Path) -> Iterator[Bench]:
    """A guarded table with columns of types of its own, two of them masked."""
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(SCHEMA)
    (tmp_path / "policy.toml").write_text(POLICY)
    with Bench.load(tmp_path / "policy.toml", conninfo=scratch_dsn) as made:
        yield made


async def test_types_are_fetched_under_masks(bench: Bench) -> None:
    """Who may read the catalog fetches types and registers them; what is masked stays masked."""
    async with await bench.connect_async("programs", autocommit=True) as conn:
        assert await TypeInfo.fetch(conn, "nothing") is None
        number = await TypeInfo.fetch(conn, "int4")
        mood = await EnumInfo.fetch(conn, "mood")
        place = await CompositeInfo.fetch(conn, "place")
        span = await RangeInfo.fetch(conn, "span")
        spans = await MultirangeInfo.fetch(conn, "span_multirange")
        assert number and mood and place and span and spans
        assert number.oid == 23 and span.subtype_oid == 23 and spans.range_oid == span.oid
        assert list(mood.labels) == ["sad", "glad"]
        seen: list[Any] = []

        def make(*values: Any) -> Any:
            seen.extend(values)
            return values

        register_enum(mood, conn)
        register_composite(place, conn, factory=make)
        register_range(span, conn)
        register_multirange(spans, conn)
        for binary in (False, True):
            cursor = await conn.execute(
                "select mood, felt, home, work, during, days from people", binary=binary
            )
            row: Any = await cursor.fetchone()
            assert row[0] is None and row[1].name == "glad"
            assert "zqk" not in repr(row) and row[3] == ("office", 2)
            assert row[4] == Range(1, 5) and list(row[5]) == [Range(1, 2), Range(3, 4)]
        assert "zqk-attic" not in seen and "office" in seen


@pytest.mark.parametrize("kind", [TypeInfo, EnumInfo, CompositeInfo, RangeInfo, MultirangeInfo])
async def test_who_may_not_read_the_catalog_is_told_so(bench: Bench, kind: Any) -> None:
    """Without a grant on pg_catalog it is refused, by a word that names what is missing."""
    async with await bench.connect_async("staff", autocommit=True) as conn:
        with pytest.raises(Forbidden, match=r"pg_catalog|pg_type") as refused:
            await kind.fetch(conn, "mood")
        assert refused.value.decision is not None
        found = await (await conn.execute("select felt from people")).fetchone()
        assert found == ("glad",)
