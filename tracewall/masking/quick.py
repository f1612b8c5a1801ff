"""The shortest ways from a text on the wire to what may be shown of it, for long results.

1. They give what `methods` gives, and hand on to it whatever is out of the ordinary.
2. They refuse by the error that they are given, raised where no handler holds the value.
3. What is remembered of values is remembered for one cursor's statement, and goes with it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from tracewall.masking.config import Method
from tracewall.masking.markers import Mark
from tracewall.masking.methods import of_text
from tracewall.masking.pseudonyms import digester

Data: TypeAlias = bytes | bytearray | memoryview
Load: TypeAlias = Callable[[Data], object]
Refuse: TypeAlias = Callable[[bool], Exception]

_MOST_DOMAINS = 1_000
_ENDLESS = 1 << 62
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 1_000, 200


def text_loader(
    method: Method, key: bytes, purpose: str, mark: Mark, most: int, refuse: Refuse
) -> Callable[[], Load] | None:
    """Give what makes, for one cursor's statement, what masks the UTF-8 of a text.

    None: the method has no short way.

    More than `most` bytes (0: no limit) are refused by the error `refuse(True)`, what can't
    be masked by `refuse(False)`.
    """
    slow = of_text(method, key, purpose, mark)
    if slow is None:
        return None
    if method.name == "partial":
        load = _partial(method, mark, slow, most or _ENDLESS, refuse)
    elif method.name == "email":
        load = _email(mark, slow, most or _ENDLESS, refuse)
    else:
        digest, spelled = digester(key, purpose, b"s"), mark.speller()
        return partial(_hash, digest, spelled, most or _ENDLESS, refuse)
    return lambda: load


def _partial(
    method: Method, mark: Mark, slow: Callable[[str], object], most: int, refuse: Refuse
) -> Load:
    first, last, middle = method.keep_first, method.keep_last, mark.middle
    kept = first + last
    least = kept + max(4, kept)

    def load(data: Data) -> object:
        size = len(data)
        if size <= most:
            try:
                value = str(data, "utf-8")
                size = len(value)
                if size >= least:
                    return f"{value[:first]}{middle}{value[size - last :]}"
                return slow(value)
            except Exception:
                size = 0
        raise refuse(size > most)

    return load


def _email(mark: Mark, slow: Callable[[str], object], most: int, refuse: Refuse) -> Load:
    local, whole = mark.local, mark.whole
    # Domains are shown anyway; the names before them are not remembered.
    domains = dict[str, str]()

    def load(data: Data) -> object:
        size = len(data)
        if size <= most:
            try:
                value = str(data, "utf-8")
                name, at, domain = value.partition("@")
                if not at:
                    return whole
                known = domains.get(domain)
                if known is not None and 2 < len(name) < 65 and name.isalnum():
                    return name[0] + known
                shown = slow(value)
                if name.isalnum() and shown != whole and len(domains) < _MOST_DOMAINS:
                    domains[domain] = f"{local}@{domain}"
                return shown
            except Exception:
                size = 0
        raise refuse(size > most)

    return load


def _hash(
    digest: Callable[[Data], bytes], spelled: Callable[[bytes], str], most: int, refuse: Refuse
) -> Load:
    # The first few values are the ones that repeat where any do.
    known = dict[bytes, str]()

    def load(data: Data) -> object:
        size = len(data)
        if size <= most:
            try:
                value = bytes(data)
                shown = known.get(value)
                if shown is None:
                    shown = spelled(digest(value)[:16])
                    if len(known) < _MOST_REMEMBERED and size <= _LONGEST_REMEMBERED:
                        known[value] = shown
                return shown
            except Exception:
                size = 0
        raise refuse(size > most)

    return load
