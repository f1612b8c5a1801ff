"""What libraries ask the catalog by themselves: all of it is allowed to who may read the catalog.

Their statements are taken down as they leave on plain psycopg, and judged.
"""

from __future__ import annotations

from typing import Any

import pytest
from psycopg._cursor_base import BaseCursor
from psycopg.types import TypeInfo
from psycopg.types.composite import CompositeInfo
from psycopg.types.enum import EnumInfo
from psycopg.types.multirange import MultirangeInfo
from psycopg.types.range import RangeInfo

TABLES = ("customers", "orders", "items", "products", "events")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, None]:
    """Statements as they leave."""
    taken: dict[str, None] = {}
    convert = BaseCursor._convert_query

    def convert_and_take(self: Any, query: Any, params: Any = None) -> Any:
        converted = convert(self, query, params)
        taken[bytes(converted.query).decode()] = None
        return converted

    monkeypatch.setattr(BaseCursor, "_convert_query", convert_and_take)
    return taken


def refused(shop: Any, sent: dict[str, None]) -> list[Any]:
    """Give the decisions against statements that were sent."""
    shop.plain.rollback()
    decisions = [shop.guarded.explain(statement) for statement in sent]
    return [decision for decision in decisions if not decision.allowed]


@pytest.mark.parametrize("kind", [TypeInfo, EnumInfo, CompositeInfo, RangeInfo, MultirangeInfo])
@pytest.mark.parametrize("name", ["shop.state", "text", "nothing", "shop.counters", "int4range"])
def test_psycopg_fetches_types(shop: Any, sent: Any, kind: Any, name: str) -> None:
    """psycopg's own classes may ask for what they need to know of a type."""
    kind.fetch(shop.plain, name)
    assert sent
    assert not refused(shop, sent)


@pytest.mark.filterwarnings("ignore:Did not recognize type")
def test_sqlalchemy_reflects(shop: Any, sent: Any) -> None:
    """SQLAlchemy may start up, and reflect tables, keys, indexes, enums, domains and views."""
    sa = pytest.importorskip("sqlalchemy")
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: shop.plain, poolclass=sa.pool.StaticPool
    )
    with engine.connect() as conn:
        seen = sa.inspect(conn)
        for schema in (None, "shop"):
            for what in "table view materialized_view sequence".split():
                getattr(seen, f"get_{what}_names")(schema=schema)
            for what in (
                "columns pk_constraint foreign_keys indexes unique_constraints "
                "check_constraints table_comment table_options"
            ).split():
                getattr(seen, f"get_multi_{what}")(schema=schema)
                getattr(seen, f"get_{what}")("orders", schema="shop")
            seen.get_enums(schema=schema)
            seen.get_domains(schema=schema)
        seen.has_table("orders", schema="shop")
        seen.has_sequence("tickets", schema="shop")
        seen.has_schema("shop")
        seen.get_schema_names()
        seen.get_view_definition("paid", schema="shop")
        sa.MetaData().reflect(conn, schema="shop", views=True)
    assert len(sent) > 40
    assert not refused(shop, sent)


def test_django_introspects(shop: Any, sent: Any) -> None:
    """Django's backend may start up, set its time zone, and introspect tables."""
    django = pytest.importorskip("django")
    from django.conf import settings

    if not settings.configured:
        settings.configure(USE_TZ=True, TIME_ZONE="UTC", INSTALLED_APPS=[])
        django.setup()
    from django.db.backends.postgresql.base import DatabaseWrapper

    info = shop.plain.info
    backend = DatabaseWrapper({**DEFAULTS, **info.get_parameters(), "NAME": info.dbname}, "default")
    backend.settings_dict |= {"USER": info.user, "PASSWORD": "hush", "HOST": info.host}
    backend.settings_dict |= {"PORT": str(info.port)}
    with backend.cursor() as cursor:
        seen = backend.introspection
        seen.get_table_list(cursor)
        for table in TABLES:
            seen.get_table_description(cursor, table)
            seen.get_sequences(cursor, table)
            seen.get_relations(cursor, table)
            seen.get_constraints(cursor, table)
            seen.get_primary_key_columns(cursor, table)
    assert backend.pg_version
    assert backend.is_usable()
    backend.check_constraints()
    backend.close()
    assert len(sent) > 8
    assert not refused(shop, sent)


DEFAULTS: dict[str, Any] = {
    "OPTIONS": {},
    "TIME_ZONE": None,
    "CONN_MAX_AGE": 0,
    "CONN_HEALTH_CHECKS": False,
    "AUTOCOMMIT": True,
    "ATOMIC_REQUESTS": False,
}
