"""Paths into JSON documents: whether what a path takes out may be shown as a part."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias

from tracewall.sql.flow import NOTHING, Column, Flow, How, through
from tracewall.sql.grammar import Node

Hides: TypeAlias = Callable[[Column, str], bool]
"""Tells whether masking a column's documents hides what is under a key."""

_SPACE = r"[ \t\n\r\v\f]*"
_ARRAY = re.compile(rf"{_SPACE}\{{(.*)\}}{_SPACE}", re.DOTALL)
_ELEMENT = re.compile(
    rf'{_SPACE}(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^{{}},"\\]+?)){_SPACE}(?:,|\Z)', re.DOTALL
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PLAIN_TYPES = frozenset({"text", "varchar", "int2", "int4", "int8"})


def taken(flow: Flow, steps: Iterable[Node | None], hides: Hides) -> Flow:
    """Give what becomes of documents that go through a path, each by its own masks."""
    steps = tuple(steps)
    hows = {column: how_taken(steps, partial(_hides, hides, column)) for column, _ in flow}
    parts = (through(frozenset({source}), hows[source.column]) for source in flow)
    return NOTHING.union(*parts)


def _hides(hides: Hides, column: Column, key: str) -> bool:
    return hides(column, key)


def how_taken(steps: Iterable[Node | None], hides: Callable[[str], bool]) -> How:
    """Give how a document flows through a path.

    A path of literals is TAKEN, unless masking would have hidden what is under one of
    its keys. A path that is not known (a parameter, a column) could be any.
    """
    return How.TAKEN if all(_is_plain(step, hides) for step in steps) else How.DERIVED


def _is_plain(step: Node | None, hides: Callable[[str], bool]) -> bool:
    if step and "TypeCast" in step:
        target = step["TypeCast"]["typeName"]
        if target["names"][-1].get("String", {}).get("sval") not in _PLAIN_TYPES:
            return False
        if target.get("typmods"):
            # varchar(5) makes another key of the one that is written.
            return False
        step = step["TypeCast"]["arg"]
    if step and "A_ArrayExpr" in step:
        return all(_is_plain(element, hides) for element in step["A_ArrayExpr"].get("elements", []))
    constant = (step or {}).get("A_Const")
    if constant is None:
        return False
    if "ival" in constant:
        return True
    text: str = constant.get("sval", {}).get("sval", "")
    keys = _keys(text)
    return bool(text) and keys is not None and not any(hides(key) for key in keys)


def _keys(text: str) -> list[str] | None:
    """Give the keys that a literal may mean: itself, or as an array's literal its elements.

    None: it begins as an array that is not a plain list.
    """
    found = _ARRAY.fullmatch(text)
    if found is None:
        return None if text.lstrip()[:1] in ("{", "[") else [text]
    keys, end = [text], 0
    while end < len(found[1]):
        element = _ELEMENT.match(found[1], end)
        if element is None:
            return None
        bare = element["bare"]
        keys.append(_ESCAPE.sub(r"\1", element["quoted"]) if bare is None else bare)
        end = element.end()
    return keys
