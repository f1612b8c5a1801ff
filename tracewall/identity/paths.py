"""Where in a token's claims something is: a name, a dotted path, or a JSON pointer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracewall.identity.compact import Refused

ABSENT: Final = object()
"""What `find` gives where the way to a claim ends."""


def find(claims: Mapping[str, Any], path: str, wrong: str = "bad_claim") -> Any:
    """Give what is at `path`, or `ABSENT`.

    A claim of that very name goes first, dots and all, as those are that a URL names.
    A path from ``/`` on is a JSON pointer (RFC 6901), for names that hold dots.

    Raises:
        Refused: the way leads through what is no object; `wrong` is the code.
    """
    if path in claims:
        return claims[path]
    value: Any = claims
    for step in _steps(path):
        if not isinstance(value, Mapping):
            raise Refused(wrong)
        if step not in value:
            return ABSENT
        value = value[step]
    return value


def _steps(path: str) -> list[str]:
    if path.startswith("/"):
        parts = path[1:].split("/")
        return [part.replace("~1", "/").replace("~0", "~") for part in parts]
    return path.split(".")
