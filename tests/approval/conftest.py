"""A table behind a wall that asks, in both kinds of store, and people who decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import tracewall
from tracewall import Wall
from tracewall.approval.desk import Case
from tracewall.approval.migration import migration
from tracewall.approval.postgres import PostgresStore
from tracewall.approval.request import Person
from tracewall.approval.sqlite import SqliteStore
from tracewall.signing import Signer
from tracewall.testing import TokenIssuer

ISSUER = "https://idp.test"
HEAD = """
version = 1
[database]
conninfo = "{conninfo}"
[approval]
keys = ["{key}"]
{settings}
[[issuers]]
name = "test"
issuer = "https://idp.test"
audience = "notes"
keys = "jwks.json"
algorithms = ["ES256"]
{masks}
[[grants]]
name = "all"
groups = ["staff", "boss"]
actions = ["select", "insert", "update", "delete", "truncate"]
tables = ["public.*"]
"""
MASKS = """
[[masks]]
name = "cards"
columns = ["public.note.card"]
method = "redact"
"""
RULE = """
[[approvals]]
name = "export"
rows = 10
approvers = ["boss", "lead"]
"""
SETUP = """
create table note (id int primary key, body text, card text);
insert into note select n, 'note ' || n, '4111-' || n from generate_series(1, 40) n;
create table other (id int primary key, body text);
grant select, insert, update, delete, truncate on note, other to {role};
analyze note;
"""


@dataclass
class Office:
    """A wall that asks, with people on either side of the desk."""

    folder: Path
    admin: str
    issuer: TokenIssuer
    signer: Signer
    conninfo: str
    clock: Callable[[], float]
    walls: list[Wall]
    settings: str = ""
    masks: str = MASKS

    def wall(self, rules: str = RULE, **options: Any) -> Wall:
        """Make a wall of a policy with these rules."""
        text = (
            HEAD.format(
                conninfo=self.conninfo,
                key=self.signer.public,
                settings=self.settings,
                masks=self.masks,
            )
            + rules
        )
        path = self.folder / "policy.toml"
        path.write_text(text)
        made = Wall.load(path, password=lambda: "pw", clock=self.clock, **options)
        self.walls.append(made)
        return made

    def token(self, subject: str = "ann", *groups: str, **claims: Any) -> str:
        return self.issuer.mint(subject, list(groups or ("staff",)), audience="notes", **claims)

    def connect(self, wall: Wall, subject: str = "ann", *groups: str, **options: Any) -> Any:
        """Connect as somebody, in autocommit mode unless told otherwise."""
        options = {"autocommit": True} | options
        return tracewall.connect(wall=wall, token=self.token(subject, *groups), **options)

    def decide(
        self, wall: Wall, id: str, who: str = "bob", kind: Any = "approve", *groups: str
    ) -> Case:
        """Have somebody decide."""
        person = Person(ISSUER, who)
        members = frozenset(groups or ("boss",))
        return wall.desk.decide(id, kind, person, members, self.signer, "looked at it")

    def raw(self, query: str) -> list[Any]:
        """Give what an unguarded superuser gets."""
        with psycopg.connect(self.admin, autocommit=True) as conn:
            cursor = conn.execute(query)
            return cursor.fetchall() if cursor.description else []

    def recorded(self) -> str:
        """Give everything the audit log holds so far."""
        for wall in self.walls:
            wall.audit.flush()
        return "".join(path.read_text() for path in (self.folder / "audit").glob("*"))


class Clock:
    """The time, which tests may move."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        import time

        return time.time() + self.ahead


@pytest.fixture(params=["sqlite", "postgres"])
def make_store(request: Any, tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """What opens a store of either kind; each call as another process would."""
    if request.param == "sqlite":
        yield lambda: SqliteStore(tmp_path / "store.db")
        return
    # Asked for here, so that a file needs no server.
    scratch_dsn = request.getfixturevalue("scratch_dsn")
    role = conninfo_to_dict(scratch_dsn)["dbname"] + "_store"
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(f"create role {role} login password 'pw'")
        conn.execute(migration(role, role))
    parts = {k: v for k, v in conninfo_to_dict(scratch_dsn).items() if k != "password"}
    made: list[PostgresStore] = []

    def opened() -> PostgresStore:
        made.append(PostgresStore(make_conninfo(**{**parts, "user": role}), "pw"))
        return made[-1]

    yield opened
    for store in made:
        store.close()
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(f"drop owned by {role}")
        conn.execute(f"drop role {role}")


@pytest.fixture
def clock() -> Clock:
    """A clock that can be put forward."""
    return Clock()


@pytest.fixture
def office(scratch_dsn: str, tmp_path: Path, clock: Clock) -> Iterator[Office]:
    """An office of its own for one test."""
    role = conninfo_to_dict(scratch_dsn)["dbname"] + "_service"
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(f"create role {role} login password 'pw'")
        conn.execute(SETUP.format(role=role))
    issuer = TokenIssuer(ISSUER)
    issuer.write_jwks(tmp_path / "jwks.json")
    parts = {k: v for k, v in conninfo_to_dict(scratch_dsn).items() if k != "password"}
    service = make_conninfo(**{**parts, "user": role})
    made = Office(tmp_path, scratch_dsn, issuer, Signer.make("desk"), service, clock, [])
    yield made
    for wall in made.walls:
        wall.close()
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(f"drop owned by {role}")
        conn.execute(f"drop role {role}")
