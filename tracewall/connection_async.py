"""The guarded `AsyncConnection`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, cast

import psycopg
from psycopg import Notify
from psycopg import errors as e
from psycopg.pq import TransactionStatus
from psycopg.rows import AsyncRowFactory, Row

from tracewall.asked import Pending, asking
from tracewall.connection_base import (
    GuardedConnection,
    GuardedPipeline,
    connecting,
    identify,
    login,
)
from tracewall.cursor_async import AsyncCursor, AsyncDoors, AsyncServerCursor
from tracewall.errors import known_sqlstate
from tracewall.handover import welcome_gen
from tracewall.hearing import hear_gen, left_over
from tracewall.identity.provider import TokenProvider
from tracewall.learning import refresh_gen
from tracewall.locks import Lock
from tracewall.permitting_async import driven, required
from tracewall.sending import break_if_piped, broken_off, check_process, let_go
from tracewall.session import Session
from tracewall.wall import Wall

if True:  # ASYNC
    import asyncio
    import inspect

    from tracewall.errors import TokenRejected
    from tracewall.identity.provider import is_asynchronous
    from tracewall.offering import acquaint, strangers
    from tracewall.permitting_async import until_kept
    from tracewall.telemetry import Span

if TYPE_CHECKING:
    from psycopg.abc import RV, AdaptContext, ConnParam, Params, PQGen, Query

WAIT_INTERVAL = 0.1
"""Seconds between two looks at signals while waiting, as psycopg's own."""


def _until(deadline: float | None) -> float:
    return max(0.001, min(WAIT_INTERVAL, (deadline or inf) - monotonic()))


if True:  # ASYNC

    async def _told(session: Session) -> None:
        """Return when what a session has told last is kept; raises AuditUnavailable."""
        offering = session.offering
        if offering is not None and offering.last is not None:
            await until_kept(offering.last, offering.longest)

    async def _identified(session: Session, span: Span | None) -> None:
        """Return when it is known who acts; raises TokenRejected once that is kept."""
        try:
            identify(session, span)
        except TokenRejected:
            await _told(session)
            raise

    async def _closed(session: Session, idle: bool) -> None:
        """Record that a connection ends; raises AuditUnavailable."""
        if session.offering is None:
            session.close(idle=idle)
        else:
            # Here, where no other task can be about to send what this ends.
            session.abandon()
            await asyncio.to_thread(session.close, idle=idle)


class _AsyncPipeline(GuardedPipeline, psycopg.AsyncPipeline):
    """What `AsyncConnection.pipeline` gives."""


async def _renew(session: Session) -> None:
    """Do what a session needs done that blocks or awaits: keys to read, a token to ask for."""
    caller = session.caller
    try:
        provider = caller.asks()
        if provider is not None:
            caller.take(await _answer(provider))
        if True:  # ASYNC
            await asyncio.to_thread(caller.refresh)
        else:
            caller.refresh()
    except BaseException:
        # Broken off: the next statement begins with it anew.
        caller.look_again()
        raise


async def _answer(provider: TokenProvider) -> object:
    """Give the token of a provider, or the exception that came in its place."""
    try:
        if True:  # ASYNC
            if is_asynchronous(provider):
                answer: object = provider()
            else:
                answer = await asyncio.to_thread(provider)
            if inspect.isawaitable(answer):
                answer = await answer
        else:
            answer = provider()
    except Exception as ex:
        # What it raised may hold a secret of the provider's: only its type is told.
        return ex
    return answer


