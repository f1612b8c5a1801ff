"""Forks, threads, ends of the interpreter, the garbage collector, full pools and full disks."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool, PoolTimeout

import tracewall
from tracewall import Connection, Wall
from tracewall.audit.verify import check

SELECT = "select id, card from shop.orders where id <= 20 order by id"


def connect(ground: Any, **options: Any) -> Any:
    """Connect as a clerk."""
    return Connection.connect(wall=ground.wall, token=ground.token(), **options)


def in_child(wall: Any, work: Any) -> str:
    """Do something in a forked child, and give what it says."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, str(work()).encode())
        except BaseException as ex:
            os.write(write, f"{type(ex).__name__}: {ex}".encode())
        finally:
            wall.close()
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        found = said.read()
    os.waitpid(child, 0)
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_connection_stays_its_makers(ground: Any) -> None:
    """A forked child can't use its parent's connection; the parent goes on."""
    with connect(ground) as conn:
        conn.execute(SELECT).fetchall()
        for use in (lambda: conn.execute(SELECT).fetchall(), conn.rollback, conn.close):
            said = in_child(ground.wall, use)
            assert "CANARY" not in said
            assert said.startswith("OperationalError") or said == "None"
            assert len(conn.execute(SELECT).fetchall()) == 20
        assert (
            in_child(ground.wall, lambda: len(connect(ground).execute(SELECT).fetchall())) == "20"
        )
        assert len(conn.execute(SELECT).fetchall()) == 20


def test_threads_may_share_a_connection(ground: Any) -> None:
    """Each thread gets its own rows, masked, whoever else is at work on the connection."""
    with connect(ground, autocommit=True) as conn:

        def ask(n: int) -> Any:
            if n % 3 == 0:
                return list(conn.cursor().stream(SELECT))
            return conn.execute("select id, card from shop.orders where id = %s", [n]).fetchall()

        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(ask, range(1, 90)))
    for n, rows in enumerate(found, 1):
        assert "CANARY" not in repr(rows)
        assert rows[0][0] == (1 if n % 3 == 0 else n)


def test_what_the_garbage_collector_ends_is_recorded(ground: Any) -> None:
    """Streams, COPYs and pipelines that nobody ends have an outcome, and the connection works."""
    with connect(ground) as conn:
        rows = conn.cursor().stream("select id, card from shop.orders")
        next(rows)
        del rows
        gc.collect()
        assert len(conn.execute(SELECT).fetchall()) == 20
        copying = conn.cursor().copy("copy shop.orders (id, card) to stdout")
        copying.__enter__().read()
        del copying
        gc.collect()
        if not conn.closed:
            conn.rollback()
            assert len(conn.execute(SELECT).fetchall()) == 20
    assert ground.open_intents() == []


PROGRAM = """
import warnings
warnings.simplefilter("ignore", ResourceWarning)
from tracewall import Connection, Wall

wall = Wall.load({policy!r})
conns = [Connection.connect(wall=wall, token={token!r}) for _ in range(4)]
rows = conns[0].cursor().stream("select id, card from shop.orders")
print(next(rows))
cursor = conns[1].cursor("orders")
cursor.execute("select id, card from shop.orders")
print(cursor.fetchmany(2))
copying = conns[2].cursor().copy("copy shop.orders (id, card) to stdout")
print(copying.__enter__().read())
pipeline = conns[3].pipeline()
pipeline.__enter__()
conns[3].execute("select id, card from shop.orders where id = 1")
{end}
"""


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "raise KeyboardInterrupt"])
def test_the_end_of_the_interpreter_is_in_order(ground: Any, end: str) -> None:
    """A program that ends in the middle of everything leaves a whole record, and says nothing."""
    program = PROGRAM.format(
        policy=str(ground.folder / "tracewall.toml"), token=ground.token(), end=end
    )
    root = Path(tracewall.__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "CANARY" not in ran.stdout + ran.stderr
    assert ran.stdout.count("\n") == 3
    assert "Exception ignored" not in ran.stderr, ran.stderr
    assert ("Traceback" in ran.stderr) == ("Keyboard" in end), ran.stderr
    report = check(sorted((ground.folder / "audit").glob("*.jsonl")))
    assert report.ok
    assert sum(len(file.open_intents) for file in report.files) == 0
    assert "unknown" in ground.outcomes()


KILLED = """
import os, signal
from tracewall import Connection, Wall

conn = Connection.connect(wall=Wall.load({policy!r}), token={token!r})
{work}
os.kill(os.getpid(), signal.SIGKILL)
"""
IN_THE_MIDDLE = {
    "stream": """
rows = conn.cursor().stream("select id, card from shop.orders")
print(next(rows), next(rows), flush=True)
""",
    "copied_out": """
copying = conn.cursor().copy("copy shop.orders (id, card) to stdout")
copy = copying.__enter__()
print(copy.read(), copy.read(), flush=True)
""",
    "copied_in": """
copying = conn.cursor().copy("copy shop.notes (id, note) from stdin")
copy = copying.__enter__()
for n in range(5000):
    copy.write_row((n, "killed" * 20))
""",
    "declared": """
cursor = conn.cursor("orders", withhold=True)
cursor.execute("select id, card from shop.orders")
print(cursor.fetchmany(2), flush=True)
""",
    "pipelined": """
pipeline = conn.pipeline()
pipeline.__enter__()
conn.execute("insert into shop.notes values (1, 'killed')")
conn.execute("select id, card from shop.orders where id = 1")
""",
}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nobody can be killed so here")
@pytest.mark.parametrize("door", IN_THE_MIDDLE)
def test_a_process_killed_in_the_middle_leaves_the_end_unknown(ground: Any, door: str) -> None:
    """SIGKILL amid a stream, a COPY, a cursor: the intent stands, and is ended as unknown."""
    policy = str(ground.folder / "tracewall.toml")
    program = KILLED.format(policy=policy, token=ground.token(), work=IN_THE_MIDDLE[door])
    root = Path(tracewall.__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert "CANARY" not in ran.stdout
    ground.until_alone()
    with ground.admin() as admin:
        # Nothing was committed.
        told = admin.execute("select count(*) from shop.notes where note like 'killed%'")
        assert told.fetchone() == (0,)
    left = ground.open_intents()
    assert left
    with Wall.load(policy):
        assert ground.open_intents() == []
        assert ground.outcomes().count("unknown") == len(left)


def test_an_empty_pool_says_so(ground: Any) -> None:
    """Who waits too long for a connection gets the pool's error; nothing was judged or sent."""
    options = {"wall": ground.wall, "token": ground.token()}
    with ConnectionPool(
        connection_class=Connection, kwargs=options, min_size=1, max_size=1, open=True
    ) as pool:
        with pool.connection() as conn:
            with pytest.raises(PoolTimeout), pool.connection(timeout=0.1):
                pass
            assert len(conn.execute(SELECT).fetchall()) == 20
        with ground.admin() as admin:
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'service'"
            )
        with pytest.raises(psycopg.OperationalError), pool.connection() as conn:
            conn.execute(SELECT)
        with pool.connection(timeout=20) as conn:
            assert "CANARY" not in repr(conn.execute(SELECT).fetchall())
