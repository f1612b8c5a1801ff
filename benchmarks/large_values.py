"""What one large value costs under each kind of mask, by each door: time, memory, stall.

    python benchmarks/large_values.py [--megabytes 50] [--json]

Each figure is for reading one row with one such value: milliseconds, megabytes by which the
process's peak grew above what it had, and, for the asynchronous door, how long the event loop stood
still at most. The first column is plain psycopg. `limits.masked_value` is off but for
the last line, which has its default.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import contextlib

import psycopg

import tracewall
from tracewall.demo.server import embedded_server
from tracewall.testing import TokenIssuer

POLICY = """
version = 1

[database]
conninfo = "{conninfo}"

[limits]
masked_value = {limit}

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
"""
MASK = '\n[[masks]]\nname = "it"\ncolumns = ["bench.large.{column}"]\n{method}\n'
SCAN = '\n[[scans]]\nname = "it"\ncolumns = ["bench.large.{column}"]\ndetectors = ["*"]\n'
RULES = {
    "redact": MASK.replace("{method}", 'method = "redact"'),
    "partial": MASK.replace("{method}", 'method = "partial"\nkeep_last = 4'),
    "hash": MASK.replace("{method}", 'method = "hash"'),
    "paths": MASK.replace("{method}", 'method = "redact"\npaths = ["$..secret"]'),
    "gen_ai": MASK.replace("{method}", 'method = "redact"\npreset = "gen_ai"'),
    "scan": SCAN,
}
KINDS = {
    "text": ("redact", "partial", "hash", "scan"),
    "hostile": ("scan",),
    "jsonb": ("redact", "paths", "gen_ai", "scan"),
    "bytea": ("redact", "hash", "scan"),
}
KEY = b"a key for benchmarks, no secret!"
SENTENCE = "The order of 42 apples (see line 17) came to 3 boxes of 14 each, so it is right. "


def fill(conn: psycopg.Connection[Any], size: int) -> None:
    """Make the table: each value in a row of its own would do, but a column is what is masked."""
    part = {"type": "text", "content": SENTENCE * 10, "secret": "zqk"}
    talk = [{"role": "user", "parts": [part] * 10}]
    document = json.dumps(talk * (size // len(json.dumps(talk))))
    conn.execute("create schema bench")
    conn.execute("create table bench.large (text text, hostile text, jsonb jsonb, bytea bytea)")
    conn.execute(
        "insert into bench.large values (%s, %s, %s, %s)",
        (SENTENCE * (size // len(SENTENCE)), "token:" * (size // 6), document, b"\x81" * size),
    )


def peak() -> float:
    """Give the process's peak of memory since `reset`, in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def reset() -> float:
    """Forget the peak of memory; give what is in use, in megabytes."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def by_fetching(conn: Any, sql: str) -> None:
    """Fetch the row."""
    conn.execute(sql).fetchone()


def by_server_cursor(conn: Any, sql: str) -> None:
    """Fetch the row from a cursor at the server."""
    with conn.transaction(), conn.cursor("large") as cursor:
        cursor.execute(sql).fetchone()


def by_stream(conn: Any, sql: str) -> None:
    """Take the row from a stream."""
    for _ in conn.cursor().stream(sql):
        pass


def by_copy(conn: Any, sql: str) -> None:
    """Copy the row out."""
    with conn.cursor().copy(f"COPY ({sql}) TO STDOUT") as copy:
        for _ in copy:
            pass


DOORS: dict[str, Callable[[Any, str], None]] = {
    "fetch": by_fetching,
    "server cursor": by_server_cursor,
    "stream": by_stream,
    "copy": by_copy,
}


def measured(door: Callable[[Any, str], None], conn: Any, sql: str) -> tuple[float, float, str]:
    """Give milliseconds, megabytes, and what refused."""
    told = ""
    before = reset()
    began = time.perf_counter()
    try:
        door(conn, sql)
    except psycopg.Error as ex:
        told = type(ex).__name__
    return (time.perf_counter() - began) * 1e3, peak() - before, told


async def stall(work: Callable[[], Awaitable[Any]]) -> float:
    """Give the longest time (ms) for which the event loop did nothing else during `work`."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - began)

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0.01)
    longest = 0.0
    with contextlib.suppress(psycopg.Error):
        await work()
    await asyncio.sleep(0.005)
    beating.cancel()
    return longest * 1e3


async def stalled(connect: Callable[[], Awaitable[Any]], sql: str) -> float:
    """Fetch by an asynchronous connection, and give its stall."""
    async with await connect() as conn:

        async def work() -> None:
            await (await conn.execute(sql)).fetchone()

        return await stall(work)


def rows(conninfo: str, folder: Path, limit: int, kinds: Any) -> list[list[Any]]:
    """Measure every kind of value under every mask, by every door."""
    issuer = TokenIssuer("https://idp.test")
    issuer.write_jwks(folder / "jwks.json")
    token = issuer.mint("ann", ["analysts"], audience="bench")
    made: list[list[Any]] = []
    with psycopg.connect(conninfo, autocommit=True) as plain:
        for kind, rules in kinds.items():
            sql = f"select {kind} from bench.large"
            found = [measured(door, plain, sql) for door in DOORS.values()]
            lag = asyncio.run(
                stalled(lambda: psycopg.AsyncConnection.connect(conninfo, autocommit=True), sql)
            )
            made.append([kind, "-", found, lag])
            for rule in rules:
                name = f"{kind}-{rule}-{limit}"
                text = POLICY.format(conninfo=conninfo, name=name, limit=limit)
                path = folder / f"{name}.toml"
                path.write_text(text + RULES[rule].format(column=kind))
                with tracewall.Wall.load(path, mask_key=KEY) as wall:
                    with tracewall.connect(wall=wall, token=token, autocommit=True) as conn:
                        conn.execute("select 1")
                        found = [measured(door, conn, sql) for door in DOORS.values()]
                    lag = asyncio.run(
                        stalled(
                            lambda wall=wall: tracewall.AsyncConnection.connect(
                                wall=wall, token=token, autocommit=True
                            ),
                            sql,
                        )
                    )
                made.append([kind, rule, found, lag])
    return made


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with embedded_server() as server, tempfile.TemporaryDirectory() as place:
        with psycopg.connect(server.conninfo, autocommit=True) as plain:
            fill(plain, asked.megabytes * 1_000_000)
        found = rows(server.conninfo, Path(place), 0, KINDS)
        found += rows(server.conninfo, Path(place), 16 << 20, {"text": ("scan",)})
    print("| Value | Mask | " + " | ".join(DOORS) + " | async stall |")
    print("|---|---|" + "---|" * (len(DOORS) + 1))
    for kind, rule, cells, lag in found:
        told = " | ".join(f"{ms:.0f} ms, {mb:.0f} MB {why}".rstrip() for ms, mb, why in cells)
        print(f"| {kind} | {rule} | {told} | {lag:.0f} ms |")
    if asked.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
