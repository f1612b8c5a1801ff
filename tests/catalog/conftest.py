"""A guarded shop in a database of its own, whose schema each test may change at will."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import tracewall
from tracewall.testing import TokenIssuer

SECRET = "zqcanaryzq"
"""What is in every protected value."""

SCHEMA = f"""
CREATE SCHEMA shop;
CREATE TABLE shop.people (id int PRIMARY KEY, name text, secret text, token text, gone text);
INSERT INTO shop.people VALUES (1, 'ada', '{SECRET}1', '{SECRET}t', 'a'),
    (2, 'bob', '{SECRET}2', '{SECRET}u', 'b');
CREATE TABLE shop.guesses (id int, guess text);
CREATE TABLE shop.other (id int, name text, secret text, token text);
INSERT INTO shop.other VALUES (1, 'eve', 'x', 'y');
CREATE SCHEMA first;
CREATE TABLE first.people AS SELECT id, name, 'plain' AS secret FROM shop.people;
CREATE VIEW shop.plain AS SELECT id, name FROM shop.people;
"""
POLICY = """
version = 1
[database]
conninfo = "{conninfo}"
{age}
[[issuers]]
name = "test"
issuer = "https://issuer.test"
audience = "shop"
keys = "jwks.json"
algorithms = ["ES256"]
[[grants]]
name = "all"
groups = ["readers"]
actions = ["select", "insert", "update", "delete"]
tables = ["shop.*", "first.*"]
[[grants]]
name = "owners"
groups = ["owners"]
actions = ["select", "anything"]
tables = ["*.*"]
lifts = ["none", "equality"]
[[masks]]
name = "none"
columns = ["shop.people.secret"]
method = "redact"
predicates = "none"
[[masks]]
name = "equality"
columns = ["shop.people.token"]
method = "redact"
{more}
"""


@dataclass(frozen=True)
class Shop:
    """The shop: how its owner logs in, and how a wall in front of it is made."""

    dsn: str
    role: str
    folder: Path
    issuer: TokenIssuer

    def change(self, *statements: str) -> None:
        """Change the schema, as its owner."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            for statement in statements:
                conn.execute(statement)
            for schema in ("shop", "first"):
                conn.execute(f"GRANT USAGE ON SCHEMA {schema} TO {self.role}")
                conn.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {self.role}")

    def wall(self, age: str | None = None, more: str = "") -> tracewall.Wall:
        """Make a wall with a greatest age of the catalog, and more rules."""
        told = f'catalog_max_age = "{age}"' if age else ""
        policy = POLICY.format(
            conninfo=make_conninfo(self.dsn, user=self.role), age=told, more=more
        )
        path = self.folder / f"{secrets.token_hex(4)}.toml"
        path.write_text(policy)
        return tracewall.Wall.load(path, password=lambda: "hush")

    def token(self, group: str = "readers") -> str:
        """Mint a token."""
        return self.issuer.mint("someone", [group], audience="shop")


Connect = Callable[..., "tracewall.Connection[Any]"]


@pytest.fixture(scope="session")
def shop_role(admin_dsn: str) -> Iterator[str]:
    """A role that may log in."""
    role = f"shop_{secrets.token_hex(6)}"
    with psycopg.connect(admin_dsn, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hush'")
    yield role
    with psycopg.connect(admin_dsn, autocommit=True) as conn:
        conn.execute(f"DROP ROLE {role}")


@pytest.fixture
def shop(scratch_dsn: str, shop_role: str, tmp_path: Path) -> Shop:
    """A shop whose schema only one test changes."""
    issuer = TokenIssuer()
    issuer.write_jwks(tmp_path / "jwks.json")
    made = Shop(scratch_dsn, shop_role, tmp_path, issuer)
    made.change(SCHEMA, f"ALTER ROLE {shop_role} SET search_path = first, shop, public")
    return made


@pytest.fixture
def connect(shop: Shop) -> Iterator[Connect]:
    """Give a guarded connection that is closed after the test; its wall is of its own."""
    made: list[Any] = []

    def connect(
        age: str | None = None, *, group: str = "readers", more: str = "", wall: Any = None
    ) -> tracewall.Connection[Any]:
        if wall is None:
            wall = shop.wall(age, more)
            made.append(wall)
        made.append(tracewall.connect(wall=wall, token=shop.token(group), autocommit=True))
        return made[-1]

    yield connect
    for one in reversed(made):
        one.close()
