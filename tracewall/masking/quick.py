"""The shortest ways from a text on the wire to what may be shown of it, for long results.

1. They give what `methods` gives, and hand on to it whatever is out of the ordinary.
2. They refuse by the error that they are given, raised where no handler holds the value.
"""

from __future__ import annotations

from collections.abc import Callable
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


def text_loader(
    method: Method, key: bytes, purpose: str, mark: Mark, most: int, refuse: Refuse
) -> Load | None:
    """Give what masks the UTF-8 of a text, or None for a method without a short way.

    More than `most` bytes (0: no limit) are refused by the error `refuse(True)`, what can't
    be masked by `refuse(False)`.
    """
    slow = of_text(method, key, purpose, mark)
    if slow is None:
        return None
    if method.name == "partial":
        return _partial(method, mark, slow, most or _ENDLESS, refuse)
    if method.name == "email":
        return _email(mark, slow, most or _ENDLESS, refuse)
    return _hash(key, purpose, mark, most or _ENDLESS, refuse)


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


def _hash(key: bytes, purpose: str, mark: Mark, most: int, refuse: Refuse) -> Load:
    digest, spelled = digester(key, purpose), mark.pseudonym

    def load(data: Data) -> object:
        size = len(data)
        if size <= most:
            try:
                return spelled(digest(b"s" + bytes(data))[:16])
            except Exception:
                size = 0
        raise refuse(size > most)

    return load
