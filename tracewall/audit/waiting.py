"""What waits to be written, and how an outcome finds its intent there."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tracewall.events import Ended


class Intent(msgspec.Struct, frozen=True, gc=False):
    """A statement about to be sent, with its `Who` and its `What` already encoded.

    ``more`` are the members of its `Moment`, each after a comma.
    """

    at: float
    who: bytes
    what: bytes
    more: bytes = b""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How a statement ended; ``intent`` is the public number of its intent."""

    at: float
    intent: int
    ended: Ended


class Note(msgspec.Struct, frozen=True, gc=False):
    """Any other record: its body, encoded."""

    at: float
    body: bytes


Entry: TypeAlias = Intent | Outcome | Note


class Batch(msgspec.Struct):
    """Entries that wait for one write; ``first`` is the public number of the first of them.

    Each entry has the number after the one before it. The outcome of an entry is decided
    once, by the first to write it to ``decided``: by `join`, or by the writer, for which None
    stands for no outcome. So `join` needs no lock, and may interrupt the thread that writes.
    """

    first: int
    entries: list[Entry] = msgspec.field(default_factory=list)
    decided: dict[int, Ended | None] = msgspec.field(default_factory=dict)

    def join(self, number: int, ended: Ended) -> bool:
        """Let an intent and its outcome become one record.

        False if the number has no intent here, has an outcome, or is being written.
        """
        if not 0 <= number - self.first < len(self.entries):
            return False
        # One step that no other thread can divide, and the first one wins.
        return self.decided.setdefault(number, ended) is ended
