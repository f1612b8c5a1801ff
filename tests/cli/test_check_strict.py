"""``tracewall check --strict``, what it lets pass, and what is no policy at all."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tracewall.policy import load

WEAK = """
version = 1
[[grants]]
name = "support"
groups = ["s"]
actions = ["select"]
tables = ["a.*"]
lifts = ["keys"]
[[grants]]
name = "support2"
groups = ["s"]
actions = ["select", "do"]
tables = ["a.*"]
[[masks]]
name = "keys"
columns = ["a.b.c"]
method = "redact"
"""


def test_strict_fails_on_weaknesses_that_nobody_has_looked_at(run: Any, tmp_path: Path) -> None:
    """--ignore weak:RULE lets one rule's pass, and no other whose name begins so."""
    path = tmp_path / "p.toml"
    path.write_text(WEAK, "utf-8")
    path.chmod(0o600)
    tmp_path.chmod(0o700)
    assert run("check", path).exit_code == 0
    assert run("check", path, "--strict").exit_code == 1
    one = run("check", path, "--strict", "--ignore", "weak:grants.support")
    assert one.exit_code == 1 and "support2" in one.stdout and "lifts" not in one.stdout
    both = ("--ignore", "weak:grants.support", "--ignore", "weak:grants.support2")
    assert run("check", path, "--strict", *both).exit_code == 0
    assert run("check", path, "--strict", "--ignore", "weak").exit_code == 0
    told = json.loads(run("check", path, "--strict", "--ignore", "weak:grants", "--json").stdout)
    assert told["ok"] is False and len(told["weaknesses"]) == 2


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "there is no policy"),
        (lambda path: path.mkdir(), "directory"),
        (lambda path: path.write_text(""), "the policy is empty"),
        (lambda path: path.write_text(" \n\t\n"), "the policy is empty"),
        (lambda path: path.symlink_to(path), "symbolic links"),
        (lambda path: path.symlink_to("/dev/zero"), "larger than 16 MiB"),
        (lambda path: path.symlink_to("/dev/null"), "the policy is empty"),
        (lambda path: os.mkfifo(path), "nothing comes from it"),
    ],
    ids=["missing", "directory", "empty", "blank", "loop", "endless", "null", "pipe"],
)
@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are POSIX's")
def test_what_gives_no_policy_is_asked_wrongly(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, said: str
) -> None:
    """Exit code 2 and a plain word, of check and of every other; nothing is waited for for ever."""
    monkeypatch.setattr(load, "_PATIENCE", 0.1)
    path = tmp_path / "p.toml"
    make(path)
    for line in (
        ["check", path],
        ["check", path, "--json"],
        ["approvals", "list", "--config", path],
    ):
        result = run(*line)
        assert (result.exit_code, result.stdout) == (2, "")
        assert said in result.stderr and "p.toml" in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX's")
def test_a_policy_that_comes_through_a_pipe_is_read(run: Any, tmp_path: Path) -> None:
    """As of `tracewall check <(jinja ...)`: also in pieces, and while it takes its time."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with path.open("w") as pipe:
            for piece in ("version", " = ", "1\n"):
                pipe.write(piece)
                pipe.flush()
                time.sleep(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    result = run("check", path)
    writer.join()
    assert (result.exit_code, "0 grants" in result.stdout) == (0, True)
