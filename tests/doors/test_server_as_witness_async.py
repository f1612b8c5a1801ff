"""The server as a witness: what it was sent through all doors is what was admitted, no more.

The server writes down every statement that reaches it (log_statement = all), which is
compared with the audit record by the hash of its exact bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types import TypeInfo

import tracewall
from tracewall import AsyncConnection
from tracewall.audit.verify import records
from tracewall.sql.catalog import FINGERPRINT, QUERIES

COLUMNS = "run_id, seq, kind, started_at, duration_ms, tokens, content"
SECRET = "SELECT client_ip FROM traces.runs"
# What the wall sends in its own name, and psycopg for a transaction or a cursor that was judged.
OWN = re.compile(
    r"SELECT (?:(?:, )?pg_catalog\.set_config\(\$\d+, \$\d+, false\))+|DISCARD ALL|DEALLOCATE ALL"
    r"|BEGIN|COMMIT|ROLLBACK|(?:SAVEPOINT|RELEASE|ROLLBACK TO) \"\w+\""
    r"|(?:FETCH FORWARD|MOVE)[ \w-]* FROM \"\w+\"|CLOSE \"\w+\""
)
LINE = re.compile(r".*?\[(\d+)\].*?LOG:  (?:statement|execute [^:]*): (.*)", re.DOTALL)


class Witness:
    """The server's log, from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin = path.stat().st_size

    def sent(self, pids: set[int]) -> list[str]:
        """Give the statements that processes of the server were sent."""
        said = self._path.read_bytes()[self._begin :].decode("utf-8", "replace")
        entries = (LINE.fullmatch(entry.rstrip("\n")) for entry in re.split(r"\n(?!\t)", said))
        return [
            entry[2].replace("\n\t", "\n") for entry in entries if entry and int(entry[1]) in pids
        ]


@pytest.fixture
def witness(guard: Any, server: Any) -> Iterator[Witness]:
    """The log of the server, which writes down whatever the service's role sends."""
    if not server.embedded:
        pytest.skip("the log of a server that is not ours is out of reach")
    role = sql.Identifier(guard.store.role)
    with psycopg.connect(guard.store.admin_dsn, autocommit=True) as conn:
        told = conn.execute("SHOW data_directory").fetchone()
        assert told is not None
        conn.execute(sql.SQL("ALTER ROLE {} SET log_statement = 'all'").format(role))
        yield Witness(Path(told[0]) / "log")
        conn.execute(sql.SQL("ALTER ROLE {} RESET log_statement").format(role))


def recorded(guard: Any, sessions: set[str]) -> tuple[set[str], set[str]]:
    """Give the hashes of statements that were admitted and of those refused, by the record."""
    guard.wall.audit.flush()
    kept = [
        each for path in sorted((guard.folder / "audit").glob("*.jsonl")) for each in records(path)
    ]
    mine = [
        each for each in kept if each["kind"] == "intent" and each["who"]["session"] in sessions
    ]
    assert mine
    ended = {each["intent"]: each["ended"]["status"] for each in kept if each["kind"] == "outcome"}
    refused = {each["what"]["sha256"] for each in mine if ended[each["n"]] == "refused"}
    return {each["what"]["sha256"] for each in mine} - refused, refused


def digests(texts: list[str]) -> set[str]:
    """Give the hashes of statements, as the record has them."""
    return {hashlib.sha256(text.encode()).hexdigest() for text in texts}


