"""Where recordings are kept: what every store can do, and what it tells of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Final, NamedTuple, Protocol

SUFFIXES: Final = (".jsonl.gz", ".jsonl.gz.sealed")
"""How the files of plain and of encrypted recordings end."""

HOLD: Final = ".hold"
"""How the file beside a recording ends that keeps it from being pruned."""


def id_of(file: str) -> str:
    """Give the id of the recording that a file is called by."""
    return file.partition(".jsonl")[0]


class Entry(NamedTuple):
    """A recording in a store.

    ``size`` is in bytes as stored, ``changed`` in Unix seconds; ``held`` is true under
    legal hold, ``open`` while its process still writes to it.
    """

    id: str
    rule: str
    file: str
    size: int
    changed: float
    held: bool = False
    open: bool = False

    @property
    def sealed(self) -> bool:
        """True where it is encrypted."""
        return self.file.endswith(SUFFIXES[1])


class Store(Protocol):
    """Where recordings are read from, held and deleted."""

    def entries(self) -> Iterator[Entry]:
        """Yield what there is, oldest first.

        Raises:
            OSError: the store can't be read.
        """
        ...

    def open(self, entry: Entry) -> IO[bytes]:
        """Open a recording to read it."""
        ...

    def remove(self, entry: Entry) -> None:
        """Delete a recording.

        Raises:
            OSError: it is on hold, or can't be deleted.
        """
        ...

    def hold(self, entry: Entry, why: str) -> None:
        """Keep a recording from being pruned."""
        ...

    def release(self, entry: Entry) -> None:
        """Take that back."""
        ...

    def sweep(self, before: float) -> None:
        """Delete what dead processes left half done before a moment (Unix seconds)."""
        ...


def prunable(store: Store, keep: dict[str, float], now: float) -> Iterator[Entry]:
    """Yield what may be deleted: by rule, after how many seconds (0: never).

    What is held or still written to stays, and so does what no rule is known of.
    """
    for entry in store.entries():
        seconds = keep.get(entry.rule, 0)
        if seconds and now - entry.changed >= seconds and not (entry.held or entry.open):
            yield entry
