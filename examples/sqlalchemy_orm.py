"""SQLAlchemy's ORM behind the wall: models, relationships, and who acts.

Run it by hand:

    pip install "pgtracewall[demo,sqlalchemy]"
    python examples/sqlalchemy_orm.py

The models know nothing of the wall. The engine's URL stays empty, for where to log in is the
policy's to say; whose statements these are is said by `wall.acting_as`.
"""

import tempfile
from pathlib import Path

import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import tracewall
from tracewall.demo.server import embedded_server
from tracewall.testing import TokenIssuer

SETUP = """
create table people (id int primary key, name text, email text);
create table orders (
    id int generated always as identity primary key, person int references people, total int
);
insert into people values (1, 'Ada', 'ada@example.com'), (2, 'Bob', 'bob@example.org');
insert into orders (person, total) values (1, 20), (1, 5), (2, 42);
create role service login password 'for-the-example-only';
grant select on people to service;
grant select, insert on orders to service;
"""

POLICY = """
version = 1

[database]
conninfo = "host={host} dbname=postgres user=service"

[[issuers]]
issuer = "https://issuer.test"
audience = "orders"
keys = "jwks.json"

[[grants]]
name = "read"
groups = ["staff"]
actions = ["select"]
tables = ["public.*"]

[[grants]]
name = "sell"
groups = ["sales"]
actions = ["insert"]
tables = ["public.orders"]

[[masks]]
name = "emails"
columns = ["public.people.email"]
method = "email"
"""


class Base(DeclarativeBase):
    """The models' base."""


class Person(Base):
    """Somebody who orders."""

    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    orders: Mapped[list["Order"]] = relationship(order_by="Order.id")


class Order(Base):
    """What they order."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(sa.Identity(always=True), primary_key=True)
    person: Mapped[int] = mapped_column(sa.ForeignKey("people.id"))
    total: Mapped[int]


def work(engine: sa.Engine) -> None:
    """Read, write and compute, as whoever acts."""
    with Session(engine) as session:
        for person in session.scalars(sa.select(Person).order_by(Person.id)):
            # Lazy loads are statements like any other.
            print(f"  {person.name} {person.email} {[order.total for order in person.orders]}")
        try:
            session.scalars(sa.select(sa.func.upper(Person.email))).all()
        except sa.exc.ProgrammingError as error:
            # Nothing was sent, so the session's transaction goes on.
            assert isinstance(error.orig, tracewall.Forbidden)
            print(f"  refused by {error.orig.decision.rule}")
        session.add(Order(person=1, total=7))
        try:
            session.commit()
            print("  sold")
        except sa.exc.ProgrammingError:
            session.rollback()
            print("  not sold")


def main() -> None:
    """Set everything up, and work as two people."""
    with embedded_server() as server, tempfile.TemporaryDirectory() as name:
        with psycopg.connect(server.conninfo) as admin:
            admin.execute(SETUP)
        folder = Path(name)
        (folder / "policy.toml").write_text(POLICY.format(host=server.directory))
        issuer = TokenIssuer("https://issuer.test")  # stands in for your identity provider
        issuer.write_jwks(folder / "jwks.json")
        password = "for-the-example-only"  # in earnest: password_file under [database]
        with tracewall.Wall.load(folder / "policy.toml", password=lambda: password) as wall:
            engine = sa.create_engine("postgresql+tracewall://", connect_args={"wall": wall})
            for who, groups in (("ana", ["staff"]), ("sam", ["staff", "sales"])):
                print(who)
                with wall.acting_as(issuer.mint(who, groups, audience="orders")):
                    work(engine)
            engine.dispose()


if __name__ == "__main__":
    main()
