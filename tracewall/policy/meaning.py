"""What a policy means, apart from how it is written: plain JSON values, and their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any

from tracewall.policy.model import Glob, Policy

# Where a rule stands, and what follows from the rest, says nothing about what it means.
_NO_MEANING = frozenset({"line", "path", "hash"})


def meaning(value: object) -> Any:
    """Return `value` as JSON values: equal for equal meanings, different for different ones."""
    match value:
        case Glob():
            return value.text
        case tuple():
            return [meaning(item) for item in value]
        case frozenset():
            return sorted(value)
        case _ if is_dataclass(value):
            return {field.name: meaning(getattr(value, field.name)) for field in _told(value)}
    return value


def _told(value: Any) -> Iterator[Field[Any]]:
    """Yield the fields that say something: a key that comes to the format changes no hash."""
    for field in fields(value):
        if field.name not in _NO_MEANING and getattr(value, field.name) != field.default:
            yield field


def digest(policy: Policy) -> str:
    """Return the SHA-256 (hex) of what `policy` means.

    Comments, blanks, the order of keys and the file's path leave it as it is; a changed
    rule changes it.
    """
    text = json.dumps(meaning(policy), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
