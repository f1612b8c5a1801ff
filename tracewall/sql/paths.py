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

# The elements of a text array's literal, and of a key taken as it is.
_ELEMENT = re.compile(r'[^{},"\\]+')


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

    A path of literals is a PART, unless masking would have hidden what is under one of
    its keys. A path that is not known (a parameter, a column) could be any.
    """
    return How.PART if all(_is_plain(step, hides) for step in steps) else How.DERIVED


def _is_plain(step: Node | None, hides: Callable[[str], bool]) -> bool:
    if step and "TypeCast" in step:
        step = step["TypeCast"]["arg"]
    if step and "A_ArrayExpr" in step:
        return all(_is_plain(element, hides) for element in step["A_ArrayExpr"].get("elements", []))
    constant = (step or {}).get("A_Const")
    if constant is None:
        return False
    if "ival" in constant:
        return True
    text: str = constant.get("sval", {}).get("sval", "")
    whole_and_parts = [text, *_ELEMENT.findall(text)]
    return bool(text) and not any(hides(key) for key in whole_and_parts)
