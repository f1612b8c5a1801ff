"""The guarded cursors of an `AsyncConnection`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, Self

import psycopg
from psycopg import errors as e
from psycopg.abc import Params, Query
from psycopg.copy import AsyncWriter
from psycopg.rows import Row

from tracewall.asked import Pending, asking
from tracewall.copy_async import AsyncCopy
from tracewall.cursor_base import GuardedCursor
from tracewall.permitting_async import give_back, permitted, required, settle, settled, stop
from tracewall.reception import ending
from tracewall.sending import break_if_piped
from tracewall.server_cursor_base import GuardedServerCursor

_NO_WORDS = (None,) * 7
_NO_OPTIONS = {"prepare": None}


class AsyncDoors(GuardedCursor[Row]):
    """The doors whose outcome is known only after more than one step."""

    async def execute(
        self,
        query: Query,
        params: Params | None = None,
        *,
        approval: str | None = None,
        reason: str | None = None,
        ticket: str | None = None,
        reveal: Iterable[str] | None = None,
        wait: float | None = None,
        rows: int | None = None,
        break_glass: bool | None = None,
        **options: Any,
    ) -> Self:
        """Execute a statement, judged; where people have to approve of it, have them asked.

        Args:
            query: as in psycopg; so are ``params`` and the options ``prepare`` and ``binary``.
            params: see psycopg.
            approval: the id of a request to go on with; the statement must be the very same.
            reason: why, in a sentence; approvers see it.
            ticket: a ticket's name, where the policy wants one.
            reveal: names of masks and scans to be lifted, once; that is always asked for.
            wait: how long (seconds) to wait for a decision; never in a transaction.
            rows: how many rows are wanted at most.
            break_glass: go on alone, where the policy lets the caller; it will be reviewed.
            **options: see psycopg.

        Raises:
            ApprovalRequired: people were asked; ``request_id`` is for ``approval``.
            Forbidden: the policy does not allow it, or people did not.
        """
        words = (approval, reason, ticket, reveal, wait, rows, break_glass)
        if words == _NO_WORDS:
            return await self._execute(query, params, options)
        with asking(
            approval=approval,
            reason=reason,
            ticket=ticket,
            reveal=reveal,
            wait=wait,
            rows=rows,
            break_glass=break_glass,
        ):
            return await self._execute(query, params, options)

    async def _execute(self, query: Query, params: Params | None, options: dict[str, Any]) -> Self:
        """Send a statement; where people are asked first, once more if they agree."""
        try:
            if self._short and type(query) is str and (not options or options == _NO_OPTIONS):
                conn = self._conn
                ticket = conn._tickets.get(query)
                if ticket is not None:
                    try:
                        async with conn.lock:
                            await conn.wait(self._again_gen(query, params, ticket))
                    except e._NO_TRACEBACK as ex:
                        # As psycopg does; the frames hold the result.
                        raise ex.with_traceback(None)  # noqa: B904  # it is the same error
                    return self
            done: Self = await super().execute(query, params, **options)  # type: ignore[misc]  # psycopg's own class follows
            return done
        except Pending as ex:
            found = ex
        permit = await permitted(self._conn, found)
        self._permit = permit
        try:
            await super().execute(query, params, **options)  # type: ignore[misc]  # psycopg's own class follows
        except BaseException as ex:
            await settle(self._conn, permit, ending(self._conn, ex))
            if isinstance(ex, Pending):
                raise await required(self._conn, ex) from None
            raise
        finally:
            self._permit = None
        await settle(self._conn, permit, "done")
        return self

    async def executemany(
        self, query: Query, params_seq: Iterable[Params], *, returning: bool = False
    ) -> None:
        """Execute the same command with a sequence of input data; judged and recorded once."""
        # It runs in a pipeline of its own, in which the connection can't change hands.
        await self._conn._welcome()
        try:
            await super().executemany(query, params_seq, returning=returning)  # type: ignore[misc]  # likewise
        except BaseException as ex:
            break_if_piped(self._conn)
            self._done(ex)
            raise
        self._done()

    async def stream(
        self,
        query: Query,
        params: Params | None = None,
        *,
        binary: bool | None = None,
        size: int = 1,
    ) -> AsyncIterator[Row]:
        """Iterate row by row on a result, masked as it comes."""
        permit = None
        while True:
            rows: Any = super().stream(query, params, binary=binary, size=size)  # type: ignore[misc]  # likewise
            try:
                async with aclosing(rows):
                    async for row in rows:
                        try:
                            yield row
                        except GeneratorExit:
                            # What psycopg takes from the server yet, nobody has.
                            stop(self._admission)
                            raise
                break
            except Pending as ex:
                if permit is not None:
                    raise
                found = ex
            except BaseException as ex:
                self._done(ex)
                if permit is not None:
                    await settle(self._conn, permit, ending(self._conn, ex))
                raise
            finally:
                await give_back(self._admission)
            self._permit = permit = await permitted(self._conn, found)
        self._done()
        if permit is not None:
            await settle(self._conn, permit, "done")

    @asynccontextmanager
    async def copy(
        self, statement: Query, params: Params | None = None, *, writer: AsyncWriter | None = None
    ) -> AsyncIterator[AsyncCopy]:
        """Start a COPY, judged; rows that it gives out are masked one by one.

        Args:
            statement: ``COPY ... TO STDOUT`` or ``COPY ... FROM STDIN``.
            params: are merged into the statement before it is judged.
            writer: where rows that are written go, instead of the server.
        """
        async with AsyncExitStack() as stack:
            copying = self._copy(statement, params, writer)
            try:
                copy = await stack.enter_async_context(copying)
            except Pending as ex:
                found, copy = ex, None
            if copy is None:
                permit = await permitted(self._conn, found)
                self._permit = permit
                await stack.enter_async_context(settled(self._conn, permit))
                copy = await stack.enter_async_context(self._copy(statement, params, writer))
            yield copy

    @asynccontextmanager
    async def _copy(
        self, statement: Query, params: Params | None, writer: AsyncWriter | None
    ) -> AsyncIterator[AsyncCopy]:
        try:
            async with self._conn.lock:
                await self._conn.wait(self._start_copy_gen(statement, params))
                async with AsyncCopy(self, writer=writer) as copy:
                    yield copy
                    copy._complain()
            # The copy may have left a fresher result on the cursor.
            self._select_current_result(0)
        except BaseException as ex:
            self._done(ex)
            raise
        finally:
            await give_back(self._admission)
        self._copied()
        self._done()


class AsyncCursor(AsyncDoors[Row], psycopg.AsyncCursor[Row]):
    """A guarded `psycopg.AsyncCursor`."""


class AsyncClientCursor(AsyncDoors[Row], psycopg.AsyncClientCursor[Row]):
    """A guarded `psycopg.AsyncClientCursor`: what it binds is judged after binding."""


class AsyncRawCursor(AsyncDoors[Row], psycopg.AsyncRawCursor[Row]):
    """A guarded `psycopg.AsyncRawCursor`."""


class AsyncServerCursor(GuardedServerCursor[Row], AsyncDoors[Row], psycopg.AsyncServerCursor[Row]):
    """A guarded `psycopg.AsyncServerCursor`: its query is judged, its rows masked."""


class AsyncRawServerCursor(
    GuardedServerCursor[Row], AsyncDoors[Row], psycopg.AsyncRawServerCursor[Row]
):
    """A guarded `psycopg.AsyncRawServerCursor`: its query is judged, its rows masked."""
