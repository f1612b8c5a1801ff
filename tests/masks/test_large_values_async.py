"""Large values: at every door the limits hold, and nothing of what is beyond them comes out."""

from __future__ import annotations

import json
from typing import Any

import pytest

import tracewall
from tracewall.errors import Withheld

RULES = """
[limits]
masked_value = 1000
[detect]
places = 40
[[masks]]
name = "card"
columns = ["zoo.big.card"]
method = "partial"
keep_last = 2
[[masks]]
name = "raw"
columns = ["zoo.big.raw"]
method = "hash"
[[masks]]
name = "doc"
columns = ["zoo.big.doc"]
method = "redact"
paths = ["$..secret"]
[[masks]]
name = "name"
columns = ["zoo.big.name"]
method = "redact"
[[scans]]
name = "note"
columns = ["zoo.big.note"]
detectors = ["*"]
[[scans]]
name = "long"
columns = ["zoo.big.long"]
detectors = ["*"]
longest = 500
"""


@pytest.fixture(scope="module")
def big(zoo: Any) -> Any:
    """Fill a table with values beyond each limit, and give a wall."""
    zoo.plain.execute(
        "CREATE TABLE zoo.big (card text, raw bytea, doc jsonb, name text, note text, long text)"
    )
    near = "token:" * 100 + "zqk@example.com"
    document = json.dumps({"secret": "zqk" * 400})
    zoo.plain.execute(
        "INSERT INTO zoo.big VALUES (%s, %s, %s, %s, %s, %s)",
        ("zqk" * 400, b"zqk" * 400, document, "zqk" * 400, near, "zqk " * 200),
    )
    return zoo.load(RULES, mask_key=b"k" * 32)


async def fetched(conn: Any, sql: str) -> list[Any]:
    """Fetch all rows."""
    return await (await conn.execute(sql)).fetchall()


async def declared(conn: Any, sql: str) -> list[Any]:
    """Fetch by a server-side cursor."""
    async with conn.transaction(), conn.cursor("zoo") as cursor:
        return await (await cursor.execute(sql)).fetchall()


async def streamed(conn: Any, sql: str) -> list[Any]:
    """Take rows from a stream."""
    return [row async for row in conn.cursor().stream(sql)]


async def copied(conn: Any, sql: str) -> list[Any]:
    """Copy rows out."""
    async with conn.cursor().copy(f"COPY ({sql}) TO STDOUT") as copy:
        copy.set_types(["text"])
        return [row async for row in copy.rows()]


DOORS = [fetched, declared, streamed, copied]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("column", ["card", "raw", "doc"])
async def test_a_value_beyond_the_limit_is_withheld_at_every_door(
    zoo: Any, big: Any, door: Any, column: str
) -> None:
    """The words name the limit, and hold nothing of the value."""
    async with await aconnected(zoo, big) as conn:
        with pytest.raises(Withheld, match="more than 1000 bytes") as caught:
            await door(conn, f"SELECT {column} FROM zoo.big")
        assert "limits.masked_value" in str(caught.value) and "zqk" not in str(caught.value)


@pytest.mark.parametrize("door", DOORS)
async def test_what_is_hidden_unread_may_have_any_size(zoo: Any, big: Any, door: Any) -> None:
    """Such are constants, texts longer than a scan reads, and what follows too many places."""
    async with await aconnected(zoo, big) as conn:
        ((name,),) = await door(conn, "SELECT name FROM zoo.big")
        ((long,),) = await door(conn, "SELECT long FROM zoo.big")
        ((note,),) = await door(conn, "SELECT note FROM zoo.big")
    assert name.startswith("[masked:name:") and long == "[oversized]"
    assert note == "[oversized]"


async def aconnected(zoo: Any, wall: tracewall.Wall) -> Any:
    """Connect a member of the staff."""
    token = zoo.issuer.mint("ann", ["staff"], audience="zoo")
    return await tracewall.AsyncConnection.connect(wall=wall, token=token, autocommit=True)
