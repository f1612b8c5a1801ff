"""How a value that was handed out stands in a recording: as JSON, told apart where it matters."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

Json: TypeAlias = Any

_DEEPEST = 32


def recorded(value: object, depth: int = 0) -> Json:
    """Give a value as JSON.

    Texts, numbers, truth values and NULL are themselves, arrays are lists. Bytes become
    ``{"hex": ...}``, documents ``{"json": ...}``, all else the text that Python shows.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        # Past the range that every reader of JSON keeps exactly, digits are a text.
        return int(value) if -(2**53) < value < 2**53 else str(int(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return {"hex": bytes(value).hex()}
    if depth > _DEEPEST:
        return "(nested too deeply)"
    if isinstance(value, Mapping):
        return {"json": value}
    if isinstance(value, list | tuple):
        if any(isinstance(item, Mapping) for item in value):
            return {"json": value}
        return [recorded(item, depth + 1) for item in value]
    return str(value)


def encoded(value: Json) -> str:
    """Give the one line of JSON, in printable ASCII, that a value is written as.

    Line breaks, escape characters and direction marks are escapes in it.
    """
    # json escapes all controls but this one.
    return json.dumps(value, separators=(",", ":"), default=str).replace("\x7f", "\\u007f")