class AsyncConnection(GuardedConnection[Row], psycopg.AsyncConnection[Row]):
    """A guarded `psycopg.AsyncConnection`: every statement is judged, every result masked."""

    _doors = AsyncDoors

    def __init__(self, pgconn: Any, row_factory: Any = psycopg.rows.tuple_row) -> None:
        super().__init__(pgconn, row_factory)
        self.cursor_factory = AsyncCursor
        self.server_cursor_factory = AsyncServerCursor
        if True:  # ASYNC
            pass
        else:
            self.lock = Lock()

    @classmethod
    async def connect(  # type: ignore[override]  # two options more than psycopg's
        cls,
        conninfo: str = "",
        *,
        wall: Wall | None = None,
        token: str | TokenProvider | None = None,
        autocommit: bool = False,
        prepare_threshold: int | None = 5,
        context: AdaptContext | None = None,
        row_factory: AsyncRowFactory[Row] | None = None,
        cursor_factory: type[psycopg.AsyncCursor[Row]] | None = None,
        **kwargs: ConnParam,
    ) -> Self:
        """Log in with the wall's credential, and guard the connection.

        Args:
            conninfo: a libpq connection string; only what `CALLERS_OPTIONS` lists may
                differ from the wall's own.
            wall: the wall that guards; by default the one that ``TRACEWALL_CONFIG`` names.
            token: the caller's OIDC token, or a function or coroutine function that gives
                one and is called again shortly before it expires; None: whoever
                `Wall.acting_as` says at each statement.
            autocommit: as in psycopg; so are the options below.
            prepare_threshold: see psycopg.
            context: see psycopg.
            row_factory: see psycopg.
            cursor_factory: see psycopg; a class that is not guarded is taken in.
            **kwargs: connection options, as in psycopg.

        Raises:
            TokenRejected: the token is refused; no connection was made.
            Forbidden: a connection option is not the caller's to set.
            PolicyError: there is no wall, or its policy does not fit the catalog.
        """
        wall = wall or Wall.from_environment()
        params = login(wall, conninfo, dict(kwargs))
        session = Session(wall, token)
        if True:  # ASYNC
            session.offer()
        if session.caller.stale():
            await _renew(session)
        span = connecting(wall, params)
        if token is not None:
            if True:  # ASYNC
                await _identified(session, span)
            else:
                identify(session, span)
        failure: e.Error | None = None
        try:
            rv = await super().connect(
                "",
                autocommit=autocommit,
                prepare_threshold=prepare_threshold,
                context=context,
                row_factory=row_factory,
                **cast(Any, params),
            )
        except e.Error as ex:
            # A failed log-in's error holds the connection, and that the password.
            failure = type(ex)(*ex.args)
        except BaseException as ex:
            wall.telemetry.connected(span, error_type=type(ex).__name__)
            raise
        if failure is not None:
            state, kind = known_sqlstate(failure.sqlstate or ""), type(failure).__name__
            wall.telemetry.connected(span, sqlstate=state, error_type=kind)
            session.tell("login_failed", state)
            if True:  # ASYNC
                await _told(session)
            raise failure
        wall.telemetry.connected(span, session=session.id)
        await rv._settle(session)
        if cursor_factory:
            rv.cursor_factory = cursor_factory
        return rv

    async def _settle(self, session: Session) -> None:
        try:
            self._guard(session)
            await self.wait(self._settle_gen())
            session.tell("connected")
            if True:  # ASYNC
                await _told(session)
        except BaseException:
            await self.close()
            raise

    async def _welcome(self) -> None:
        """Hand the connection to whoever acts now, and look at the catalog, before a pipeline."""
        session = self._session
        if session is None or self._pipeline is not None:
            return
        async with self.lock:
            # In its turn only: a statement of another's may be on its way.
            if session.newcomer() is not None or session.known.outdated():
                await self.wait(welcome_gen(self))
                await self.wait(refresh_gen(self))

    async def notifies(
        self, *, timeout: float | None = None, stop_after: int | None = None
    ) -> AsyncGenerator[Notify]:
        """Yield notifications as they come, of channels that may be listened to, searched.

        Args:
            timeout: how long to wait (seconds); None: for ever.
            stop_after: stop after so many; more that came with the last one come too.
        """
        await self._welcome()
        deadline = monotonic() + timeout if timeout is not None else None
        received = 0
        async with self.lock:
            self._check_connection_ok()
            if self._session is not None:
                # While this waited for its turn, another may have taken the connection.
                self._session.check_holder()
            self._hearing = left_over(self)
            try:
                while True:
                    while self._hearing:
                        yield self._hearing.popleft()
                        received += 1
                    if stop_after is not None and received >= stop_after:
                        break
                    if not await self.wait(hear_gen(self, deadline), _until(deadline)):
                        break
            finally:
                rest, self._hearing = self._hearing, None
                self._notifies_backlog = rest

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[psycopg.AsyncPipeline]:
        """Context manager to switch the connection into pipeline mode."""
        await self._welcome()
        try:
            async with super().pipeline() as made:
                made.__class__ = _AsyncPipeline
                yield made
        finally:
            if self._session is not None and self._pipeline is None:
                # What has no result by now gets none any more.
                self._session.abandon(queued=True)
                break_if_piped(self)

    async def wait(
        self, gen: PQGen[RV], interval: float = WAIT_INTERVAL, timeout: float | None = None
    ) -> RV:
        """Consume a generator operating on the connection; errors come out scrubbed."""
        session = self._session
        if session is not None and session.is_forked():
            check_process(self)
        try:
            if session is not None and session.caller.stale():
                await _renew(session)
            if session is not None and session.metered:
                return await self._driven(gen, interval, timeout)
            if timeout is None:
                return await super().wait(gen, interval)
            return await super().wait(gen, interval, timeout)
        except e.Error as ex:
            failure = self._scrubbed(ex)
        except BaseException as ex:
            broken_off(self, gen, ex)
            raise
        finally:
            if session is not None and session.fresh is not None:
                session.forsake()
        if isinstance(failure, Pending) and failure.late:
            failure = await required(self, failure)
        # Outside the except block, so that the raw error is nobody's context.
        raise failure

    async def _driven(self, gen: PQGen[RV], interval: float, timeout: float | None) -> RV:
        """Consume a generator that may wait for what counts rows over time, or for the record."""
        if True:  # ASYNC
            session = self._session
            if session is not None and session.offering is not None and strangers(session):
                await asyncio.to_thread(acquaint, session)
        run, late = super().wait, () if timeout is None else (timeout,)
        found: RV = await driven(gen, lambda each: run(each, interval, *late))
        return found

    async def execute(
        self,
        query: Query,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool = False,
        **words: Any,
    ) -> psycopg.AsyncCursor[Row]:
        """Execute a statement on a new cursor, and give that; see the cursor's ``execute``.

        Args:
            query: as in psycopg; so are ``params``, ``prepare`` and ``binary``.
            params: see psycopg.
            prepare: see psycopg.
            binary: see psycopg.
            **words: what is said to those who may have to approve, as in `asking`.
        """
        # What psycopg takes is its own to say: a release may take templates too.
        run: Any = super().execute
        if not words:
            made: psycopg.AsyncCursor[Row]
            made = await run(query, params, prepare=prepare, binary=binary)
            return made
        with asking(**words):
            made = await run(query, params, prepare=prepare, binary=binary)
            return made

    async def close(self) -> None:
        """Close the connection, after what the audit log still holds back is written."""
        returns = getattr(getattr(self, "_pool", None), "close_returns", False)
        session = None if returns else self._session
        if session is not None and session.is_forked():
            let_go(self)
        try:
            if session is not None and self.closed:
                session.abandon()
            elif session is not None:
                idle = self._wire.transaction_status == TransactionStatus.IDLE
                if True:  # ASYNC
                    await _closed(session, idle)
                else:
                    session.close(idle=idle)
        finally:
            await super().close()
