"""SQLAlchemy over a wall with a real policy: still SQLAlchemy, and nothing protected comes out."""

from __future__ import annotations

import os
import tomllib
import uuid
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import exc, orm
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.orm import Mapped, mapped_column

import tracewall

NAMES = ["analyst", "support"]


class Base(orm.DeclarativeBase):
    """The shop's tables."""

    metadata = sa.MetaData(schema="shop")


class Customer(Base):
    """A customer, without what analysts are denied."""

    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str | None]
    born: Mapped[date | None]
    rating: Mapped[Decimal | None] = mapped_column(sa.Numeric(6, 2))
    token: Mapped[uuid.UUID | None]
    profile: Mapped[Any] = mapped_column(pg.JSONB)
    traits: Mapped[Any] = mapped_column(pg.HSTORE, deferred=True)
    orders: Mapped[list[Order]] = orm.relationship(back_populates="buyer", order_by="Order.id")


class Order(Base):
    """An order."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[int] = mapped_column(sa.ForeignKey("shop.customers.id"))
    total: Mapped[Decimal]
    buyer: Mapped[Customer] = orm.relationship(back_populates="orders")


orm.configure_mappers()


@pytest.fixture
def session(shop: Any, engine: Any) -> Iterator[orm.Session]:
    """A session of somebody of support, rolled back at the end."""
    with shop.wall.acting_as(shop.support), orm.Session(engine) as made:
        yield made
        made.rollback()


def test_masked_columns_keep_their_types(session: orm.Session) -> None:
    """The ORM loads masked columns as objects of the columns' own Python types."""
    ada = session.scalars(sa.select(Customer).order_by(Customer.id)).first()
    assert ada is not None
    assert ada.name == "Ada"
    assert isinstance(ada.email, str) and "ada" not in ada.email
    assert ada.born == date(1815, 1, 1)
    assert ada.rating == Decimal(10) and type(ada.rating) is Decimal
    assert type(ada.token) is uuid.UUID
    assert ada.profile["plan"] == "gold" and "canary" not in repr(ada.profile)
    assert ada.traits == {"a": "1"}


@pytest.mark.parametrize("load", [orm.joinedload, orm.selectinload, orm.subqueryload])
def test_relations_are_loaded(session: orm.Session, load: Any) -> None:
    """Each way to load relations is judged and gives what it should."""
    query = sa.select(Customer).options(load(Customer.orders)).order_by(Customer.id)
    found = session.scalars(query).unique().all()
    assert [[order.total for order in each.orders] for each in found] == [
        [Decimal("19.90"), Decimal("5.00")],
        [Decimal("42.00")],
    ]
    assert not any("ada@" in (each.email or "") for each in found)


def test_refusals_are_wrapped_errors(shop: Any, engine: Any) -> None:
    """A refusal is SQLAlchemy's ProgrammingError over Forbidden, and the transaction goes on."""
    with shop.wall.acting_as(shop.analyst), engine.connect() as conn:
        for query in (
            sa.select(Customer.traits),
            sa.select(Customer).where(Customer.email.like("ada%")),
            sa.insert(Order).values(customer=1, total=1),
            sa.text("CREATE TABLE t (a int)"),
        ):
            with pytest.raises(exc.ProgrammingError) as caught:
                conn.execute(query)
            assert isinstance(caught.value.orig, tracewall.Forbidden)
            assert not caught.value.connection_invalidated
        assert conn.scalar(sa.select(sa.func.count()).select_from(Order)) == 3


def test_nobody_acts(shop: Any, engine: Any) -> None:
    """Where nobody acts nothing is sent: SQLAlchemy's OperationalError over TokenRejected."""
    with pytest.raises(exc.OperationalError) as caught, engine.connect():
        pass
    assert isinstance(caught.value.orig, tracewall.TokenRejected)


def test_a_pooled_connection_serves_whoever_acts(shop: Any) -> None:
    """One connection of the pool is judged for each caller as that caller, and pinged before."""
    engine = sa.create_engine(
        "postgresql+tracewall://",
        connect_args={"wall": shop.wall},
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,
    )
    pids = set()
    for name in [*NAMES, *NAMES]:
        with shop.wall.acting_as(getattr(shop, name)), engine.connect() as conn:
            pids.add(conn.connection.driver_connection.info.backend_pid)
            query = sa.select(Customer.traits)
            if name == "support":
                assert len(conn.execute(query).all()) == 2
            else:
                with pytest.raises(exc.ProgrammingError):
                    conn.execute(query)
    assert len(pids) == 1
    engine.dispose()


