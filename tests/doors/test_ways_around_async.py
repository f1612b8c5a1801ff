"""Ways around the doors that once were open, each kept shut."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg.types.json import set_json_loads

import tracewall
from tracewall import AsyncConnection

KEYS = "select api_key from traces.runs order by run_id limit 20"
# The server tells no origin for a union, so only the judgement can tell what it holds.
UNION = "select api_key from traces.runs union all select api_key from traces.runs limit 20"
CLEAR = "select model || '' from traces.runs limit 20"


@pytest.fixture
async def conn(guard: Any) -> AsyncIterator[Any]:
    """A connection of an analyst."""
    made = await AsyncConnection.connect(wall=guard.wall, token=guard.analyst, autocommit=True)
    try:
        yield made
    finally:
        with suppress(psycopg.Error):
            await made.close()


@pytest.fixture
def keys(guard: Any) -> set[str]:
    """The raw values that must never show."""
    return {row[0] for row in guard.raw("select api_key from traces.runs") if row[0]}


def shown(rows: Any) -> set[Any]:
    """Give all values of some rows."""
    return {value for row in rows for value in row}


async def test_preparing_in_a_pipeline_shifts_no_judgement(conn: Any, keys: set[str]) -> None:
    """What psycopg sends to prepare a statement brings no result, and takes no other's place."""
    cursor = conn.cursor()
    async with conn.pipeline() as pipeline:
        await cursor.execute(CLEAR, prepare=True)
        await cursor.execute(UNION, prepare=True)
        await pipeline.sync()
        assert not keys & shown(await cursor.fetchall())


async def test_results_that_gather_are_each_shown_as_judged(conn: Any, keys: set[str]) -> None:
    """Results of several statements on one cursor keep their own masks, in any order."""
    for first, second in ((UNION, CLEAR), (CLEAR, UNION)):
        cursor = conn.cursor()
        seen: set[Any] = set()
        async with conn.pipeline() as pipeline:
            await cursor.execute(first)
            await cursor.executemany(second, [(), ()], returning=True)
            await pipeline.sync()
        for at in range(len(cursor._results)):
            with suppress(psycopg.Error):
                # set_result() came with psycopg 3.3.
                cursor._select_current_result(at)
                seen |= shown(await cursor.fetchall())
        assert seen and not keys & seen


async def test_a_send_that_fails_shifts_no_result(conn: Any, keys: set[str]) -> None:
    """A command that fails to leave a pipeline breaks it; no result reaches another cursor."""

    class Odd:
        pass

    class OddDumper(psycopg.adapt.Dumper):
        def dump(self, obj: Any) -> Any:
            return 42

    conn.adapters.register_dumper(Odd, OddDumper)
    first, second = conn.cursor(), conn.cursor()
    seen: set[Any] = set()
    with suppress(psycopg.Error, TypeError):
        async with conn.pipeline():
            with suppress(psycopg.Error, TypeError):
                await first.execute("select %s::text || ''", (Odd(),))
            with suppress(psycopg.Error, TypeError):
                await second.execute(UNION)
            with suppress(psycopg.Error, TypeError):
                seen |= shown(await first.fetchall())
    for cursor in (first, second):
        with suppress(psycopg.Error):
            seen |= shown(await cursor.fetchall())
    assert not keys & seen


async def test_no_door_stays_open_behind_a_failure(conn: Any) -> None:
    """A guarded cursor that fails before it sends lets no unguarded one in after it."""
    cursor = conn.cursor()

    class Closer:
        pass

    class ClosingDumper(psycopg.adapt.Dumper):
        def dump(self, obj: Any) -> bytes:
            cursor._close()
            return b"x"

    conn.adapters.register_dumper(Closer, ClosingDumper)
    cursor = conn.cursor()
    with pytest.raises(psycopg.InterfaceError):
        async for _ in cursor.stream("select %s::text", (Closer(),)):
            pass
    cursor = conn.cursor()
    with pytest.raises(psycopg.InterfaceError):
        await cursor.executemany("select %s::text", [(Closer(),)])
    # A cursor made by hand is taken in: what it shows is masked.
    rows = await (await psycopg.AsyncCursor(conn).execute(KEYS)).fetchall()
    assert rows and all(set(str(key)[:8]) <= set("[masked]") for (key,) in rows if key)


async def test_a_json_callback_sees_no_raw_document(conn: Any) -> None:
    """`set_json_loads`, global or local, gets nothing of a document that is masked."""
    import json

    seen: list[bytes] = []

    def spy(data: Any) -> Any:
        seen.append(bytes(data))
        return {"spied": True}

    query = "select parts from traces.messages order by message_id limit 5"
    set_json_loads(spy)
    try:
        rows = await (await conn.execute(query)).fetchall()
    finally:
        set_json_loads(json.loads)
    set_json_loads(spy, conn)
    rows += await (await conn.execute(query)).fetchall()
    assert seen == [] and all(isinstance(row[0], list) for row in rows)


