"""What a single value of a policy file may be: one description for the loader and for editors.

Each kind reads a TOML value into the model's value and reports what is wrong with it;
the same kind describes itself as JSON Schema, so that no rule is said twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Protocol, TypeAlias

from tracewall.policy.locate import Place
from tracewall.policy.model import Glob
from tracewall.policy.reading import Complaint, Reading, did_you_mean, listed
from tracewall.sql.rowfilter import Condition, Unfit, condition

Json: TypeAlias = dict[str, Any]
Check: TypeAlias = Callable[[str], Complaint | None]

_CONTROL = r"\u0000-\u001f\u007f"
# Python's `$` also matches before a last line break, JSON Schema's does not.
END = r"$(?!\n)"
PLAIN = rf"^[^{_CONTROL}]*{END}"
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 1000, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_MOST_BYTES = 10**15
MOST_ROWS = 2**63 - 1
"""How many rows there may be at most: a bigint."""
CENTURY = 3_155_760_000
"""The longest time, in seconds, that something may be kept."""
# PostgreSQL takes a timeout as milliseconds in a signed 32-bit integer.
_LONGEST_TIME = 2_147_483
_LONGEST_NAME = 63


class Kind(Protocol):
    """What a value may be."""

    def read(self, raw: object, place: Place, reading: Reading) -> Any:
        """Return the model's value; where `reading` got a complaint, the value is void."""
        ...

    def schema(self) -> Json:
        """Return the JSON Schema of what may be written."""
        ...


@dataclass(frozen=True)
class Text:
    """A string that matches `pattern`; `check` explains what else is wrong with it."""

    expected: str = "a string"
    pattern: str = PLAIN
    blank: bool = False
    check: Check = lambda text: None

    def read(self, raw: object, place: Place, reading: Reading) -> str:
        """Return the string itself."""
        if not isinstance(raw, str):
            reading.mistyped(place, self.expected, raw)
            return ""
        if wrong := self._wrong(raw):
            reading.wrong(place, *wrong)
        return raw

    def _wrong(self, raw: str) -> Complaint | None:
        if not raw:
            return None if self.blank else Complaint(f"expected {self.expected}, got an empty one")
        if self.pattern != ANYTHING and re.search(PLAIN, raw) is None:
            return Complaint("a control character or a line break can't be here")
        if wrong := self.check(raw):
            return wrong
        return None if re.search(self.pattern, raw) else Complaint(f"expected {self.expected}")

    def schema(self) -> Json:
        """Return the pattern and the least length."""
        pattern = {} if self.pattern == ANYTHING else {"pattern": self.pattern}
        return {"type": "string"} | pattern | ({} if self.blank else {"minLength": 1})


ANYTHING = ""
"""The pattern of a text that may also hold line breaks and control characters."""

RULE_NAME = Text("a name of letters, digits, '_' and '-'", rf"^[A-Za-z0-9_-]{{1,63}}{END}")
"""What a rule of a policy may be called."""


@dataclass(frozen=True)
class Choice:
    """One of a few words; `instead` has the help for well-known wrong ones."""

    words: tuple[str, ...]
    instead: Mapping[str, str] = field(default_factory=dict)

    def read(self, raw: object, place: Place, reading: Reading) -> str:
        """Return the word itself."""
        expected = listed(self.words)
        if not isinstance(raw, str):
            reading.mistyped(place, expected, raw)
            return ""
        if raw not in self.words:
            help = self.instead.get(raw) or did_you_mean(raw, self.words, f"write {expected}")
            reading.wrong(place, f"expected {expected}, got {raw[:80]!r}", help)
        return raw

    def schema(self) -> Json:
        """Return the words."""
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class Only:
    """One certain number."""

    number: int
    help: str

    def read(self, raw: object, place: Place, reading: Reading) -> int:
        """Return the number itself."""
        if type(raw) is not int:
            reading.mistyped(place, str(self.number), raw)
        elif raw != self.number:
            reading.wrong(place, f"expected {self.number}, got another number", self.help)
        return self.number

    def schema(self) -> Json:
        """Return the number."""
        return {"const": self.number}


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def read(self, raw: object, place: Place, reading: Reading) -> bool:
        """Return the truth value itself."""
        if not isinstance(raw, bool):
            reading.mistyped(place, "true or false", raw, "write true or false, without quotes")
        return raw is True

    def schema(self) -> Json:
        """Return the type."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Whole:
    """A whole number from `least` to `most`."""

    most: int
    least: int = 0

    def read(self, raw: object, place: Place, reading: Reading) -> int:
        """Return the number itself."""
        if not isinstance(raw, int) or isinstance(raw, bool):
            reading.mistyped(place, "a whole number", raw)
            return 0
        if not self.least <= raw <= self.most:
            reading.wrong(place, f"expected a whole number from {self.least} to {self.most}")
        return raw

    def schema(self) -> Json:
        """Return the type and the range."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Positive:
    """A finite number above 0."""

    def read(self, raw: object, place: Place, reading: Reading) -> float:
        """Return the number as a float."""
        number = _number(raw)
        if number is None:
            reading.mistyped(place, "a number", raw)
        elif not 0 < number < math.inf:
            reading.wrong(place, "expected a finite number above 0")
        return number or 0.0

    def schema(self) -> Json:
        """Return the type and the range."""
        return {"type": "number", "exclusiveMinimum": 0}


