"""The backend that ``"ENGINE": "tracewall.django"`` names, where Django looks for it."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any, ClassVar

from psycopg import adapters
from psycopg.abc import AdaptContext
from psycopg.adapt import AdaptersMap
from psycopg.pq import Format
from psycopg.types.datetime import TimestamptzLoader

import tracewall
from tracewall.extras import explained

try:
    from django.db.backends.postgresql import base
except ModuleNotFoundError as missing:
    raise explained(missing, "tracewall.django", "django") from None

__all__ = ["DatabaseWrapper"]


_MOMENT = adapters.types["timestamptz"].oid


class _MomentLoader(TimestamptzLoader):
    # Django 6.1 wraps psycopg's loader in C, which takes no connection but libpq's own; this
    # one is Python throughout, as that of earlier Djangos.
    timezone: ClassVar[tzinfo | None] = None

    def load(self, data: Any) -> datetime:
        return super().load(data).replace(tzinfo=self.timezone)


def _in_zone(context: AdaptContext, zone: tzinfo | None) -> None:
    """Have moments read in a time zone of Django's; None gives them without one."""
    loader = type("_MomentLoader", (_MomentLoader,), {"timezone": zone})
    context.adapters.register_loader(_MOMENT, loader)


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
        # Django's own map serves its other backends, too.
        params["context"] = AdaptersMap(params["context"].adapters)
        _in_zone(params["context"], self.timezone)
        return params

    def create_cursor(self, name: str | None = None) -> Any:
        """Give a cursor over a connection that whoever acts now holds, in Django's time zone."""
        # When the principal changes, what was set on the connection is discarded, and Django
        # reads times by the zone that it once set.
        self.connection._welcome()
        self._configure_timezone(self.connection)
        cursor = super().create_cursor(name)
        loader = cursor.adapters.get_loader(_MOMENT, Format.TEXT)
        if loader is not None and not issubclass(loader, _MomentLoader):
            _in_zone(cursor, self.timezone)
        return cursor

    def _configure_connection(self, connection: tracewall.Connection[Any]) -> bool:
        # A pool makes connections while nobody acts; then `create_cursor` does what is to do.
        session = connection._session
        if session is None or session.caller.bearer() is None:
            return False
        return bool(super()._configure_connection(connection))
