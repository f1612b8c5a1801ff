"""Checkpoints: signed notes that vouch for the end of a log.

A checkpoint is a note (see `tracewall.signing`) whose text is, line by line, the log's
origin, how many records it has, and the hash of the last one in base64 (as C2SP
tlog-checkpoint has the root of a tree).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Final

from tracewall.audit.record import SUFFIX, Head
from tracewall.signing import BadKey as BadKey
from tracewall.signing import BadNote as BadNote
from tracewall.signing import PublicKey as PublicKey
from tracewall.signing import Signer as Signer
from tracewall.signing import signed_text

_ORIGIN: Final = "tracewall.audit/"


def checkpoint(head: Head, at: float) -> str:
    """Give the text that vouches for a log up to `head`, at a time (Unix seconds)."""
    origin = _ORIGIN + head.file.removesuffix(SUFFIX)
    root = base64.b64encode(bytes.fromhex(head.sha256)).decode()
    return f"{origin}\n{head.n + 1}\n{root}\nat {at:.3f}\n"


def opened(note: str, keys: Iterable[PublicKey]) -> Head:
    """Give the head that a checkpoint vouches for.

    Raises:
        BadNote: none of the keys has signed it, or it is no checkpoint.
    """
    try:
        signed_text(note, keys)
    except BadNote:
        raise BadNote("a checkpoint is not signed by a key that is known") from None
    return vouched(note)


def notes(text: str) -> Iterator[str]:
    """Give each note of a file of notes, as an anchor keeps them: one after the other."""
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        signed = any(kept.startswith("\u2014 ") for kept in lines)
        if signed and not line.startswith("\u2014 "):
            yield "".join(lines)
            lines = []
        if lines or line.strip():
            lines.append(line)
    if lines:
        yield "".join(lines)


def vouched(note: str) -> Head:
    """Give the head that a checkpoint tells of, whoever signed it.

    Raises:
        BadNote: it is no checkpoint.
    """
    lines = note.split("\n")
    try:
        origin, size, root = lines[:3]
        if not origin.startswith(_ORIGIN) or not size.isdecimal() or size != str(int(size)):
            raise BadNote("a signed note is no checkpoint of an audit log")
        sha256 = base64.b64decode(root, validate=True)
    except (ValueError, binascii.Error):
        raise BadNote("a signed note is no checkpoint of an audit log") from None
    if len(sha256) != 32 or int(size) < 1:
        raise BadNote("a signed note is no checkpoint of an audit log")
    name = origin.removeprefix(_ORIGIN) + SUFFIX
    return Head(file=name, n=int(size) - 1, sha256=sha256.hex())