async def queries(conn: Any) -> None:
    """Send queries in each way there is."""
    for kind in (tracewall.AsyncCursor, tracewall.AsyncClientCursor, psycopg.AsyncCursor):
        cursor = kind(conn)
        for binary in (False, kind is not tracewall.AsyncClientCursor):
            await cursor.execute(
                "SELECT run_id, api_key FROM traces.runs LIMIT %s",
                (3,),
                binary=binary,
                prepare=True,
            )
            assert len(await cursor.fetchall()) == 3
        with pytest.raises(tracewall.Forbidden):
            await cursor.execute(SECRET)
        await cursor.close()
    raw = tracewall.AsyncRawCursor(conn)
    await raw.execute("SELECT run_id FROM traces.runs LIMIT $1", (2,))
    await conn.execute(
        sql.SQL("SELECT {} FROM traces.runs LIMIT 1").format(sql.Identifier("run_id"))
    )
    await conn.execute("")
    cursor = conn.cursor()
    assert len([row async for row in cursor.stream("SELECT run_id FROM traces.runs LIMIT 4")]) == 4
    with suppress(tracewall.Forbidden):
        async for _ in cursor.stream(SECRET):
            raise AssertionError("not refused")
    async with conn.cursor("page", scrollable=True, withhold=conn.autocommit) as page:
        await page.execute("SELECT run_id, api_key FROM traces.runs LIMIT 9")
        await page.fetchmany(4)
        await page.scroll(-2)
        assert len(await page.fetchall()) == 7
    async with conn.cursor().copy(
        "COPY (SELECT run_id, api_key FROM traces.runs LIMIT 5) TO STDOUT"
    ) as copy:
        assert len([row async for row in copy.rows()]) == 5
    with suppress(tracewall.Forbidden):
        async with conn.cursor().copy(f"COPY ({SECRET}) TO STDOUT"):
            raise AssertionError("not refused")
    with suppress(tracewall.Forbidden):
        await TypeInfo.fetch(conn, "text")
    conn.explain(SECRET)


async def writes(conn: Any) -> None:
    """Write in each way there is, and take it back."""
    (run,) = await (await conn.execute("SELECT run_id FROM traces.runs LIMIT 1")).fetchone()
    insert = f"INSERT INTO traces.steps ({COLUMNS}) VALUES (%s, %s, 'reasoning', now(), 1, 1, %s)"
    rows = [(run, 9_000 + at, "a thought") for at in range(3)]
    async with conn.transaction(force_rollback=True):
        cursor = conn.cursor()
        await cursor.executemany(insert, rows)
        await cursor.executemany(
            "UPDATE traces.steps SET content = 'b' WHERE run_id = %s AND seq = %s RETURNING seq",
            [(run, seq) for _, seq, _ in rows],
            returning=True,
        )
        async with conn.transaction():
            await tracewall.AsyncClientCursor(conn).executemany(
                "DELETE FROM traces.steps WHERE run_id = %s AND seq = %s",
                [(run, 9_000), (run, 9_001)],
            )
        async with conn.pipeline():
            found = await conn.execute("SELECT count(*) FROM traces.steps WHERE seq = %s", (9_002,))
            await conn.execute("SELECT run_id FROM traces.runs LIMIT 1")
            assert await found.fetchone() == (1,)
        async with cursor.copy(f"COPY traces.steps ({COLUMNS}) FROM STDIN") as copy:
            await copy.write_row((run, 9_100, "reasoning", "2026-01-01", 1, 1, "c"))
        with pytest.raises(tracewall.Forbidden):
            await conn.execute("DELETE FROM traces.runs")
        with pytest.raises(tracewall.Forbidden):
            await cursor.executemany("DELETE FROM traces.runs WHERE run_id = %s", [("x",), ("y",)])


async def test_the_server_saw_what_was_admitted_and_nothing_else(
    guard: Any, witness: Witness
) -> None:
    """Each statement in the server's log was admitted or is the guard's, and none is missing."""
    pids, sessions = set(), set()
    for autocommit in (False, True):
        async with await AsyncConnection.connect(wall=guard.wall, autocommit=autocommit) as conn:
            pids.add(conn.info.backend_pid)
            sessions.add(conn._session.id)
            for token, doors in ((guard.analyst, queries), (guard.operator, writes)):
                with guard.wall.acting_as(token):
                    await doors(conn)
                    await conn.commit()
    sent = witness.sent(pids)
    admitted, stopped = recorded(guard, sessions)
    questions = {tuple(question.split()) for question in (FINGERPRINT, *QUERIES)}
    others = [
        text
        for text in sent
        if not OWN.fullmatch(text) and tuple(text.encode().split()) not in questions
    ]
    seen = digests(others)
    assert seen - admitted == set()
    # The server does not write down that there was an empty statement.
    assert admitted - digests(sent) <= digests([""])
    assert stopped and not stopped & digests(sent)
    assert len(others) > 40
