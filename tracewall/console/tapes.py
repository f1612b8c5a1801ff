"""The pages of recorded sessions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import IO, Any, Final
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from tracewall.console.asking import DOCTOR, Ask, Page, Refused
from tracewall.console.house import House
from tracewall.console.pages import leaf, moment, part
from tracewall.console.style import security_policy as usual_policy
from tracewall.events import Incident
from tracewall.recording.course import Course
from tracewall.recording.page import page, security_policy
from tracewall.recording.reader import Reading
from tracewall.recording.store import Entry
from tracewall.recording.summary import Summary

MOST: Final = 1_000
"""How many recordings are looked through, newest first."""

LARGEST: Final = 64 << 20
"""The largest recording (bytes, as stored) that is shown here: each visit reads it whole."""

LONGEST: Final = 256 << 20
"""The most bytes of its lines, unpacked."""

STATEMENTS: Final = 1_000
"""How many statements a replay shows."""

ROWS: Final = 200
"""How many rows of a statement."""

_TOO_LARGE: Final = (
    "This recording is too large to be shown here. On the server, `tracewall sessions export` "
    "makes a page of it."
)
_ON_A_PAGE: Final = 25
# No origin: whatever ran there could reach neither cookies nor the console's pages.
_REPLAY = f"{security_policy()}; frame-ancestors 'self'; sandbox allow-scripts"


class TapePages:
    """Recorded sessions, for those who may see them."""

    def __init__(self, house: House, page: Page) -> None:
        self._house = house
        self._page = page

    def index(self, ask: Ask) -> Response:
        """List recorded sessions, newest first."""
        entries = self._entries(ask)
        asked = {name: ask.query.get(name, "") for name in ("who", "rule", "connection")}
        # One more than a page holds tells whether there is another.
        wanted = islice(self._fitting(entries[:MOST], asked), (ask.page * _ON_A_PAGE) + 1)
        items, more = part([*wanted], ask.page, _ON_A_PAGE)
        return self._page(
            ask,
            "sessions",
            title="Recorded sessions",
            here="sessions",
            rules=sorted({entry.rule for entry in entries}),
            items=[_item(entry, header) for entry, header in items],
            leaf=leaf(f"{ask.root}/sessions", asked, ask.page, more=more),
            more=len(entries) > MOST,
            most=MOST,
            **asked,
        )

    def show(self, ask: Ask) -> Response:
        """Show what a session is, with its replay in a frame."""
        entry = self._entry(ask)
        header, fault = self._header(entry)
        item, words = _item(entry, header), _why_not(entry, header, fault)
        replay = (
            "" if words else f"{ask.root}/sessions/{quote(entry.rule)}/{quote(entry.id)}/replay"
        )
        told = {
            "state": item["state"] + (", on hold" if entry.held else ""),
            "acted by": ", ".join(_subjects(header)),
            "connection": header.get("session"),
            "size": item["size"],
        }
        return self._page(
            ask,
            "session",
            policy=f"{usual_policy()}; frame-src 'self'",
            title=item["who"],
            here="sessions",
            who=item["who"],
            id=entry.id,
            words=words,
            facts=[(name, str(value or "")) for name, value in told.items()],
            replay=replay,
        )

    def replay(self, ask: Ask) -> Response:
        """Give a session as the page that it is exported as; that it is seen is on record."""
        entry = self._entry(ask)
        if words := _why_not(entry, *self._header(entry)):
            raise Refused(404, words)
        read = Incident(kind="recording_read", detail=f"{entry.rule}/{entry.id}")
        self._house.on_record(ask.own_visit, read)
        try:
            with self._house.tapes.open(entry) as stream:
                reading = self._reading(stream, entry)
                summary = Summary.of(Course(_bounded(reading), 0))
        except OSError:
            raise Refused(404, "There is no such session.") from None
        summary.proof = reading.proof
        headers = {"content-security-policy": _REPLAY, "x-frame-options": "SAMEORIGIN"}
        parts = self._parts(entry, summary)
        return StreamingResponse(parts, headers=headers, media_type="text/html")

    def _parts(self, entry: Entry, summary: Summary) -> Iterator[str]:
        """Yield the page as it is read; what has been written since is not on it."""
        with self._house.tapes.open(entry) as stream:
            lines = islice(self._reading(stream, entry), summary.proof.lines)
            yield from page(summary, Course(lines, ROWS), STATEMENTS)

    def _reading(self, stream: IO[bytes], entry: Entry) -> Reading:
        return Reading(stream, entry.sealed, self._house.identities, entry=entry)

    def _entries(self, ask: Ask) -> list[Entry]:
        if not self._house.views(ask.own_visit.who):
            raise Refused(404, "There is no such page.")
        try:
            return [*self._house.tapes.entries()][::-1]
        except OSError:
            raise Refused(503, f"The recordings can't be read. {DOCTOR}") from None

    def _entry(self, ask: Ask) -> Entry:
        """Give the recording that is asked for, out of those that are there: no path is made."""
        wanted = (ask.params["rule"], ask.params["id"])
        for entry in self._entries(ask):
            if (entry.rule, entry.id) == wanted:
                return entry
        raise Refused(404, "There is no such session.")

    def _fitting(
        self, entries: list[Entry], asked: dict[str, str]
    ) -> Iterator[tuple[Entry, dict[str, Any]]]:
        for entry in entries:
            if asked["rule"] and entry.rule != asked["rule"]:
                continue
            header, _ = self._header(entry)
            if asked["who"] and header.get("subject") != asked["who"]:
                continue
            if asked["connection"] and header.get("session") != asked["connection"]:
                continue
            yield entry, header

    def _header(self, entry: Entry) -> tuple[dict[str, Any], str]:
        """Give a recording's first line, or why it can't be read."""
        try:
            with self._house.tapes.open(entry) as stream:
                reading = self._reading(stream, entry)
                header = next(iter(reading), {})
        except OSError as error:
            return {}, error.strerror or type(error).__name__
        return header, reading.proof.fault or "it is empty"


def _why_not(entry: Entry, header: dict[str, Any], fault: str) -> str:
    """Say why a recording is not shown; empty: it is."""
    if entry.size > LARGEST:
        return _TOO_LARGE
    return "" if header else f"This recording can't be read: {fault}."


def _item(entry: Entry, header: dict[str, Any]) -> dict[str, Any]:
    where = f"{header.get('database', '')} as {header.get('role', '')}" if header else ""
    began = header.get("time")
    return {
        "id": entry.id,
        "rule": entry.rule,
        "who": str(header.get("subject") or ("nobody" if header else "unreadable")),
        "began": moment(began) if began else "",
        "where": where,
        "purpose": str(header.get("purpose") or ""),
        "state": "open" if entry.open else "encrypted" if entry.sealed else "closed",
        "held": entry.held,
        "size": f"{max(1, entry.size // 1000)} kB",
    }


def _bounded(reading: Reading) -> Iterator[dict[str, Any]]:
    """Give lines up to a size: a recording may be packed a thousand times smaller."""
    left = LONGEST
    for line in reading:
        left -= len(reading.raw)
        if left < 0:
            raise Refused(404, _TOO_LARGE)
        yield line


def _subjects(header: dict[str, Any]) -> Iterator[str]:
    for actor in header.get("actors") or ():
        yield str(actor["subject"])
