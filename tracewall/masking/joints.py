"""What may stand in the middle of a secret without ending it: joints, which are read over.

Texts that code puts together from pieces, markup, comments; and the ways to write ``@`` and
``.`` that keep address collectors away. A joint is a trigger like any other, and only the
letters and digits around it are read again without it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from tracewall.masking.shape import Found, Shape, Verdict

JOINT = "joint"
"""What a hit is called that has to be read over."""

_END = rb"\\?\r?\n[ \t]{0,32}"
_SUM = rb"[+&.][ \t]{0,4}"
_GLUE = rb"[ \t]{0,4}(?:" + _SUM + rb"(?:" + _END + rb")?|" + _END + rb"(?:" + _SUM + rb")?)"
_QUOTED = rb"(?:\"" + _GLUE + rb"[bfru]?\"|'" + _GLUE + rb"[bfru]?')"
_TAG = (
    rb"</?(?:b|i|u|s|em|strong|span|code|wbr|br|mark|font|sub|sup)(?: [^<>]{0,64})?/?>"
    rb"|<!--[^<>]{0,128}-->"
)
_AT = rb"[\[({] ?(?i:at|@) ?[\])}]"
_DOT = rb"[\[({] ?(?i:dot|\.) ?[\])}]"
_ENDS = rb"(?i:com|org|net|edu|gov|info|io|dev|ai|app|co|de|uk|fr|eu|me|ch|at|nl|in|us)"
_WORDS = rb" at [A-Za-z0-9-]{1,63} dot " + _ENDS

_ANY = re.compile(
    rb"(?P<gone>"
    + _QUOTED
    + rb"|"
    + _TAG
    + rb"|\*\*|``)|(?P<at>[ ]?"
    + _AT
    + rb"[ ]?| at (?=[A-Za-z0-9-]{1,63} dot ))"
    rb"|(?P<dot>[ ]?" + _DOT + rb"[ ]?| dot (?=" + _ENDS + rb"\b))"
)
_RUN = re.compile(rb"[A-Za-z0-9_.%/+=~-]{1,1024}")
_BACK = re.compile(rb"[ ]?([A-Za-z0-9_.%/+=~-]{0,256})")
_MOST = 64

NEXT = re.compile(rb"(?:" + _QUOTED + rb"|" + _TAG + rb"|\*\*)([A-Za-z0-9_+/=-]{4,512})")
"""A joint at the end of a key, and how the key goes on."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Text without joints, in pieces: where each begins here, and in the original."""

    data: bytes
    begins: list[int]
    origins: list[int]
    sizes: list[int]

    def crosses(self, find: Found) -> bool:
        """Tell whether a find lies in more than one piece."""
        return self._piece(find[0]) != self._piece(find[1] - 1)

    def original(self, find: Found) -> Found:
        """Give where in the original a find lies."""
        first, last = self._piece(find[0]), self._piece(find[1] - 1)
        start = self.origins[first] + find[0] - self.begins[first]
        moved = self.sizes[last] or find[1] - self.begins[last]
        return start, self.origins[last] + moved, find[2]

    def _piece(self, offset: int) -> int:
        return bisect_right(self.begins, offset) - 1


def around(data: bytes, start: int, floor: int) -> Joined:
    """Read over the joint at `start` and those that follow, from the word before to the last."""
    back = _BACK.match(data[max(floor, start - 257) : start][::-1])
    head = back[1][::-1] if back else b""
    blank = back.end() - len(head) if back else 0
    first = start - blank - len(head)
    joined, begins, origins, sizes = bytearray(head), [0], [first], [0]
    position = start - blank
    for _ in range(_MOST):
        hit = _ANY.match(data, position) or (_ANY.match(data, start) if position < start else None)
        run = _RUN.match(data, hit.end()) if hit else None
        if hit is None or run is None:
            break
        for piece, origin, size in (
            (b"@" if hit["at"] else b"." if hit["dot"] else b"", hit.start(), len(hit[0])),
            (run[0], run.start(), 0),
        ):
            if piece:
                begins.append(len(joined))
                origins.append(origin)
                sizes.append(size)
                joined += piece
        position = run.end()
    return Joined(bytes(joined), begins, origins, sizes)


def _judge(data: bytes, start: int, floor: int) -> Verdict:
    hit = _ANY.match(data, start)
    return (start, hit.end(), JOINT) if hit else None


def _judge_bold(data: bytes, start: int, floor: int) -> Verdict:
    # Who begins with an underscore is judged after it: see `judging.judged`.
    for at in (start + 3, start + 2):
        if data.startswith(b"**", at):
            return at, at + 2, JOINT
    return None


_WORD = b"-_" + bytes(range(0x30, 0x3A)) + bytes(range(0x41, 0x5B)) + bytes(range(0x61, 0x7B))
SHAPES: tuple[Shape, ...] = (
    Shape(_QUOTED + rb"[A-Za-z0-9_/+=-]", b"\"'", _judge, (b'"', b"'")),
    Shape(rb"(?:" + _TAG + rb")[A-Za-z0-9_/+=-]", b"<", _judge, (b"<",)),
    Shape(rb"[A-Za-z0-9_-]{3}\*\*[A-Za-z0-9_-]{4}", _WORD, _judge_bold, (b"**",), 3),
    Shape(_AT, b"[({", _judge, (b"at", b"@"), 2),
    Shape(_DOT, b"[({", _judge, (b"dot", b"."), 2),
    Shape(_WORDS, b" ", _judge, (b" at ",)),
)
"""The shapes of joints."""