async def test_a_value_that_cannot_be_loaded_shows_nowhere(guard: Any, tmp_path: Any) -> None:
    """Where a masked value defeats its loader, the error's whole chain holds nothing of it."""
    policy = tmp_path / "dates.toml"
    text = (guard.folder / "tracewall.toml").read_text()
    text += '\n[[masks]]\nname = "days"\ncolumns = ["traces.odd.day"]\nmethod = "date"\n'
    policy.write_text(text + 'unit = "month"\n')
    guard.issuer.write_jwks(tmp_path / "jwks.json")
    guard.raw("create table traces.odd (day date)")
    guard.raw(f'grant select on traces.odd to "{guard.store.role}"')
    guard.raw("insert into traces.odd values ('20001-02-03')")
    try:
        with tracewall.Wall.load(policy, password=lambda: guard.store.password) as wall:
            async with await AsyncConnection.connect(wall=wall, token=guard.analyst) as conn:
                cursor = await conn.execute("select day from traces.odd")
                with pytest.raises(tracewall.Withheld) as withheld:
                    await cursor.fetchall()
                await conn.rollback()
        error: BaseException | None = withheld.value
        while error is not None:
            assert "20001" not in str(error) + repr(error)
            error = error.__cause__ or error.__context__
    finally:
        guard.raw("drop table traces.odd")


def test_adapters_replaced_before_the_import_see_nothing() -> None:
    """What a program registered with psycopg before importing tracewall loads no masked value."""
    script = (
        "import psycopg\n"
        "class Evil(psycopg.adapt.Loader):\n"
        "    def load(self, data): return 'evil'\n"
        "psycopg.adapters.register_loader('text', Evil)\n"
        "psycopg.adapters.register_loader('int4', Evil)\n"
        "from tracewall.rows import PRISTINE\n"
        "for name in ('text', 'int4'):\n"
        "    oid = psycopg.adapters.types[name].oid\n"
        "    assert PRISTINE.get_loader(oid, psycopg.pq.Format.TEXT) is not Evil\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


async def test_libpqs_own_objects_are_facades(conn: Any, guard: Any) -> None:
    """Neither connection nor result of libpq's can be had to go around the guard."""
    cursor = await conn.execute(KEYS)
    for raw in (conn.pgconn, conn.info.pgconn):
        for way in ("exec_", "send_query", "trace", "get_result", "reset", "notifies"):
            with pytest.raises(tracewall.Forbidden):
                getattr(raw, way)(b"select 1")
        assert (raw.password, raw.error_message, raw.notice_handler) == (b"", b"", None)
        assert not [option for option in raw.info if option.keyword == b"password" and option.val]
        assert raw.parameter_status(b"application_name") is None
        assert raw.status == psycopg.pq.ConnStatus.OK and raw.socket == conn.fileno()
        # psycopg's C code takes no facade; what it has in Python is refused by the facade itself.
        with pytest.raises((TypeError, tracewall.Forbidden)):
            conn.wait(psycopg.generators.execute(raw)).send(None)
    with pytest.raises(tracewall.Forbidden):
        cursor.pgresult.get_value(0, 0)
    assert cursor.pgresult.ntuples == 20 and cursor.pgresult.fname(0) == b"api_key"


async def test_callers_objects_get_no_raw_result(conn: Any, keys: set[str]) -> None:
    """Row factories, dumpers and loaders get at nothing raw through what they are given."""
    seen: list[Any] = []

    def look(result: Any) -> None:
        if result is not None:
            with suppress(psycopg.Error):
                seen.extend(result.get_value(row, 0) for row in range(result.ntuples))

    def factory(cursor: Any) -> Any:
        look(cursor.pgresult)
        return psycopg.rows.tuple_row(cursor)

    class Spy(psycopg.adapt.Loader):
        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            self.context = context

        def load(self, data: Any) -> Any:
            look(getattr(self.context, "pgresult", None))
            return bytes(data).decode()

    conn.adapters.register_loader("text", Spy)
    query = "select api_key, model from traces.runs order by run_id limit 20"
    cursor = conn.cursor(row_factory=factory)
    await (await cursor.execute(query)).fetchall()
    async for _ in cursor.stream(query):
        look(cursor.pgresult)
    assert not keys & {bytes(each).decode() for each in seen if each}


async def test_loaders_that_are_made_see_no_raw_result(conn: Any, keys: set[str]) -> None:
    """A loader of a clear column is made before the cursor shows a result, by every door."""
    seen: list[bytes | None] = []
    doing: list[Any] = []

    class Spy(psycopg.types.string.TextLoader):
        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            for cursor in doing:
                with suppress(psycopg.Error):
                    seen.append(cursor.pgresult.get_value(0, 0) if cursor.pgresult else None)

    def cursor(*name: str) -> Any:
        made = conn.cursor(*name)
        made.adapters.register_loader("text", Spy)
        doing[:] = [made]
        return made

    query = "select api_key, model from traces.runs where api_key is not null and %s > 0 limit 3"
    for _ in range(3):
        await cursor().execute(query, (1,), prepare=True)
        await cursor().execute(query, (1,))
    many = cursor()
    await many.executemany(query, [(1,), (2,)], returning=True)
    while many.nextset():
        await many.fetchall()
    async with conn.pipeline():
        await (await cursor().execute(query, (1,))).fetchall()
    async with conn.transaction():
        async with cursor("portal") as portal:
            await (await portal.execute(query, (1,))).fetchall()
    async for _ in cursor().stream(query, (1,)):
        pass
    assert len(seen) >= 7
    assert not keys & {value.decode() for value in seen if value}


async def test_a_pipelines_queues_are_closed(conn: Any) -> None:
    """What waits in a pipeline is not there for others: it holds the raw connection."""
    async with conn.pipeline() as pipeline:
        await conn.execute(CLEAR)
        assert isinstance(pipeline, psycopg.AsyncPipeline)
        assert not pipeline.command_queue and not pipeline.result_queue
        with pytest.raises(tracewall.Forbidden):
            pipeline.pgconn.pipeline_sync()
