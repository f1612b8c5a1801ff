"""Many writers of one log, killed without warning: nothing stated is lost, all is ended well."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracewall.audit.log import FileLog
from tracewall.audit.verify import records, verify

ROUNDS = int(os.environ.get("TRACEWALL_KILL_ROUNDS", "2"))
"""How often sixteen writers are killed; 13 rounds are 208 kills."""

_WRITER = """
log = FileLog(sys.argv[1], durability="written")
children = []
for _ in range(16):
    child = os.fork()
    if not child:
        numbers = open(f"{sys.argv[2]}/{os.getpid()}", "w", buffering=1)
        while True:
            number = log.intent(who, what)
            numbers.write(f"{number}\\n")
            log.outcome(number, ended)
    children.append(child)
log.close()
print("started", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_sixteen_writers_killed(tmp_path: Path, start: Callable[..., Any]) -> None:
    """After kill -9 each accepted intent is there, and the next process ends every file."""
    directory = tmp_path / "log"
    for round in range(ROUNDS):
        told = tmp_path / str(round)
        told.mkdir()
        with start(_WRITER, directory, told) as process:
            assert process.stdout.readline() == b"started\n"
            deadline = time.monotonic() + 60
            while sum(p.stat().st_size > 20 for p in told.iterdir()) < 16:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            for path in told.iterdir():
                os.kill(int(path.name), signal.SIGKILL)
            process.kill()
        accepted = [len(path.read_bytes().split(b"\n")) - 1 for path in told.iterdir()]
        report = verify(directory)
        assert report.ok
        deadline = time.monotonic() + 60
        while not all(file.closed and not file.open_intents for file in report.files):
            # Opening it ends what the dead have left; a killed process lets go a little later.
            assert time.monotonic() < deadline
            FileLog(directory).close()
            report = verify(directory)
            assert report.ok
        kept: dict[str, int] = {}
        for record in records(directory):
            if record["kind"] == "opened":
                pid = str(record["pid"])
            elif record["kind"] == "intent":
                kept[pid] = kept.get(pid, 0) + 1
        for path, count in zip(told.iterdir(), accepted, strict=True):
            assert kept[path.name] >= count
