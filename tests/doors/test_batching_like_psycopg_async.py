"""A batch gives what plain psycopg gives, whatever its sets are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tracewall
from tracewall import AsyncConnection
from tracewall.testing import permit_all

SETUP = "create table sets (id int primary key, body text, n int check (n < 100))"
QUERIES = {
    "insert into sets values (%s, %s, %s) returning id, body": 3,
    "insert into sets (id, body) values (%s, %s) on conflict (id) do update set body = 'again'": 2,
    "update sets set body = %s where id > %s": 2,
    "select %s::text, %s::int4": 2,
    "select id, 10 / (%s::int4 - 3) from sets where id = any(%s)": 2,
    "select 1": 0,
    "select '%%', %(a)s::text || %(b)s": -2,
    "delete from nosuch where id = %s": 1,
}
VALUES = st.one_of(
    st.integers(-4, 6), st.sampled_from([None, "a", "3", 2**40, 2.5, b"raw", object]),
    st.lists(st.integers(0, 5), max_size=3),
)  # fmt: skip


class Short(list[Any]):
    """A list that gives fewer sets than it has, and tells a length of its own."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, at: Any) -> Any:
        return (1, "other", 1)

    def __iter__(self) -> Iterator[Any]:
        return iter([*super().__iter__()][:-1])


class Failing:
    """An iterable that fails after its sets."""

    def __init__(self, sets: list[Any]) -> None:
        self.sets = sets

    def __iter__(self) -> Iterator[Any]:
        yield from self.sets
        raise LookupError("no more sets")


def changing(sets: list[Any]) -> Iterator[Any]:
    """Give one list again and again, and change it after it was taken."""
    held: list[Any] = []
    for each in sets:
        held[:] = each if isinstance(each, tuple | list) else [each]
        yield held


FORMS = (list, tuple, iter, Short, Failing, changing, dict.fromkeys)
KINDS = ("Cursor", "ClientCursor", "RawCursor")
if True:  # ASYNC
    KINDS = tuple(f"Async{name}" for name in KINDS)


def fits(each: Any) -> bool:
    """Tell whether a set can be dumped."""
    values = each.values() if isinstance(each, dict) else each
    return isinstance(each, tuple | dict) and object not in values and [] not in values


@st.composite
def batches(draw: Any) -> tuple[str, list[Any]]:
    """Give a statement, and sets most of which it can have."""
    query = draw(st.sampled_from(list(QUERIES)))
    count = QUERIES[query]
    if count < 0:
        fitting: Any = st.fixed_dictionaries({"a": VALUES, "b": VALUES})
    else:
        fitting = st.tuples(*[VALUES] * count)
    other = st.one_of(st.none(), st.just("ab"), st.lists(VALUES, max_size=4))
    sets = draw(st.lists(fitting, max_size=6))
    repeated = sets * draw(st.sampled_from([1, 1, 4]))
    return query, repeated + draw(st.lists(other, max_size=1)) + draw(st.lists(fitting, max_size=2))


OPTIONS = st.fixed_dictionaries(
    {
        "form": st.sampled_from(FORMS), "kind": st.sampled_from(KINDS),
        "returning": st.booleans(), "autocommit": st.booleans(), "piped": st.booleans(),
        "threshold": st.sampled_from([None, 0, 5]), "kept": st.sampled_from([0, 1, 100]),
        "before": st.booleans(), "binary": st.booleans(),
    }
)  # fmt: skip


async def outcome(conn: Any, module: Any, query: str, sets: list[Any], how: Any) -> list[Any]:
    """Give all that can be seen of a batch."""
    if how["kind"].endswith("RawCursor"):
        for at in range(1, 4):
            query = query.replace("%s", f"${at}", 1)
    conn.prepare_threshold, conn.prepared_max = how["threshold"], how["kept"]
    await conn.set_autocommit(how["autocommit"])
    await conn.execute("delete from sets")
    await conn.execute("insert into sets select i, 'b', i from generate_series(1, 5) i")
    cursor = getattr(module, how["kind"])(conn)
    cursor.format = psycopg.pq.Format(how["binary"])
    told: list[Any] = []

    async def run() -> None:
        if how["before"]:
            await conn.execute("update sets set n = 50 where id = 5")
        await cursor.executemany(query, how["form"](sets), returning=how["returning"])
        told.append("went on")

    try:
        if how["piped"]:
            async with conn.pipeline():
                await run()
        else:
            await run()
    except Exception as ex:
        # Where a set can't be dumped after one that failed, it is time that tells which is first.
        kind = (type(ex).__name__, getattr(ex, "sqlstate", ""))
        told = [kind if how["form"] is not Failing and all(map(fits, sets)) else "raised"]
    told.append((conn.info.transaction_status, conn.closed))
    if "went on" in told:
        # Else psycopg counts from when it begins, and a guard before that.
        told.append((cursor.rowcount, cursor.statusmessage))
    while cursor.description:
        told.append([(each.name, each.type_code) for each in cursor.description])
        told.append(sorted(await cursor.fetchall(), key=repr))
        if not cursor.nextset():
            break
    if conn.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
        await conn.rollback()
    rows = await conn.execute("select * from sets order by id")
    told.append(await rows.fetchall())
    await conn.rollback()
    return told


@pytest.fixture
async def pair(scratch_dsn: str) -> Any:
    """A plain connection and a guarded one, to databases of the same content."""
    with permit_all() as wall:
        async with await psycopg.AsyncConnection.connect(scratch_dsn, autocommit=True) as plain:
            await plain.execute(SETUP)
            async with await AsyncConnection.connect(scratch_dsn, wall=wall) as guarded:
                yield plain, guarded


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches(), OPTIONS)
async def test_a_batch_is_what_it_is_without_a_guard(pair: Any, batch: Any, how: Any) -> None:
    """The same rows, counts, errors and state of the transaction, and the same is written."""
    plain, guarded = pair
    wanted = await outcome(plain, psycopg, *batch, how)
    assert await outcome(guarded, tracewall, *batch, how) == wanted
