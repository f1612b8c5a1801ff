"""What masks cost: 10,000 rows of ten columns, two of them masked, against plain psycopg.

Run ``python benchmarks/masks.py [--json]``. Both sides run in one process on one embedded
server, in turn; what is printed is the median of the ratios of neighbouring runs. ``mixed``
has columns of many types, ``plain`` integers and texts only, whose loading costs least, so
that masks show most. The last three read documents, and are told in megabytes a second.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import psycopg
from pairs import apart, ratio

import tracewall
from tracewall.demo.server import embedded_server
from tracewall.masking.config import Method
from tracewall.masking.messages import CLASSES, MessageMask
from tracewall.masking.methods import masker
from tracewall.masking.paths import path_mask
from tracewall.testing import TokenIssuer

POLICY = """
version = 1

[database]
conninfo = "{conninfo}"

[audit]
directory = "audit-{name}"
durability = "buffered"

[[issuers]]
issuer = "https://idp.test"
audience = "bench"
keys = "jwks.json"
algorithms = ["ES256"]

[[grants]]
groups = ["analysts"]
actions = ["select"]
tables = ["bench.*"]

[[masks]]
name = "keys"
columns = ["bench.*.c3", "bench.*.c7"]
method = "{method}"
{options}
"""
SETUP = """
create schema bench;
create table bench.mixed (run_id int primary key, c1 text, c2 int, c3 text, c4 timestamptz,
    c5 numeric, c6 text, c7 text, c8 bool, c9 int);
insert into bench.mixed select i, 'tenant ' || i, i, 'sk-' || md5(i::text), now(), i * 1.5,
    md5(i::text), 'user' || i || '@example.com', i % 2 = 0, i from generate_series(1, 10000) i;
create table bench.plain as select run_id, c1, c2, c3, c2 as c4, c2 as c5, c6, c7, c2 as c8, c9
    from bench.mixed;
analyze bench.mixed; analyze bench.plain;
"""
EVERYTHING = "select run_id, c1, c2, c3, c4, c5, c6, c7, c8, c9 from bench.{}"
METHODS = {
    "redact": "",
    "null": "",
    "partial": "keep_last = 4",
    "email": "",
    "hash": "",
}
GOALS = {"mixed_redact": 1.05, "mixed_null": 1.05, "plain_redact": 1.10, "plain_null": 1.10}
KEY = b"a key for benchmarks, no secret!"


@contextmanager
def guards(folder: Path, conninfo: str) -> Iterator[dict[str, psycopg.Connection]]:
    """Give a guarded connection for each method."""
    issuer = TokenIssuer("https://idp.test")
    issuer.write_jwks(folder / "jwks.json")
    token = issuer.mint("ann", ["analysts"], audience="bench")
    with ExitStack() as stack:
        made = {}
        for method, options in METHODS.items():
            path = folder / f"{method}.toml"
            text = POLICY.format(conninfo=conninfo, name=method, method=method, options=options)
            path.write_text(text)
            wall = stack.enter_context(tracewall.Wall.load(path, mask_key=KEY))
            guarded = tracewall.connect(wall=wall, token=token, autocommit=True)
            made[method] = stack.enter_context(guarded)
        yield made


def reading(conn: psycopg.Connection, table: str) -> Callable[[], None]:
    """Give what reads a whole table."""
    cursor = conn.cursor()

    def work() -> None:
        cursor.execute(EVERYTHING.format(table))
        cursor.fetchall()

    return work


def measure(rounds: int) -> dict[str, float]:
    """Give the ratios by name."""
    found = {}
    with (
        embedded_server() as server,
        tempfile.TemporaryDirectory() as place,
        psycopg.connect(server.conninfo, autocommit=True) as plain,
    ):
        plain.execute(SETUP)
        with guards(Path(place), server.conninfo) as made:
            for table in ("mixed", "plain"):
                for method, guarded in made.items():
                    apart(plain, guarded)
                    pair = reading(guarded, table), reading(plain, table)
                    ratio(*pair, 3)
                    found[f"{table}_{method}"] = ratio(*pair, rounds)
    return found


def documents() -> dict[str, float]:
    """Give megabytes of JSON a second, loading left out."""
    leaf = masker(Method("redact"), b"", "bench")
    part = {"type": "text", "content": "word " * 200}
    call = {"type": "tool_call", "id": "1", "name": "sql", "arguments": {"query": "select " * 50}}
    talk = [{"role": "assistant", "parts": [part, call] * 5}] * 200
    size = len(json.dumps(talk)) / 1e6
    masks = {
        "paths_one": path_mask(["$[*].parts[*].arguments"], leaf).whole,
        "paths_deep": path_mask(["$..api_key", "$..password"], leaf).whole,
        "gen_ai": MessageMask(frozenset(CLASSES), leaf).whole,
    }
    found = {}
    for name, mask in masks.items():
        spent = []
        for _ in range(5):
            started = time.perf_counter()
            mask(talk)
            spent.append(time.perf_counter() - started)
        found[name] = size / min(spent)
    return found


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--rounds", type=int, default=40, help="pairs of runs (default 40)")
    asked = parser.parse_args()
    found = measure(asked.rounds)
    for name, value in found.items():
        goal = GOALS.get(name, 1.30)
        print(f"{name:16} {value:6.3f} x plain psycopg   (goal: at most {goal:.2f})")
    speeds = documents()
    for name, value in speeds.items():
        print(f"{name:16} {value:6.0f} MB/s")
    if asked.json:
        print(json.dumps({name: round(value, 4) for name, value in (found | speeds).items()}))


if __name__ == "__main__":
    sys.exit(main())
