"""Many tasks, one pool, each under its own token.

Run it by hand:

    pip install "pgtracewall[demo,pool]"
    python examples/asyncio_pool.py

Connections are shared, rights are not: what a statement may do is decided by the token of
the task that sends it, and what one principal leaves on a connection is discarded before the
next one's statement.
"""

import asyncio
import tempfile
from pathlib import Path

import psycopg
from psycopg_pool import AsyncConnectionPool

import tracewall
from tracewall.demo.server import embedded_server
from tracewall.testing import TokenIssuer

SETUP = """
create table people (id int primary key, name text, email text);
insert into people values (1, 'Ada', 'ada@example.com'), (2, 'Bob', 'bob@example.org');
create role service login password 'for-the-example-only';
grant select on people to service;
"""

POLICY = """
version = 1

[database]
conninfo = "host={host} dbname=postgres user=service"

[[issuers]]
issuer = "https://issuer.test"
audience = "people"
keys = "jwks.json"

[[grants]]
name = "staff"
groups = ["staff"]
actions = ["select"]
tables = ["public.people"]

[[grants]]
name = "support"
groups = ["support"]
actions = ["select"]
tables = ["public.people"]
lifts = ["emails"]

[[masks]]
name = "emails"
columns = ["public.people.email"]
method = "email"
"""


async def email_of(
    pool: AsyncConnectionPool[tracewall.AsyncConnection], wall: tracewall.Wall, token: str
) -> str:
    """Be one task: act under a token, from before the connection is taken."""
    with wall.acting_as(token):
        try:
            async with pool.connection() as conn:
                cursor = await conn.execute("select email from people where id = 1")
                row = await cursor.fetchone()
                return str(row[0]) if row else "nobody"
        except (tracewall.Forbidden, tracewall.TokenRejected) as refused:
            return type(refused).__name__


async def serve(wall: tracewall.Wall, tokens: list[str]) -> list[str]:
    """Run all tasks at once, over two connections."""
    async with AsyncConnectionPool(
        connection_class=tracewall.AsyncConnection,
        kwargs={"wall": wall, "autocommit": True},
        min_size=1,
        max_size=2,
        open=False,
    ) as pool:
        return await asyncio.gather(*(email_of(pool, wall, token) for token in tokens))


def main() -> None:
    """Set everything up, and let sixty tasks ask."""
    with embedded_server() as server, tempfile.TemporaryDirectory() as name:
        with psycopg.connect(server.conninfo) as admin:
            admin.execute(SETUP)
        folder = Path(name)
        (folder / "policy.toml").write_text(POLICY.format(host=server.directory))
        issuer = TokenIssuer("https://issuer.test")  # stands in for your identity provider
        issuer.write_jwks(folder / "jwks.json")
        who = ["staff", "support", "strangers"] * 20
        tokens = [issuer.mint(f"{g}-{n}", [g], audience="people") for n, g in enumerate(who)]
        password = "for-the-example-only"  # in earnest: password_file under [database]
        with tracewall.Wall.load(folder / "policy.toml", password=lambda: password) as wall:
            answers = asyncio.run(serve(wall, tokens))
        for group in ("staff", "support", "strangers"):
            told = {answer for of, answer in zip(who, answers, strict=True) if of == group}
            print(f"{group}: {', '.join(sorted(told))}")


if __name__ == "__main__":
    main()
