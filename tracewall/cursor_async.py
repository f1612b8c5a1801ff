"""The guarded cursors of an `AsyncConnection`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import psycopg
from psycopg.abc import Params, Query
from psycopg.copy import AsyncWriter
from psycopg.rows import Row

from tracewall.copy_async import AsyncCopy
from tracewall.cursor_base import GuardedCursor
from tracewall.server_cursor_base import GuardedServerCursor


class AsyncDoors(GuardedCursor[Row]):
    """The doors whose outcome is known only after more than one step."""

    async def executemany(
        self, query: Query, params_seq: Iterable[Params], *, returning: bool = False
    ) -> None:
        """Execute the same command with a sequence of input data; judged and recorded once."""
        # It runs in a pipeline of its own, in which the connection can't change hands.
        await self._conn._welcome()
        try:
            await super().executemany(query, params_seq, returning=returning)  # type: ignore[misc]
        except BaseException as ex:
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
        rows: Any = super().stream(query, params, binary=binary, size=size)  # type: ignore[misc]
        try:
            async with aclosing(rows):
                async for row in rows:
                    yield row
        except BaseException as ex:
            self._done(ex)
            raise
        self._done()

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
