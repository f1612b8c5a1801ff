"""A session as text over time: what a terminal shows, and a terminal's recording (asciicast)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from tracewall.recording.course import Course
from tracewall.recording.shown import Spoken, names, visible

Piece: TypeAlias = tuple[str, str]
"""A text and its style: ``dim``, ``bold``, ``green``, ``yellow``, ``red``, or none."""

_WIDEST: Final = 48
_CODES: Final = {"dim": "2", "bold": "1", "green": "32", "yellow": "33", "red": "31"}
_MOODS: Final = {"ok": "green", "refused": "red", "failed": "red", "open": "yellow"}


class Scene(NamedTuple):
    """What is shown at a moment (seconds since the beginning); ``statement`` is its number.

    ``lines`` are lines of pieces. What was recorded is escaped in them.
    """

    at: float
    statement: int
    lines: tuple[tuple[Piece, ...], ...]


def scenes(course: Course) -> Iterator[Scene]:
    """Yield what happened, in order; of each statement the rows that the course gives."""
    yield Scene(0.0, 0, tuple(_opening(course)))
    for spoken in course:
        yield Scene(spoken.began, spoken.number, tuple(_said(spoken)))
        lines = tuple(_answered(spoken))
        yield Scene(max(spoken.began, spoken.last), spoken.number, lines)
    why = f"ended: {visible(course.why)}" if course.why else "the recording has no end"
    yield Scene(course.length, 0, (((why, "dim"),),))


def _opening(course: Course) -> Iterator[tuple[Piece, ...]]:
    header = course.header
    yield (("session ", "dim"), (_told(header, "id"), "bold"))
    where = f"{_told(header, 'database')} as {_told(header, 'role')}"
    yield ((visible(course.who), "bold"), (f" of {_told(header, 'issuer')} on {where}", ""))
    groups = ", ".join(visible(str(group)) for group in header.get("groups") or ())
    yield ((f"groups {groups}; policy {_told(header, 'policy')[:12]}", "dim"),)
    yield ()


def _told(header: dict[str, object], name: str) -> str:
    return visible(str(header.get(name, "")))


def _said(spoken: Spoken) -> Iterator[tuple[Piece, ...]]:
    more = ": more of this statement" if spoken.goes_on else ""
    yield ((f"[{spoken.number}] +{spoken.began:.3f}s{more}", "dim"),)
    for line in visible(spoken.text, lines=True).split("\n"):
        yield ((line, "bold"),)
    if spoken.goes_on:
        return
    style = "green" if spoken.decision == "allowed" else "red"
    reason = f": {visible(spoken.reason)}" if spoken.reason else ""
    yield ((f"{visible(spoken.decision)} by {visible(spoken.rule)}", style), (reason, ""))


def _answered(spoken: Spoken) -> Iterator[tuple[Piece, ...]]:
    yield from ((("notice ", "yellow"), (visible(notice), "")) for notice in spoken.notices)
    yield from (((visible(note), "yellow"),) for note in spoken.notes)
    yield from _table(spoken)
    for row in spoken.spelled:
        yield ((visible(row.rstrip("\n")), ""),)
    if spoken.left_out:
        yield ((f"... {spoken.left_out} more rows are recorded", "dim"),)
    if spoken.cut:
        yield ((f"cut here: the rule's limit of {visible(spoken.cut)} was reached", "yellow"),)
    yield ((_end(spoken), _MOODS[spoken.mood]),)
    yield ()


def _end(spoken: Spoken) -> str:
    if not spoken.status:
        return "no end was recorded"
    state = f" {visible(spoken.sqlstate)}" if spoken.sqlstate else ""
    rows = f", {spoken.affected} rows" if spoken.affected >= 0 else ""
    return f"{visible(spoken.status)}{state}{rows}, {spoken.seconds * 1000:.1f} ms"


def _table(spoken: Spoken) -> Iterator[tuple[Piece, ...]]:
    if not spoken.rows:
        return
    columns = names(spoken)
    heads = [visible(column.name) + (" (masked)" if column.rule else "") for column in columns]
    cells = [[_cell(value) for value in row] for row in spoken.rows]
    widths = [
        max([len(head), *(len(row[at]) for row in cells if at < len(row))])
        for at, head in enumerate(heads)
    ]
    yield ((" | ".join(head.ljust(widths[at]) for at, head in enumerate(heads)), "bold"),)
    yield (("-+-".join("-" * width for width in widths), "dim"),)
    for row in cells:
        yield tuple(_pieces(row, widths, [column.rule for column in columns]))


def _pieces(row: list[str], widths: list[int], rules: list[str]) -> Iterator[Piece]:
    for at, value in enumerate(row):
        if at:
            yield " | ", "dim"
        yield value.ljust(widths[at]), "yellow" if rules[at] else ""


def _cell(value: str | None) -> str:
    if value is None:
        return "NULL"
    shown = visible(value)
    return shown if len(shown) <= _WIDEST else f"{shown[: _WIDEST - 1]}…"


def asciicast(
    course: Course, *, width: int = 100, height: int = 30, idle: float = 2.0
) -> Iterator[str]:
    """Yield the lines of a session as an asciicast, version 3.

    https://docs.asciinema.org/manual/asciicast/v3/: newline-delimited JSON, a header and
    events, each with the seconds since the one before. Its markers, which players jump to, are
    statements.

    Args:
        course: the session.
        width: of the terminal, in columns.
        height: of the terminal, in rows.
        idle: what players are told to shorten pauses to (seconds).
    """
    header = {
        "version": 3,
        "term": {"cols": width, "rows": height},
        "timestamp": int(course.header.get("time") or 0),
        "idle_time_limit": idle,
        "title": f"{visible(course.who)}: {_told(course.header, 'id')}",
    }
    yield f"{json.dumps(header)}\n"
    before, last = 0.0, 0
    for scene in scenes(course):
        pause = round(max(0.0, scene.at - before), 6)
        if scene.statement and scene.statement != last:
            yield f"{json.dumps([pause, 'm', str(scene.statement)])}\n"
            pause, last = 0.0, scene.statement
        text = "".join(f"{''.join(map(_ansi, line))}\r\n" for line in scene.lines)
        yield f"{json.dumps([pause, 'o', text])}\n"
        before = max(before, scene.at)
    yield f"{json.dumps([0.0, 'x', '0'])}\n"


def _ansi(piece: Piece) -> str:
    text, style = piece
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style else text