def test_a_token_may_be_the_engines(shop: Any) -> None:
    """`token` in connect_args is a token, or what gives one, for all its connections."""
    for token in (shop.support, lambda: shop.support):
        engine = sa.create_engine(
            "postgresql+tracewall://", connect_args={"wall": shop.wall, "token": token}
        )
        with engine.connect() as conn:
            assert len(conn.execute(sa.select(Customer.name)).all()) == 2
        engine.dispose()


def test_a_creator_makes_guarded_connections(shop: Any) -> None:
    """SQLAlchemy's own psycopg dialect works over guarded connections of a `creator`."""
    engine = sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: tracewall.connect(wall=shop.wall, token=shop.support),
    )
    with orm.Session(engine) as session:
        email = session.scalars(sa.select(Customer.email)).first()
        assert email is not None and email.startswith("a***")
    engine.dispose()


def test_the_wall_of_the_environment(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without connect_args the wall is that of TRACEWALL_CONFIG."""
    monkeypatch.setattr("tracewall.wall._LOADED", {shop.wall.policy.path: shop.wall})
    monkeypatch.setenv("TRACEWALL_CONFIG", shop.wall.policy.path)
    engine = sa.create_engine("postgresql+tracewall://")
    with shop.wall.acting_as(shop.analyst), engine.connect() as conn:
        assert conn.scalar(sa.select(Customer.name)) == "Ada"
    engine.dispose()


def test_the_url_chooses_nothing(shop: Any) -> None:
    """A host, role or password in the URL is refused: the wall logs in."""
    for url in ("eve@/", "/other", "sam:secret@/"):
        engine = sa.create_engine(f"postgresql+tracewall://{url}", connect_args={"wall": shop.wall})
        with (
            shop.wall.acting_as(shop.support),
            pytest.raises(exc.ProgrammingError) as caught,
            engine.connect(),
        ):
            pass
        assert isinstance(caught.value.orig, tracewall.Forbidden)
        engine.dispose()


def test_savepoints(session: orm.Session) -> None:
    """Nested transactions are savepoints: what fails inside is rolled back alone."""
    session.add(Order(customer=2, total=Decimal(1)))
    with pytest.raises(exc.IntegrityError), session.begin_nested():
        session.add(Order(customer=99, total=Decimal(2)))
    session.flush()
    count = sa.select(sa.func.count()).select_from(Order)
    assert session.scalar(count) == 4


def test_insertmanyvalues(session: orm.Session) -> None:
    """Many rows are inserted in few statements, and their keys come back in order."""
    orders = [Order(customer=1, total=Decimal(at)) for at in range(150)]
    session.add_all(orders)
    session.flush()
    keys = [order.id for order in orders]
    assert keys == sorted(keys) and len(set(keys)) == 150
    query = sa.insert(Order).returning(Order.id, sort_by_parameter_order=True)
    found = session.scalars(query, [{"customer": 2, "total": at} for at in range(30)]).all()
    assert len(found) == 30


def test_unit_of_work(session: orm.Session) -> None:
    """Objects are changed and deleted by their keys, with rowcounts that SQLAlchemy checks."""
    order = session.scalars(sa.select(Order).where(Order.total == 42)).one()
    order.total = Decimal(43)
    session.flush()
    session.refresh(order)
    assert order.total == 43
    session.delete(order)
    session.flush()
    assert session.get(Order, order.id) is None
    found = session.execute(sa.update(Order).where(Order.customer == 1).values(total=7))
    assert found.rowcount == 2  # type: ignore[attr-defined]


def test_results_are_streamed(shop: Any, engine: Any) -> None:
    """Streamed results come by a server-side cursor, masked in each part."""
    with shop.wall.acting_as(shop.analyst), engine.connect() as conn:
        query = sa.select(Customer.email, sa.func.generate_series(1, 40))
        streamed = conn.execution_options(yield_per=7).execute(query)
        assert type(streamed.cursor).__name__ == "ServerCursor"
        parts = [part for part in streamed.partitions()]
    assert len(parts) == 12
    assert not any("ada@" in row[0] or "bob@" in row[0] for part in parts for row in part)


def test_isolation_levels(shop: Any, engine: Any) -> None:
    """Isolation levels are set and told, autocommit among them."""
    with shop.wall.acting_as(shop.support):
        for level in ("SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED", "AUTOCOMMIT"):
            with engine.connect().execution_options(isolation_level=level) as conn:
                assert conn.scalar(sa.select(Customer.name)) == "Ada"
                told = "READ COMMITTED" if level == "AUTOCOMMIT" else level
                assert conn.get_isolation_level() == told
                assert conn.connection.driver_connection.autocommit == (level == "AUTOCOMMIT")


def test_reflection(shop: Any, engine: Any) -> None:
    """Who may read the catalog may reflect; who may not is refused."""
    with shop.wall.acting_as(shop.support), engine.connect() as conn:
        tables = sa.MetaData()
        tables.reflect(conn, schema="shop")
        assert set(tables.tables) == {"shop.customers", "shop.orders"}
        customers = tables.tables["shop.customers"]
        assert isinstance(customers.c.traits.type, pg.HSTORE)
        assert [each.column.name for each in tables.tables["shop.orders"].foreign_keys] == ["id"]
        first = conn.execute(sa.select(customers)).first()
        assert first is not None and "canary" not in first.email.split("@")[0]
    with (
        shop.wall.acting_as(shop.analyst),
        engine.connect() as conn,
        pytest.raises(exc.ProgrammingError),
    ):
        sa.MetaData().reflect(conn, schema="shop")


def test_who_comes_first_may_be_anybody(shop: Any) -> None:
    """An engine whose first caller may not read the catalog serves them and all others."""
    engine = sa.create_engine("postgresql+tracewall://", connect_args={"wall": shop.wall})
    with shop.wall.acting_as(shop.analyst), engine.connect() as conn:
        assert conn.scalar(sa.select(Customer.name)) == "Ada"
    with shop.wall.acting_as(shop.support), engine.connect() as conn:
        assert conn.scalar(sa.select(Customer.traits)) == {"a": "1"}
    engine.dispose()


def test_own_json_functions_see_masked_values_only(shop: Any) -> None:
    """A caller's JSON deserializer is given what is left after masking."""
    import json

    seen: list[Any] = []

    def loads(data: Any) -> Any:
        seen.append(data)
        return json.loads(data)

    engine = sa.create_engine(
        "postgresql+tracewall://", connect_args={"wall": shop.wall}, json_deserializer=loads
    )
    with shop.wall.acting_as(shop.analyst), engine.connect() as conn:
        found = conn.scalars(sa.select(Customer.profile).order_by(Customer.id)).all()
    assert found[1] == {"plan": "free"} and "canary" not in repr((found, seen))
    engine.dispose()


def test_the_entry_points_are_the_dialects() -> None:
    """SQLAlchemy finds the dialects by the names that the package declares."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    declared = project["project"]["entry-points"]["sqlalchemy.dialects"]
    for target in declared.values():
        module, _, name = target.partition(":")
        assert issubclass(getattr(import_module(module), name), pg.psycopg.PGDialect_psycopg)
    assert set(declared) == {"postgresql.tracewall", "postgresql.tracewall_async"}
    if os.environ.get("TRACEWALL_EXPECT_INSTALLED"):
        found = {each.name for each in metadata.entry_points(group="sqlalchemy.dialects")}
        assert declared.keys() <= found


async def test_asynchronous_engines(shop: Any) -> None:
    """The asynchronous dialect judges, masks, streams and pools alike."""
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    engine = create_async_engine(
        "postgresql+tracewall://", connect_args={"wall": shop.wall}, pool_pre_ping=True
    )
    with shop.wall.acting_as(shop.support):
        async with AsyncSession(engine) as session:
            found = (await session.scalars(sa.select(Customer).order_by(Customer.id))).all()
            assert found[0].born == date(1815, 1, 1)
            async with session.begin_nested():
                session.add(Order(customer=2, total=Decimal(1)))
            await session.rollback()
    with shop.wall.acting_as(shop.analyst):
        async with engine.connect() as conn:
            query = sa.select(Customer.email, sa.func.generate_series(1, 20))
            rows = [row async for row in await conn.stream(query)]
            assert len(rows) == 40 and not any("ada@" in row[0] for row in rows)
            with pytest.raises(exc.ProgrammingError) as caught:
                await conn.execute(sa.select(Customer.traits))
            assert isinstance(caught.value.orig, tracewall.Forbidden)
    await engine.dispose()
