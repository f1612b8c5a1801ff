"""What stands in place of a find, by a method of the masks; and what is too long to search."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tracewall.masking.config import Replacement
from tracewall.masking.markers import PSEUDONYM_FORM
from tracewall.masking.methods import MaskFailed, masker

OVERSIZED = "[oversized]"
"""What stands for a text that is too long to be searched."""

_PSEUDONYM = re.compile(PSEUDONYM_FORM)


def marks(
    replacements: tuple[Replacement, ...], key: bytes, purpose: str
) -> Mapping[str, Callable[[str], str]]:
    """Give by detector what makes a find's mark; each leaves alone what it has made.

    `key` and `purpose` are for pseudonyms: equal finds of one scan have equal ones.
    """
    return {
        name: _mark(masker(each.method, key, purpose), pseudonym=each.method.name == "hash")
        for each in replacements
        for name in each.detectors
    }


def _mark(mask: Callable[[object], object], *, pseudonym: bool) -> Callable[[str], str]:
    def mark(found: str) -> str:
        if pseudonym and _PSEUDONYM.fullmatch(found):
            return found
        made = mask(found)
        if not isinstance(made, str):
            raise MaskFailed
        return made

    return mark


def within(value: object, longest: int) -> bool:
    """Tell whether the texts of a value, however nested, have at most `longest` characters."""
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            longest -= len(each)
        elif isinstance(each, dict):
            waiting += (*each.keys(), *each.values())
        elif isinstance(each, list | tuple):
            waiting += each
        if longest < 0:
            return False
    return True
