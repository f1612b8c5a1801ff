"""The part of the story where people decide, and where what happened is played again.

It has a wall of its own: the shipped policy with a rule that asks, and one that records.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import tracewall
from tracewall.approval.desk import NotGranted
from tracewall.approval.request import Person
from tracewall.deciding import decide
from tracewall.demo.excerpts import spelled
from tracewall.demo.scenes import Asked, Cell, Document, Grid, Note, Part, Refusal, Scene, Tone
from tracewall.demo.stage import Stage, shipped
from tracewall.identity.principal import Principal
from tracewall.recording.course import Course
from tracewall.recording.folder import Folder
from tracewall.recording.reader import Reading
from tracewall.recording.shown import Spoken
from tracewall.signing import Signer

_RULES = """
[approval]
keys = ["{key}"]

[[approvals]]
name = "export"
groups = ["analysts"]
rows = {rows}
approvers = ["leads"]
reason = "required"
expires = "15min"

[[recordings]]
name = "all"
rows = 2
keep_for = "1d"
"""
_EXPORT: LiteralString = "SELECT message_id, role FROM traces.messages LIMIT 5000"
_LOOK: LiteralString = "SELECT run_id, user_email, api_key FROM traces.runs ORDER BY run_id LIMIT 2"
_REASON = "quarterly report"
_MOST = 1_000


def approved(stage: Stage) -> Iterator[Scene]:
    """Tell how an export waits for a person, and play the session again that did it."""
    signer = Signer.make("leads")
    with _walled(stage, signer) as wall:
        ana = stage.token("ana", "analysts")
        with tracewall.connect(wall=wall, token=ana, autocommit=True) as conn:
            conn.execute(_LOOK).fetchall()
            yield _export(stage, wall, conn, signer)
        yield _replayed(Path(wall.policy.path).parent / "recordings")


@contextmanager
def _walled(stage: Stage, signer: Signer) -> Iterator[tracewall.Wall]:
    """Make a wall that asks and records, in a directory that goes with it."""
    text = shipped(stage) + _RULES.format(key=signer.public, rows=_rows(stage))
    with tempfile.TemporaryDirectory(prefix="asking-", dir=stage.home) as place:
        policy = Path(place) / "policy.toml"
        policy.write_text(text, "utf-8")
        with tracewall.Wall.load(policy) as wall:
            yield wall


def _export(
    stage: Stage,
    wall: tracewall.Wall,
    conn: tracewall.Connection[tuple[object, ...]],
    signer: Signer,
) -> Scene:
    parts: list[Part] = [Asked("ana", _EXPORT)]
    id = ""
    try:
        conn.execute(_EXPORT, reason=_REASON)
    except tracewall.ApprovalRequired as error:
        id = error.request_id
        parts.append(_asked(error))
    parts.append(_decided(stage, wall, id, signer, "ana", "analysts"))
    parts.append(_decided(stage, wall, id, signer, "lea", "leads"))
    count = len(conn.execute(_EXPORT, reason=_REASON, approval=id).fetchall())
    parts.append(Note(f"ana goes on with approval=…{id[-6:]}: {count:,} rows.", "good"))
    try:
        conn.execute(_EXPORT, reason=_REASON, approval=id)
    except tracewall.Forbidden as error:
        parts.append(Note(f"and once more: {str(error).partition(' (')[0]}.", "refused"))
    most = _rows(stage)
    return Scene(
        "An export waits for a person",
        f"More than {most:,} rows are not handed out before somebody else has agreed, once.",
        tuple(parts),
    )


def _rows(stage: Stage) -> int:
    """How many rows may be had without asking: fewer than there are, on any stage."""
    return min(_MOST, max(1, stage.filled.messages // 2))


def _asked(error: tracewall.ApprovalRequired) -> Refusal:
    """Take the error's words apart: what is to be done, and the rule that asks."""
    told, _, rest = str(error).partition(": request ")
    return Refusal(type(error).__name__, rest.partition("(rule ")[2].rstrip(")"), told)


def _decided(
    stage: Stage, wall: tracewall.Wall, id: str, signer: Signer, subject: str, group: str
) -> Part:
    """Have somebody approve by their own token; tell what comes of it."""
    who = wall.identify(wall.bearer(stage.token(subject, group)))
    case = wall.desk.case(id)
    if not isinstance(who, Principal) or case is None:
        return Note("nobody could decide", "bare")
    try:
        done = decide(wall.policy, wall.desk, case, "approve", who, signer, "it is that time")
    except NotGranted as error:
        return Refusal("NotGranted", "", f"{subject} approves: {error}")
    facts = {
        "asked by": done.request.act.subject,
        "reason": done.request.reason,
        "statement": done.request.statement,
        "approved by": ", ".join(_named(done.standing.approved_by)),
        "state": done.state,
    }
    return Document(f"{subject} approves", facts)


def _named(people: tuple[Person, ...]) -> Iterator[str]:
    return (person.subject for person in people)


def _replayed(folder: Path) -> Scene:
    store = Folder(str(folder))
    (entry,) = store.entries()
    with store.open(entry) as stream:
        reading = Reading(stream, entry.sealed, ())
        spoken = [*Course(reading)]
    return Scene(
        "The session, played again",
        "What ana did is recorded as it was shown to ana: masked, and in a chain that proves it.",
        (*_played(spoken), Note(f"{reading.proof.lines} lines, each proven by the next", "quiet")),
    )


def _played(session: list[Spoken]) -> Iterator[Part]:
    rows = []
    for spoken in session:
        first = " ".join(spelled(value) for row in spoken.rows[:1] for value in row)
        end = spoken.error or spoken.status
        tone: Tone = "plain" if spoken.mood == "ok" else "refused"
        rows.append((Cell(spoken.text), Cell(end, tone), Cell(first)))
    yield Grid(tuple(map(Cell, ("statement", "how it ended", "first row as shown"))), tuple(rows))
