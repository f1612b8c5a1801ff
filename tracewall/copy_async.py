"""The guarded copy object of an `AsyncCursor`."""

from __future__ import annotations

import psycopg

from tracewall.copy_base import GuardedCopy


class AsyncCopy(GuardedCopy, psycopg.AsyncCopy):
    """A guarded `psycopg.AsyncCopy`: what COPY TO gives out is masked row by row."""
