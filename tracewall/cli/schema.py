"""``tracewall schema``: the JSON Schema of a policy, for editors."""

from __future__ import annotations

import json

import click

from tracewall.cli.options import json_option
from tracewall.cli.screen import plain
from tracewall.policy.schema import json_schema


@click.command(short_help="Print the JSON Schema of a policy file.")
@json_option("Print it on one line.")
def schema(as_json: bool) -> None:
    """Print the JSON Schema of a policy file, for editors to complete and check by."""
    plain(json.dumps(json_schema(), indent=None if as_json else 2))
