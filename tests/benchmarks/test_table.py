"""The table of what the guard costs, run with the least of everything: it must not rot."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Unix sockets are the way in")
ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
PAGES = ("README.md", "docs/explanation/performance.md")
# Of instructions, the process is looked at without callgrind, which takes half a minute to start.
PARTS = {
    "lookup": "lookup",
    "spans": "spans",
    "doors": "doors",
    "rows": "rows",
    "masks": "masks",
    "threads": "crowd",
    "tasks": "crowd",
    "statements": "statements",
    "judge": "judge",
    "policy": "policy",
    "catalog": "catalog",
    "memory": "memory",
    "text": "text",
    "record": "record",
    "instructions": "instructions",
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the table's command."""
    command = [sys.executable, str(BENCHMARKS / "table.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: Any) -> Path:
    """Give a folder with copies of the pages that show figures."""
    root = tmp_path_factory.mktemp("pages")
    for name in PAGES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((ROOT / name).read_text("utf-8"), "utf-8")
    return root


@pytest.fixture(scope="module")
def told(pages: Path) -> dict[str, Any]:
    """Measure the least, and give what is told."""
    done = run("--tiny", "--json", "--write", "--root", str(pages))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("part", PARTS)
def test_each_part_runs(told: dict[str, Any], part: str) -> None:
    """Each part measures something, or says why it does not."""
    of = PARTS[part]
    figures = [figure for figure in told["figures"] if figure["part"] == of]
    left = [each for each in told["left"] if each["part"] == of]
    assert figures or left
    assert all(each["why"] for each in left)
    for figure in figures:
        spread = figure["spread"]
        assert 0 < spread["low"] <= spread["median"] <= spread["high"], figure["name"]


def test_each_goal_is_of_something_that_is_measured(told: dict[str, Any]) -> None:
    """No goal is lost because what it is of was renamed, and each miss has its reason."""
    spec = importlib.util.spec_from_file_location("goals_of_the_table", BENCHMARKS / "goals.py")
    assert spec and spec.loader
    goals = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(goals)
    measured = {(each["part"], each["name"]) for each in told["figures"]}
    # These have names that tell a size, or need what is not installed.
    others = {"policy", "spans"}
    assert {key for key in goals.GOALS if key[0] not in others} <= measured
    assert all(goal.why for goal in goals.GOALS.values())
    assert all("goal" in each for each in told["figures"] if each["part"] == "masks")


def test_the_pages_get_the_figures(told: dict[str, Any], pages: Path) -> None:
    """``--write`` changes what is between the marks of a page, and nothing else."""
    for name in PAGES:
        before, after = (ROOT / name).read_text("utf-8"), (pages / name).read_text("utf-8")
        mark = "<!-- figures"
        assert after.partition(mark)[0] == before.partition(mark)[0]
        end = "<!-- end of figures -->"
        assert after.partition(end)[2] == before.partition(end)[2]
        assert "lookup" in after.partition(mark)[2]


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    """Where there are no marks nothing is written, and the command says so."""
    for name in PAGES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("words")
    done = run("--tiny", "--write", "--root", str(tmp_path))
    assert done.returncode != 0
    assert "no marks" in done.stderr
    assert all((tmp_path / name).read_text() == "words" for name in PAGES)


def test_the_pages_show_all_parts_or_none(tmp_path: Path) -> None:
    """What is measured of some parts only is not written over the whole."""
    done = run("--tiny", "--only", "judge", "--write", "--root", str(tmp_path))
    assert done.returncode == 2
    assert "--only" in done.stderr
