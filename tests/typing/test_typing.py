"""What a typed program written for psycopg says of its types holds for tracewall."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("program.py")


def test_a_typed_program_passes_strictly() -> None:
    """`mypy --strict` finds nothing wrong in a program of which only the import was changed."""
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict"]
    found = subprocess.run(
        [*command, str(PROGRAM)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
    )
    assert found.returncode == 0, found.stdout + found.stderr


WRONG = (
    "psycopg.connect(wall=wall, token=1)",
    "conn.cursor(row_factory=scalar_row).fetchone().nothing()",
    "conn.execute(1)",
    'number: int = conn.execute("select 1").fetchone()',
)


def test_a_wrong_program_does_not_pass(tmp_path: Path) -> None:
    """The check can fail: what is wrong in a program is told, line by line, and nothing else."""
    pytest.importorskip("mypy")
    lines = [
        "from typing import Any",
        "from psycopg.rows import scalar_row",
        "import tracewall as psycopg",
        "def main(conn: psycopg.Connection[Any], wall: psycopg.Wall) -> None:",
    ]
    wrong = tmp_path / "wrong.py"
    wrong.write_text("\n".join([*lines, *(f"    {line}" for line in WRONG)]) + "\n")
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(wrong)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
    )
    told = {int(line.split(":")[1]) for line in found.stdout.splitlines() if ": error:" in line}
    wanted = set(range(len(lines) + 1, len(lines) + len(WRONG) + 1))
    assert (found.returncode, told) == (1, wanted), found.stdout + found.stderr