@dataclass(frozen=True)
class Size:
    """A number of bytes: ``"64MB"``, ``"10GB"`` (powers of 1000) or the number."""

    help = 'write "500kB", "64MB", "10GB" or a number of bytes'
    pattern = rf"^[0-9]{{1,12}} ?({'|'.join(_BYTES)}){END}"

    def read(self, raw: object, place: Place, reading: Reading) -> int:
        """Return bytes."""
        if isinstance(raw, str):
            number = re.match(r"[0-9]+", raw) if re.search(self.pattern, raw) else None
            if number is None:
                reading.wrong(place, "this is no number of bytes", self.help)
                return 0
            raw = int(number[0]) * _BYTES[raw[number.end() :].strip()]
        if not isinstance(raw, int) or isinstance(raw, bool):
            reading.mistyped(place, "a number of bytes", raw, self.help)
            return 0
        if not 0 <= raw <= _MOST_BYTES:
            reading.wrong(place, f"expected a number of bytes from 0 to {_MOST_BYTES}", self.help)
        return raw

    def schema(self) -> Json:
        """Return both ways to write it."""
        number = {"type": "integer", "minimum": 0, "maximum": _MOST_BYTES}
        return {"anyOf": [{"type": "string", "pattern": self.pattern}, number]}


@dataclass(frozen=True)
class Duration:
    """A length of time: ``"250ms"``, ``"30s"``, ``"5min"``, ``"1h"``, ``"1d"`` or seconds."""

    most: int = _LONGEST_TIME

    help = 'write "250ms", "30s", "5min", "1h", "1d" or a number of seconds'
    pattern = rf"^[0-9]{{1,12}}(\.[0-9]{{1,6}})? ?({'|'.join(_UNITS)}){END}"

    def read(self, raw: object, place: Place, reading: Reading) -> float:
        """Return seconds."""
        seconds = self._seconds(raw) if isinstance(raw, str) else _number(raw)
        if seconds is None and isinstance(raw, str):
            reading.wrong(place, "this is no length of time", self.help)
        elif seconds is None:
            reading.mistyped(place, "a length of time", raw, self.help)
        elif not 0 <= seconds <= self.most:
            expected = f"expected a length of time from 0 to {self.most} seconds"
            reading.wrong(place, expected, self.help)
        return seconds or 0.0

    def _seconds(self, raw: str) -> float | None:
        if re.search(self.pattern, raw) is None:
            return None
        number = re.match(r"[0-9.]+", raw)
        assert number is not None, "the pattern asks for a number first"
        return float(number[0]) * _UNITS[raw[number.end() :].strip()]

    def schema(self) -> Json:
        """Return both ways to write it."""
        text = {"type": "string", "pattern": self.pattern}
        return {"anyOf": [text, {"type": "number", "minimum": 0, "maximum": self.most}]}


@dataclass(frozen=True)
class Moment:
    """A point in time: a TOML date-time with its offset, or a date (its beginning in UTC)."""

    help = "write 2026-01-31T12:00:00Z, without quotes"

    def read(self, raw: object, place: Place, reading: Reading) -> float:
        """Return Unix seconds."""
        if isinstance(raw, datetime) and raw.tzinfo is not None:
            return raw.timestamp()
        if isinstance(raw, date) and not isinstance(raw, datetime):
            return datetime(raw.year, raw.month, raw.day, tzinfo=UTC).timestamp()
        reading.wrong(place, "expected a date, or a date and time with its offset", self.help)
        return 0.0

    def schema(self) -> Json:
        """Return what editors make of a TOML date."""
        return {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}


