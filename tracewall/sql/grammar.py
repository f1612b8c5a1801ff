"""PostgreSQL's own grammar (libpg_query): bytes in, parse tree out.

The only importer of the grammar binding. Trees are plain dicts and lists as
libpg_query prints them in JSON: one key with the node's name, fields left out when they
have their default.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

import msgspec
import postgast
from postgast.native import lib

Node: TypeAlias = dict[str, Any]

MAX_BYTES = 64 * 1024
"""The longest statement that is read (bytes)."""

MAX_IDENTIFIER = 63
"""The longest identifier PostgreSQL keeps (bytes, NAMEDATALEN - 1)."""

MAX_COMMENTS = 1_000
"""How many comments are opened in one statement: deep nesting of them is slow to read."""

MAX_DEPTH = 100
"""How deeply brackets may be nested: parsers in C run out of a thread's stack at some depth."""
MAX_NESTING: Final = 1_000
"""How deeply a parse tree may be nested."""

MAX_RUN = 3_000
"""How many tokens may follow each other without a comma, around and in brackets: each of
them could be one more level of a chain such as ``1+1+1``."""

MAX_UNIONS = 500
"""How many set operations one statement may have."""

_UNICODE_ESCAPE = re.compile(rb"""[uU]&["']""")
_LONG_QUOTED = re.compile(rb"\"(?:[^\"]|\"\"){64,}\"")
_WORD = re.compile(rb"[A-Za-z0-9_$\x80-\xff]")
_LONG_WORD = b"w" * 64
_SHAPE = bytes(_LONG_WORD[0] if _WORD.match(bytes([byte])) else 0 for byte in range(256))
"""Translates whatever an identifier is made of to one letter, and all else to none."""
_BRACKET = re.compile(rb"[][()]")
_LITERAL = re.compile(rb"""'|\$(?!\d)|\.?\d|[bBeEnNxX]'""")
_QUOTE = ord('"')
_DOUBTFUL = frozenset(b"'\"$.0123456789bBeEnNxX-/")
"""What a literal, a comment or a quoted name begins with."""
_TELLING = re.compile(rb"""['"]|--|/\*|\$(?!\d)|(?<![\w$\x80-\xff])\.?\d""")
"""What every text has that holds a literal, a comment or a quoted name."""
_decode = msgspec.json.Decoder().decode
# Python 3.12 and 3.13 let C recurse as deeply as 8 MiB of stack allow, and a thread may have less
# of it; before, and again from 3.14 on, the decoder ends where Python's own limits are.
_COUNTS_ON_THE_STACK: Final = (3, 12) <= sys.version_info < (3, 14)
_QUOTED: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


