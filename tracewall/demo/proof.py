"""What was written down while the story went on, and whether it holds."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracewall.audit.log import FileLog
from tracewall.audit.record import Head
from tracewall.audit.verify import Fault, Report, records, verify
from tracewall.demo.scenes import Cell, Document, Grid, Note, Scene, Tone
from tracewall.demo.stage import Stage

_LONG = ("sha256", "policy", "session", "token_id", "prev")
_SHOWN = ("db.", "server.", "tracewall.", "error.")


@dataclass(frozen=True, slots=True)
class Proofs:
    """How many forgeries of the audit log there were, and how many were found out."""

    tampered: int
    caught: int


def recorded(stage: Stage) -> Scene:
    """Show what the audit log says of the first statement that was sent."""
    stage.wall.audit.flush()
    intent, outcome = _first_sent(records(stage.record))
    return Scene(
        "The record",
        "Written before the statement left, and after it ended: who, what, why. "
        "No literal, parameter, value or token is in it.",
        (Document("intent", _short(intent)), Document("outcome", _short(outcome))),
    )


def _first_sent(told: Iterator[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    intents = {}
    for record in told:
        if record["kind"] == "intent":
            intents[record["n"]] = record
        elif record["kind"] == "outcome" and record["ended"]["status"] == "ok":
            return intents[record["intent"]], record
    return {}, {}


def _short(record: Mapping[str, Any]) -> dict[str, Any]:
    """Cut hashes, which nobody reads, to their beginning."""
    return {
        name: _short(value) if isinstance(value, dict) else _cut(name, value)
        for name, value in record.items()
        if name != "crc"
    }


def _cut(name: str, value: object) -> object:
    is_hash = name.rpartition(".")[2] in _LONG
    return f"{value[:12]}…" if is_hash and isinstance(value, str) else value


def tampered(stage: Stage) -> tuple[Scene, Proofs]:
    """Verify the audit log, and copies of it that somebody has changed."""
    stage.wall.audit.flush()
    report = verify(stage.record)
    good: Tone = "good" if report.ok else "bare"
    held = f"holds: {report.records} records"
    rows = [(Cell("as it is"), Cell(_told(_first_fault(report), held), good))]
    caught = 0
    for deed, change in _FORGERIES.items():
        found = _forged(stage, change)
        caught += found is not None
        rows.append((Cell(deed), Cell(_told(found, "not noticed"), "refused" if found else "bare")))
    scene = Scene(
        "The proof",
        "Each record holds the hash of the one before it. Copies of the log, each changed "
        "in one way:",
        (Grid((Cell("the log"), Cell("tracewall audit verify")), tuple(rows)),),
    )
    return scene, Proofs(len(_FORGERIES), caught)


def _told(fault: Fault | None, otherwise: str) -> str:
    return f"line {fault.line}: {fault.what}" if fault else otherwise


def _first_fault(report: Report) -> Fault | None:
    return next((file.fault for file in report.files if file.fault), None)


def _forged(stage: Stage, change: Callable[[list[bytes]], list[bytes]]) -> Fault | None:
    """Change a copy of the log and give what verification says, None if it says nothing."""
    with tempfile.TemporaryDirectory(dir=stage.home) as name:
        copy = Path(shutil.copytree(stage.record, Path(name) / "audit"))
        file = min(copy.iterdir())
        file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))
        found = verify(copy, head=_head(stage))
    return _first_fault(found)


def _head(stage: Stage) -> list[Head]:
    log = stage.wall.audit
    return [log.head()] if isinstance(log, FileLog) else []


def _refused(lines: list[bytes]) -> int:
    return next(at for at, line in enumerate(lines) if b'"decision":"forbidden"' in line)


def _renamed(lines: list[bytes]) -> list[bytes]:
    at = _refused(lines)
    lines[at] = lines[at].replace(b'"subject":"mallory"', b'"subject":"someone"')
    return lines


def _without_refusal(lines: list[bytes]) -> list[bytes]:
    del lines[_refused(lines)]
    return lines


_FORGERIES: Mapping[str, Callable[[list[bytes]], list[bytes]]] = {
    "another name on a refusal": _renamed,
    "a refusal taken out": _without_refusal,
    "the end cut off, against a remembered head": lambda lines: lines[:-2],
}


def spanned(stage: Stage) -> Scene:
    """Show the OpenTelemetry span of the first statement that was allowed."""
    told = "What a collector gets, by the conventions for database clients. No value is in it."
    if stage.spans is None:
        note = "The OpenTelemetry SDK is not installed, so nobody collects spans here."
        return Scene("The span", told, (Note(note),))
    span = stage.spans.first("tracewall.decision", "allowed")
    if span is None:
        return Scene("The span", told, (Note("There was none.", "bare"),))
    attributes = {
        name: value
        for name, value in sorted((span.attributes or {}).items())
        if name.startswith(_SHOWN)
    }
    return Scene("The span", told, (Document(span.name, _short(attributes)),))
