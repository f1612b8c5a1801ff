"""The parts of records that come again and again, encoded once."""

from __future__ import annotations

from typing import Final

from tracewall.audit.failing import encoded
from tracewall.audit.record import plain
from tracewall.events import What, Who

_MOST: Final = 1024
_MOST_BYTES: Final = 4 << 20


class Fragments(dict[Who | What, bytes]):
    """Who acts and what they do, as records tell it; a key that is not there is encoded.

    It begins anew where it has grown too large: what comes again is soon there again.

    Raises:
        AuditUnavailable: by looking up what can't be encoded.
    """

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        super().__init__()
        self._bytes = 0

    def __missing__(self, value: Who | What) -> bytes:
        told = encoded(lambda: plain(value))
        if len(self) >= _MOST or self._bytes > _MOST_BYTES:
            self.clear()
            self._bytes = 0
        self[value] = told
        self._bytes += len(told)
        return told