class Unparsable(Exception):
    """The bytes are no single statement that PostgreSQL's grammar reads.

    ``reason`` is one sentence that holds nothing of the statement.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_QUERIES = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})


class Text:
    """The text of a statement (the exact bytes for the wire), scanned once at most."""

    __slots__ = ("_spans", "sql")

    def __init__(self, sql: bytes) -> None:
        self.sql = sql
        self._spans: list[tuple[int, int]] | None = None

    def parse(self) -> Node:
        """Read one statement and give its tree, as ``{"SelectStmt": {...}}``.

        Raises:
            Unparsable: it is too long, has a NUL, is no valid UTF-8, uses ``U&`` escapes or
                identifiers over 63 bytes, is no SQL, or is not exactly one statement.
        """
        _check_bytes(self)
        tree = _tree(self.sql)
        statements = tree.get("stmts", [])
        if len(statements) != 1:
            what = "nothing" if not statements else "more than one statement"
            raise Unparsable(f"it holds {what}; send one statement at a time")
        statement: Node = statements[0].get("stmt", {})
        return statement

    def spans(self) -> list[tuple[int, int]]:
        """Give where each token begins and ends (offsets in bytes), comments among them.

        Raises:
            Unparsable: the statement can't be scanned.
        """
        # The scanner reads what the parser does not, and its offsets are bytes.
        if self._spans is None:
            try:
                tokens = postgast.scan(self.sql.decode()).tokens
            except (postgast.PgQueryError, UnicodeDecodeError):
                raise Unparsable("PostgreSQL's scanner does not read it") from None
            self._spans = [(token.start, token.end) for token in tokens]
        return self._spans

    def tokens(self) -> Iterator[tuple[int, bytes]]:
        """Give each token with where it begins, comments among them."""
        for start, end in self.spans():
            yield start, self.sql[start:end]

    def without_literals(self) -> str:
        """Give it without comments and with ``?`` for each literal, fit for logs.

        Raises:
            Unparsable: the statement can't be read.
        """
        sql = self.sql
        if sql.isascii() and not _TELLING.search(sql):
            return b" ".join(sql.split()).decode()
        kept, at, apart = list[bytes](), 0, False
        for start, end in [span for span in self.spans() if sql[span[0]] in _DOUBTFUL]:
            comment = sql.startswith((b"--", b"/*"), start)
            literal = _LITERAL.match(sql, start, end)
            if comment or literal or sql[start] == _QUOTE:
                apart = _keep(sql[at:start], kept, apart) or comment
                if not comment:
                    kept += [b" " * apart, b"?" if literal else sql[start:end]]
                    apart = False
                at = end
        _keep(sql[at:], kept, apart)
        return b"".join(kept).strip().decode()

    def query_within(self, tree: Node) -> tuple[str, str] | None:
        """Give the text and kind (``select``) of the query that it is, or has inside.

        None: there is none, as in BEGIN or ``COPY t TO STDOUT``.
        """
        ((kind, body),) = tree.items()
        if kind in _QUERIES:
            return self.sql.decode(), _kind(tree)
        if type(body.get("query")) is not dict:
            return None
        tokens = [pair for pair in self.tokens() if not pair[1].startswith((b"--", b"/*"))]
        start, end = _BOUNDS[kind]([token.upper() for _, token in tokens], body)
        edges = [at for at, _ in tokens] + [len(self.sql)]
        return self.sql[edges[start] : edges[end]].decode(), _kind(body["query"])


def parse(sql: bytes) -> Node:
    """Read one statement and give its tree, as `Text.parse` does."""
    return Text(sql).parse()


def split(text: str) -> list[str]:
    """Give the statements in a file of them, as the scanner tells where each ends.

    Raises:
        Unparsable: it can't be scanned.
    """
    try:
        found = postgast.split(text, method="scanner")
    except (postgast.PgQueryError, ValueError):
        raise Unparsable("PostgreSQL's scanner does not read it") from None
    return [statement.strip() for statement in found if statement.strip()]


def without_literals(sql: bytes) -> str:
    """Give a statement's text fit for logs, as `Text.without_literals` does."""
    return Text(sql).without_literals()


def _keep(plain: bytes, kept: list[bytes], apart: bool) -> bool:
    """Keep a text without literals, a space for each run of spaces; tell whether it ends in one.

    `apart` tells whether a space stands before it.
    """
    words = plain.split()
    if not words:
        return apart or bool(plain)
    kept += [b" " * (apart or plain[:1].isspace()), b" ".join(words)]
    return plain[-1:].isspace()


def _kind(tree: Node) -> str:
    return next(iter(tree)).removesuffix("Stmt").lower()


def _declared(tokens: list[bytes], body: Node) -> tuple[int, int]:
    return tokens.index(b"FOR") + 1, len(tokens)


def _copied(tokens: list[bytes], body: Node) -> tuple[int, int]:
    start = tokens.index(b"(")
    return start + 1, _closing(tokens, start)


def _explained(tokens: list[bytes], body: Node) -> tuple[int, int]:
    start = 1
    if "options" in body and tokens[start] == b"(":
        start = _closing(tokens, start) + 1
    while tokens[start] in (b"ANALYZE", b"ANALYSE", b"VERBOSE"):
        start += 1
    return start, len(tokens)


def _closing(tokens: list[bytes], start: int) -> int:
    depth = 0
    for at in range(start, len(tokens)):
        depth += (tokens[at] == b"(") - (tokens[at] == b")")
        if not depth:
            return at
    raise Unparsable("its brackets do not match")


