"""Observing by every door: the same statements pass, and masks hold where they are kept."""

from __future__ import annotations

from typing import Any

import pytest

import tracewall
from tracewall.errors import Forbidden

SECRET = "select secret, card from orders where id = 1"


@pytest.mark.parametrize("masks", ["enforce", "observe"])
def test_each_door_lets_through_and_masks_as_said(house: Any, section: Any, masks: str) -> None:
    """Server cursors, streams, batches, pipelines and COPY give what rules refuse."""
    shown = "[redacted]" if masks == "enforce" else "4111111111111111"
    wanted = [("CANARY-7c1", shown)]
    with house.wall(section(house.clock, masks=masks)) as wall:
        with tracewall.connect(wall=wall, token=house.token("staff")) as conn:
            with conn.cursor("named") as named:
                assert named.execute(SECRET).fetchall() == wanted
            with conn.cursor() as cursor:
                with conn.pipeline():
                    cursor.execute(SECRET)
                    assert cursor.fetchall() == wanted
                cursor.executemany("insert into other values (%s)", [(1,), (2,)])
                with cursor.copy(f"copy ({SECRET}) to stdout") as copy:
                    assert list(copy.rows()) == wanted
                with cursor.copy("copy other from stdin") as copy:
                    copy.write_row((3,))
                # Last: after a stream psycopg's own pipelines fail, too.
                assert list(cursor.stream(SECRET)) == wanted
            conn.rollback()
    told = [what for what in house.said() if "secret" in what["text"]]
    assert len(told) >= 4
    assert {what["would"]["outcome"] for what in told} == {"would_refuse"}


async def test_asynchronous_doors_do_too(house: Any, section: Any) -> None:
    """The asynchronous connection is observed alike, and enforced when it is over."""
    with house.wall(section(house.clock)) as wall:
        conn = await tracewall.AsyncConnection.connect(
            wall=wall, token=house.token("staff", lifetime=9_000), autocommit=True
        )
        async with conn:
            cursor = await conn.execute(SECRET)
            assert await cursor.fetchall() == [("CANARY-7c1", "[redacted]")]
            house.clock.advance(3601)
            with pytest.raises(Forbidden):
                await conn.execute(SECRET)
