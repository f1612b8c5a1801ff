"""Instructions of a lookup, counted by callgrind: steady on a machine that is not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from figures import Figure, Left
from ground import MASKED, Ground, Scale
from pairs import spread

PART = "instructions"
CHILD = Path(__file__).parents[1] / "counted.py"


def measure(ground: Ground, scale: Scale) -> Iterator[Figure | Left]:
    """Have a process do lookups under callgrind, and count those of each kind of connection."""
    if not (shutil.which("valgrind") and shutil.which("vgdb")):
        yield Left(PART, "valgrind is not installed here")
        return
    sides = {
        "psycopg": "",
        "tracewall, record `buffered`": str(ground.policy()),
        "tracewall, record `written`": str(ground.policy(durability="written")),
        "tracewall, two columns masked": str(ground.policy(rules=MASKED)),
    }
    place = Path(ground.stack.enter_context(tempfile.TemporaryDirectory()))
    told = {"conninfo": ground.conninfo, "token": ground.token, "sides": sides}
    if not scale.counted:
        with Working([], told) as working:
            for name in sides:
                working.run(name, 1)
        yield Left(PART, "so few are not counted")
        return
    with Counting(place, told) as counting:
        for name in sides:
            counting.run(name, 200)
            counted = counting.count(name, scale.counted) / scale.counted / 1e3
            yield Figure(PART, f"a lookup by {name}", spread([counted]), "thousand")


class Working:
    """A process that does lookups as it is told by lines, started under another program or none."""

    def __init__(self, under: list[str], told: dict[str, Any]) -> None:
        command = [*under, sys.executable, str(CHILD), json.dumps(told)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        self._answered()
        return self

    def __exit__(self, *_: Any) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(120)

    def run(self, name: str, times: int) -> None:
        """Have one kind of connection do so many lookups."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps([name, times]) + "\n")
        self.process.stdin.flush()
        self._answered()

    def _answered(self) -> None:
        assert self.process.stdout
        if not self.process.stdout.readline():
            raise RuntimeError("the process that does the lookups has ended")


class Counting(Working):
    """The same under callgrind, which starts to count when it is told to."""

    def __init__(self, place: Path, told: dict[str, Any]) -> None:
        self._out, self._dumps = place / "out", 0
        self._prefix = f"--vgdb-prefix={place}/vgdb"
        command = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--vgdb=yes"]
        super().__init__([*command, self._prefix, f"--callgrind-out-file={self._out}"], told)

    def count(self, name: str, times: int) -> int:
        """Give the instructions of so many lookups."""
        self._command("instrumentation", "on")
        self._command("zero")
        self.run(name, times)
        self._command("dump")
        self._command("instrumentation", "off")
        self._dumps += 1
        totals = re.search(r"^totals: (\d+)", Path(f"{self._out}.{self._dumps}").read_text(), re.M)
        assert totals
        return int(totals[1])

    def _command(self, *words: str) -> None:
        command = ["vgdb", self._prefix, f"--pid={self.process.pid}", *words]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
