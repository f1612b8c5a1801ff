"""``tracewall schema``: the JSON Schema of a policy, for editors."""

from __future__ import annotations

import json

import click

from tracewall.cli.screen import plain
from tracewall.policy.schema import json_schema


@click.command(short_help="Print the JSON Schema of a policy file.")
def schema() -> None:
    """Print the JSON Schema of a policy file, for editors to complete and check by."""
    plain(json.dumps(json_schema(), indent=2))
