"""One recording being written: lines of JSON, each with the hash of the one before, compressed.

1. A line is with the store when `Tape.write` returns: what a line tells is handed out
   only after that, so the death of the process loses no line.
2. Each line is flushed through the compressor, so that a reader finds all lines while
   the tape is being written, and after it was torn.
3. The last line closes the chain. A tape without one is open, or its process died.
4. After a failed write nobody knows what the store holds: the tape takes nothing more.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
import zlib
from collections.abc import Sequence
from typing import Any, Final, Protocol

from tracewall.locks import RLock
from tracewall.recording.values import encoded

FORMAT: Final = 1
"""The version of the format of recordings."""

FIRST: Final = "0" * 64
"""What the first line has in place of the hash of the one before."""

GZIP: Final = 31
"""What zlib calls the largest window, with gzip's head and tail (``wbits``)."""


class Sink(Protocol):
    """Where the bytes of one recording go."""

    def write(self, data: bytes) -> None:
        """Take bytes, whole.

        Raises:
            OSError: they were not taken.
        """
        ...

    def close(self) -> None:
        """Let the recording go; nothing more comes."""
        ...


class Tape:
    """One recording that is being written.

    Args:
        sink: where its bytes go.
        header: what its first line tells.

    ``head`` is the hash of the last line, ``lines`` how many there are, ``size`` how many bytes
    they are as packed, ``age`` how many seconds it is since the first. All methods may be
    called from any thread, of the process that made the tape.

    Raises:
        OSError: the first line can't be written.
    """

    def __init__(self, sink: Sink, header: dict[str, Any]) -> None:
        self.head = FIRST
        self.lines = self.size = 0
        self.usable = True
        self._sink = sink
        self._lock = RLock()
        self._process = os.getpid()
        self._began = time.monotonic()
        self._packer = zlib.compressobj(6, zlib.DEFLATED, GZIP)
        self.write("began", {"format": FORMAT, **header})

    def write(
        self, kind: str, told: dict[str, Any], rows: Sequence[str] = (), *, last: bool = False
    ) -> None:
        """Add a line; `rows` are JSON already.

        Raises:
            OSError: it may not be with the store; the tape is not `usable` any more.
        """
        with self._lock:
            if not self.usable or os.getpid() != self._process:
                raise OSError(errno.EBADF, "the recording has ended")
            age = round(time.monotonic() - self._began, 6)
            line = {"n": self.lines, "t": age, "kind": kind, **told, "prev": self.head}
            text = encoded(line)
            if rows:
                text = f'{text[:-1]},"rows":[{",".join(rows)}]}}'
            raw = text.encode()
            mode = zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH
            try:
                packed = self._packer.compress(raw + b"\n") + self._packer.flush(mode)
                self._sink.write(packed)
            except BaseException:
                self.usable = False
                self._sink.close()
                raise
            self.head = hashlib.sha256(raw).hexdigest()
            self.lines += 1
            self.size += len(packed)

    @property
    def age(self) -> float:
        """How many seconds it is since it began."""
        return time.monotonic() - self._began

    def close(self, why: str = "closed") -> None:
        """Close the chain.

        Raises:
            OSError: the last line can't be written.
        """
        with self._lock:
            if not self.usable:
                return
            if os.getpid() == self._process:
                self.write("ended", {"why": why, "lines": self.lines + 1}, last=True)
            self.usable = False
            self._sink.close()
