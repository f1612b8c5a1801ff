"""How a command ends where its reader goes away or somebody interrupts it; what is coloured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

PLACE = str(Path(str(resources.files("tracewall"))).parent)
posix = pytest.mark.skipif(os.name != "posix", reason="signals and terminals are POSIX's")


def started(*arguments: object, **more: Any) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": PLACE, **more.pop("env", {})}
    line = [sys.executable, "-W", "error", "-m", "tracewall", *map(str, arguments)]
    return subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment, **more)


@posix
@pytest.mark.parametrize(
    "line",
    [
        ["--help"], ["check", "--help"], ["version"], ["schema"], ["audit", "tail", "{log}"],
        ["audit", "tail", "--json", "{log}"], ["audit", "verify", "{log}"],
        ["audit", "search", "{log}"], ["audit", "export", "{log}"],
        ["audit", "migration", "--role", "r"], ["shadow", "report", "{log}"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_reader_that_went_away_is_told_by_the_code_alone(log: Path, line: list[str]) -> None:
    """As other tools ended by SIGPIPE: 141, without a word; it is no finding and no refusal."""
    reading, writing = os.pipe()
    os.close(reading)
    process = started(*(each.format(log=log) for each in line), stdout=writing)
    os.close(writing)
    _, told = process.communicate(timeout=120)
    assert (process.returncode, told) == (141, "")


@posix
def test_ctrl_c_ends_what_goes_on_for_ever_well(log: Path) -> None:
    """`audit tail --follow` is ended by Ctrl-C: exit code 0, and nothing is said."""
    process = started("audit", "tail", "-f", log, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert (process.returncode, told) == (0, "")


@posix
def test_ctrl_c_while_a_server_is_waited_for_is_an_interruption(tmp_path: Path) -> None:
    """A command that hangs on a server ends with 130, without a traceback."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        process = started("catalog", f"host=127.0.0.1 port={port} user=x dbname=x")
        silent.settimeout(60)
        talk, _ = silent.accept()
        with talk:
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=120)
    assert (process.returncode, told.strip()) == (130, "interrupted")


@pytest.fixture
def interrupted(tmp_path: Path) -> dict[str, str]:
    """Surroundings in which somebody presses Ctrl-C while tracewall's modules are read."""
    (tmp_path / "sqlglot.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    )
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), PLACE])}


@posix
def test_ctrl_c_while_the_command_is_read_ends_it_without_a_word(
    interrupted: dict[str, str], tmp_path: Path
) -> None:
    """As other tools die of it; started by the script or as a module."""
    script = tmp_path / "tracewall"
    script.write_text("from tracewall.cli import main\nraise SystemExit(main())\n")
    for line in ([script, "version"], ["-m", "tracewall", "version"]):
        done = subprocess.run(
            [sys.executable, *line], env=interrupted, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@posix
def test_ctrl_c_stays_the_programs_own(interrupted: dict[str, str]) -> None:
    """Another program that imports tracewall gets its exception; it may catch it."""
    code = "try:\n    import tracewall\nexcept KeyboardInterrupt:\n    print('caught')"
    line = [sys.executable, "-c", code]
    assert subprocess.check_output(line, env=interrupted, text=True) == "caught\n"


@posix
def test_the_command_deals_with_ctrl_c_when_it_is_read() -> None:
    """What was changed for the reading of modules is as it was after it."""
    code = (
        "import signal, sys; sys.argv = ['tracewall']; before = signal.getsignal(signal.SIGINT)\n"
    )
    code += "import tracewall; print(signal.getsignal(signal.SIGINT) is before)"
    environment = {**os.environ, "PYTHONPATH": PLACE}
    line = [sys.executable, "-c", code]
    assert subprocess.check_output(line, env=environment, text=True) == "True\n"


def test_a_question_that_nobody_answers_is_asked_wrongly() -> None:
    """The end of standard input is no interruption: exit code 2, and what to do."""
    code = (
        "import sys, click; from tracewall.cli import commands\n"
        "@commands.tracewall.command('asking')\n"
        "def asking(): click.prompt('who', err=True)\n"
        "sys.exit(commands.run(['asking']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": PLACE},
        timeout=120,
        check=False,
    )
    assert (done.returncode, "no answer was given" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("setting", "coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True), ({"NO_COLOR": "1"}, False)]
)
def test_what_is_piped_is_coloured_only_where_that_is_forced(
    log: Path, setting: dict[str, str], coloured: bool
) -> None:
    """FORCE_COLOR is for build logs that show colours; output for programs never has any."""
    bare = {"NO_COLOR": "", "FORCE_COLOR": "", "TERM": "xterm-256color"}
    for more in ([], ["--json"]):
        line = ["audit", "verify", log, *more]
        process = started(*line, stdout=subprocess.PIPE, env=bare | setting)
        shown, _ = process.communicate(timeout=120)
        assert ("\x1b[" in shown) is (coloured and not more)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("tracewall audit ver", "verify"),
        ("tracewall sessions judge --con", "--config"),
        ("tracewall approvals approve --tok", "--token-file"),
        ("tracewall shadow report --by ru", "rule"),
    ],
)
def test_groups_options_and_choices_are_completed(shell: str, words: str, answer: str) -> None:
    """Below the first word too, in each of the three shells."""
    last = len(words.split()) - 1
    asked = {
        "_TRACEWALL_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": words.split()[-1] if shell == "fish" else str(last),
    }
    told, wrong = started(stdout=subprocess.PIPE, env=asked).communicate(timeout=120)
    assert answer in told, wrong
