"""All commands under one name, and what becomes of the errors that are to be expected."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from tracewall.cli.approvals import approvals
from tracewall.cli.audit import audit
from tracewall.cli.catalog import catalog
from tracewall.cli.check import check
from tracewall.cli.console import console
from tracewall.cli.demo import demo
from tracewall.cli.diff import diff
from tracewall.cli.doctor import doctor
from tracewall.cli.explain import explain
from tracewall.cli.grants import grants
from tracewall.cli.init import init
from tracewall.cli.rls import rls
from tracewall.cli.scan import scan
from tracewall.cli.schema import schema
from tracewall.cli.screen import Missing
from tracewall.cli.sessions import sessions
from tracewall.cli.shadow import shadow
from tracewall.cli.trials import test
from tracewall.cli.version import version
from tracewall.version import __version__

_INTERRUPTED = 130  # As a shell says of SIGINT: 128 and the signal's number.


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Invoke a command. Where click would end with 1, Ctrl-C is no finding and no refusal."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\ninterrupted", err=True)
            sys.exit(_INTERRUPTED)


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

    Exit codes: 0 it went well; 1 something was found, or was refused; 2 it was asked
    wrongly, or something it needs is missing; 3 a server that had to be asked gives no answer.
    """


_COMMANDS = (
    *(approvals, audit, catalog, check, console, demo, diff, doctor, explain, grants, init),
    *(rls, scan, schema, sessions, shadow, test, version),
)
for each in _COMMANDS:
    tracewall.add_command(each)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; expected errors are told, not raised."""
    for stream in (sys.stdout, sys.stderr):
        # What a terminal cannot show is written as an escape, not raised as an error.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        tracewall.main(args=None if arguments is None else list(arguments), prog_name="tracewall")
    except UnicodeEncodeError:
        # Arguments of bytes that are no UTF-8 (PEP 383), where a server is to understand them.
        Missing("an argument is no text in UTF-8").show()
        return Missing.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
