"""The bytes of a record: one line of JSON that is bound to the line before it.

Every line starts with ``n`` (its place in the file, from 0), ``prev`` (the SHA-256 of the
line before it, without its newline; zeros for the first), ``at`` (Unix seconds) and
``kind``, and ends with ``crc``, a CRC-32 of everything before it. ``prev`` shows what was
taken out, put in or moved; ``crc`` names the line that was damaged, the last one included.
Neither needs a secret: who may write the file can write a new chain, and only a `Head`
kept elsewhere shows that.
"""

from __future__ import annotations

import errno
import hashlib
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Final

import msgspec

from tracewall.audit.packing import PACKED, Broken, line_of, reader
from tracewall.events import Moment

FORMAT: Final = 1
FIRST_PREV: Final = b"0" * 64
LONGEST: Final = 1 << 20
SUFFIX: Final = ".jsonl"
_PACKED_LOGS: Final = tuple(SUFFIX + suffix for suffix in PACKED)
UNNAMED: Final = re.compile(r"\.[0-9T.]+Z-[0-9]+-[0-9a-f]{8}\.jsonl\.new")
"""What the name of a file matches that has not got its own yet."""
DAMAGED: Final = "the packed file is damaged"

_SEAL_LENGTH: Final = len(b',"crc":"01234567"}')
_encode: Final = msgspec.json.Encoder().encode
_DELETE: Final = 0x7F
_NOT_PLAIN: Final = re.compile("[^\x20-\x7e]")


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a log at some moment, to be remembered outside of it.

    ``file`` is the file's name without its directory, ``n`` the record's number,
    ``sha256`` the hash (hex) of its line without the newline.
    """

    file: str
    n: int
    sha256: str


def plain(value: object) -> bytes:
    """Encode a value as JSON in printable ASCII, so that no text can break a line or a terminal.

    Raises:
        ValueError: the value holds text that is no Unicode (a lone surrogate); the error
            of msgspec holds that text and must not be shown.
    """
    raw = _encode(value)
    if raw.isascii() and _DELETE not in raw:
        return raw
    return _NOT_PLAIN.sub(_escaped, raw.decode()).encode("ascii")


def _escaped(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def body(kind: str, members: Mapping[str, object]) -> bytes:
    """Encode the ``kind`` of a record and what it says, without the braces."""
    return plain({"kind": kind, **members})[1:-1]


def members(moment: Moment) -> bytes:
    """Encode the members of a moment, each after a comma."""
    told = b',"transaction":%d' % moment.transaction if moment.transaction else b""
    if moment.text:
        commitments = (moment.text.encode(), moment.parameters.encode())
        told += b',"commitments":{"text":"%b","parameters":"%b"}' % commitments
    return told


def seal(n: int, prev: bytes, said: Iterable[tuple[float, bytes]]) -> tuple[bytes, bytes]:
    """Chain records from number `n` on, each made of its time and its body.

    Returns:
        Their lines with newlines, and the ``prev`` of the record after them.
    """
    # This loop is most of what an audited statement costs: nothing is copied twice.
    # msgspec writes the time in a sixth of what %f takes, and as exactly as it is known.
    crc32, sha256, number, parts = zlib.crc32, hashlib.sha256, _encode, []
    for at, told in said:
        line = b'{"n":%d,"prev":"%b","at":%b,%b' % (n, prev, number(at), told)
        end = b',"crc":"%08x"}\n' % crc32(line)
        hashed = sha256(line)
        hashed.update(end[:-1])
        prev = hashed.hexdigest().encode()
        parts.append(line)
        parts.append(end)
        n += 1
    return b"".join(parts), prev


def digest(line: bytes) -> bytes:
    """Hash a line without its newline: 64 hexadecimal digits."""
    return hashlib.sha256(line).hexdigest().encode()


def sealed(line: bytes) -> bool:
    """Tell whether a line, without its newline, ends with its own right checksum."""
    return line[-_SEAL_LENGTH:] == b',"crc":"%08x"}' % zlib.crc32(line[:-_SEAL_LENGTH])


def lines(path: Path) -> Iterator[bytes]:
    """Read the lines of a file with their newlines, none longer than `LONGEST` + 1 bytes.

    What is added to it meanwhile is not read, so that a process that writes faster than this
    reads can't keep the reader for ever.

    Raises:
        OSError: it can't be read, or what was packed can't be unpacked.
    """
    with _opened(path) as stream:
        left = math.inf if path.suffix in PACKED else path.stat().st_size
        while left > 0 and (line := _line(stream)):
            left -= len(line)
            yield line
            if not line.endswith(b"\n") and len(line) <= LONGEST:
                # The end: what a writing process adds by now would be half of this line.
                return


def _line(stream: IO[bytes]) -> bytes:
    try:
        return line_of(stream, LONGEST + 1)
    except Broken as error:
        raise OSError(errno.EIO, DAMAGED) from error


def _opened(path: Path) -> IO[bytes]:
    return reader(path) if path.name.endswith(_PACKED_LOGS) else _plain(path)


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb", buffering=1 << 20)


def plain_name(path: Path) -> str:
    """Give the name that a log file was written under, packed or not; always Unicode."""
    name = path.name.removesuffix(path.suffix) if path.suffix in PACKED else path.name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def files(path: Path) -> list[Path]:
    """List the log files of a directory, oldest first, or the one file that `path` is.

    A packed file beside the plain one it was made from is not whole yet, or not needed.
    """
    if not path.is_dir():
        return [path]
    found = {entry.name: entry for entry in path.iterdir() if _is_log(entry.name)}
    return [
        entry
        for name, entry in sorted(found.items())
        if entry.suffix not in PACKED or plain_name(entry) not in found
    ]


def _is_log(name: str) -> bool:
    return name.endswith((SUFFIX, *_PACKED_LOGS))
