"""Having people asked, and waiting for them: what blocks, outside of a connection's lock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from psycopg.pq import TransactionStatus

from tracewall import clearance
from tracewall.approval.desk import Permit
from tracewall.asked import Pending
from tracewall.errors import ApprovalRequired

if True:  # ASYNC
    import asyncio

LOOK_SECONDS = 2.0
"""How long one look at the store may wait for news."""


async def permitted(conn: Any, found: Pending) -> Permit:
    """Give the permit for a statement: by a request to go on with, or of people asked now.

    Raises:
        ApprovalRequired: people were asked, and have not agreed yet.
        Forbidden: they did not agree, or can't be asked.
    """
    session, said = conn._session, found.said
    if said.approval:
        return await asyncio.to_thread(
            clearance.claim, session, said.approval, found.act, found.rules
        )
    answer = await asyncio.to_thread(clearance.submit, session, found)
    if isinstance(answer, Permit):
        return answer
    if said.wait > 0 and _is_free(conn):
        decided = await _decided(session, answer.request_id, monotonic() + said.wait)
        if decided and _is_free(conn):
            return await asyncio.to_thread(
                clearance.claim, session, answer.request_id, found.act, found.rules
            )
    raise answer


async def _decided(session: Any, id: str, deadline: float) -> bool:
    while await asyncio.to_thread(clearance.is_pending, session, id):
        left = deadline - monotonic()
        if left <= 0:
            return False
        await asyncio.to_thread(clearance.wait, session, id, min(LOOK_SECONDS, left))
    return True


def _is_free(conn: Any) -> bool:
    # Locks of a transaction would be held while people think.
    return bool(conn._wire.transaction_status == TransactionStatus.IDLE)


async def required(conn: Any, found: Pending) -> ApprovalRequired:
    """Have people asked about what can't go on; give the error that says so."""
    return await asyncio.to_thread(clearance.submit_late, conn._session, found)


async def settle(conn: Any, permit: Permit, outcome: str) -> None:
    """Keep what became of a permit."""
    if outcome:
        await asyncio.to_thread(clearance.settle, conn._session, permit, outcome)


@asynccontextmanager
async def settled(conn: Any, permit: Permit) -> AsyncIterator[None]:
    """Keep what became of a permit when the block ends."""
    try:
        yield
    except BaseException as ex:
        await settle(conn, permit, clearance.ending(conn, ex))
        raise
    await settle(conn, permit, "done")
