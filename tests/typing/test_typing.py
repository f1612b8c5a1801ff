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
