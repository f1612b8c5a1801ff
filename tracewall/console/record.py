"""The page that searches the audit record, on record."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from tracewall.audit.people import People, Person
from tracewall.audit.reads import filters_told
from tracewall.audit.search import Asked, found
from tracewall.audit.verify import records
from tracewall.console.asking import DOCTOR, Ask, Page, Refused
from tracewall.console.house import House
from tracewall.console.pages import leaf, moment, part
from tracewall.errors import PolicyError
from tracewall.events import Incident

MOST: Final = 500
"""How many of the newest entries that fit are shown."""

LONGEST: Final = 30.0
"""How long (seconds) a search may take."""

_ON_A_PAGE: Final = 50
_DAY: Final = 86_400
_TEXTS: Final = ("who", "table", "rule", "decision", "status", "kind", "session")
_DECISIONS: Final = ("allowed", "forbidden", "asks")
_STATUSES: Final = "ok error cancelled refused withheld abandoned unknown open".split()
_LOOK_EVERY: Final = 1_024
_NOT_READ: Final = (
    "The record is in PostgreSQL, and the policy does not say how it is read here: "
    "record_conninfo is missing under [console]."
)
_TOO_LONG: Final = (
    f"A search may take {LONGEST:.0f} seconds. Ask for a shorter time, or use "
    "`tracewall audit search` on the server."
)
_ONLY_NEWEST: Final = f"Only the newest {MOST} are shown. Ask for a shorter time."


class RecordPages:
    """The audit record, for those who may search it."""

    def __init__(self, house: House, page: Page) -> None:
        self._house = house
        self._page = page

    def search(self, ask: Ask) -> Response:
        """Show what fits, newest first; by default of the last day."""
        if not self._house.audits(ask.own_visit.who):
            raise Refused(404, "There is no such page.")
        if self._house.policy.audit.conninfo and self._house.stored() is None:
            raise Refused(404, _NOT_READ)
        asked = {name: ask.query.get(name, "") for name in (*_TEXTS, "since", "until")}
        if not ask.query:
            asked["since"] = moment(self._house.clock() - _DAY)[:16].replace(" ", "T")
        entries, words = self._found(ask, asked)
        items, more = part(entries, ask.page, _ON_A_PAGE)
        return self._page(
            ask,
            "audit",
            title="Audit record",
            here="audit",
            asked=asked,
            decisions=_DECISIONS,
            statuses=_STATUSES,
            items=[_item(entry) for entry in items],
            leaf=leaf(f"{ask.root}/audit", asked, ask.page, more=more),
            words=words,
        )

    def _found(self, ask: Ask, asked: dict[str, str]) -> tuple[list[dict[str, Any]], str]:
        try:
            since, until = _seconds(asked["since"]), _seconds(asked["until"])
        except ValueError:
            return [], "Times are written in UTC, as in 2026-01-31T12:00."
        texts, people = {name: asked[name] for name in _TEXTS}, self._people()
        told = filters_told({**texts, "since": since, "until": until}, people)
        read = Incident(kind="audit_read", detail=f"search by the console{told}")
        self._house.on_record(ask.own_visit, read)
        if not self._house.searching.acquire(blocking=False):
            raise Refused(503, "Others are searching. Try again in a moment.")
        try:
            newest = self._newest(
                found(self._records(), Asked(**texts, since=since, until=until), people)
            )
        except (OSError, PolicyError):
            raise Refused(503, f"The record can't be read. {DOCTOR}") from None
        finally:
            self._house.searching.release()
        return newest[:MOST], _ONLY_NEWEST if len(newest) > MOST else ""

    def _people(self) -> dict[str, Person]:
        stored = self._house.stored()
        try:
            return stored.people() if stored else People(self._house.audit).all()
        except (OSError, PolicyError):
            raise Refused(503, f"The names of people can't be read. {DOCTOR}") from None

    def _records(self) -> Iterator[dict[str, Any]]:
        stored, folder = self._house.stored(), self._house.audit
        if stored is None and not folder.is_dir():
            return
        ends = time.monotonic() + LONGEST
        for number, record in enumerate(stored.records() if stored else records(folder)):
            if number % _LOOK_EVERY == 0 and time.monotonic() > ends:
                raise Refused(503, _TOO_LONG)
            yield record

    def _newest(self, entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        # Files of several writers overlap, so the newest are not the last ones.
        kept: list[tuple[float, int, dict[str, Any]]] = []
        for number, entry in enumerate(entries):
            pair = (float(entry["at"]), number, entry)
            if len(kept) <= MOST:
                heapq.heappush(kept, pair)
            else:
                heapq.heappushpop(kept, pair)
        return [entry for _, _, entry in sorted(kept, reverse=True)]


def _seconds(text: str) -> float | None:
    if not text:
        return None
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _item(entry: Mapping[str, Any]) -> dict[str, Any]:
    incident = _part(entry, "incident")
    what, ended = _part(entry, "what"), _part(entry, "ended")
    who = _part(entry, "who") or _part(incident, "who")
    masked = _part(what, "masked")
    rows = ended.get("rows")
    more = {
        "text": _text(what.get("text")),
        "reason": _text(what.get("reason")),
        "detail": _text(incident.get("detail")),
        "columns": "; ".join(
            f"{table}: {', '.join(map(str, names))}"
            for table, names in _part(what, "columns").items()
            if isinstance(names, list)
        ),
        "sqlstate": _text(ended.get("sqlstate")),
        "seconds": _text(ended.get("seconds")),
        "issuer": _text(who.get("issuer")),
        "actor": _text(who.get("actor")),
        "where": " as ".join(filter(None, (_text(who.get("database")), _text(who.get("role"))))),
        "connection": _text(who.get("session")),
        "transaction": _text(entry.get("transaction")),
        "sha256": _text(what.get("sha256")),
        "record": f"{_text(entry.get('writer'))} {_text(entry.get('n'))}",
    }
    return {
        "summary": _text(what.get("summary")) or _text(incident.get("kind")),
        "who": _text(entry.get("name") or who.get("subject")) or "nobody",
        "purpose": _text(who.get("purpose")),
        "at": moment(entry["at"]),
        "decision": _text(what.get("decision")) or "incident",
        "status": "" if incident else _text(ended.get("status")) or "open",
        "rule": _text(what.get("rule")),
        "rows": f"{_text(rows)} rows" if isinstance(rows, int) and rows >= 0 else "",
        "masked": ", ".join(dict.fromkeys(map(_text, masked.values()))),
        "session": _text(who.get("session")),
        "more": [(name, text) for name, text in more.items() if text],
    }


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def _text(value: object) -> str:
    try:
        return "" if value is None else str(value)
    except ValueError:
        # Python does not spell out a number of thousands of digits.
        return "?"
