"""A long result ends with the right to it, and one in hand does not change hands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracewall
from tracewall import AsyncConnection, Wall


class Revoked:
    """Says whether everybody is revoked."""

    def __init__(self) -> None:
        self.all = False

    def __call__(self, principal: tracewall.Principal) -> bool:
        return self.all


@pytest.fixture
def revoked() -> Revoked:
    """Return what nobody is revoked by, at first."""
    return Revoked()


@pytest.fixture
def wall(guard: Any, revoked: Revoked, tmp_path: Path) -> Iterator[Wall]:
    """Return a wall of its own over the guard's store, that asks what is revoked."""
    for name in ("tracewall.toml", "jwks.json"):
        (tmp_path / name).write_text((guard.folder / name).read_text())
    password = lambda: guard.store.password  # noqa: E731
    with Wall.load(tmp_path / "tracewall.toml", password=password, revoked=revoked) as made:
        yield made


async def test_a_stream_ends_when_its_token_is_revoked(
    guard: Any, wall: Wall, revoked: Revoked
) -> None:
    """The next rows of a stream are not handed out, and the connection stays usable."""
    conn = await AsyncConnection.connect(wall=wall, token=guard.analyst, autocommit=True)
    async with conn:
        cursor, seen = conn.cursor(), 0
        with pytest.raises(tracewall.TokenRejected) as caught:
            async for _ in cursor.stream("select run_id from traces.runs limit 50"):
                seen += 1
                revoked.all = True
        assert (seen, caught.value.reason) == (1, "revoked")
        with pytest.raises(tracewall.TokenRejected):
            await conn.execute("select 1 from traces.runs limit 1")
        revoked.all = False
        assert await (await conn.execute("select 1 from traces.runs limit 1")).fetchone()


async def test_a_result_in_hand_can_be_read_to_its_end(
    guard: Any, wall: Wall, revoked: Revoked
) -> None:
    """What has come whole was admitted when it came; only the next statement is refused."""
    async with await AsyncConnection.connect(wall=wall, token=guard.analyst) as conn:
        cursor = await conn.execute("select run_id from traces.runs limit 50")
        revoked.all = True
        assert len(await cursor.fetchmany(20)) == 20
        assert len(await cursor.fetchall()) == 30
        with pytest.raises(tracewall.TokenRejected):
            await cursor.execute("select run_id from traces.runs limit 50")
