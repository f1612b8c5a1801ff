"""The end of the story: everything that each may read, and how many secrets are in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg

import tracewall
from tracewall.audit.verify import verify
from tracewall.demo.leaks import FREE_TEXT, Exposure, expose, stored, unmasked
from tracewall.demo.proof import Proofs
from tracewall.demo.scenes import Cell, Grid, Note, Part, Scene, Verdict
from tracewall.demo.stage import Stage


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads which tables, and which columns are masked for them as a whole."""

    who: str
    group: str
    tables: tuple[str, ...]
    masked: tuple[str, ...]


READERS = (
    Reader(
        "ana",
        "analysts",
        ("traces.runs", "traces.steps", "traces.messages"),
        ("api_key", "user_email", "client_ip"),
    ),
    Reader("omar", "operators", tuple(FREE_TEXT), ("api_key",)),
)
"""Those who read through the wall; by the policy nobody may read more."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one reader saw: in free text, and in ``compared`` values of masked columns.

    ``unmasked`` counts those of the values that came as they are stored, by column;
    ``unread`` is how many places with a secret were not read though they should have been.
    """

    who: str
    text: Exposure
    unread: int = 0
    compared: int = 0
    unmasked: Counter[str] = field(default_factory=Counter)

    @property
    def missed(self) -> Counter[str]:
        """The kinds of secrets that came through, how often each."""
        return self.text.seen + self.text.strays + self.unmasked


def figures(stage: Stage, proofs: Proofs) -> tuple[Scene, Verdict]:
    """Read all that each may read, and count the secrets in it that came through."""
    planted = stage.filled.planted
    with psycopg.connect(stage.admin) as plain:
        secret = stored(plain)
        bare = Seen("plain psycopg", expose(plain, FREE_TEXT, planted))
    seen = [_seen(stage, reader, secret) for reader in READERS]
    stage.wall.audit.flush()
    log = verify(stage.record)
    verdict = Verdict(
        planted=len(planted),
        secrets=len({each.value for each in planted}),
        unguarded=bare.text.seen.total(),
        unread=sum(each.unread for each in seen),
        missed=dict(sum((each.missed for each in seen), Counter[str]())),
        characters=sum(each.text.characters for each in seen),
        records=log.records,
        intact=log.ok,
        tampered=proofs.tampered,
        caught=proofs.caught,
    )
    return _told(stage, bare, seen, verdict), verdict


def _seen(stage: Stage, reader: Reader, secret: Mapping[tuple[str, str, str], str]) -> Seen:
    planted = [each for each in stage.filled.planted if each.table in reader.tables]
    token = stage.token(reader.who, reader.group)
    with tracewall.connect(wall=stage.wall, token=token) as conn:
        text = expose(conn, reader.tables, stage.filled.planted)
        compared, same = unmasked(conn, secret, reader.masked)
    wanted = sum(column in reader.masked for _, _, column in secret)
    unread = len(planted) - text.read + wanted - compared
    return Seen(reader.who, text, unread, compared, same)


def _told(stage: Stage, bare: Seen, seen: list[Seen], verdict: Verdict) -> Scene:
    head = ("who reads", "characters", "secrets in them", "seen", "masked values", "seen")
    parts: list[Part] = [Grid(tuple(map(Cell, head)), tuple(map(_row, (bare, *seen))))]
    if verdict.missed:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in sorted(verdict.missed.items()))
        parts.append(Note(f"Not masked: {kinds}.", "bare"))
    if verdict.planted < stage.filled.planted_count:
        parts.append(Note(f"Searched for the first {verdict.planted:,} places only."))
    return Scene(
        "Did anything come through?",
        "Every row of all free text and of all masked columns that each may read, searched for "
        "the planted secrets and the stored values. Half of a secret counts as seen.",
        tuple(parts),
    )


def _row(seen: Seen) -> tuple[Cell, ...]:
    values = seen.unmasked.total()
    through = seen.text.total
    return (
        Cell(seen.who),
        Cell(f"{seen.text.characters:,}"),
        Cell(f"{seen.text.read:,}"),
        Cell(f"{through:,}", "bare" if through else "good"),
        Cell(f"{seen.compared:,}" if seen.compared else ""),
        Cell(f"{values:,}" if seen.compared else "", "bare" if values else "good"),
    )
