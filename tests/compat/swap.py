"""A pytest plugin for the suites of others: tracewall's classes in the place of psycopg's.

It is loaded by ``-p swap``, before anything imports psycopg_pool or a test module, which
bind psycopg's names. All connections are guarded by one wall that permits everything.
"""

from __future__ import annotations

import permitted as permitted
import psycopg

import tracewall

GUARDED = (
    "connect Connection AsyncConnection Cursor ClientCursor RawCursor ServerCursor RawServerCursor "
    "AsyncCursor AsyncClientCursor AsyncRawCursor AsyncServerCursor AsyncRawServerCursor"
).split()
"""The names of psycopg that are tracewall's own in tracewall."""

for name in GUARDED:
    setattr(psycopg, name, getattr(tracewall, name))
