"""What it costs to know the catalog: its fingerprint, and reading it in full.

    python benchmarks/catalog.py [--json]

A server of its own gets databases of 100 and of 10,000 tables of seven columns, with 100
views each. Times are the best of several, in milliseconds, over a local socket.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # where tracewall is not installed

import psycopg
from psycopg.conninfo import make_conninfo

from tracewall.demo.server import embedded_server
from tracewall.sql.catalog import FINGERPRINT, QUERIES, read

SIZES = (100, 10_000)
BATCH = 500
TABLE = "create table t{} (id int primary key, a text, b text, c text, d int, e jsonb, f date)"
VIEW = "create view v{0} as select id, a, upper(b) as b from t{0} where d > 1"


def fill(conn: psycopg.Connection, size: int) -> None:
    """Make the tables and the views."""
    for start in range(0, size, BATCH):
        conn.execute(";".join(TABLE.format(at) for at in range(start, min(start + BATCH, size))))
    for at in range(min(size, 100)):
        conn.execute(VIEW.format(at))
    conn.execute("vacuum analyze")


def fingerprint(conn: psycopg.Connection) -> None:
    """Ask for the fingerprint."""
    conn.execute(FINGERPRINT)


def full(conn: psycopg.Connection) -> None:
    """Read everything."""
    results = [conn.execute(question).pgresult for question in QUERIES]
    read([bytes(result.get_value(0, 0) or b"") for result in results if result])


def main() -> None:
    """Measure, and print."""
    figures = {}
    with embedded_server() as server:
        for size in SIZES:
            with psycopg.connect(server.conninfo, autocommit=True) as conn:
                conn.execute(f"create database d{size}")
            with psycopg.connect(
                make_conninfo(server.conninfo, dbname=f"d{size}"), autocommit=True
            ) as conn:
                fill(conn, size)
                for ask, rounds in ((fingerprint, 15), (full, 5)):
                    took = []
                    for _ in range(rounds):
                        started = time.perf_counter()
                        ask(conn)
                        took.append(time.perf_counter() - started)
                    figures[f"{ask.__name__}_{size}_ms"] = round(min(took) * 1000, 2)
    if "--json" in sys.argv:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24}{value:10.2f}")


if __name__ == "__main__":
    main()
