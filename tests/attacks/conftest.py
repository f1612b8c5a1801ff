"""A laboratory: the same schema in two worlds, which differ only in what is protected.

An attack is real when plain psycopg tells a protected value, or tells the two worlds apart.
It fails when what the guard lets through holds no canary and is the same in both worlds.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import tracewall
from tracewall.testing import TokenIssuer

HERE = Path(__file__).parent
COLUMNS = ("secret", "token", "email", "hidden", "notes", "wish")
PROTECTED = f"""
    SELECT {", ".join(COLUMNS)}, tail, doc ->> 'a', doc ->> 'password', pins[1], ref, salary::text,
        born::text, to_char(born, 'FMYYYY, FMMM, FMDD') FROM lab.people
    UNION ALL SELECT pass{", NULL" * 13} FROM lab.accounts
    UNION ALL SELECT gold{", NULL" * 13} FROM lab.vault
    UNION ALL SELECT line{", NULL" * 13} FROM lab.events_new
    UNION ALL SELECT code{", NULL" * 13} FROM lab.humans
    UNION ALL SELECT code{", NULL" * 13} FROM lab.noisy
    UNION ALL SELECT doc ->> 'token', raw ->> 'token', chat::text, log::text, pair::text, late, bag
        {", NULL" * 7} FROM lab.cases
    UNION ALL SELECT host{", NULL" * 13} FROM lab.hosts
    UNION ALL SELECT card{", NULL" * 13} FROM lab.cards"""
RECORDING = '\n[[recordings]]\nname = "all"\nrows = 1000000\nbytes = "100MB"\n'
WINDOW = 7
"""How many characters of a canary in a row count as a leak."""


@dataclass(frozen=True)
class World:
    """One database: how to log in as its owner, and what nobody may see of it."""

    dsn: str
    plain: psycopg.Connection[Any]
    canaries: tuple[str, ...]
    forms: dict[int, frozenset[str]]

    def swept(self) -> None:
        """Take away what rolled back statements have left."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            conn.execute("VACUUM FULL lab.people, lab.drafts, lab.accounts, lab.vault")
            conn.execute("ANALYZE lab.people, lab.drafts, lab.accounts, lab.vault")

    def leaks(self, told: object) -> set[str]:
        """Give the pieces of canaries, in any form, that show in what was told."""
        text, found = repr(told).lower(), set[str]()
        for size, forms in self.forms.items():
            found |= forms & {text[at : at + size] for at in range(len(text) - size + 1)}
        return found

    def value(self, column: str) -> str:
        """Give the second row's value of a column of people."""
        row = self.plain.execute(f"SELECT {column} FROM lab.people WHERE id = 2").fetchone()
        return str(row[0])


@dataclass(frozen=True)
class Guard:
    """A wall in front of one world, and the record that it keeps."""

    wall: tracewall.Wall
    issuer: TokenIssuer
    record: Path
    connections: dict[str, tracewall.Connection[Any]] = field(default_factory=dict)

    def connect(self, group: str = "readers", **options: Any) -> tracewall.Connection[Any]:
        """Give a new guarded connection for a member of a group."""
        token = self.issuer.mint("mallory", [group], audience="lab")
        return tracewall.connect(wall=self.wall, token=token, **options)

    def connection(self, group: str) -> tracewall.Connection[Any]:
        """Give the guarded connection of a group, made once."""
        if group not in self.connections:
            self.connections[group] = self.connect(group)
        return self.connections[group]

    def recorded(self) -> str:
        """Give all that was recorded."""
        self.wall.audit.flush()
        return "".join(path.read_text() for path in sorted(self.record.iterdir()))


@dataclass(frozen=True)
class Lab:
    """The two worlds, and a guard in front of each."""

    worlds: tuple[World, World]
    guards: tuple[Guard, Guard]


def forms_of(canary: str) -> Iterator[str]:
    """Give the pieces by which a canary would be known, encoded in some way."""
    raw = canary.encode()
    for text in (canary, canary[::-1], raw.hex(), raw[::-1].hex()):
        size = WINDOW if text in (canary, canary[::-1]) else 2 * WINDOW
        yield from (text[at : at + size] for at in range(max(1, len(text) - size + 1)))
    for shift in range(3):
        encoded = base64.b64encode(b"-" * shift + raw).decode()
        yield encoded[4:14]
    for digest in (hashlib.md5, hashlib.sha1, hashlib.sha256):
        yield digest(raw).hexdigest()[:10]


@contextmanager
def world(admin_dsn: str, role: str, salt: str, more: int) -> Iterator[World]:
    """Make a world whose protected values are salted."""
    name = f"lab_{secrets.token_hex(6)}"
    with psycopg.connect(admin_dsn, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    dsn = make_conninfo(admin_dsn, dbname=name)
    schema = (HERE / "schema.sql").read_text("utf-8")
    for place, value in (("world", salt), ("more", str(more)), ("role", role)):
        schema = schema.replace(f"{{{place}}}", value)
    try:
        with psycopg.connect(dsn) as conn:
            conn.execute(schema)
        with psycopg.connect(dsn) as conn:
            rows = conn.execute(PROTECTED).fetchall()
            shown = "\n".join(value for row in rows for value in row if value)
            canaries = tuple(sorted({*re.findall(r"[g-z]{7,}|\d.*", shown)} - {"example"}))
            forms = {form.lower() for canary in canaries for form in forms_of(canary)}
            sizes = {len(form) for form in forms}
            by_size = {size: frozenset(f for f in forms if len(f) == size) for size in sizes}
            yield World(dsn, conn, canaries, by_size)
    finally:
        with psycopg.connect(admin_dsn, autocommit=True) as conn:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def guard(home: Path, dsn: str, role: str, more: str = "") -> Iterator[Guard]:
    """Put a guard in front of a world, with more in its policy."""
    home.mkdir()
    issuer = TokenIssuer()
    issuer.write_jwks(home / "jwks.json")
    policy = (HERE / "policy.toml").read_text("utf-8")
    policy = policy.replace("{conninfo}", make_conninfo(dsn, user=role)) + more
    (home / "policy.toml").write_text(policy)
    with tracewall.Wall.load(home / "policy.toml", password=lambda: "hush") as wall:
        made = Guard(wall, issuer, home / "audit")
        yield made
        for conn in made.connections.values():
            conn.close()


@pytest.fixture(scope="session")
def lab(admin_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The laboratory."""
    home, role = tmp_path_factory.mktemp("lab"), f"lab_{secrets.token_hex(6)}"
    with psycopg.connect(admin_dsn, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hush'")
    with ExitStack() as stack:
        worlds = (
            stack.enter_context(world(admin_dsn, role, "here", 1)),
            stack.enter_context(world(admin_dsn, role, "there", 3)),
        )
        # One world is recorded and the other is not: callers must not be able to tell.
        guards = [
            stack.enter_context(guard(home / f"{at}", made.dsn, role, more))
            for at, (made, more) in enumerate(zip(worlds, (RECORDING, ""), strict=True))
        ]
        yield Lab(worlds, (guards[0], guards[1]))
    with psycopg.connect(admin_dsn, autocommit=True) as conn:
        conn.execute(f"DROP ROLE {role}")
