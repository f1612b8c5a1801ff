"""Reading a log while it is written: each record once, from the moment of looking on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tracewall.audit.record import LONGEST, SUFFIX, files


class Follower:
    """Gives the records that come to a log, file after file; nothing is proved.

    Args:
        path: the log's directory, or one of its files.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # What is there by now was seen already.
        self._read = {file.name: _whole(file) for file in self._files()}

    def new(self) -> Iterator[dict[str, Any]]:
        """Give the records that have come since the last call.

        Raises:
            OSError: the log can't be read.
        """
        for file in self._files():
            with file.open("rb") as stream:
                stream.seek(self._read.get(file.name, 0))
                while (line := stream.readline(LONGEST + 1)).endswith(b"\n"):
                    self._read[file.name] = stream.tell()
                    yield decoded(line)

    def _files(self) -> list[Path]:
        return [file for file in files(self._path) if file.name.endswith(SUFFIX)]


def decoded(line: bytes) -> dict[str, Any]:
    """Give a line as a record; one that is none is ``unreadable``."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (ValueError, RecursionError):
        return {"kind": "unreadable"}


def _whole(file: Path) -> int:
    """Give where the last whole line of a file ends."""
    end = 0
    with file.open("rb") as stream:
        while stream.readline(LONGEST + 1).endswith(b"\n"):
            end = stream.tell()
    return end
