"""Reads a recording line by line, and proves that it is the one that was written."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final

from tracewall.recording.lines import LONGEST, parsed
from tracewall.recording.sealing import SealingUnavailable, Unopened, opened
from tracewall.recording.store import Entry
from tracewall.recording.tape import FIRST, FORMAT, GZIP

_CHUNK: Final = 1 << 16


class _Misshapen(Exception):
    """What is there is nothing that a recorder has written."""


@dataclass
class Proof:
    """What reading has proved so far.

    ``fault`` says what is wrong (empty: nothing), at ``line`` (from 1). ``closed`` is true
    when the last line closes the chain, ``torn`` is the length of an unfinished one;
    ``head`` is the hash of the last whole line.
    """

    lines: int = 0
    closed: bool = False
    fault: str = ""
    line: int = 0
    torn: int = 0
    head: str = FIRST

    @property
    def ok(self) -> bool:
        """True where nothing was changed, and the end is there."""
        return self.closed and not self.fault


@dataclass
class Reading:
    """One recording being read: iterate for its lines, then look at the `proof`.

    Lines after a fault are not given: nobody knows who wrote them. ``entry`` is what the store
    calls it: a recording that has another's name is told as that. ``raw`` is the line that was
    given last, as it stands there.
    """

    stream: IO[bytes]
    sealed: bool = False
    keys: Sequence[Any] = ()
    proof: Proof = field(default_factory=Proof)
    entry: Entry | None = None
    raw: bytes = b""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        proof = self.proof
        try:
            for raw in self._lines():
                line = self._checked(raw)
                if line is None:
                    return
                yield line
        except (zlib.error, EOFError):
            proof.fault, proof.line = "the file is damaged", proof.lines + 1
        except (Unopened, SealingUnavailable, _Misshapen) as error:
            proof.fault, proof.line = str(error), proof.lines + 1

    def _checked(self, raw: bytes) -> dict[str, Any] | None:
        proof = self.proof
        proof.line = proof.lines + 1
        line = parsed(raw)
        if line is None:
            proof.fault = "this is no line of a recording"
        elif proof.closed:
            proof.fault = "there is more after the end"
        elif line.get("prev") != proof.head or line.get("n") != proof.lines:
            proof.fault = "the line before it was changed, moved or taken out"
        elif proof.lines == 0 and (line["kind"], line.get("format")) != ("began", FORMAT):
            proof.fault = "this is no recording of a format known here"
        elif proof.lines == 0 and self._is_anothers(line):
            proof.fault = "this is another recording than its name says"
        if proof.fault or line is None:
            return None
        self.raw, proof.head = raw, hashlib.sha256(raw).hexdigest()
        proof.lines += 1
        proof.line = 0
        proof.closed = line["kind"] == "ended"
        return line

    def _is_anothers(self, header: dict[str, Any]) -> bool:
        entry = self.entry
        if entry is None:
            return False
        return (header.get("id"), header.get("rule")) != (entry.id, entry.rule)

    def _lines(self) -> Iterator[bytes]:
        begun, size = list[bytes](), 0
        for data in self._unpacked():
            first, newline, rest = data.partition(b"\n")
            begun.append(first)
            size += len(first)
            if size > LONGEST:
                raise _Misshapen("a line has no end")
            if newline:
                yield b"".join(begun)
                *whole, left = rest.split(b"\n")
                yield from whole
                begun, size = [left], len(left)
        self.proof.torn = size

    def _unpacked(self) -> Iterator[bytes]:
        unpacker = zlib.decompressobj(GZIP)
        for data in self._packed():
            while data:
                if unpacker.eof:
                    raise _Misshapen("there is more after the end")
                yield unpacker.decompress(data, _CHUNK * 16)
                data = unpacker.unconsumed_tail or unpacker.unused_data
        yield unpacker.flush()

    def _packed(self) -> Iterator[bytes]:
        if self.sealed:
            yield from opened(self.stream, self.keys)
            return
        while data := self.stream.read(_CHUNK):
            yield data