_BOUNDS: dict[str, Callable[[list[bytes], Node], tuple[int, int]]] = {
    "DeclareCursorStmt": _declared,
    "CopyStmt": _copied,
    "ExplainStmt": _explained,
}


def _check_bytes(text: Text) -> None:
    sql = text.sql
    if len(sql) > MAX_BYTES:
        raise Unparsable(f"it is longer than {MAX_BYTES} bytes; pass long values as parameters")
    if b"\0" in sql:
        raise Unparsable("it holds a NUL")
    try:
        sql.decode()
    except UnicodeDecodeError:
        raise Unparsable("it is no valid UTF-8") from None
    if b"&" in sql and _UNICODE_ESCAPE.search(sql):
        raise Unparsable("it uses U& escapes; write the characters themselves")
    if sql.count(b"/*") > MAX_COMMENTS:
        raise Unparsable(f"it has more than {MAX_COMMENTS} comments; leave some out")
    if sql.count(b"(") + sql.count(b"[") > MAX_DEPTH:
        _check_depth(sql)
    if len(sql) > MAX_RUN:
        _check_runs(text)
    if _LONG_WORD in sql.translate(_SHAPE) or (b'"' in sql and _LONG_QUOTED.search(sql)):
        _check_identifiers(text)


_OPENING, _CLOSING, _COMMA = frozenset(b"(["), frozenset(b")],"), ord(",")
_UNITING, _UNITED = frozenset(b"uUeEiI"), frozenset({b"UNION", b"EXCEPT", b"INTERSECT"})


def _check_runs(text: Text) -> None:
    sql, spans = text.sql, text.spans()
    firsts = bytes([sql[start] for start, _ in spans])
    upper = sql.upper()
    if (
        len(firsts.translate(None, b"([)],")) <= MAX_RUN
        and sum(map(upper.count, _UNITED)) <= MAX_UNIONS
    ):
        return
    runs, run, total, unions = list[int](), 0, 0, 0
    for (start, stop), first in zip(spans, firsts, strict=True):
        if first in _OPENING:
            runs.append(run)
            run = 0
        elif first in _CLOSING:
            total -= run
            run = runs.pop() if runs and first != _COMMA else 0
        else:
            run += 1
            total += 1
            # A chain of set operations goes on over the commas of its lists.
            unions += first in _UNITING and upper[start:stop] in _UNITED
            if total > MAX_RUN or unions > MAX_UNIONS:
                raise Unparsable(
                    "it has too long a chain of words or operators; pass a list as one parameter, "
                    "or send it in parts"
                )


def _check_depth(sql: bytes) -> None:
    # The parser is not asked what is a literal, for it is the parser that is guarded.
    depth = 0
    for bracket in _BRACKET.findall(sql):
        depth = depth + 1 if bracket in b"([" else max(depth - 1, 0)
        if depth > MAX_DEPTH:
            raise Unparsable("it is nested too deeply")


def _check_identifiers(text: Text) -> None:
    # Only a long word can be a long identifier, and most long words are literals.
    for _, token in text.tokens():
        comment = token.startswith((b"--", b"/*"))
        if _length(token) > MAX_IDENTIFIER and not (comment or _LITERAL.match(token)):
            raise Unparsable(f"it has an identifier longer than {MAX_IDENTIFIER} bytes")


def _length(identifier: bytes) -> int:
    quoted = identifier[:1] == b'"'
    return len(identifier[1:-1].replace(b'""', b'"')) if quoted else len(identifier)


def _check_nesting(tree: bytes) -> None:
    depth = 0
    for bracket in _QUOTED.sub(b"", tree).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_NESTING:
            raise Unparsable("it is nested too deeply")


def _tree(sql: bytes) -> Node:
    result = lib.pg_query_parse(sql)
    try:
        if result.error:
            raise Unparsable("PostgreSQL's grammar does not read it; look for an error of syntax")
        if _COUNTS_ON_THE_STACK:
            _check_nesting(result.parse_tree)
        tree: Node = _decode(result.parse_tree)
        return tree
    except (RecursionError, msgspec.DecodeError):
        raise Unparsable("it is nested too deeply") from None
    finally:
        lib.pg_query_free_parse_result(result)
