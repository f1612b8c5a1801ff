"""The JSON Schema of a policy file, for editors to complete and check by.

It is made from `format`, which the loader reads by, and shipped as ``schema.json`` beside
this file: ``python -m tracewall.policy.schema`` writes it, with ``--check`` it compares.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tracewall.policy.format import POLICY
from tracewall.policy.kinds import Json

SHIPPED = Path(__file__).with_name("schema.json")
"""The JSON Schema as it is shipped."""


def json_schema() -> Json:
    """Return the JSON Schema (draft 2020-12) of a policy file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tracewall policy",
    } | POLICY.schema()


def main(arguments: Sequence[str], file: Path = SHIPPED) -> str | None:
    """Write the schema to `file`, or with ``--check`` compare; return what is wrong."""
    text = json.dumps(json_schema(), indent=2) + "\n"
    match list(arguments):
        case []:
            file.write_text(text, "utf-8")
        case ["--check"]:
            if not file.is_file() or file.read_text("utf-8") != text:
                return f"{file.name} is out of date: run python -m tracewall.policy.schema"
        case _:
            return "usage: python -m tracewall.policy.schema [--check]"
    return None


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
