"""Where each key and value of a TOML text stands.

`tomllib` says what a text means but not where it says it. This scanner walks a text
that tomllib has accepted, so it need not check anything: it only keeps count of
offsets, in a tree of the same shape as the tables and lists that tomllib returns.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_BASIC = r'"(?:[^"\\\n]|\\.)*+"'
_LITERAL = r"'[^'\n]*+'"
_KEY = re.compile(rf"""{_BASIC}|{_LITERAL}|[^\s"'.=\[\]{{}},#]++""")
# A multi-line string may end in up to two quotes of its own before the closing three;
# a date and a time may be apart by one space.
# Atomic, not possessive: before 3.11.5 Python gets possessive groups wrong in which an
# alternative fails after its first character (python/cpython#106052).
_SCALAR = re.compile(
    r'"""(?>(?:[^"\\]++|\\.|"{1,2}(?!"))*)"{3,5}'
    r"|'''(?>(?:[^']++|'{1,2}(?!'))*)'{3,5}"
    rf"|{_BASIC}|{_LITERAL}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[^\s,\]}#]++"
    r"|[^\s,\]}#]++",
    re.DOTALL,
)


@dataclass(slots=True)
class Place:
    """Where one value stands: offsets into the text, from 0.

    ``path`` leads to the value; ``key`` is the offset of the key that names it (of the
    value itself in a list); ``start`` and ``end`` enclose the value. A table that was
    opened by a header has the header there, one that only dotted keys imply has its key.
    ``inside`` has the places of a table's keys or of a list's items.
    """

    path: Path
    key: int
    start: int
    end: int
    inside: dict[str | int, Place] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The path as people write it: ``grants[0].tables[1]``; empty at the top."""
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return "".join(steps).removeprefix(".")


class Lines:
    """Turns offsets of a text into lines and columns, both from 1, columns in characters."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def at(self, offset: int) -> tuple[int, int]:
        """Return the line and the column of `offset`."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


def locate(text: str) -> Place:
    """Return the places of everything in `text`, which `tomllib.loads` must have accepted.

    Raises RecursionError where values are nested about as deep as tomllib can read.
    """
    return _Scanner(text).document()


class _Name(NamedTuple):
    """One part of a key, and the offsets that enclose it as it is written."""

    text: str
    start: int
    end: int


class _Scanner:
    """Walks a text from its start to its end, once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.offset = 0

    def document(self) -> Place:
        """Read headers and pairs up to the end of the text."""
        root = current = Place((), 0, 0, 0)
        self.skip_blank()
        while self.offset < len(self.text):
            if self.text[self.offset] == "[":
                current = self.header(root)
            else:
                self.pair(current)
            self.skip_blank()
        return root

    def header(self, root: Place) -> Place:
        """Read ``[table]`` or ``[[list of tables]]`` and return the table it opens."""
        start = self.offset
        brackets = 2 if self.text.startswith("[[", start) else 1
        self.offset += brackets
        *parents, last = self.dotted_key()
        self.offset += brackets
        table = root
        for name in parents:
            table = _newest(_child(table, name))
        table = _child(table, last)
        if brackets == 1 or not table.inside:
            # A table that earlier keys implied is pointed at where its own header stands.
            table.key, table.start, table.end = last.start, start, self.offset
        if brackets == 1:
            return table
        item = Place((*table.path, len(table.inside)), start, start, self.offset)
        table.inside[len(table.inside)] = item
        return item

    def pair(self, table: Place) -> None:
        """Read ``key = value`` into `table`, through the tables that a dotted key implies."""
        *parents, last = self.dotted_key()
        for name in parents:
            table = _child(table, name)
        self.offset += len("=")
        self.skip_blank()
        table.inside[last.text] = self.value((*table.path, last.text), last.start)

    def dotted_key(self) -> list[_Name]:
        """Read a key and the blanks behind it; return its parts."""
        parts = []
        while True:
            self.skip_blank()
            start, written = self.offset, self.take(_KEY)
            parts.append(_Name(_unquoted(written), start, self.offset))
            self.skip_blank()
            if self.text[self.offset] != ".":
                return parts
            self.offset += 1

    def value(self, path: Path, key: int | None = None) -> Place:
        """Read any value and return its place."""
        start = self.offset
        place = Place(path, start if key is None else key, start, start)
        opening = self.text[start]
        if opening == "[":
            self.items(place)
        elif opening == "{":
            self.inline_table(place)
        else:
            self.take(_SCALAR)
        place.end = self.offset
        return place

    def items(self, place: Place) -> None:
        """Read a list in brackets into `place`."""
        self.offset += 1
        self.skip_blank()
        while self.text[self.offset] != "]":
            index = len(place.inside)
            place.inside[index] = self.value((*place.path, index))
            self.skip_comma()
        self.offset += 1

    def inline_table(self, place: Place) -> None:
        """Read a table in braces into `place`."""
        self.offset += 1
        self.skip_blank()
        while self.text[self.offset] != "}":
            self.pair(place)
            self.skip_comma()
        self.offset += 1

    def skip_comma(self) -> None:
        self.skip_blank()
        if self.text[self.offset] == ",":
            self.offset += 1
            self.skip_blank()

    def skip_blank(self) -> None:
        self.take(_BLANK)

    def take(self, token: re.Pattern[str]) -> str:
        found = token.match(self.text, self.offset)
        assert found is not None, "tomllib accepts no text without this token"
        self.offset = found.end()
        return found[0]


def _unquoted(key: str) -> str:
    """Return the name that a key says; tomllib itself resolves the escapes of a quoted one."""
    return next(iter(tomllib.loads(f"{key}=0"))) if key[0] in "\"'" else key


def _child(table: Place, name: _Name) -> Place:
    """Return the place of `name` in `table`, made now if this is its first mention."""
    if name.text not in table.inside:
        place = Place((*table.path, name.text), name.start, name.start, name.end)
        table.inside[name.text] = place
    return table.inside[name.text]


def _newest(place: Place) -> Place:
    """Return the last table of a list of tables; a table itself stays as it is."""
    return place.inside.get(len(place.inside) - 1, place)
