"""Reading a log while it is written: each record once, from the moment of looking on."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from tracewall.audit.packing import PACKED, Broken, line_of, reader
from tracewall.audit.record import LONGEST, files, plain_name

_DONE: Final = -1


class Follower:
    """Gives the records that come to a log, file after file; nothing is proved.

    Args:
        path: the log's directory, or one of its files.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # What is there by now was seen already: how much of each file, by its plain name.
        self._read: dict[str, int] = {}
        for _ in self._lines(skip=True):
            pass

    def new(self) -> Iterator[dict[str, Any]]:
        """Give the records that have come since the last call.

        Raises:
            OSError: the log can't be read.
        """
        yield from map(decoded, self._lines())

    def _lines(self, *, skip: bool = False) -> Iterator[bytes]:
        for file in files(self._path):
            name, packed = plain_name(file), file.suffix in PACKED
            # A pipe of that name would be waited for.
            if self._read.get(name) == _DONE or not file.is_file():
                continue
            if not (packed and skip):
                try:
                    yield from self._more(file, name, packed)
                except FileNotFoundError:
                    # Packed or deleted this very moment; the next call finds the packed one.
                    continue
            if packed:
                self._read[name] = _DONE

    def _more(self, file: Path, name: str, packed: bool) -> Iterator[bytes]:
        with reader(file) if packed else file.open("rb") as stream:
            try:
                stream.seek(self._read.get(name, 0))
                while (line := _line(stream)).endswith(b"\n"):
                    self._read[name] = self._read.get(name, 0) + len(line)
                    yield line
            except (Broken, EOFError):
                # Damaged: `verify` tells of it.
                return


def _line(stream: IO[bytes]) -> bytes:
    return line_of(stream, LONGEST + 1)


def decoded(line: bytes) -> dict[str, Any]:
    """Give a line as a record; one that is none is ``unreadable``."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (ValueError, RecursionError):
        return {"kind": "unreadable"}


def latest(records: Iterable[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """Give so many of the last records by their time, oldest first, whatever file they are of."""
    found = heapq.nlargest(count, _timed(records), key=itemgetter(0, 1))
    return [record for *_, record in sorted(found, key=itemgetter(0, 1))]


def _timed(
    records: Iterable[Mapping[str, Any]],
) -> Iterator[tuple[float, int, Mapping[str, Any]]]:
    at = 0.0
    for number, record in enumerate(records):
        said = record.get("at")
        # A line that is no record is shown where it stands.
        at = said if isinstance(said, float | int) else at
        yield at, number, record
