"""What a caller may know of a guarded connection."""

from __future__ import annotations

from psycopg import ConnectionInfo


class GuardedInfo(ConnectionInfo):
    """psycopg's `ConnectionInfo` without the credential and without the server's words."""

    @property
    def password(self) -> str:
        """Always empty: the credential is the wall's."""
        return ""

    @property
    def error_message(self) -> str:
        """Always empty: the server's messages can hold values."""
        return ""
