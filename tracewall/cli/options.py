"""Options that several commands take, spelled once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import click

Option: TypeAlias = Callable[[Any], Any]

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
"""The type of an option that takes a file which is there."""


def policy_option(help: str = "The policy file.") -> Option:
    """Give the option for the policy, which the environment may name."""
    return click.option(
        "--config",
        "policy",
        type=click.Path(path_type=Path),
        required=True,
        envvar="TRACEWALL_CONFIG",
        show_envvar=True,
        help=help,
    )


def json_option(help: str = "Print one JSON object.") -> Option:
    """Give the option by which a command prints for programs."""
    return click.option("--json", "as_json", is_flag=True, help=help)


CONFIG = policy_option()
JSON = json_option()
DSN = click.option("--dsn", required=True, help="The database: a libpq connection string or URI.")


def _moment(context: click.Context, option: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("expected a time as 2026-01-31T12:00") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


SINCE = click.option("--since", callback=_moment, help="From when on (ISO 8601; UTC if not said).")
UNTIL = click.option("--until", callback=_moment, help="Until before when.")
