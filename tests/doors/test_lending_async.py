"""psycopg's own cursor classes, made by hand on a guarded connection."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo
from psycopg.types.multirange import MultirangeInfo
from psycopg.types.range import RangeInfo

import tracewall
from tracewall import AsyncConnection
from tracewall.testing import permit_all

KINDS = [psycopg.AsyncCursor, psycopg.AsyncClientCursor, psycopg.AsyncRawCursor]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cursor_made_by_hand_is_guarded(guard: Any, kind: Any) -> None:
    """It stays an instance of its class; what it gives is masked, what is forbidden refused."""
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.analyst) as conn:
        async with kind(conn, row_factory=psycopg.rows.dict_row) as cursor:
            assert type(cursor).__name__ == kind.__name__ and isinstance(cursor, kind)
            await cursor.execute("SELECT run_id, api_key FROM traces.runs LIMIT 3")
            rows = await cursor.fetchall()
            assert len(rows) == cursor.rowcount == 3
            raw = {key for (key,) in guard.raw("SELECT api_key FROM traces.runs")}
            assert not raw & {row["api_key"] for row in rows if row["api_key"]}
            assert [column.name for column in cursor.description] == ["run_id", "api_key"]
            with pytest.raises(tracewall.Forbidden):
                await cursor.execute("SELECT client_ip FROM traces.runs")
            with pytest.raises(tracewall.Forbidden):
                await cursor.execute("DELETE FROM traces.runs")


async def test_its_settings_hold(guard: Any) -> None:
    """What is set on it before it is used is what its guarded cursor goes by, and later too."""
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.analyst) as conn:
        cursor = psycopg.AsyncCursor(conn)
        cursor.arraysize = 2
        cursor.row_factory = psycopg.rows.scalar_row
        cursor.adapters.register_loader("text", psycopg.types.string.TextBinaryLoader)
        await cursor.execute("SELECT run_id FROM traces.runs LIMIT 5")
        assert len(await cursor.fetchmany()) == 2
        cursor.arraysize = 1
        assert len(await cursor.fetchmany()) == 1
        assert len([row async for row in cursor]) == 2
        await cursor.close()
        assert cursor.closed
        with pytest.raises(psycopg.InterfaceError):
            await cursor.execute("SELECT 1")


async def test_a_server_side_cursor_made_by_hand_is_guarded(guard: Any) -> None:
    """It declares, fetches and closes as one that the connection made, masked."""
    async with (
        await AsyncConnection.connect(wall=guard.wall, token=guard.analyst) as conn,
        psycopg.AsyncServerCursor(conn, "page", scrollable=True) as cursor,
    ):
        await cursor.execute("SELECT api_key FROM traces.runs WHERE api_key IS NOT NULL LIMIT 9")
        raw = {key for (key,) in guard.raw("SELECT api_key FROM traces.runs")}
        seen = await cursor.fetchmany(3)
        await cursor.scroll(0, mode="absolute")
        assert [row async for row in cursor][:3] == seen
        assert not raw & {key for (key,) in seen}


async def test_a_class_with_ways_of_its_own_is_refused(guard: Any) -> None:
    """A class that overrides what sends or gives is not lent: nothing leaves by it."""

    class Sly(psycopg.AsyncCursor[Any]):
        async def execute(self, *given: Any, **options: Any) -> Any:
            return await super().execute(*given, **options)

    async with await AsyncConnection.connect(wall=guard.wall, token=guard.analyst) as conn:
        with pytest.raises(tracewall.Forbidden, match="not guarded"):
            await Sly(conn).execute("SELECT run_id FROM traces.runs")


async def test_private_ways_of_a_lent_cursor_lead_nowhere(guard: Any) -> None:
    """psycopg's private generators on a lent cursor send nothing unjudged."""
    async with await AsyncConnection.connect(wall=guard.wall, token=guard.analyst) as conn:
        cursor = psycopg.AsyncCursor(conn)
        for made in (
            cursor._execute_gen("SELECT client_ip FROM traces.runs"),
            cursor._start_copy_gen("COPY traces.runs TO STDOUT"),
            cursor._stream_send_gen("SELECT client_ip FROM traces.runs", size=1),
        ):
            with pytest.raises(tracewall.Forbidden):
                await conn.wait(made)


async def test_types_are_fetched(admin_dsn: str) -> None:
    """psycopg's TypeInfo and its kin ask the catalog over a guarded connection."""
    with permit_all() as wall:
        async with await AsyncConnection.connect(admin_dsn, wall=wall) as conn:
            info = await TypeInfo.fetch(conn, "int4")
            assert info is not None and info.oid == 23
            await conn.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
            mood = await EnumInfo.fetch(conn, "mood")
            assert mood is not None and list(mood.labels) == ["sad", "glad"]
            await conn.execute("CREATE TYPE place AS (name text, floor int)")
            await conn.execute("CREATE TYPE span AS RANGE (subtype = int4)")
            place = await CompositeInfo.fetch(conn, "place")
            assert place is not None and list(place.field_names) == ["name", "floor"]
            span = await RangeInfo.fetch(conn, "span")
            assert span is not None and span.subtype_oid == info.oid
            many = await MultirangeInfo.fetch(conn, "span_multirange")
            assert many is not None and many.range_oid == span.oid
            register_composite(place, conn)
            found = await (await conn.execute("SELECT ('hall', 2)::place")).fetchone()
            assert found == (("hall", 2),)
            await conn.rollback()
