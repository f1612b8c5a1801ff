"""Commands that pages only mention are commands that there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cli_reference
import click
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
COMMANDS = dict(cli_reference.commands())
GROUPS = {name.rpartition(" ")[0] for name in COMMANDS} - {"tracewall"}
# In backticks, which may go over the end of a line, or on a line of a block.
_SPOKEN = re.compile(
    r"(?<!`)`((?:\$ )?tracewall [^`]+)`(?!`)|^(?: {4}|\$ )(tracewall .*)$", re.MULTILINE
)


def mentioned(text: str) -> Iterator[str]:
    """Give every command line that a page mentions, without what is piped on."""
    for inline, line in _SPOKEN.findall(text):
        yield re.split(r" \\?\| | > | #", " ".join((inline or line).split()))[0]


def named(line: str) -> tuple[str, list[str]]:
    """Give the command that a line calls, and the rest of its words."""
    words = line.split()
    for count in (3, 2, 1):
        name = " ".join(words[:count])
        if name in COMMANDS or (name in GROUPS and count < 3):
            return name, words[count:]
    return "", words


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_are_mentioned_are_there(path: Path) -> None:
    """Each names a command, and options that this command takes."""
    for line in mentioned(path.read_text("utf-8")):
        name, rest = named(line)
        assert name or rest[1].startswith("-"), line
        if name not in COMMANDS:
            continue
        taken = {"--help", "-h"}
        for parameter in COMMANDS[name].params:
            if isinstance(parameter, click.Option):
                taken |= {*parameter.opts, *parameter.secondary_opts}
        given = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert given <= taken, line
