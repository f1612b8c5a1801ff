"""What is looked at when a statement is about to leave, and what becomes of one that can't."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tracewall.errors import Forbidden

if TYPE_CHECKING:
    from psycopg._queries import PostgresQuery
    from psycopg.pq.abc import PGconn

_LOOKING_UP = frozenset(
    {24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191, 8326}
    | {1008, 2207, 2208, 2209, 2210, 2211, 3735, 3770, 4090, 4097, 4192, 8327}
)
"""The oids of regproc, regclass, regrole and their like, and of their arrays (pg_type.dat).

The server looks up what a parameter of such a type names, so that its error would tell
what exists.
"""

REPORTED = ((b"standard_conforming_strings", b"on"), (b"client_encoding", b"UTF8"))
"""What judging depends on and the server reports by itself, with the value that is pinned."""


def check_pins(pgconn: PGconn) -> None:
    """Return when the server reads text as the judge does; nothing is sent for that.

    Raises:
        Forbidden: it does not any more.
    """
    for name, value in REPORTED:
        if pgconn.parameter_status(name) != value:
            raise Forbidden(
                f"{name.decode()} is not what the wall has pinned, so the server would read "
                "the statement otherwise than it was judged; connect anew"
            )


def check_types(query: PostgresQuery) -> None:
    """Return when no parameter's type looks names up.

    Raises:
        Forbidden: one does.
    """
    if query.types and not _LOOKING_UP.isdisjoint(query.types):
        raise Forbidden("a parameter has a type that looks names up in the catalog")


def send_or_break(pgconn: PGconn, command: Callable[[], None]) -> None:
    """Send; a connection over which that failed is closed."""
    try:
        command()
    except BaseException:
        pgconn.finish()
        raise
