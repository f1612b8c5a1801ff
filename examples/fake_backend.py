"""A unit test of guarded code, without PostgreSQL: milliseconds, and the real policy.

Run it by hand:

    pip install "pgtracewall[binary]"
    python examples/fake_backend.py

The backend speaks PostgreSQL's protocol on the loopback interface and answers what is
scripted; psycopg, the policy, the masks and the record are the real ones.
"""

import tempfile
from pathlib import Path

import tracewall
from tracewall.testing import Bench, FakeBackend

POLICY = """
version = 1

[[issuers]]
issuer = "https://login.example"
audience = "people"
keys = "https://login.example/jwks.json"

[[grants]]
name = "staff"
groups = ["staff"]
actions = ["select"]
tables = ["public.people"]

[[masks]]
name = "emails"
columns = ["public.people.email"]
method = "email"
"""


def greeting(conn: tracewall.Connection, number: int) -> str:
    """Be the code under test."""
    row = conn.execute("select name, email from people where id = %s", (number,)).fetchone()
    return f"Hello {row[0]} <{row[1]}>" if row else "Hello, whoever you are"


def main() -> None:
    """Test it: what is found, what is not, a server that fails, and a caller who may not."""
    with tempfile.TemporaryDirectory() as name:
        policy = Path(name) / "policy.toml"
        policy.write_text(POLICY)
        tables = {"public.people": {"id": "int8", "name": "text", "email": "text"}}
        query = "select name, email from people where id = %s"
        with FakeBackend(tables) as backend, Bench.load(policy, backend) as bench:
            backend.on(query).rows([("Ada", "ada@example.com")]).times(1)
            backend.on(query).rows([]).times(1)
            backend.on(query).error("57014", "canceling statement due to statement timeout")
            with bench.connect("staff", autocommit=True) as conn:
                print(greeting(conn, 1))
                print(greeting(conn, 2))
                try:
                    greeting(conn, 3)
                except tracewall.OperationalError as failed:
                    print(f"failed with {failed.sqlstate}")
            with bench.connect("strangers") as conn:
                try:
                    greeting(conn, 1)
                except tracewall.Forbidden as refused:
                    print(f"refused by {refused.decision.rule}")
            # What was refused never arrived.
            print(f"{len(backend.statements)} statements arrived")


if __name__ == "__main__":
    main()
