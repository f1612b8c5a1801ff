"""PostgreSQL's own grammar (libpg_query): bytes in, parse tree out.

The only importer of the grammar binding. Trees are plain dicts and lists as
libpg_query prints them in JSON: one key with the node's name, fields left out when they
have their default.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import msgspec
import postgast
from postgast.native import lib

Node: TypeAlias = dict[str, Any]

MAX_BYTES = 64 * 1024
"""The longest statement that is read (bytes)."""

MAX_IDENTIFIER = 63
"""The longest identifier PostgreSQL keeps (bytes, NAMEDATALEN - 1)."""

_UNICODE_ESCAPE = re.compile(rb"""[uU]&["']""")
_LONG_WORD = re.compile(rb"[A-Za-z0-9_$\x80-\xff]{64,}|\"(?:[^\"]|\"\"){64,}\"")
_decode = msgspec.json.Decoder().decode


class Unparsable(Exception):
    """The bytes are no single statement that PostgreSQL's grammar reads.

    ``reason`` is one sentence that holds nothing of the statement.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse(sql: bytes) -> Node:
    """Read one statement and give its tree, as ``{"SelectStmt": {...}}``.

    Raises:
        Unparsable: it is too long, has a NUL, is no valid UTF-8, uses ``U&`` escapes or
            identifiers over 63 bytes, is no SQL, or is not exactly one statement.
    """
    _check_bytes(sql)
    tree = _tree(sql)
    statements = tree.get("stmts", [])
    if len(statements) != 1:
        what = "nothing" if not statements else "more than one statement"
        raise Unparsable(f"it holds {what}; send one statement at a time")
    statement: Node = statements[0].get("stmt", {})
    return statement


def without_literals(sql: bytes) -> str:
    """Give the statement's text without comments and with literals as placeholders, fit for logs.

    Raises:
        Unparsable: the statement can't be read.
    """
    try:
        text = str(postgast.normalize(sql.decode()))
        return _without_comments(text) if "--" in text or "/*" in text else text
    except (postgast.PgQueryError, UnicodeDecodeError) as ex:
        raise Unparsable("its literals cannot be taken out") from ex


def _without_comments(text: str) -> str:
    # The scanner's offsets are bytes, and comments are tokens to it: what is left is the rest.
    raw, kept = text.encode(), []
    for token in postgast.scan(text).tokens:
        piece = raw[token.start : token.end]
        if not piece.startswith((b"--", b"/*")):
            kept.append(piece.decode())
    return " ".join(kept)


def _check_bytes(sql: bytes) -> None:
    if len(sql) > MAX_BYTES:
        raise Unparsable(f"it is longer than {MAX_BYTES} bytes")
    if b"\0" in sql:
        raise Unparsable("it holds a NUL")
    try:
        sql.decode()
    except UnicodeDecodeError:
        raise Unparsable("it is no valid UTF-8") from None
    if _UNICODE_ESCAPE.search(sql):
        raise Unparsable("it uses U& escapes; write the characters themselves")
    if _LONG_WORD.search(sql):
        _check_identifiers(sql)


def _check_identifiers(sql: bytes) -> None:
    # Only a long word can be a long identifier, and most long words are literals: so the
    # scanner, which is slow, is asked only here.
    try:
        tokens = postgast.scan(sql.decode()).tokens
    except postgast.PgQueryError:
        raise Unparsable("PostgreSQL's scanner does not read it") from None
    for token in tokens:
        text = sql[token.start : token.end]
        if len(text.strip(b'"')) > MAX_IDENTIFIER and not _is_literal(text):
            raise Unparsable(f"it has an identifier longer than {MAX_IDENTIFIER} bytes")


def _is_literal(text: bytes) -> bool:
    return text[:1] in b"'$/-0123456789" or text[:2].lower() in (b"e'", b"b'", b"x'", b"n'")


def _tree(sql: bytes) -> Node:
    result = lib.pg_query_parse(sql)
    try:
        if result.error:
            raise Unparsable("PostgreSQL's grammar does not read it")
        tree: Node = _decode(result.parse_tree)
        return tree
    except (RecursionError, msgspec.DecodeError):
        raise Unparsable("it is nested too deeply") from None
    finally:
        lib.pg_query_free_parse_result(result)
