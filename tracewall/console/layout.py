"""A statement laid out for reading: its own tokens, with other blanks between them.

Nothing is parsed and printed anew: each token stands as it was written, in its order. Where
the author broke the lines, they stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tracewall.sql.grammar import Text, Unparsable

_SHORT = 72
_NUMBER = re.compile(rb"\.?[0-9]")
_CLAUSES = frozenset(
    b"FROM WHERE GROUP HAVING WINDOW ORDER LIMIT OFFSET FETCH UNION INTERSECT EXCEPT VALUES SET "
    b"RETURNING JOIN LEFT RIGHT FULL INNER CROSS NATURAL AND OR ON USING WHEN".split()
)
_JOINED = {
    b"JOIN": frozenset({b"LEFT", b"RIGHT", b"FULL", b"INNER", b"CROSS", b"OUTER", b"NATURAL"}),
    b"LEFT": frozenset({b"NATURAL"}),
    b"RIGHT": frozenset({b"NATURAL"}),
    b"FULL": frozenset({b"NATURAL"}),
    b"INNER": frozenset({b"NATURAL"}),
    b"FROM": frozenset({b"DELETE", b"DISTINCT"}),
    b"SET": frozenset({b"DO"}),
    b"ON": frozenset({b"DISTINCT"}),
    b"USING": frozenset({b"DELETE"}),
}
"""Words that a clause does not begin after: they are of one phrase."""
_DEEPER = frozenset({b"AND", b"OR", b"ON", b"USING"})
_WORDS = _CLAUSES | frozenset(
    b"SELECT INSERT INTO UPDATE DELETE MERGE COPY TO WITH AS DISTINCT ALL CASE THEN ELSE END NOT "
    b"IN IS NULL LIKE ILIKE BETWEEN EXISTS BY ASC DESC OUTER LATERAL TRUNCATE EXPLAIN ANALYZE DO "
    b"CALL CREATE ALTER DROP TABLE VIEW INDEX GRANT REVOKE TRUE FALSE ANY SOME OVER PARTITION "
    b"RECURSIVE CONFLICT NOTHING LOCK FOR SHARE".split()
)


class Piece(NamedTuple):
    """A part of a statement: its text, and what it is.

    ``kind`` is ``word``, ``text`` (a literal), ``number``, ``parameter``, ``comment``, or
    empty for all else, blanks among that.
    """

    text: str
    kind: str = ""


def laid_out(statement: str) -> list[Piece]:
    """Take a statement apart for reading; one that can't be scanned comes as it is."""
    sql = statement.encode("utf-8", "surrogatepass")
    try:
        spans = Text(sql).spans()
    except Unparsable:
        return [Piece(statement)]
    breaks = b"\n" not in sql and len(sql) > _SHORT
    return list(_pieces(sql, spans, breaks=breaks))


def _pieces(sql: bytes, spans: list[tuple[int, int]], *, breaks: bool) -> Iterator[Piece]:
    end, depth, before, between = 0, 0, b"", False
    for start, stop in spans:
        token = sql[start:stop]
        word = token.upper()
        depth -= token in (b")", b"]")
        blank = _text(sql[end:start])
        starts = word in _CLAUSES and before not in _JOINED.get(word, frozenset())
        if word == b"AND" and between:
            # The AND of BETWEEN begins nothing.
            starts = between = False
        if breaks and starts and blank and before:
            blank = "\n" + "  " * (max(0, depth) + (word in _DEEPER))
        if blank:
            yield Piece(blank)
        yield Piece(_text(token), _kind(token, word))
        depth += token in (b"(", b"[")
        between = between or word == b"BETWEEN"
        end, before = stop, word
    if rest := _text(sql[end:]):
        yield Piece(rest)


def _kind(token: bytes, word: bytes) -> str:
    if token.startswith((b"--", b"/*")):
        return "comment"
    if token[:1] == b"$" and token[1:].isdigit():
        return "parameter"
    if b"'" in token[:3] or token[:1] == b"$":
        return "text"
    if _NUMBER.match(token):
        return "number"
    return "word" if word in _WORDS else ""


def _text(part: bytes) -> str:
    return part.decode("utf-8", "backslashreplace")
