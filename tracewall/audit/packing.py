"""How files of the record that have ended are packed: by gzip, or by Zstandard (RFC 8878).

Zstandard is in Python's library from 3.14 on, and in the extra ``zstd`` before. What is
packed by it can't be read without, and that is said.
"""

from __future__ import annotations

import errno
import gzip
import importlib
import sys
import zlib
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias, cast

Compression: TypeAlias = Literal["gzip", "zstd"]

SUFFIXES: dict[Compression, str] = {"gzip": ".gz", "zstd": ".zst"}
PACKED = tuple(SUFFIXES.values())
"""What the names of packed files end with."""

_LEVELS: dict[Compression, int] = {"gzip": 6, "zstd": 9}
_MODULE = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


class PackingUnavailable(OSError):
    """What packs or unpacks by Zstandard is not installed."""


class Broken(OSError):
    """What was packed can't be unpacked."""


def reader(path: Path) -> IO[bytes]:
    """Open a packed file to read what is in it.

    Raises:
        OSError: it can't be opened.
    """
    if path.suffix == SUFFIXES["gzip"]:
        return cast(IO[bytes], gzip.open(path, "rb"))
    return cast(IO[bytes], _zstd().open(path, "rb"))


def writer(compression: Compression, raw: IO[bytes]) -> IO[bytes]:
    """Give a stream that packs into another one, which stays open; no name and time go in.

    Raises:
        PackingUnavailable: what packs is not installed.
    """
    level = _LEVELS[compression]
    if compression == "gzip":
        return cast(IO[bytes], gzip.GzipFile("", "wb", level, raw, mtime=0))
    return cast(IO[bytes], _zstd().ZstdFile(raw, "wb", level=level))


def line_of(stream: IO[bytes], most: int) -> bytes:
    """Read a line of at most so many bytes.

    Raises:
        Broken: what was packed is damaged.
    """
    try:
        return stream.readline(most)
    except (EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise Broken from error
    except Exception as error:
        # Zstandard's own error, whose class is in a library that may not be installed.
        if type(error).__name__ == "ZstdError":
            raise Broken from error
        raise


def check(compression: Compression) -> None:
    """Find out whether files can be packed so.

    Raises:
        PackingUnavailable: they can't.
    """
    if compression == "zstd":
        _zstd()


def _zstd() -> Any:
    try:
        return importlib.import_module(_MODULE)
    except ImportError:
        message = 'Zstandard is not there: pip install "pgtracewall[zstd]"'
        raise PackingUnavailable(errno.ENOTSUP, message) from None
