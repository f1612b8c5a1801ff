"""LISTEN and NOTIFY: heard where granted, searched before anybody sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

import tracewall
from tracewall import AsyncConnection

GRANTS = """
[[grants]]
name = "news"
groups = ["analysts", "operators"]
actions = ["listen"]
channels = ["news*"]
"""


@pytest.fixture
async def wall(guard: Any, tmp_path: Any) -> AsyncIterator[Any]:
    """A wall that lets analysts listen to some channels."""
    policy = tmp_path / "tracewall.toml"
    policy.write_text((guard.folder / "tracewall.toml").read_text() + GRANTS)
    guard.issuer.write_jwks(tmp_path / "jwks.json")
    with tracewall.Wall.load(policy, password=lambda: guard.store.password) as made:
        yield made


@pytest.fixture
async def conn(guard: Any, wall: Any) -> AsyncIterator[Any]:
    """A connection of an analyst."""
    made = await AsyncConnection.connect(wall=wall, token=guard.analyst, autocommit=True)
    async with made as conn:
        yield conn


async def heard(conn: Any, **options: Any) -> list[tuple[str, str]]:
    """Give what comes within a while."""
    options = {"timeout": 5, "stop_after": 1} | options
    return [(each.channel, each.payload) async for each in conn.notifies(**options)]


async def test_a_granted_channel_is_heard_and_searched(conn: Any, guard: Any) -> None:
    """A payload comes with what scans find in it masked, a document's members included."""
    await conn.execute("listen news")
    guard.raw("notify news, 'write to someone@example.com'")
    assert await heard(conn) == [("news", "write to [email]")]
    guard.raw("""notify news, '{"mail": "someone@example.com"}'""")
    assert "someone" not in (await heard(conn))[0][1]


async def test_what_comes_between_is_kept(conn: Any, guard: Any) -> None:
    """Notifications that come with other results wait for `notifies`, and stop_after holds."""
    await conn.execute("listen news_b")
    for payload in "abc":
        guard.raw(f"notify news_b, '{payload}'")
    await conn.execute("select 1")
    found = await heard(conn, stop_after=3)
    assert [payload for _, payload in found] == ["a", "b", "c"]
    assert await heard(conn, timeout=0.01) == []


async def test_other_channels_are_refused(conn: Any) -> None:
    """LISTEN on a channel that is not granted is refused, and so is NOTIFY."""
    for statement in ("listen other", "notify news", "select pg_notify('news', 'x')"):
        with pytest.raises(tracewall.Forbidden):
            await conn.execute(statement)


async def test_handlers_hear_the_same(conn: Any, guard: Any) -> None:
    """A handler of the caller's gets what `notifies` gives."""
    told: list[psycopg.Notify] = []
    conn.add_notify_handler(told.append)
    await conn.execute("listen news")
    guard.raw("notify news, 'from someone@example.com'")
    await conn.execute("select 1")
    assert [(each.channel, each.payload) for each in told] == [("news", "from [email]")]


async def test_who_may_not_listen_hears_nothing(guard: Any, wall: Any) -> None:
    """Whoever acts after the listener hears nothing of the listener's channels."""
    made = await AsyncConnection.connect(wall=wall, autocommit=True)
    async with made as conn:
        told: list[Any] = []
        conn.add_notify_handler(told.append)
        with wall.acting_as(guard.operator):
            await conn.execute("listen news")
        guard.raw("notify news, 'CANARY'")
        with wall.acting_as(guard.analyst):
            await conn.execute("select 1")
        assert told == []


async def test_a_handler_of_notices_that_fails_harms_nothing(guard: Any) -> None:
    """An exception in a notice handler stops neither the statement nor other handlers."""
    made = await AsyncConnection.connect(wall=guard.wall, token=guard.operator)
    async with made as conn:
        heard: list[Any] = []
        conn.add_notice_handler(lambda told: 1 / 0)
        conn.add_notice_handler(heard.append)
        await conn.rollback()
        await conn.execute("begin")
        await conn.execute("begin")
        assert heard[0].sqlstate == "25001" and await (await conn.execute("select 1")).fetchone()
        await conn.rollback()
