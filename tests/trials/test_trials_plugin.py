"""pytest collects files of policy tests, and is left alone where there are none."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

TEST = """
[[tests]]
name = "{}"
as = {}
sql = "select id from shop.orders"
expect = "{}"
"""
PLACE = str(Path(str(files("tracewall"))).parent)


@pytest.fixture
def pytested(tmp_path: Path) -> Any:
    """Run pytest in the directory of the test, with the plugin; give its exit code and lines."""

    def run(*arguments: str) -> tuple[int, list[str]]:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                # Installed or not: it is to be had once, by this name.
                *("-p", "no:tracewall_trials", "-p", "tracewall.trials.plugin", *arguments),
            ],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": PLACE},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout.splitlines()

    return run


def test_files_are_collected_by_their_name(pytested: Any, write: Any) -> None:
    """Each test with each principal is an item; a failure tells what was expected, and where."""
    path = write(
        TEST.format("it holds", ["ana", "cleo"], "allowed")
        + TEST.format("no", ["ana"], "forbidden")
    )
    code, lines = pytested()
    assert code == 1
    assert f"{path}:24:10: expect".replace("24", str(_line(path, 'expect = "forbidden"'))) in lines
    assert "  expected  forbidden" in lines
    assert "  got       allowed by grants.analysts" in lines
    assert lines[-1].startswith("1 failed, 2 passed")
    assert not any("Traceback" in line or "run.py" in line for line in lines)
    assert pytested("-k", "cleo")[0] == 0


def test_an_ini_option_names_more_files(pytested: Any, write: Any, tmp_path: Path) -> None:
    """``tracewall_tests`` has globs; other TOML files are left alone."""
    write(TEST.format("x", ["ana"], "allowed"), name="policy-tests.toml")
    (tmp_path / "other.toml").write_text("nonsense")
    assert pytested()[0] == 5
    (tmp_path / "pytest.ini").write_text("[pytest]\ntracewall_tests = policy-*.toml\n")
    code, lines = pytested()
    assert (code, lines[-1].startswith("1 passed")) == (0, True)


def test_a_wrong_file_is_an_error(pytested: Any, write: Any) -> None:
    """What does not load fails the run, with its place and without a traceback."""
    write(TEST.format("x", ["ana"], "alowed"))
    code, lines = pytested()
    assert code == 2
    assert any("did you mean 'allowed'?" in line for line in lines)
    assert not any("Traceback" in line for line in lines)


def test_it_is_inert_without_such_files(tmp_path: Path) -> None:
    """The plugin reads no policy until there is a file of policy tests."""
    (tmp_path / "test_x.py").write_text(
        "import sys\n\ndef test_x():\n    assert 'tracewall.trials.run' not in sys.modules\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-p", "no:tracewall_trials", "-p", "tracewall.trials.plugin"),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": PLACE},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout


def _line(path: Path, text: str) -> int:
    lines = path.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.startswith(text))
