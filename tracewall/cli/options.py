"""Options that several commands take, spelled once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import click
from click.core import ParameterSource

from tracewall.cli.screen import Missing

Option: TypeAlias = Callable[[Any], Any]

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
"""The type of an option that takes a file which is there."""

_GIVEN = "tracewall.policy"


def policy_option(help: str = "The policy file.", *names: str, required: bool = True) -> Option:
    """Give the option for the policy, which the environment may name.

    `names` are further ones of the option.
    """
    return click.option(
        "--config",
        *names,
        "policy",
        type=click.Path(path_type=Path),
        metavar="FILE",
        envvar="TRACEWALL_CONFIG",
        show_envvar=True,
        callback=_policy if required else None,
        help=help,
    )


def policy_argument(command: Any) -> Any:
    """Let a command that is about a policy take it as an argument, or as all others do."""
    option = policy_option("The policy file, in place of POLICY.")
    return _POLICY(option(command))


def _keep(context: click.Context, argument: click.Parameter, path: Path | None) -> None:
    context.meta[_GIVEN] = path


_POLICY = click.argument(
    "given",
    type=click.Path(path_type=Path),
    required=False,
    is_eager=True,
    expose_value=False,
    callback=_keep,
    metavar="[POLICY]",
)


def _policy(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    given: Path | None = context.meta.get(_GIVEN)
    if given and path and context.get_parameter_source("policy") is ParameterSource.COMMANDLINE:
        raise click.UsageError("the policy is named twice: by POLICY, and by --config", context)
    if not (given or path) and not context.resilient_parsing:
        raise Missing("no policy is named", "name its file by --config, or by TRACEWALL_CONFIG")
    return given or path


def json_option(help: str = "Print one JSON object.") -> Option:
    """Give the option by which a command prints for programs."""
    return click.option("--json", "as_json", is_flag=True, help=help)


CONFIG = policy_option()
JSON = json_option()
DSN = click.option(
    "--dsn",
    help="The database, as a libpq connection string or URI; by default the policy's own, "
    "logged in to as the wall is.",
)


def _moment(context: click.Context, option: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("expected a time as 2026-01-31T12:00") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


SINCE = click.option(
    "--since",
    callback=_moment,
    help="From this time on (ISO 8601, as 2026-01-31T12:00; UTC if not said).",
)
UNTIL = click.option("--until", callback=_moment, help="Before this time, written likewise.")
