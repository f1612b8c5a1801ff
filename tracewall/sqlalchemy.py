"""SQLAlchemy's dialect: ``postgresql+tracewall://``, synchronous and asynchronous.

    wall = tracewall.Wall.load("tracewall.toml")
    engine = sqlalchemy.create_engine("postgresql+tracewall://", connect_args={"wall": wall})
    with wall.acting_as(token), engine.connect() as conn:
        conn.execute(sqlalchemy.text("SELECT name FROM shop.customers"))

The URL stays empty, for the wall logs in. Without ``wall`` it is the one that
``TRACEWALL_CONFIG`` names. It is SQLAlchemy's own psycopg dialect over guarded connections:
its ``driver`` goes on reading ``psycopg``, so that what asks for that finds it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psycopg

import tracewall
from tracewall.errors import Forbidden
from tracewall.extras import explained

try:
    from sqlalchemy import URL
    from sqlalchemy.dialects.postgresql.psycopg import (
        PGDialect_psycopg,
        PGDialectAsync_psycopg,
    )
except ModuleNotFoundError as missing:
    raise explained(missing, "tracewall.sqlalchemy", "pgtracewall[sqlalchemy]") from None

__all__ = ["AsyncTracewallDialect", "TracewallDialect"]


def _module() -> Any:
    """Give tracewall as the module that the dialect takes for psycopg, in psycopg's version."""
    names = {name: getattr(tracewall, name) for name in tracewall.__all__}
    return SimpleNamespace(**{**names, "__version__": psycopg.__version__})


class TracewallDialect(PGDialect_psycopg):
    """SQLAlchemy's psycopg dialect over `tracewall.Connection`."""

    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """Give the DB-API module: tracewall."""
        return _module()

    @classmethod
    def get_async_dialect_cls(cls, url: URL) -> type[Any]:
        """Give the dialect for ``create_async_engine``."""
        return AsyncTracewallDialect

    @classmethod
    def load_provisioning(cls) -> None:
        """Load what SQLAlchemy's own test suite needs to know of PostgreSQL."""
        PGDialect_psycopg.load_provisioning()  # type: ignore[no-untyped-call]  # SQLAlchemy's is untyped

    def _type_info_fetch(self, connection: Any, name: str) -> Any:
        # SQLAlchemy asks for hstore on each engine's first connection. Whoever acts then
        # may have no right to look into the system catalog: there is none for them.
        try:
            return super()._type_info_fetch(connection, name)  # type: ignore[no-untyped-call]  # SQLAlchemy's is untyped
        except Forbidden:
            return None


class AsyncTracewallDialect(TracewallDialect, PGDialectAsync_psycopg):
    """SQLAlchemy's psycopg dialect over `tracewall.AsyncConnection`."""

    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """Give the DB-API module that SQLAlchemy makes of an asynchronous one: tracewall."""
        made: Any = PGDialectAsync_psycopg.import_dbapi()  # type: ignore[no-untyped-call]  # SQLAlchemy's is untyped
        module = _module()
        vars(made).update({name: own for name, own in vars(module).items() if name != "connect"})
        # 2.0 has the module by the first name only.
        made.psycopg = made.driver = module
        return made
