"""What holds for every command there is, and for every one to come: the tree is walked."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from tracewall.cli.commands import SUMMARIES, tracewall

HOSTILE = "x\x1b]0;owned\x07\u202e\x9b2J\x7f\ny"
STEERING = set("\x1b\x07\u202e\x9b\x7f\x00")


def walk(
    command: click.Command = tracewall, *path: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command by its words."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from walk(found, *path, name)


EVERY = dict(walk())
NAMES = [" ".join(words) for words in EVERY]


def arguments(command: click.Command, text: str) -> list[str]:
    """Give a command what it demands: that text for each argument and option."""
    line: list[str] = []
    for each in command.params:
        if isinstance(each, click.Argument) and each.human_readable_name != "[POLICY]":
            line += ["--", text] if text.startswith("-") else [text]
        elif each.required or each.name == "policy":
            line = [each.opts[0], text, *line]
    return line


def test_every_command_answers_programs() -> None:
    """--json is everywhere."""
    lacking = {
        name
        for name, command in zip(NAMES, EVERY.values(), strict=True)
        if not any("--json" in each.opts for each in command.params)
    }
    assert not lacking


def test_every_summary_of_the_first_help_is_the_commands_own() -> None:
    """The first help imports no command, and yet says what each says of itself."""
    context = click.Context(tracewall)
    for name, summary in SUMMARIES.items():
        command = tracewall.get_command(context, name)
        assert command is not None and command.get_short_help_str(200) == summary


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("console", "demo")])
def test_what_is_repeated_steers_no_terminal(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Arguments with escape sequences, direction marks and line ends come back as escapes."""
    monkeypatch.chdir(tmp_path)
    words = tuple(name.split())
    line = arguments(EVERY[words], HOSTILE)
    for more in ([], ["--json"], [f"--{HOSTILE}"]):
        result = run(*words, *line, *more)
        assert not STEERING.intersection(result.output), shlex.join([*words, *line])
        assert "Traceback" not in result.output


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_line_is_told_in_a_sentence(run: Any, name: str) -> None:
    """An unknown option is exit code 2, what is wrong, how it is right, and where to read on."""
    words = name.split()
    result = run(*words, "--wrong")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: No such option") and "--wrong" in result.stderr
    assert f"tracewall {name} --help" in " ".join(result.stderr.split())


READING_NOTHING = {"approvals migration", "audit keygen", "audit migration", "demo", "schema"}


@pytest.mark.parametrize("name", sorted({*NAMES} - READING_NOTHING - {"version"}))
def test_what_is_not_there_is_told_in_a_sentence(
    run: Any, name: str, tmp_path: Path, monkeypatch: Any
) -> None:
    """A file or server that is missing is exit code 2 or 3, one sentence, and no traceback."""
    monkeypatch.chdir(tmp_path)
    command = EVERY[tuple(name.split())]
    line = arguments(command, str(tmp_path / "none"))
    result = run(*name.split(), *line)
    assert result.exit_code in (2, 3) and result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert len([line for line in result.stderr.splitlines() if line.startswith("error")]) == 1


def test_a_word_that_is_no_command_is_told_with_the_one_that_was_meant(run: Any) -> None:
    """At the top and within groups."""
    result = run("chekc")
    assert (result.exit_code, "did you mean check?" in result.stderr) == (2, True)
    result = run("sessions", "lits")
    assert (result.exit_code, "did you mean list?" in result.stderr) == (2, True)
    result = run("verify")
    assert "did you mean audit verify or sessions verify?" in result.stderr
    result = run("sessions", "qqq")
    assert (result.exit_code, "`tracewall sessions --help`" in result.stderr) == (2, True)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_help_fits_the_terminal(columns: int) -> None:
    """No line of any help is wider than the terminal, where words allow."""
    for words, command in EVERY.items():
        context = click.Context(command, info_name=" ".join(words), terminal_width=columns)
        wide = [line for line in command.get_help(context).splitlines() if len(line) > columns]
        assert not wide, (words, wide)


def test_help_tells_each_command_whole() -> None:
    """However narrow the terminal: a summary goes on in the next line, it is not cut off."""
    for words, command in EVERY.items():
        context = click.Context(command, info_name=" ".join(words), terminal_width=60)
        assert "..." not in command.get_help(context).partition("Commands:")[2], words


WITH_DSN = [
    name
    for name, command in zip(NAMES, EVERY.values(), strict=True)
    if any("--dsn" in each.opts for each in command.params)
]


@pytest.mark.parametrize("name", WITH_DSN)
def test_a_connection_string_that_is_none_is_asked_wrongly(
    run: Any, tmp_path: Path, name: str
) -> None:
    """Exit code 2, how one is written, and nothing of it, for it may hold a password."""
    path = tmp_path / "p.toml"
    path.write_text("version = 1", "utf-8")
    command = EVERY[tuple(name.split())]
    line = [path if each == "x" else each for each in arguments(command, "x")]
    result = run(*name.split(), *line, "--dsn", "CANARY=1 CANARY")
    assert (result.exit_code, "connection string can't be read" in result.stderr) == (2, True)
    assert "postgresql://" in result.stderr and "CANARY" not in result.output


def test_a_group_of_commands_alone_shows_its_help(run: Any) -> None:
    """As the command itself does, without an error in front."""
    for name in ("shadow", "audit", "sessions", "approvals"):
        result = run(name)
        assert result.exit_code == 2 and result.output.startswith(f"Usage: tracewall {name}")
