"""The shortest ways from a column of texts to what may be shown of it, for long results.

1. They give what `methods` gives, and hand on to it whatever is out of the ordinary.
2. Where they can they stay in C for all values of a call: a list goes in, a list comes out.
3. What is remembered of values is remembered for one cursor's statement, and goes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from operator import add, itemgetter
from typing import Any, TypeAlias

from tracewall.masking.config import Method
from tracewall.masking.markers import Mark
from tracewall.masking.methods import MaskFailed, of_text
from tracewall.masking.pseudonyms import text_pseudonym

Texts: TypeAlias = Sequence[str | None]
Column: TypeAlias = Callable[[Texts], Iterable[object]]
"""Takes texts, None for NULL, gives what is shown instead of each; may raise anything."""

Make: TypeAlias = Callable[[int], Column]
"""Makes, for one cursor's statement, what masks a column; no text may be longer than that."""

_MOST_DOMAINS, _LONGEST_DOMAIN = 1_000, 255
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 1_000, 200
_LONGEST_NAME = 64


def text_column(method: Method, key: bytes, purpose: str, mark: Mark) -> Make | None:
    """Give what makes a mask of columns of text; None: the method has no short way."""
    slow = of_text(method, key, purpose, mark)
    if slow is None:
        return None
    if method.name == "partial":
        return partial(_partial, method, mark, slow)
    if method.name == "email":
        return partial(_email, mark, slow)
    return partial(_hash, text_pseudonym(key, purpose, mark))


def text_by_text(mask: Callable[[str], object], longest: int) -> Column:
    """Give what masks each text of a column by itself."""

    def column(values: Texts) -> Iterable[object]:
        _within(values, longest)
        return [None if value is None else mask(value) for value in values]

    return column


def _within(values: Texts, longest: int) -> None:
    if max(map(len, filter(None, values)), default=0) > longest:
        raise MaskFailed


def _partial(method: Method, mark: Mark, slow: Callable[[str], object], longest: int) -> Column:
    first, last, middle, whole = method.keep_first, method.keep_last, mark.middle, mark.whole
    kept = first + last
    least = kept + max(4, kept)
    head, tail = itemgetter(slice(first)), itemgetter(slice(-last, None))

    def quickly(values: Sequence[Any]) -> list[object]:
        if not last:
            return [start + middle for start in map(head, values)]
        if not first:
            return [middle + end for end in map(tail, values)]
        return list(map("".join, zip(map(head, values), repeat(middle), map(tail, values))))

    def shown(value: str) -> object:
        if len(value) >= least and value != whole:
            return f"{value[:first]}{middle}{value[len(value) - last :]}"
        return slow(value)

    def column(values: Texts) -> list[object]:
        if None not in values and whole not in values:
            sizes = list(map(len, values))  # type: ignore[arg-type]  # NULL is not among them
            if min(sizes) >= least and max(sizes) <= longest:
                return quickly(values)
        _within(values, longest)
        return [None if value is None else shown(value) for value in values]

    return column


def _email(mark: Mark, slow: Callable[[str], object], longest: int) -> Column:
    local, whole = mark.local, mark.whole
    # Domains are shown anyway; the names before them are not remembered.
    domains = dict[str, str]()
    initial = itemgetter(0)

    def quickly(values: Sequence[Any]) -> list[object] | None:
        names, _, after = zip(*map(str.partition, values, repeat("@")), strict=True)
        sizes = list(map(len, names))
        if min(sizes) < 3 or max(sizes) > _LONGEST_NAME or not "".join(names).isalnum():
            return None
        ends = list(map(domains.get, after))
        return None if None in ends else list(map(add, map(initial, names), ends))

    def shown(value: str) -> object:
        name, at, domain = value.partition("@")
        if not at:
            return whole
        known = domains.get(domain)
        if known is not None and 2 < len(name) <= _LONGEST_NAME and name.isalnum():
            return name[0] + known
        made = slow(value)
        few = len(domains) < _MOST_DOMAINS and len(domain) <= _LONGEST_DOMAIN
        if few and name.isalnum() and made != whole:
            domains[domain] = f"{local}@{domain}"
        return made

    def column(values: Texts) -> list[object]:
        if None not in values:
            made = quickly(values) if domains else None
            if made is not None:
                return made
            if "@" not in "".join(values):  # type: ignore[arg-type]  # NULL is not among them
                return [whole] * len(values)
        _within(values, longest)
        return [None if value is None else shown(value) for value in values]

    return column


def _hash(pseudonym: Callable[[str], str], longest: int) -> Column:
    # The first few values are the ones that repeat where any do.
    known = dict[str | None, str]()

    def column(values: Texts) -> list[object]:
        made: list[object] = list(map(known.get, values))
        if None not in made:
            return made
        _within(values, longest)
        for at, value in enumerate(values):
            if made[at] is None and value is not None:
                made[at] = shown = pseudonym(value)
                if len(known) < _MOST_REMEMBERED and len(value) <= _LONGEST_REMEMBERED:
                    known[value] = shown
        return made

    return column
