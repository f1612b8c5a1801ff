"""What a caller may know of a guarded connection."""

from __future__ import annotations

from psycopg import ConnectionInfo


class GuardedInfo(ConnectionInfo):
    """psycopg's `ConnectionInfo` without the credential and without the server's words.

    It is made of a facade (`tracewall.facade`), which is what its ``pgconn`` gives too.
    ``password`` and ``error_message`` are empty; ``parameter_status`` knows only parameters
    that can hold no data.
    """
