"""The backend that ``"ENGINE": "tracewall.django"`` names, where Django looks for it."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base

import tracewall

__all__ = ["DatabaseWrapper"]


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]  # Django brings no types
    """Django's PostgreSQL backend over `tracewall.Connection`."""

    Database = tracewall

    def __init__(self, settings_dict: dict[str, Any], *rest: Any, **options: Any) -> None:
        pool = settings_dict["OPTIONS"].get("pool")
        if pool:
            # Django's own pool would make connections of psycopg's class.
            chosen = {**({} if pool is True else pool), "connection_class": tracewall.Connection}
            changed = {**settings_dict["OPTIONS"], "pool": chosen}
            settings_dict = {**settings_dict, "OPTIONS": changed}
        super().__init__(settings_dict, *rest, **options)

    def get_connection_params(self) -> dict[str, Any]:
        """Give what `tracewall.connect` takes; the encoding is the wall's to choose."""
        params: dict[str, Any] = super().get_connection_params()
        del params["client_encoding"]
        return params

    def create_cursor(self, name: str | None = None) -> Any:
        """Give a cursor over a connection that whoever acts now holds, in Django's time zone."""
        # When the principal changes, what was set on the connection is discarded, and Django
        # reads times by the zone that it once set.
        self.connection._welcome()
        self._configure_timezone(self.connection)
        return super().create_cursor(name)

    def _configure_connection(self, connection: tracewall.Connection[Any]) -> bool:
        # A pool makes connections while nobody acts; then `create_cursor` does what is to do.
        session = connection._session
        if session is None or session.caller.bearer() is None:
            return False
        return bool(super()._configure_connection(connection))
