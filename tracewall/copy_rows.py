r"""COPY TO, masked row by row: a row is taken apart, its masked fields exchanged, put together.

1. The server sends each row as one message, so memory is bounded by the longest row.
2. Masks see parsed values, never the row's text: no quoting, escaping or delimiter that
   the caller chooses can hide a value from them, or put one together.
3. A row that is not spelled as the statement says, has another number of fields, or holds
   a value that can't be masked, is withheld, and with it all that follow.
4. A value that comes out of its mask changed is spelled as its column's type is.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from psycopg.pq import Format

from tracewall.errors import Forbidden, Withheld
from tracewall.joining import joined, side_by_side
from tracewall.loaders import TEXT_OIDS, value_mask
from tracewall.shield import Veil
from tracewall.sql.copying import CopyFormat

Mask: TypeAlias = Callable[[bytes], bytes | None]
"""Takes a field that is not NULL, gives what is shown instead; None: NULL."""

Fields: TypeAlias = Mapping[int, bytes | None]
"""The masked fields of a row, by position; None: NULL."""

Hide: TypeAlias = Callable[[Fields], Fields]
"""Takes the masked fields of a row, gives what is shown instead of each."""

Cover: TypeAlias = Callable[[bytes], bytes]
"""Takes one row as the server spells it, gives it with its masked fields exchanged."""


def cover(
    spelling: CopyFormat,
    oids: Sequence[int],
    veils: Mapping[int, Veil],
    connection: Any,
    most: int = 0,
) -> Cover:
    """Give what masks each row of a COPY TO.

    Args:
        spelling: how the statement has rows spelled.
        oids: the types of the columns.
        veils: what hides the masked ones, by position.
        connection: where settings that values depend on are looked up.
        most: how many bytes a value may have that is read to be masked (0: no limit).

    Raises:
        Forbidden: rows spelled so can't be masked for sure.
    """
    wire = Format.BINARY if spelling.format == "binary" else Format.TEXT
    masks = {at: value_mask(veil, oids[at], wire, connection, most) for at, veil in veils.items()}
    texts = {at: veil for at, veil in veils.items() if oids[at] in TEXT_OIDS}
    hide = _together(masks, texts)
    if spelling.format == "binary":
        return _Binary(len(oids), frozenset(veils), hide).cover
    if spelling.format == "csv":
        return _Csv(spelling, len(oids), frozenset(veils), hide).cover
    if spelling.null not in ("\\N", ""):
        raise Forbidden(
            "a masked column and a word of your own for NULL can't be told apart in text: "
            "leave NULL out, or copy as csv"
        )
    return _Text(spelling, len(oids), frozenset(veils), hide).cover


def _together(masks: Mapping[int, Mask], texts: Mapping[int, Veil]) -> Hide:
    """Give what hides all masked fields of a row, keys cut by their boundaries too."""
    runs = side_by_side(texts)

    def hide(fields: Fields) -> Fields:
        shown = {at: None if field is None else masks[at](field) for at, field in fields.items()}
        for run in runs:
            cut = joined(texts, run, [fields[at] for at in run])
            shown |= {at: text.encode() for at, text in cut.items()}
        return shown

    return hide


def _odd() -> Withheld:
    return Withheld("a row of COPY is not spelled as its statement says, so the rows are withheld")


_CONTROLS = {b"\b": b"b", b"\f": b"f", b"\n": b"n", b"\r": b"r", b"\t": b"t", b"\v": b"v"}
_LETTERS = {letter: control for control, letter in _CONTROLS.items()}
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


class _Text:
    r"""Rows in text format: fields between delimiters, backslash escapes, ``\N`` for NULL."""

    def __init__(
        self, spelling: CopyFormat, width: int, masked: frozenset[int], hide: Hide
    ) -> None:
        delimiter = re.escape(spelling.delimiter.encode())
        self._delimiter = spelling.delimiter.encode()
        self._null = spelling.null.encode()
        self._width, self._masked, self._hide = width, sorted(masked), hide
        self._field = re.compile(rb"((?:[^\\%b]|\\.)*+)(?:%b|\Z)" % (delimiter, delimiter), re.S)
        self._special = re.compile(rb"[\b\f\n\r\t\v\\%b]" % delimiter)
        self._header = spelling.header == "true"

    def cover(self, row: bytes) -> bytes:
        if self._header:
            self._header = False
            return row
        if row[-1:] != b"\n":
            raise _odd()
        fields = self._split(row[:-1])
        if len(fields) != self._width:
            raise _odd()
        raw = {
            at: None if fields[at] == self._null else _ESCAPED.sub(_unescape, fields[at])
            for at in self._masked
        }
        for at, shown in self._hide(raw).items():
            fields[at] = self._null if shown is None else self._spell(shown)
        return self._delimiter.join(fields) + b"\n"

    def _split(self, row: bytes) -> list[bytes]:
        if self._delimiter == b"\t":
            # In a value it is always spelled with a letter.
            return row.split(b"\t")
        fields, end = [], -1
        for found in self._field.finditer(row):
            if found.start() != end + 1 and end >= 0:
                raise _odd()
            fields.append(found[1])
            end = found.end(1)
            if end == len(row):
                return fields
        raise _odd()

    def _spell(self, value: bytes) -> bytes:
        return self._special.sub(_escape, value)


def _unescape(found: re.Match[bytes]) -> bytes:
    return _LETTERS.get(found[1], found[1])


def _escape(found: re.Match[bytes]) -> bytes:
    return b"\\" + _CONTROLS.get(found[0], found[0])


class _Csv:
    """Rows in CSV: a field is quoted as a whole or not at all; NULL is never quoted."""

    def __init__(
        self, spelling: CopyFormat, width: int, masked: frozenset[int], hide: Hide
    ) -> None:
        self._delimiter, self._null = spelling.delimiter.encode(), spelling.null.encode()
        self._quote, self._escape = spelling.quote.encode(), spelling.escape.encode()
        quote, escape = re.escape(self._quote), re.escape(self._escape)
        delimiter = re.escape(self._delimiter)
        self._field = re.compile(
            rb"(?:%b((?:[^%b%b]|%b[%b%b])*+)%b|([^%b%b\n]*+))(%b|\n\Z)"
            % (quote, quote, escape, escape, quote, escape, quote, quote, delimiter, delimiter),
            re.DOTALL,
        )
        self._escaped = re.compile(rb"%b([%b%b])" % (escape, quote, escape))
        self._special = re.compile(rb"[%b%b]" % (quote, escape))
        self._width, self._masked, self._hide = width, sorted(masked), hide
        self._header = spelling.header == "true"

    def cover(self, row: bytes) -> bytes:
        if self._header:
            self._header = False
            return row
        parts: list[bytes] = []
        raw: dict[int, bytes | None] = {}
        ends, end = [], 0
        for at in range(self._width):
            found = self._field.match(row, end)
            last = at == self._width - 1
            if found is None or (found.end() == len(row)) is not last:
                raise _odd()
            start, end = found.span()
            parts.append(row[start : found.start(3)])
            ends.append(found[3])
            if at in self._masked:
                raw[at] = self._value(found)
        for at, shown in self._hide(raw).items():
            parts[at] = self._null if shown is None else self._spell(shown)
        return b"".join(part for pair in zip(parts, ends, strict=True) for part in pair)

    def _value(self, found: re.Match[bytes]) -> bytes | None:
        if found[1] is None:
            return None if found[2] == self._null else found[2]
        return self._escaped.sub(rb"\1", found[1])

    def _spell(self, value: bytes) -> bytes:
        spelled = self._special.sub(lambda char: self._escape + char[0], value)
        return self._quote + spelled + self._quote


_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_int2, _int4 = struct.Struct("!h"), struct.Struct("!i")


class _Binary:
    """Rows in binary: a count, then for each field its length (-1: NULL) and its bytes."""

    def __init__(self, width: int, masked: frozenset[int], hide: Hide) -> None:
        self._width, self._masked, self._hide = width, sorted(masked), hide
        self._started = False

    def cover(self, row: bytes) -> bytes:
        try:
            start = 0 if self._started else self._past_header(row)
            self._started = True
            return row[:start] + self._tuple(row, start)
        except struct.error:
            raise _odd() from None

    def _past_header(self, row: bytes) -> int:
        if not row.startswith(_SIGNATURE):
            raise _odd()
        # Eleven bytes of signature, four of flags, four for the length of what may follow.
        (rest,) = _int4.unpack_from(row, 15)
        return 19 + max(0, int(rest))

    def _tuple(self, row: bytes, at: int) -> bytes:
        (count,) = _int2.unpack_from(row, at)
        if count == -1 and len(row) == at + 2:
            return row[at:]
        if count != self._width:
            raise _odd()
        head, at = row[at : at + 2], at + 2
        fields: list[bytes | None] = []
        for _ in range(count):
            (length,) = _int4.unpack_from(row, at)
            start, at = at + 4, at + 4 + max(0, length)
            if at > len(row):
                raise _odd()
            fields.append(None if length < 0 else row[start:at])
        if at != len(row):
            raise _odd()
        for position, shown in self._hide({each: fields[each] for each in self._masked}).items():
            fields[position] = shown
        return head + b"".join(map(_sized, fields))


def _sized(field: bytes | None) -> bytes:
    return _int4.pack(-1) if field is None else _int4.pack(len(field)) + field
