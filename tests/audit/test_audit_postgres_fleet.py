"""Many writers of one log in PostgreSQL, killed without warning: nothing stated is lost."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tracewall.audit.migration import migration
from tracewall.audit.verify import records, verify
from tracewall.cli import main

ROUNDS = int(os.environ.get("TRACEWALL_KILL_ROUNDS", "2"))
"""How often eight writers are killed, in either test; 13 rounds are 104 kills in each."""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

# A round's writers tell the numbers that they got through a pipe; who dies is told by nobody.
_ROUNDS = """
import random, select
import tracewall.audit.server
from tracewall.audit.postgres import PostgresLog

conninfo, rounds, grace = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
tracewall.audit.server.GRACE = grace

def write(pipe):
    log = PostgresLog(conninfo, deadline=30)
    for _ in range(100_000):
        try:
            number = log.intent(who, what)
        except AuditUnavailable:
            continue
        os.write(pipe, b"%d\\n" % number)
        log.outcome(number, ended)

for _ in range(rounds):
    children = {}
    for _ in range(8):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            write(writing)
            os._exit(1)
        os.close(writing)
        children[child] = reading
    for reading in children.values():
        assert select.select([reading], [], [], 60)[0], "a writer has not begun"
    time.sleep(random.random() * 0.1)
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child, reading in children.items():
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        told = b""
        while more := os.read(reading, 65536):
            told += more
        os.close(reading)
        print(child, told.count(b"\\n"), flush=True)
"""

_LAST = """
import tracewall.audit.server
from tracewall.audit.postgres import PostgresLog
tracewall.audit.server.GRACE = 0.0
PostgresLog(sys.argv[1], deadline=30).close()
"""


@pytest.fixture
def conninfo(scratch_dsn: str) -> Iterator[str]:
    role = f"fleet_{secrets.token_hex(4)}"
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(f"create role {role} login password 'pw'")
        conn.execute(migration(role, "tracewall_audit"))
        yield make_conninfo(scratch_dsn, user=role, password="pw")
        conn.execute(f"drop owned by {role}")
        conn.execute(f"drop role {role}")


@pytest.mark.parametrize("grace", [60.0, 0.0], ids=["left alone", "ended while others begin"])
def test_writers_are_killed(
    conninfo: str, scratch_dsn: str, tmp_path: Path, start: Callable[..., Any], grace: float
) -> None:
    """After kill -9 each accepted intent is there once, and the next process ends every chain."""
    with start(_ROUNDS, conninfo, ROUNDS, grace) as process:
        output, errors = process.communicate(timeout=60 + 10 * ROUNDS)
    assert process.returncode == 0, errors.decode()
    accepted = dict(line.split() for line in output.decode().splitlines())
    assert len(accepted) == 8 * ROUNDS and all(int(told) > 0 for told in accepted.values())
    for at in range(100):
        with start(_LAST, conninfo) as process:
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
        folder = tmp_path / str(at)
        assert main(["audit", "fetch", str(folder), "--conninfo", scratch_dsn]) == 0
        report = verify(folder)
        assert report.ok
        # The server may not have noticed yet that the last of them is gone.
        if all(file.closed and not file.open_intents for file in report.files):
            break
    else:
        pytest.fail("what the dead have left is not ended")
    kept: Counter[str] = Counter()
    for record in records(folder):
        if record["kind"] == "opened":
            pid = str(record["pid"])
        elif record["kind"] == "intent":
            kept[pid] += 1
    assert {pid: kept[pid] >= int(told) for pid, told in accepted.items()} == dict.fromkeys(
        accepted, True
    )
