"""Spans of a week, as policies write them: ``"Mon-Fri 08:00-18:00"``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tracewall.policy.locate import Place
from tracewall.policy.reading import Complaint, Reading

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = "|".join(_DAYS)
_TIME = r"([01][0-9]|2[0-3]):([0-5][0-9])"
_PATTERN = rf"^({_DAY})(-({_DAY}))? {_TIME}-({_TIME}|24:00)$(?!\n)"


@dataclass(frozen=True, slots=True)
class Hours:
    """A span of the day on some days of the week (0: Monday), in minutes after midnight."""

    days: tuple[int, ...]
    start: int
    end: int

    def hold(self, at: datetime) -> bool:
        """Tell whether a local time lies in it; its end does not."""
        minute = at.hour * 60 + at.minute
        return at.weekday() in self.days and self.start <= minute < self.end


def within(hours: tuple[Hours, ...], zone: str, at: float) -> bool:
    """Tell whether a time (seconds since the epoch) lies in any of the spans, in a time zone."""
    local = datetime.fromtimestamp(at, ZoneInfo(zone) if zone != "UTC" else UTC)
    return any(span.hold(local) for span in hours)


def zone(text: str) -> Complaint | None:
    """Complain of a time zone that is not known here."""
    try:
        known = text == "UTC" or ZoneInfo(text).key
    except (OSError, ValueError, KeyError):
        known = ""
    help = "write a name of the IANA database, as Europe/Berlin; on Windows install tzdata"
    return None if known else Complaint("this time zone is not known", help)


@dataclass(frozen=True)
class WorkingHours:
    """A span of the week."""

    help = 'write "Mon-Fri 08:00-18:00" or "Sat 10:00-24:00"'

    def read(self, raw: object, place: Place, reading: Reading) -> Hours:
        """Return the span."""
        if not isinstance(raw, str):
            reading.mistyped(place, "hours of days", raw, self.help)
        elif found := re.search(_PATTERN, raw):
            return self._span(found, place, reading)
        else:
            reading.wrong(place, "these are no hours of days", self.help)
        return Hours((), 0, 0)

    def _span(self, found: re.Match[str], place: Place, reading: Reading) -> Hours:
        first, last = _DAYS.index(found[1]), _DAYS.index(found[3] or found[1])
        days = tuple((first + at) % 7 for at in range((last - first) % 7 + 1))
        start, end = (_minutes(part) for part in (f"{found[4]}:{found[5]}", found[6]))
        if start >= end:
            reading.wrong(place, "these hours end before they begin", "write two spans")
        return Hours(days, start, end)

    def schema(self) -> dict[str, Any]:
        """Return the pattern."""
        return {"type": "string", "pattern": _PATTERN}


def _minutes(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)
