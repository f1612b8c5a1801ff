"""What a line of a recording may hold: whoever has the file could have written anything there."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

LONGEST: Final = 16 << 20
"""The most bytes of a line; longer ones are neither written nor read."""

_Check: TypeAlias = Callable[[Any], bool]

_LATEST: Final = 253_402_300_799.0  # The last second of the year 9999.
_WHOLE: Final = 2**63


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _whole(value: Any) -> bool:
    return type(value) is int and -_WHOLE < value < _WHOLE


def _moment(value: Any) -> bool:
    if type(value) not in (int, float):
        return False
    return 0 <= value <= _LATEST and math.isfinite(value)


def _list(of: _Check) -> _Check:
    return lambda value: isinstance(value, list) and all(map(of, value))


def _object(**keys: _Check) -> _Check:
    return lambda value: (
        isinstance(value, dict)
        and all(name in value and check(value[name]) for name, check in keys.items())
    )


def _relations(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_list(_text), value.values()))


_TEXTS: Final = _list(_text)
_ROWS: Final = _list(lambda value: isinstance(value, list))
_WHO: Final = ("id", "session", "rule", "issuer", "subject", "token_id", "purpose", "continues")
_WHERE: Final = ("database", "role", "policy", "policy_name", "tracewall")
_SAID: Final = ("summary", "text", "sha256", "decision", "rule", "reason")

_MAY: Final[dict[str, dict[str, _Check]]] = {
    "began": {
        "time": _moment,
        "groups": _TEXTS,
        "actors": _list(_object(subject=_text, groups=_TEXTS)),
        **dict.fromkeys((*_WHO, *_WHERE), _text),
    },
    "statement": {
        "relations": _relations,
        "columns": _list(_object(name=_text, rule=_text)),
        **dict.fromkeys(_SAID, _text),
    },
    "notice": dict.fromkeys(("severity", "sqlstate"), _text),
    "outcome": {
        "rows": _whole,
        "seconds": _moment,
        **dict.fromkeys(("status", "sqlstate", "error"), _text),
    },
    "ended": {"why": _text, "lines": _whole},
}
_MUST: Final[dict[str, dict[str, _Check]]] = {
    "rows": {"rows": _ROWS},
    "copy": {"rows": _TEXTS},
    "binary": {"rows": _TEXTS},
    "cut": {"by": _text},
}


def parsed(raw: bytes) -> dict[str, Any] | None:
    """Give a line as what it says; None: it is none that a recorder writes."""
    try:
        line = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and _sound(line) else None


def _sound(line: Mapping[str, Any]) -> bool:
    kind = line.get("kind")
    if not isinstance(kind, str) or not _moment(line.get("t", 0)):
        return False
    if kind not in ("began", "ended") and not _whole(line.get("s", 0)):
        return False
    may, must = _MAY.get(kind, {}), _MUST.get(kind, {})
    return all(check(line[name]) for name, check in may.items() if line.get(name) is not None) and (
        all(check(line.get(name)) for name, check in must.items())
    )
