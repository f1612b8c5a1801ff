"""``tracewall version``: what is installed, as a bug report wants to know it."""

from __future__ import annotations

import platform

import click

from tracewall import pq
from tracewall.cli.options import JSON
from tracewall.cli.screen import answer, plain
from tracewall.version import __version__


@click.command(short_help="Print the versions of what is installed.")
@JSON
def version(as_json: bool) -> None:
    """Print the versions of tracewall and of what it stands on."""
    from importlib.metadata import version as installed

    told = {
        "tracewall": __version__,
        "psycopg": f"{installed('psycopg')} ({pq.__impl__})",
        "libpq": _dotted(pq.version()),
        "python": platform.python_version(),
    }
    if as_json:
        answer(told)
        return
    for name, number in told.items():
        plain(f"{name} {number}")


def _dotted(number: int) -> str:
    """Spell libpq's number: 180001 is 18.1."""
    return f"{number // 10000}.{number % 10000}"
