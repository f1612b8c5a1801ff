"""Approvals by asynchronous connections, and by their twins."""

from __future__ import annotations

from typing import Any

import pytest

import tracewall
from tracewall.errors import ApprovalRequired
from tracewall.testing import StaticApprover

EVERYTHING = "select id, body from note"


async def connect_async(office: Any, wall: Any) -> Any:
    return await tracewall.AsyncConnection.connect(wall=wall, token=office.token(), autocommit=True)


@pytest.fixture
def approver(office: Any) -> StaticApprover:
    return StaticApprover(["boss"], signer=office.signer)


async def test_a_request_goes_on_async(office: Any, approver: StaticApprover) -> None:
    """What people agreed to goes on by the request's id, by execute and by COPY."""
    wall = office.wall()
    async with await connect_async(office, wall) as conn:
        with pytest.raises(ApprovalRequired) as asked:
            await conn.execute(EVERYTHING)
        approver.decide(wall, asked.value.request_id)
        cursor = await conn.execute(EVERYTHING, approval=asked.value.request_id)
        assert len(await cursor.fetchall()) == 40


async def test_waiting_in_every_door_async(office: Any, approver: StaticApprover) -> None:
    """With `wait` execute, stream, COPY and cursors by name go on when somebody has agreed."""
    wall = office.wall()
    approver.serve(wall)
    async with await connect_async(office, wall) as conn:
        with tracewall.asking(wait=30):
            assert len(await (await conn.execute(EVERYTHING)).fetchall()) == 40
            assert len([row async for row in conn.cursor().stream(EVERYTHING)]) == 40
            async with conn.cursor().copy(f"copy ({EVERYTHING}) to stdout") as copy:
                assert len([row async for row in copy.rows()]) == 40
            async with conn.cursor("named", withhold=True) as named:
                await named.execute(EVERYTHING)
                assert len(await named.fetchall()) == 40
    assert [case.state for case in wall.desk.cases()] == ["done"] * 4


async def test_denied_while_waiting_async(office: Any) -> None:
    """Who waits is told at once of a denial."""
    wall = office.wall()
    StaticApprover(["boss"], "deny", signer=office.signer).serve(wall)
    async with await connect_async(office, wall) as conn:
        with pytest.raises(tracewall.Forbidden, match="denied"):
            await conn.execute(EVERYTHING, wait=30)