def _number(raw: object) -> float | None:
    """Return a TOML number as a float, infinite where it is too large for one."""
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    try:
        return float(raw)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class GroupName:
    """A glob over the names of groups, or of channels: they may hold dots."""

    what: str = "group"

    def read(self, raw: object, place: Place, reading: Reading) -> Glob:
        """Return a glob whose ``*`` also crosses dots."""
        text = Text(f"the name of a {self.what}").read(raw, place, reading)
        return Glob(text, *reading.at(place.start), dots=True)

    def schema(self) -> Json:
        """Return what any text is."""
        return Text().schema()


@dataclass(frozen=True)
class RowFilter:
    """The condition of a row filter, in SQL."""

    def read(self, raw: object, place: Place, reading: Reading) -> Condition | None:
        """Return the condition; a complaint points at the part that it is about."""
        text = Text("an SQL condition", ANYTHING).read(raw, place, reading)
        if not isinstance(raw, str) or not text:
            return None
        try:
            return condition(text)
        except Unfit as ex:
            # A plain string has its characters where they stand in the file.
            plain = ex.at >= 0 and place.end - place.start == len(text) + 2
            offset = place.start + 1 + ex.at if plain else place.start
            help = "see the reference of policies, Row filters, for what a condition may hold"
            reading.fault(offset, f"{place.name}: {ex.reason}", help)
            return None

    def schema(self) -> Json:
        """Return what any text is."""
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class DottedName:
    """A glob over names of as many dotted parts as `shape` has: ``schema.table``."""

    what: str
    shape: str

    def read(self, raw: object, place: Place, reading: Reading) -> Glob:
        """Return a glob that knows its line and column."""
        text = Text(f"the name of a {self.what}", self._pattern(), check=self._check)
        return Glob(text.read(raw, place, reading), *reading.at(place.start))

    def _check(self, raw: str) -> Complaint | None:
        parts, expected = raw.split("."), self.shape.split(".")
        if '"' in raw:
            help = "write names as PostgreSQL stores them, without quotes and in their own case"
            return Complaint("a quote can't be part of a name here", help)
        if len(parts) != len(expected):
            return self._wrong_parts(len(parts))
        if not all(parts):
            return Complaint("a part of this name is empty", f"write {self.shape}")
        if any(part != part.strip() for part in parts):
            return Complaint("a part of this name starts or ends in a blank", "take it out")
        if any(len(part.replace("*", "").encode()) > _LONGEST_NAME for part in parts):
            help = f"a name in PostgreSQL has at most {_LONGEST_NAME} bytes"
            return Complaint("this name is too long to match anything", help)
        return None

    def _wrong_parts(self, got: int) -> Complaint:
        count = len(self.shape.split("."))
        expected = f"{count} parts" if count > 1 else "1 part"
        help = f"write {self.shape}; a name that holds a dot itself can't be written"
        return Complaint(f"the name of a {self.what} has {expected} here, not {got}", help)

    def _pattern(self) -> str:
        part = rf'[^."{_CONTROL}]+'
        return rf"^{part}" + rf"\.{part}" * self.shape.count(".") + END

    def schema(self) -> Json:
        """Return the pattern of as many parts."""
        return {"type": "string", "pattern": self._pattern()}


@dataclass(frozen=True)
class WantedClaims:
    """A table of claims, each with the value it must have, or a list of such values."""

    help = 'write { claim = "value" } or { claim = ["one", "another"] }'

    def read(self, raw: object, place: Place, reading: Reading) -> Any:
        """Return pairs of a claim and its values, by the claim's name."""
        if not isinstance(raw, dict):
            reading.mistyped(place, "a table of claims", raw, self.help)
            return ()
        if not raw:
            reading.wrong(place, "expected at least one claim, got an empty table", self.help)
        return tuple(
            (name, self._values(raw[name], place.inside[name], reading)) for name in sorted(raw)
        )

    def _values(self, raw: object, place: Place, reading: Reading) -> tuple[object, ...]:
        values = tuple(raw) if isinstance(raw, list) else (raw,)
        fit = all(type(value) in (str, int, bool) for value in values)
        if not fit or not values:
            expected = "expected a text, a whole number, true or false, or a list of them"
            reading.wrong(place, expected, self.help)
        return values

    def schema(self) -> Json:
        """Return the types of the values."""
        one = {"type": ["string", "integer", "boolean"]}
        values = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
        return {"type": "object", "minProperties": 1, "additionalProperties": values}
