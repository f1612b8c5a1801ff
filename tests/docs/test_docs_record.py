"""The reference of the record and of telemetry names what the code tells, and nothing else."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tracewall.events import Ended, Incident, What, Who

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
PACKAGE = Path(str(files("tracewall")))
NAME = re.compile(r'"((?:db|server|error|tracewall)\.[a-z_.]+)"')


def first_cells(page: str, heading: str) -> set[str]:
    """Give the names in the first cells of the tables below a heading, up to the next."""
    text = (REFERENCE / page).read_text("utf-8")
    _, _, rest = text.partition(f"\n{heading}\n")
    assert rest, heading
    part = re.split(r"\n#+ ", rest)[0]
    return {
        name
        for line in part.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([^`]+)`", line.split("|")[1])
    }


def source(*globs: str) -> str:
    return "\n".join(path.read_text("utf-8") for glob in globs for path in PACKAGE.glob(glob))


@pytest.mark.parametrize(
    ("heading", "kind", "besides"),
    [
        ("### `who`", Who, set[str]()),
        ("### `what`", What, set[str]()),
        (
            "### `ended`",
            Ended,
            {"ok", "error", "cancelled", "refused", "withheld", "abandoned", "unknown"},
        ),
    ],
)
def test_members_are_documented(heading: str, kind: Any, besides: set[str]) -> None:
    """Each member of a record stands in the reference, and no other."""
    members = {field.encode_name for field in msgspec.structs.fields(kind)}
    assert first_cells("audit.md", heading) == members | besides


def test_incidents_are_documented() -> None:
    """Each kind of incident that the code tells stands in the reference, and no other."""
    told = set(re.findall(r'kind="([a-z_]+)"', source("*.py", "audit/*.py", "cli/*.py")))
    told |= set(re.findall(r'\btell\(\s*"([a-z_]+)"', source("*.py", "recording/*.py")))
    told |= set(re.findall(r'_tell\("([a-z_]+)"', source("recording/*.py")))
    members = {field.encode_name for field in msgspec.structs.fields(Incident)}
    assert first_cells("audit.md", "### `incident`") == told | members


def test_kinds_of_records_are_documented() -> None:
    """Each kind of record that verification knows stands in the reference, and no other."""
    known = source("audit/verify.py").partition("match record.kind:")[2].partition("case _:")[0]
    kinds = {
        name for line in re.findall(r"case (.*):", known) for name in re.findall('"([a-z]+)"', line)
    }
    lines = {"n", "prev", "at", "kind", "crc"}
    assert first_cells("audit.md", "## Lines") == kinds | lines


def test_attributes_are_documented() -> None:
    """Each attribute of spans stands in the reference, and no other; so do log records'."""
    others = {"db.client.operation.duration", "tracewall.telemetry"}
    spans = set(NAME.findall(source("telemetry/__init__.py"))) - others
    assert first_cells("telemetry.md", "## Span") == spans
    text = (REFERENCE / "telemetry.md").read_text("utf-8")
    part = text.partition("\n## Log records\n")[2].partition("\n## ")[0]
    for name in set(NAME.findall(source("telemetry/mirror.py"))) - others:
        assert f"`{name}`" in part, name
