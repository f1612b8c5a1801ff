"""All commands under one name, each read when it is asked for; and how a command ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, cast

import click

from tracewall.cli.groups import Group
from tracewall.cli.screen import Missing
from tracewall.version import __version__

_INTERRUPTED = 130  # As a shell says of SIGINT: 128 and the signal's number.
_UNHEARD = 141  # Of SIGPIPE, which Python turns into an error of the write.

SUMMARIES = {
    "approvals": "See what waits for approval, and decide on it.",
    "audit": "Prove an audit log, or read it.",
    "catalog": "Write a snapshot of a database's catalog, as JSON.",
    "check": "Check a policy file.",
    "console": "Serve the web console.",
    "demo": "Show it all, on a server of its own.",
    "diff": "Compare two policies: what would change, for whom.",
    "doctor": "Look at the role, the server, keys and places of a policy.",
    "explain": "Say what a policy says of a statement, and why.",
    "grants": "Print the GRANTs of a least-privilege role.",
    "init": "Propose a policy for a database.",
    "rls": "Print the migration that row filters need.",
    "scan": "Sample a database's tables and propose masks.",
    "schema": "Print the JSON Schema of a policy file.",
    "sessions": "Look at recorded sessions, prove them, keep them, let them go.",
    "shadow": "Look at what rules in shadow would have done.",
    "test": "Run tests of policies.",
    "version": "Print the versions of what is installed.",
}
"""What the first help says of each command, without reading them all."""

_MODULES = {"test": "trials"}  # Where a command's file is not named as the command.


class Interrupted(click.ClickException):
    """Ctrl-C ended it: neither a finding nor a refusal."""

    exit_code = _INTERRUPTED

    def __init__(self) -> None:
        super().__init__("interrupted")

    def show(self, file: Any = None) -> None:
        """Say so."""
        click.echo("\ninterrupted", err=True)


class Unheard(click.ClickException):
    """Who read the output went away, as ``head`` does: nothing is left to be said."""

    exit_code = _UNHEARD

    def __init__(self) -> None:
        super().__init__("nobody reads the output")

    def show(self, file: Any = None) -> None:
        """Say nothing."""


class _Commands(Group):
    """Commands that are imported by name, when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name them all."""
        return sorted({*SUMMARIES, *self.commands})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Give a command, imported now."""
        if name in SUMMARIES and name not in self.commands:
            module = import_module(f"tracewall.cli.{_MODULES.get(name, name)}")
            self.add_command(cast(click.Command, getattr(module, name)))
        return self.commands.get(name)

    def summaries(self, ctx: click.Context) -> dict[str, str]:
        """Give what each says of itself, for which nothing is imported."""
        return SUMMARIES

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Read the arguments; `--help` writes here already."""
        with _ends():
            return super().make_context(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Invoke a command."""
        with _ends():
            return super().invoke(ctx)


@contextmanager
def _ends() -> Iterator[None]:
    """Tell in one way what ends a command, where click would print as it comes, or end with 1."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        raise _misused(error) from None
    except (KeyboardInterrupt, click.Abort) as end:
        # click takes the end of the input for an interruption.
        if isinstance(end.__context__, EOFError):
            raise Missing("no answer was given", "give it as an option: see --help") from None
        raise Interrupted from None
    except BrokenPipeError:
        raise Unheard from None
    except UnicodeEncodeError:
        # Arguments of bytes that are no UTF-8 (PEP 383), where a server is to understand them.
        raise Missing("an argument is no text in UTF-8") from None


def _misused(error: click.UsageError) -> Missing:
    """Say what click complains of, with everything harmless that it repeats."""
    if error.ctx is None:
        return Missing(error.format_message())
    usage = error.ctx.get_usage().removeprefix("Usage: ")
    return Missing(error.format_message(), f"{usage}\n        see {error.ctx.command_path} --help")


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(
    __version__, "--version", prog_name="tracewall", message="%(prog)s %(version)s"
)
def tracewall() -> None:
    """Guard a PostgreSQL database: verify, mask and record every statement.

    To begin: `tracewall demo` shows it all, with a server of its own. `tracewall init DSN` proposes
    a policy for your database; `check` tells what is wrong with one, and `explain` what it
    says of a statement.

    Commands that need your policy find it by --config FILE, or by TRACEWALL_CONFIG.

    Exit codes: 0 it went well; 1 something was found, or was refused; 2 it was asked
    wrongly, or something it needs is missing; 3 a server that had to be asked gives no answer.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; expected errors are told, not raised."""
    for stream in (sys.stdout, sys.stderr):
        # What a terminal cannot show is written as an escape, not raised as an error.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        tracewall.main(args=None if arguments is None else list(arguments), prog_name="tracewall")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return code if _heard() else _UNHEARD
    return 0


def _heard() -> bool:
    """Write what is left to write; where nobody reads it, Python must not try again at its end."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
