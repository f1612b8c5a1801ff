"""Exporting more than 1,000 rows is paused, and goes to an approver before it is done.

Run it by hand:

    pip install "pgtracewall[demo]"
    python examples/approval.py             # requests in a SQLite file
    python examples/approval.py postgres    # requests in a schema of PostgreSQL

Three processes take part: this one sets the stage and calls the approver's command, the
other two are the job that wants to export. They share nothing but the store.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

import tracewall
from tracewall.approval.migration import migration
from tracewall.demo.server import embedded_server
from tracewall.signing import Signer
from tracewall.testing import TokenIssuer

SETUP = """
create table orders (id int primary key, total int);
insert into orders select n, n * 7 from generate_series(1, 5000) n;
analyze orders;
create role service login password 'for-the-example-only';
grant select on orders to service;
create role asking login password 'for-the-example-only';
create role deciding login password 'for-the-example-only';
"""

POLICY = """
version = 1

[database]
conninfo = "{service}"
password_env = "EXAMPLE_PASSWORD"

[approval]
keys = ["{key}"]
{store}

[[issuers]]
issuer = "https://issuer.test"
audience = "orders"
keys = "jwks.json"

[[grants]]
groups = ["analysts"]
actions = ["select"]
tables = ["public.orders"]

[[approvals]]
name = "export"
rows = 1000
approvers = ["leads"]
expires = "15min"
"""


def export(policy: str, request: str) -> None:
    """Be the job: export all orders, going on with a request where there is one."""
    wall = tracewall.Wall.load(policy)
    with wall, tracewall.connect(wall=wall, token=os.environ["EXAMPLE_TOKEN"]) as conn:
        few = conn.execute("select id, total from orders limit 1000").fetchall()
        print(f"exported {len(few)} rows without asking")
        try:
            rows = conn.execute(
                "select id, total from orders",
                approval=request or None,
                reason="the yearly report",
            ).fetchall()
            print(f"exported {len(rows)} rows")
        except tracewall.ApprovalRequired as paused:
            print(f"paused {paused.request_id}")
        except tracewall.Forbidden as refused:
            print(f"refused: {refused}")


def job(policy: Path, token: str, request: str = "") -> str:
    """Run the job in a process of its own, and give what it said last."""
    command = [sys.executable, __file__, "job", str(policy), request]
    done = subprocess.run(
        command,
        env={**os.environ, "EXAMPLE_TOKEN": token, "EXAMPLE_PASSWORD": "for-the-example-only"},
        capture_output=True,
        text=True,
        check=True,
    )
    for line in done.stdout.splitlines():
        print(f"  job: {line}")
    return done.stdout.splitlines()[-1]


def approver(policy: Path, token: str, key: Signer, *arguments: str) -> None:
    """Run the approver's command."""
    done = subprocess.run(
        [sys.executable, "-m", "tracewall", "approvals", *arguments, "--config", str(policy)],
        env={
            **os.environ,
            "TRACEWALL_TOKEN": token,
            "TRACEWALL_APPROVAL_KEY": key.secret(),
            "EXAMPLE_PASSWORD": "for-the-example-only",
        },
        capture_output=True,
        text=True,
    )
    for line in (done.stdout + done.stderr).splitlines():
        print(f"  approvals {arguments[0]}: {line}")


def main(kind: str) -> None:
    """Set the stage, and play."""
    with tempfile.TemporaryDirectory() as folder, embedded_server() as server:
        where, store = Path(folder), ""
        with psycopg.connect(server.conninfo, autocommit=True) as admin:
            admin.execute(SETUP)
            admin.execute(migration("asking", "deciding"))
        if kind == "postgres":
            store = 'conninfo = "{}"\npassword_env = "EXAMPLE_PASSWORD"'
        key, issuer = Signer.make("desk"), TokenIssuer("https://issuer.test")
        issuer.write_jwks(where / "jwks.json")
        service = make_conninfo(server.conninfo, user="service")

        def written(name: str, role: str) -> Path:
            # The approvers' own copy logs in to the store as a role that can decide.
            login = store.format(make_conninfo(server.conninfo, user=role))
            path = where / name
            path.write_text(POLICY.format(service=service, key=key.public, store=login))
            return path

        jobs, leads = written("jobs.toml", "asking"), written("leads.toml", "deciding")
        ann = issuer.mint("ann", ["analysts", "leads"], audience="orders")
        bob = issuer.mint("bob", ["leads"], audience="orders")
        request = job(jobs, ann).removeprefix("paused ")
        approver(leads, ann, key, "approve", request)
        approver(leads, bob, key, "show", request)
        approver(leads, bob, key, "approve", request, "--reason", "expected in November")
        job(jobs, ann, request)
        job(jobs, ann, request)


if __name__ == "__main__":
    if sys.argv[1:2] == ["job"]:
        export(sys.argv[2], sys.argv[3])
    else:
        main(sys.argv[1] if sys.argv[1:] else "sqlite")
