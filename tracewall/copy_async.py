"""The guarded copy object of an `AsyncCursor`."""

from __future__ import annotations

import psycopg
from psycopg.abc import Buffer

from tracewall.copy_base import GuardedCopy


class AsyncCopy(GuardedCopy, psycopg.AsyncCopy):
    """A guarded `psycopg.AsyncCopy`: what COPY TO gives out is masked row by row."""

    async def read(self) -> Buffer:
        """Give the next row, masked, as the server spells it; empty at the end."""
        return self._ahead.popleft() if self._ahead else await super().read()
