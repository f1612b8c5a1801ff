"""A log that has intents wait holds up no event loop, and nothing leaves before it is kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tracewall import AsyncClientCursor
from tracewall.audit.log import FileLog
from tracewall.audit.search import joined
from tracewall.audit.verify import records, verify
from tracewall.errors import AuditUnavailable, Forbidden, TokenRejected
from tracewall.events import Ended, Incident, Moment, What, Who
from tracewall.testing import Bench

POLICY = """
version = 1
[[issuers]]
name = "test"
issuer = "https://idp.test"
audience = "api"
keys = "jwks.json"
[[grants]]
name = "all"
groups = ["staff"]
actions = ["select", "insert"]
tables = ["public.*"]
"""


class Slow:
    """A log in files that waits, and then keeps what it was told, or refuses it."""

    patience = 30.0

    def __init__(self, directory: Path) -> None:
        self._log = FileLog(directory)
        self.free = threading.Event()
        self.free.set()
        self.broken = False
        self.error: Exception | None = None

    def _wait(self) -> None:
        assert self.free.wait(60)
        if self.error is not None:
            raise self.error
        if self.broken:
            raise AuditUnavailable("it is broken")

    def intent(self, who: Who, what: What, moment: Moment | None = None) -> int:
        self._wait()
        return self._log.intent(who, what, moment)

    def outcome(self, intent: int, ended: Ended) -> None:
        assert intent >= 0, "a ticket is no number"
        self._log.outcome(intent, ended)

    def incident(self, incident: Incident) -> None:
        self._wait()
        self._log.incident(incident)

    def flush(self, kept: str = "") -> None:
        self._wait()
        self._log.flush(kept)

    def close(self) -> None:
        self._log.close()


class House:
    """A guarded table whose log is slow, and a look at the table past the wall."""

    def __init__(self, bench: Bench, log: Slow, conninfo: str, directory: Path) -> None:
        self.bench, self.log, self.conninfo, self.directory = bench, log, conninfo, directory

    def rows(self) -> int:
        with psycopg.connect(self.conninfo) as conn:
            return len(conn.execute("select from t").fetchall())

    def statements(self) -> list[tuple[str, str]]:
        self.bench.wall.audit.flush()
        assert verify(self.directory).ok
        return [
            (each["what"]["summary"], each.get("ended", {}).get("status", "open"))
            for each in joined(records(self.directory))
            if "what" in each
        ]

    @asynccontextmanager
    async def connect(self, **options: Any) -> AsyncIterator[Any]:
        conn = await self.bench.connect_async("staff", **options)
        try:
            yield conn
        finally:
            self.log.free.set()
            await conn.close()


@pytest.fixture
def house(scratch_dsn: str, tmp_path: Path) -> Iterator[House]:
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute("create table t (id int)")
    (tmp_path / "policy.toml").write_text(POLICY)
    log = Slow(tmp_path / "slow")
    with Bench.load(tmp_path / "policy.toml", conninfo=scratch_dsn, audit=log) as bench:
        yield House(bench, log, scratch_dsn, tmp_path / "slow")
        log.broken = False
        log.free.set()


async def execute(conn: Any) -> None:
    await conn.execute("insert into t values (1)")


async def many(conn: Any) -> None:
    await conn.cursor().executemany("insert into t values (%s)", [(1,)])


async def streamed(conn: Any) -> None:
    async for _ in conn.cursor().stream("insert into t values (1) returning id"):
        pass


async def copied(conn: Any) -> None:
    async with conn.cursor().copy("copy t from stdin") as copy:
        await copy.write("1\n")


async def pipelined(conn: Any) -> None:
    async with conn.pipeline():
        await conn.execute("insert into t values (1)")


async def bound(conn: Any) -> None:
    await AsyncClientCursor(conn).execute("insert into t values (%s)", [1])


async def in_transaction(conn: Any) -> None:
    async with conn.transaction():
        await conn.execute("insert into t values (1)")


Door = Callable[[Any], Awaitable[None]]


async def many_bound(conn: Any) -> None:
    await AsyncClientCursor(conn).executemany("insert into t values (%s)", [(1,)])


DOORS: list[Door] = [
    *(execute, many, many_bound, streamed, copied, pipelined, bound, in_transaction),
]
every_door = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)


async def busy() -> None:
    """Let others run for a while; a loop that is held up never gets to the end of it."""
    for _ in range(20):
        await asyncio.sleep(0.005)


@every_door
async def test_a_loop_goes_on_while_an_intent_waits(house: House, door: Door) -> None:
    """Other tasks run, nothing has left; then the statement is sent, and its outcome told."""
    async with house.connect(autocommit=True) as conn:
        house.log.free.clear()
        task = asyncio.create_task(door(conn))  # type: ignore[arg-type]
        await busy()
        assert not task.done() and house.rows() == 0
        house.log.free.set()
        await task
        assert house.rows() == 1
    assert {status for _, status in house.statements()} == {"ok"}


async def test_what_was_sent_before_waits_too(house: House) -> None:
    """A statement that is prepared and comes again leaves no sooner than its intent is kept."""
    async with house.connect(autocommit=True, prepare_threshold=0) as conn:
        for sent in (1, 2, 3):
            house.log.free.clear()
            task = asyncio.create_task(execute(conn))
            await busy()
            assert not task.done() and house.rows() == sent - 1
            house.log.free.set()
            await task
            assert house.rows() == sent
    assert {status for _, status in house.statements()} == {"ok"}


@every_door
async def test_without_its_intent_nothing_is_sent(house: House, door: Door) -> None:
    """A log that refuses refuses the statement, and the connection stays usable."""
    async with house.connect(autocommit=True) as conn:
        house.log.broken = True
        with pytest.raises(AuditUnavailable) as refused:
            await door(conn)
        assert house.rows() == 0 and refused.value.__context__ is None
        house.log.broken = False
        if not conn.closed:
            await conn.execute("insert into t values (2)")
            assert house.rows() == 1
    assert set(house.statements()) <= {("INSERT public.t", "ok")}


@every_door
async def test_a_cancelled_task_sends_nothing(house: House, door: Door) -> None:
    """Cancelled while its intent is on its way, a statement never leaves, and is `abandoned`."""
    async with house.connect(autocommit=True) as conn:
        house.log.free.clear()
        task = asyncio.create_task(door(conn))  # type: ignore[arg-type]
        await busy()
        task.cancel()
        # A rollback waits for its record, too.
        asyncio.get_running_loop().call_later(0.1, house.log.free.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(house.log.free.wait)
        await busy()
        assert house.rows() == 0
        if not conn.closed:
            await conn.execute("insert into t values (2)")
            assert house.rows() == 1
    told = [each for each in house.statements() if each[0].startswith(("INSERT", "COPY"))]
    assert told[0][1] == "abandoned"
    assert [status for _, status in told[1:]] in ([], ["ok"])


async def test_a_commit_that_is_not_kept_is_rolled_back(house: House) -> None:
    """Whether its intent is refused or its task cancelled: nothing of it lasts."""
    for cancelled in (False, True):
        async with house.connect() as conn:
            await conn.execute("insert into t values (1)")
            if cancelled:
                house.log.free.clear()
                task = asyncio.create_task(conn.commit())
                await busy()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                house.log.free.set()
            else:
                house.log.broken = True
                with pytest.raises(AuditUnavailable):
                    await conn.commit()
                house.log.broken = False
            assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert house.rows() == 0


async def test_a_rollback_is_never_kept_from_it(house: House) -> None:
    """It leaves though nothing can be recorded of it, or its task is cancelled."""
    for cancelled in (False, True):
        async with house.connect() as conn:
            await conn.execute("insert into t values (1)")
            house.log.broken = not cancelled
            if cancelled:
                house.log.free.clear()
            task = asyncio.create_task(conn.rollback())
            await busy()
            if cancelled:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            house.log.broken = False
            house.log.free.set()


async def test_a_refusal_is_raised_once_it_is_kept(house: House) -> None:
    """Also what is refused is on record before the caller hears of it, or is not refused so."""
    async with house.connect(autocommit=True) as conn:
        for statement, told in ((conn.execute, (1,)), (conn.cursor().executemany, [(1,)])):
            house.log.free.clear()
            task = asyncio.create_task(statement("delete from t where id = %s", told))
            await busy()
            assert not task.done()
            house.log.free.set()
            with pytest.raises(Forbidden):
                await task
            house.log.broken = True
            with pytest.raises(AuditUnavailable):
                await statement("delete from t where id = %s", told)
            house.log.broken = False
    told_of = [each for each in house.statements() if each[0].startswith("DELETE")]
    assert told_of == [("DELETE public.t", "refused")] * 2


async def test_logging_in_and_out_hold_up_nobody(house: House) -> None:
    """What is recorded of a connection, and of a token that is refused, is waited for aside."""
    house.log.free.clear()
    task = asyncio.create_task(house.bench.connect_async("staff"))
    await busy()
    assert not task.done()
    house.log.free.set()
    conn = await task
    house.log.free.clear()
    closing = asyncio.create_task(conn.close())
    await busy()
    assert not closing.done()
    house.log.free.set()
    await closing
    house.log.free.clear()
    task = asyncio.create_task(house.bench.connect_async(token="none"))
    await busy()
    assert not task.done()
    house.log.free.set()
    with pytest.raises(TokenRejected):
        await task


async def test_nobody_waits_for_longer_than_the_log_says(house: House) -> None:
    """Also where more wait than threads tell the log; what it keeps later is `abandoned`."""
    connections = [await house.bench.connect_async("staff", autocommit=True) for _ in range(3)]
    for conn in connections:
        conn._session.offering.patience = 0.2
    house.log.free.clear()
    found = await asyncio.gather(*map(execute, connections), return_exceptions=True)
    assert [type(each) for each in found] == [AuditUnavailable] * 3
    house.log.free.set()
    for conn in connections:
        await conn.close()
    assert house.rows() == 0
    assert house.statements() == [("INSERT public.t", "abandoned")] * 3


async def test_a_log_that_does_not_wait_is_told_where_it_is_called(house: House) -> None:
    """With `buffered` and `written` no thread comes between."""
    house.log.patience = 0.0
    async with house.connect() as conn:
        assert conn._session.offering is None
    assert FileLog(house.directory.parent / "a").patience == 0.0
    assert FileLog(house.directory.parent / "b", durability="synced").patience > 0
