"""The unrelated distribution named `tracewall` is noticed, and only that one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tracewall import _clash

PACKAGE = Path(_clash.__file__).parent
SPELLINGS = [
    "tracewall-0.4.4.dist-info",
    "Tracewall-9.dist-info",
    "tracewall-0.4.4-py3.11.egg-info",
    "tracewall.egg-info",
]
OTHERS = ["pgtracewall-0.1.0.dist-info", "tracewall_extra-1.dist-info", "nottracewall-1.dist-info"]


def install(place: Path, folder: str) -> None:
    """Leave the traces that pip leaves of a distribution."""
    (place / folder).mkdir()
    name = folder.partition("-")[0].removesuffix(".egg")
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.4.4\n"
    (place / folder / "METADATA").write_text(metadata)
    (place / folder / "PKG-INFO").write_text(metadata)


def test_without_the_other_nothing_is_said() -> None:
    """Where the other distribution is not installed, the check passes."""
    _clash.check()


@pytest.mark.parametrize("folder", SPELLINGS)
def test_the_other_is_refused(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the other was installed, the error says where it is and both commands to run."""
    install(tmp_path, folder)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError) as caught:
        _clash.check()
    assert str(tmp_path) in str(caught.value)
    assert "pip uninstall tracewall\n" in str(caught.value)
    assert "pip install --force-reinstall --no-deps pgtracewall" in str(caught.value)


def test_a_broken_installation_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metadata that cannot be read hides nothing."""
    (tmp_path / SPELLINGS[0]).mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="pip uninstall tracewall"):
        _clash.check()


def test_the_other_is_refused_behind_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not matter which of the two comes first on the path."""
    install(tmp_path, SPELLINGS[0])
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    with pytest.raises(ImportError, match="pip uninstall tracewall"):
        _clash.check()


@pytest.mark.parametrize("folder", OTHERS)
def test_other_names_are_let_be(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own distribution, and those with a similar name, are no clash."""
    install(tmp_path, folder)
    monkeypatch.syspath_prepend(tmp_path)
    _clash.check()


def run(code: str, *places: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` in a Python of its own that has `places` on its path."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    line = [sys.executable, "-c", code]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["tracewall", "tracewall.errors", "tracewall.policy.model"])
def test_importing_ours_says_so(module: str, tmp_path: Path) -> None:
    """Beside the other, nothing of ours can be imported, and what to do is the last thing said."""
    install(tmp_path, SPELLINGS[0])
    done = run(f"import {module}", tmp_path, PACKAGE.parent)
    assert done.returncode == 1
    assert "ImportError: The unrelated distribution 'tracewall' is installed in" in done.stderr
    assert done.stderr.rstrip().endswith("pip install --force-reinstall --no-deps pgtracewall")


def test_the_command_says_so_without_a_traceback(tmp_path: Path) -> None:
    """Beside the other, the command ends with 2, and what to do is all that it says."""
    install(tmp_path, SPELLINGS[0])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(PACKAGE.parent)])}
    script = tmp_path / "bin" / "tracewall"
    script.parent.mkdir()
    script.write_text("from tracewall.cli import main\nraise SystemExit(main())\n")
    for line in ([script, "version"], ["-m", "tracewall", "version"]):
        done = subprocess.run(
            [sys.executable, *line], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("The unrelated distribution 'tracewall' is installed in")
        assert done.stderr.endswith("pip install --force-reinstall --no-deps pgtracewall\n")


@pytest.mark.parametrize("module", ["errors", "connection", "connection_async", "cli"])
def test_ours_speaks_below_their_front_door(module: str, tmp_path: Path) -> None:
    """Where the other came last and its files replaced ours, what is left of ours still refuses."""
    mixed = tmp_path / "tracewall"
    shutil.copytree(PACKAGE, mixed, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "cli.py", "policy.py", "session.py"):
        (mixed / name).write_text("__version__ = '0.4.4'\n")
    install(tmp_path, SPELLINGS[0])
    done = run(f"import tracewall.{module}", tmp_path)
    assert "ImportError: The unrelated distribution 'tracewall' is installed in" in done.stderr
