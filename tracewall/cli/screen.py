"""What a terminal is shown: harmless texts, and failures without a traceback."""

from __future__ import annotations

import json
import re
import struct
from typing import IO, Any, Final

import click
from rich.console import Console
from rich.text import Text

from tracewall.recording.shown import visible


class Refused(click.ClickException):
    """Something was found, or was refused: exit code 1."""

    exit_code = 1

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help

    def show(self, file: IO[Any] | None = None) -> None:
        """Say what is wrong, and what to do."""
        out = Console(stderr=True, highlight=False, soft_wrap=True)
        out.print(Text.assemble(("error: ", "bold red"), safe(self.message, lines=True)))
        if self.help:
            out.print(Text.assemble(("  help: ", "bold"), safe(self.help, lines=True)))


class Missing(Refused):
    """The command was asked wrongly, or what it needs is not there: exit code 2."""

    exit_code = 2


class Unanswered(Missing):
    """Who had to be asked (a server) gives no answer, so there is no verdict: exit code 3."""

    exit_code = 3


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to who runs the commands, where rich would end with 1."""
        raise


def console(*, quiet: bool = False) -> Console:
    """Give the terminal that standard output is; colours only where it is one."""
    return _Output(highlight=False, quiet=quiet)


def plain(text: str) -> None:
    """Print a line as it is, for programs to read: no colours, no wrapping."""
    click.echo(text)


def answer(value: object) -> None:
    """Print a value as JSON on one line, of printable ASCII: no text in it can steer a terminal."""
    click.echo(printable(json.dumps(value)))


def printable(text: str) -> str:
    """Spell what is not printable ASCII in a text of JSON as escapes; it means the same."""
    return _NOT_ASCII.sub(lambda found: _spelt(found[0]), text)


_NOT_ASCII = re.compile(r"[^\x00-\x7e]")


def _spelt(char: str) -> str:
    # JSON's escapes are of UTF-16.
    return "".join(
        f"\\u{unit:04x}" for (unit,) in struct.iter_unpack(">H", char.encode("utf-16-be"))
    )


def several(number: int, what: str) -> str:
    """Say how many there are of what is named by a word whose plural ends in s."""
    return f"{number} {what}{'s' * (number != 1)}"


def either(as_json: bool, value: object, text: str) -> None:
    """Print a value for programs, or a line for people."""
    if as_json:
        answer(value)
    else:
        plain(text)


safe: Final = visible
"""Whatever was not written here passes through this before a terminal gets it."""
