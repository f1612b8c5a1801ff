"""examples/approval.py, run as a reader would run it, with each kind of store."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "approval.py"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_export_is_paused_and_approved_in_other_processes(kind: str, tmp_path: Path) -> None:
    """Over 1,000 rows are paused, approved by another person, exported once, then refused."""
    place = str(Path(str(files("tracewall"))).parent)
    environment = os.environ | {"PYTHONPATH": place, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), kind],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = [line for line in done.stdout.splitlines() if "without asking" not in line]
    wanted = [
        r"  job: paused apr_\w{26}",
        r"  approvals approve: error: you ask for this, or act for who does: somebody else .*",
        *[r"  approvals show: .*"] * 11,
        r"  approvals show:     select id, total from orders",
        r"  approvals approve: apr_\w+  approved  ann  SELECT public.orders  the yearly report",
        r"  job: exported 5000 rows",
        r"  job: refused: the approval was used already: ask again \(request apr_\w+\)",
    ]
    assert len(told) == len(wanted), done.stdout
    for line, pattern in zip(told, wanted, strict=True):
        assert re.fullmatch(pattern, line), line
    assert list(tmp_path.iterdir()) == []
