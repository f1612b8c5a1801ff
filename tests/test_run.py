"""The script behind the README's two commands, as far as it goes without installing anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import run

Project: TypeAlias = Callable[[str, str], None]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Makes the script take a temporary folder for the project; writes files there."""

    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    monkeypatch.setattr(run, "ROOT", tmp_path)
    for name in ("README.md", "LICENSE", "tracewall/a.py", "tracewall/policy/schema.json"):
        write(name, "1")
    write("pyproject.toml", "[build-system]\nrequires = []\n[project]\nname = 'x'\n")
    return write


def test_a_folder_of_somebody_else_is_left_alone(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .venv that the script did not make is refused, and nothing in it is touched."""
    project(".venv/pyvenv.cfg", "mine")
    monkeypatch.delenv("TRACEWALL_VENV", raising=False)
    with pytest.raises(run.Failed, match="TRACEWALL_VENV"):
        run.prepare("test")
    assert [path.name for path in (tmp_path / ".venv").iterdir()] == ["pyvenv.cfg"]
    assert (tmp_path / ".venv/pyvenv.cfg").read_text() == "mine"


@pytest.mark.parametrize("content", ["", "{", "{}"])
def test_an_interrupted_environment_is_made_again(tmp_path: Path, content: str) -> None:
    """A folder that the script began is its own, whatever was left of its notes."""
    (tmp_path / run.STATE).write_text(content)
    (tmp_path / "half").mkdir()
    assert run.recall(tmp_path) == {}


@pytest.mark.parametrize("name", ["tracewall/a.py", "tracewall/policy/schema.json", "README.md"])
def test_a_changed_file_changes_the_wheel(project: Project, name: str) -> None:
    """Whatever goes into the wheel is noticed when it changes."""
    before = run.digest()
    project(name, "2")
    assert run.digest() != before


def test_a_moved_file_changes_the_wheel(project: Project, tmp_path: Path) -> None:
    """The same content under another name is another wheel."""
    before = run.digest()
    (tmp_path / "tracewall/a.py").rename(tmp_path / "tracewall/b.py")
    assert run.digest() != before


def test_what_python_leaves_behind_changes_nothing(project: Project) -> None:
    """Compiled files do not cause another installation."""
    before = run.digest()
    project("tracewall/__pycache__/a.cpython-311.pyc", "2")
    assert run.digest() == before


def test_a_changed_requirement_is_noticed(project: Project) -> None:
    """The environment is made anew for another dependency, but not for a linter's setting."""
    before = run.requirements()
    project("pyproject.toml", "[build-system]\nrequires = []\n[project]\nname = 'x'\n[tool.a]\n")
    assert run.requirements() == before
    project("pyproject.toml", "[build-system]\nrequires = ['b']\n[project]\nname = 'x'\n")
    assert run.requirements() != before


@pytest.mark.parametrize("code", [0, 1, 5])
def test_the_exit_code_is_passed_through(code: int) -> None:
    """What runs in the environment decides the exit code, pytest's `no test ran` included."""
    assert run.run([sys.executable, "-c", f"raise SystemExit({code})"], dict(os.environ)) == code


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_a_killed_command_fails() -> None:
    """A command that dies by a signal gives 128 and the signal's number, as in a shell."""
    line = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    assert run.run(line, dict(os.environ)) == 128 + 9


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_an_interrupted_command_may_clean_up() -> None:
    """After Ctrl-C the script waits until the command has stopped what it had started."""
    child = (
        "import time\ntry:\n    print('ready', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    time.sleep(1); print('cleaned up'); raise SystemExit(7)"
    )
    line = f"[sys.executable, '-c', {child!r}]"
    code = f"import os, run, sys; sys.exit(run.run({line}, dict(os.environ)))"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(run.__file__).parent)},
        start_new_session=True,
    ) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == "ready\n"
        time.sleep(0.1)
        os.killpg(script.pid, signal.SIGINT)
        assert script.communicate(timeout=30)[0] == "cleaned up\n"
    assert script.returncode == 7


def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is tested is the environment's, whatever PYTHONPATH says outside."""
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    environment = run.installed(tmp_path)
    assert "PYTHONPATH" not in environment
    assert environment["PYTHONSAFEPATH"] == "1"
    assert environment["PATH"].startswith(str(tmp_path))


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["tests"], 2), (["--help"], 0)])
def test_usage(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command that it knows, the script tells which ones there are."""
    assert run.main(arguments) == code
    said = capsys.readouterr()
    assert "tools/run.py test" in (said.out if code == 0 else said.err)
