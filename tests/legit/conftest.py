"""A shop, and two connections of one role to it: plain psycopg's, and a guarded one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import tracewall
from tracewall.testing import TokenIssuer

HERE = Path(__file__).parent


class Shop(NamedTuple):
    """Both ways into the shop, and what is protected in it."""

    plain: psycopg.Connection[Any]
    guarded: tracewall.Connection[Any]
    protected: frozenset[Any]


@pytest.fixture(scope="session")
def shop(admin_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop."""
    name = f"shop_{secrets.token_hex(6)}"
    home = tmp_path_factory.mktemp("shop")
    with psycopg.connect(admin_dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    dsn = make_conninfo(admin_dsn, dbname=name)
    with psycopg.connect(dsn) as conn:
        conn.execute((HERE / "schema.sql").read_text("utf-8").replace("{role}", name))
        rows = conn.execute("SELECT email, card FROM shop.customers").fetchall()
    plain_dsn = make_conninfo(dsn, user=name)
    issuer = TokenIssuer()
    issuer.write_jwks(home / "jwks.json")
    policy = (HERE / "policy.toml").read_text("utf-8").replace("{conninfo}", plain_dsn)
    (home / "policy.toml").write_text(policy)
    token = issuer.mint("clerk", ["clerks"], audience="lab")
    protected = frozenset(value for row in rows for value in row)
    with (
        tracewall.Wall.load(home / "policy.toml", password=lambda: "hush") as wall,
        psycopg.connect(plain_dsn, password="hush") as plain,
        tracewall.connect(wall=wall, token=token) as guarded,
    ):
        yield Shop(plain, guarded, protected)
    with psycopg.connect(admin_dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
