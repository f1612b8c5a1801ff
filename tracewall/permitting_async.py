"""Having people asked, and waiting for them: what blocks, outside of a connection's lock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

from psycopg import errors as e
from psycopg.pq import TransactionStatus

from tracewall import reception
from tracewall.admission import Admission
from tracewall.approval.desk import Permit
from tracewall.asked import Pending
from tracewall.budgets import Aside, until_aside
from tracewall.errors import ApprovalRequired, Forbidden

if True:  # ASYNC
    import asyncio
    from concurrent.futures import Future
    from math import isfinite

    from tracewall.audit.failing import LATE
    from tracewall.errors import AuditUnavailable

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
            reception.claim, session, said.approval, found.act, found.rules
        )
    answer = await asyncio.to_thread(reception.submit, session, found)
    if isinstance(answer, Permit):
        return answer
    if said.wait > 0 and _is_free(conn):
        decided = await _decided(session, answer.request_id, monotonic() + said.wait)
        if decided and _is_free(conn):
            return await asyncio.to_thread(
                reception.claim, session, answer.request_id, found.act, found.rules
            )
    raise answer


async def _decided(session: Any, id: str, deadline: float) -> bool:
    while await asyncio.to_thread(reception.is_pending, session, id):
        left = deadline - monotonic()
        if left <= 0:
            return False
        await asyncio.to_thread(reception.wait, session, id, min(LOOK_SECONDS, left))
    return True


def _is_free(conn: Any) -> bool:
    # Locks of a transaction would be held while people think.
    return bool(conn._wire.transaction_status == TransactionStatus.IDLE)


async def required(conn: Any, found: Pending) -> ApprovalRequired:
    """Have people asked about what can't go on; give the error that says so."""
    return await asyncio.to_thread(reception.submit_late, conn._session, found)


async def settle(conn: Any, permit: Permit, outcome: str) -> None:
    """Keep what became of a permit."""
    if outcome:
        await asyncio.to_thread(reception.settle, conn._session, permit, outcome)


async def driven(
    generator: Any, wait: Callable[[Any], Awaitable[Any]], error: BaseException | None = None
) -> Any:
    """Run a generator of a connection; what blocks in it is done outside of the event loop.

    Args:
        generator: as `Connection.wait` takes.
        wait: the connection's own way to wait.
        error: is raised in it first.
    """
    while True:
        step = await wait(until_aside(generator, error))
        if not isinstance(step, Aside):
            return step.value
        error = None
        try:
            if True:  # ASYNC
                if step.future is not None:
                    await until_kept(step.future, step.seconds)
                    continue
            await asyncio.to_thread(step.run)
        except Exception as ex:
            # For the generator to raise, where its caller expects it.
            error = ex
        except BaseException:
            # What the generator has begun it undoes, as after a statement that was cancelled.
            with suppress(e.Error):
                await driven(generator, wait, e.QueryCanceled("interrupted while waiting"))
            raise


if True:  # ASYNC

    async def until_kept(told: Future[Any], seconds: float) -> None:
        """Return when a record is kept.

        Raises:
            AuditUnavailable: it is not, within so many seconds.
        """
        late = False
        try:
            async with asyncio.timeout(seconds if isfinite(seconds) else None):
                await asyncio.wrap_future(told)
        except TimeoutError:
            late = True
        if late:
            raise AuditUnavailable(LATE)


async def give_back(admission: Admission | None) -> None:
    """Give back what was reserved of budgets, and not had; where that fails it stays taken."""
    meter = admission.meter if admission is not None else None
    if meter is not None and meter.left:
        with suppress(Forbidden):
            await asyncio.to_thread(meter.give_back)


def stop(admission: Admission | None) -> None:
    """Count no more of a statement, of which nothing more is handed out."""
    if admission is not None and admission.meter is not None:
        admission.meter.stop()


@asynccontextmanager
async def settled(conn: Any, permit: Permit) -> AsyncIterator[None]:
    """Keep what became of a permit when the block ends."""
    try:
        yield
    except BaseException as ex:
        await settle(conn, permit, reception.ending(conn, ex))
        raise
    await settle(conn, permit, "done")
