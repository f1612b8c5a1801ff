"""A catalog as a file: what a server answered, to judge by where there is no server.

It holds names, types and the definitions of views, and no row of any table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from tracewall.sql.questions import QUERIES

_KIND = "tracewall catalog"


class SnapshotInvalid(ValueError):
    """A text is no snapshot, or not one that this version can read; the message says why."""


class _Snapshot(msgspec.Struct):
    """The file: which questions were asked, and each answer."""

    kind: str
    questions: str
    answers: tuple[msgspec.Raw, ...]


def dumps(answers: Sequence[bytes]) -> bytes:
    """Give the text (JSON, a line for each answer) of the answers to `QUERIES`."""
    told = b",\n".join(msgspec.json.encode(msgspec.json.decode(answer)) for answer in answers)
    head = msgspec.json.encode({"kind": _KIND, "questions": _asked()})[:-1]
    return head + b',"answers":[\n' + told + b"\n]}\n"


def loads(text: bytes) -> tuple[bytes, ...]:
    """Give the answers in a text of `dumps`.

    Raises:
        SnapshotInvalid: it is none, or other questions were asked for it.
    """
    try:
        found = msgspec.json.decode(text, type=_Snapshot)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SnapshotInvalid("this is no snapshot of a catalog") from None
    if found.kind != _KIND:
        raise SnapshotInvalid("this is no snapshot of a catalog")
    if found.questions != _asked() or len(found.answers) != len(QUERIES):
        raise SnapshotInvalid("another version of tracewall made this snapshot")
    return tuple(bytes(answer) for answer in found.answers)


def _asked() -> str:
    # A catalog that lacks what this version asks for could make its judgements too lax.
    return hashlib.sha256(b"\0".join(QUERIES)).hexdigest()[:16]
