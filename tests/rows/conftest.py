"""A shop of two tenants behind a wall, its rows filtered by the server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import tracewall
from tracewall.cli.live import catalog
from tracewall.policy.load import load
from tracewall.policy.rls import migration
from tracewall.testing import TokenIssuer

SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.orders (
    id int PRIMARY KEY, tenant_id text NOT NULL, item text, price int, code text UNIQUE,
    region text);
CREATE TABLE shop.lines (
    id int PRIMARY KEY, tenant_id text NOT NULL,
    order_id int REFERENCES shop.orders ON DELETE CASCADE, note text);
CREATE TABLE shop.events (id int, tenant_id text NOT NULL, what text) PARTITION BY RANGE (id);
CREATE TABLE shop.events_low PARTITION OF shop.events FOR VALUES FROM (0) TO (100);
CREATE TABLE shop.events_high PARTITION OF shop.events FOR VALUES FROM (100) TO (200);
CREATE TABLE shop.tiers (id int PRIMARY KEY, tenant_id text, gold text);
CREATE TABLE shop.prices (item text PRIMARY KEY, price int);
CREATE VIEW shop.owners_view AS SELECT id, tenant_id, item, price FROM shop.orders;
CREATE VIEW shop.readers_view WITH (security_invoker = true) AS
    SELECT id, tenant_id, item, price FROM shop.orders;
CREATE VIEW shop.nested_view WITH (security_invoker = true) AS SELECT * FROM shop.owners_view;
CREATE MATERIALIZED VIEW shop.copied AS SELECT id, tenant_id, item FROM shop.orders;
GRANT USAGE ON SCHEMA shop TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA shop TO {role};
"""
ROWS = """
TRUNCATE shop.orders, shop.lines, shop.events, shop.tiers, shop.prices;
INSERT INTO shop.orders SELECT n, CASE n % 2 WHEN 0 THEN 'acme' ELSE 'bolt' END,
    CASE n % 2 WHEN 0 THEN 'apple' || n ELSE 'canary' || n END, 10 * n,
    CASE n % 2 WHEN 0 THEN 'a' ELSE 'canary-code-' END || n,
    CASE WHEN n > 6 THEN 'north' ELSE 'south' END
    FROM generate_series(1, 10) AS n;
INSERT INTO shop.lines SELECT n, tenant_id, n, item || ' line' FROM shop.orders o (n);
INSERT INTO shop.events SELECT 19 * n, tenant_id, item || ' event' FROM shop.orders o (n);
INSERT INTO shop.tiers VALUES (1, 'acme', 'apple gold'), (2, 'bolt', 'canary gold');
INSERT INTO shop.prices VALUES ('apple2', 1), ('pear1', 2);
REFRESH MATERIALIZED VIEW shop.copied;
"""
POLICY = """
version = 1
name = "shop"

[database]
conninfo = "{conninfo}"

[[issuers]]
name = "test"
issuer = "https://issuer.test"
audience = "shop"
keys = "jwks.json"
algorithms = ["ES256"]

[[grants]]
name = "own"
groups = ["tenants"]
actions = ["select", "insert", "update", "delete", "lock"]
tables = ["shop.orders", "shop.lines", "shop.events*", "shop.*view", "shop.copied"]
rows = "tenant_id = claim('tenant')"

[[grants]]
name = "regional"
groups = ["regional"]
actions = ["select"]
tables = ["shop.orders"]
rows = "tenant_id = claim('tenant') and region = any(claims('regions'))"

[[grants]]
name = "catalogue"
groups = ["catalogue"]
actions = ["select"]
tables = ["shop.orders"]
columns = ["id", "item"]

[[grants]]
name = "everything"
groups = ["auditors"]
actions = ["select", "insert", "update", "delete", "truncate"]
tables = ["shop.*"]

[[grants]]
name = "prices"
groups = ["tenants"]
actions = ["select"]
tables = ["shop.prices"]

[[grants]]
name = "clearly"
groups = ["clear"]
actions = ["select"]
tables = ["shop.orders"]
rows = "region = 'north'"
lifts = ["codes"]

[[grants]]
name = "mixed"
groups = ["mixed"]
actions = ["select"]
tables = ["shop.events", "shop.events_high"]

[[grants]]
name = "low"
groups = ["mixed"]
actions = ["select"]
tables = ["shop.events_low"]
rows = "tenant_id = claim('tenant')"

[[grants]]
name = "free"
groups = ["tenants"]
actions = ["anything"]

[[masks]]
name = "codes"
columns = ["shop.orders.code"]
method = "redact"
predicates = "any"
"""


@dataclass(frozen=True, repr=False)
class Shop:
    """The wall in front of the shop; ``admin`` is a superuser's connection."""

    wall: tracewall.Wall
    issuer: TokenIssuer
    admin: psycopg.Connection[Any]
    dsn: str
    role: str
    folder: Path

    def token(self, tenant: Any = "acme", *groups: str, **claims: Any) -> str:
        """Mint a token of a tenant's member."""
        given = claims | ({"tenant": tenant} if tenant is not None else {})
        return self.issuer.mint("someone", groups or ["tenants"], audience="shop", claims=given)

    def connect(self, tenant: Any = "acme", *groups: str, **claims: Any) -> Any:
        """Connect as a tenant's member."""
        token = self.token(tenant, *groups, **claims)
        return tracewall.connect(wall=self.wall, token=token, autocommit=True)

    def all(self, query: str) -> list[tuple[Any, ...]]:
        """Give what the superuser sees."""
        return self.admin.execute(query).fetchall()

    def migrate(self) -> None:
        """Run the migration."""
        policy = load(self.folder / "policy.toml")
        self.admin.execute(migration(policy, catalog(self.dsn), self.role))


@pytest.fixture(scope="session")
def _shop(admin_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    name, role = f"rows_{secrets.token_hex(6)}", f"rows_{secrets.token_hex(4)}"
    folder = tmp_path_factory.mktemp("rows")
    issuer = TokenIssuer()
    issuer.write_jwks(folder / "jwks.json")
    with psycopg.connect(admin_dsn, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hush'")
        dsn = make_conninfo(admin_dsn, dbname=name)
        conninfo = make_conninfo(dsn, user=role, password=None)
        (folder / "policy.toml").write_text(POLICY.replace("{conninfo}", conninfo))
        try:
            with psycopg.connect(dsn, autocommit=True) as admin:
                admin.execute(SCHEMA.replace("{role}", role))
                with tracewall.Wall.load(folder / "policy.toml", password=lambda: "hush") as wall:
                    shop = Shop(wall, issuer, admin, dsn, role, folder)
                    shop.migrate()
                    yield shop
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")
            server.execute(f"DROP ROLE {role}")


@pytest.fixture
def shop(_shop: Shop) -> Shop:
    """The shop, its rows as they were at the start."""
    _shop.admin.execute(ROWS)
    return _shop
