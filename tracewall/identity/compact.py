"""A token taken apart, before any cryptography: text to header, claims and signature.

Everything here is stricter than RFC 7515 asks, so that one token has one reading: no
white space, no padding, no second spelling of a segment, no name twice in an object.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_TOKEN: Final = 16 * 1024
"""The longest token that is looked at, in characters."""

# x5t is only a hint at a certificate, and Entra ID and GitHub Actions always send it.
_HEADERS: Final = frozenset({"alg", "typ", "kid", "x5t", "x5t#S256"})


_DEEPEST: Final = 100


class Refused(Exception):
    """A token is refused: ``code`` is out of `REASONS`, ``detail`` holds nothing of the token."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Compact:
    """A token in parts. Nothing in it is verified yet; ``signed`` is what the signature covers."""

    header: Mapping[str, str]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def take_apart(token: object) -> Compact:
    """Read a compact JSON Web Signature, or raise `Refused`."""
    raw = _ascii(token)
    parts = raw.split(b".")
    if len(parts) != 3 or not all(parts):
        raise Refused("malformed", "It needs three segments.")
    header, claims = _object(parts[0]), _object(parts[1])
    _check_header(header)
    return Compact(header, claims, raw[: raw.rindex(b".")], _segment(parts[2]))


def _ascii(token: object) -> bytes:
    if not isinstance(token, str):
        raise Refused("malformed", "It must be a str.")
    try:
        # Not token.encode(): a subclass of str could answer with other text.
        raw = str.encode(token, "ascii")
    except UnicodeEncodeError:
        raise Refused("malformed", "It must be ASCII.") from None
    if len(raw) > MAX_TOKEN:
        raise Refused("too_large")
    return raw


def _segment(part: bytes) -> bytes:
    try:
        data = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except ValueError:
        raise Refused("malformed", "A segment is not base64url.") from None
    # Decoding skips foreign characters and ignores spare bits; encoding again shows both.
    if base64.urlsafe_b64encode(data).rstrip(b"=") != part:
        raise Refused("malformed", "A segment is not base64url.")
    return data


def _object(part: bytes) -> dict[str, Any]:
    try:
        text = _segment(part).decode()
        value = _DECODER.decode(text)
        if "\\u" in text:
            # Escapes can spell half a surrogate pair, which no UTF-8 log can hold.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Refused("malformed", "A segment is not strict JSON.") from None
    if not isinstance(value, dict):
        raise Refused("malformed", "A segment is not a JSON object.")
    if text.count("{") + text.count("[") > _DEEPEST and _is_deep(value):
        # How deep Python's parser follows depends on its release; this does not.
        raise Refused("malformed", "A segment is nested too deeply.")
    return value


def _is_deep(value: Any) -> bool:
    level, depth = [value], 0
    while level and depth <= _DEEPEST:
        members = [list(v.values()) if isinstance(v, dict) else v for v in level]
        level = [m for inner in members for m in inner if isinstance(m, dict | list)]
        depth += 1
    return bool(level)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name twice")
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite
)


def _check_header(header: dict[str, Any]) -> None:
    # Whatever brings its own key (jwk, jku, x5u, x5c) or its own rules (crit, b64, zip,
    # enc, cty) is outside the list, known to us or not.
    if not _HEADERS.issuperset(header):
        raise Refused("header_not_allowed")
    if not all(isinstance(value, str) for value in header.values()):
        raise Refused("malformed", "A header member is not a string.")
    if "alg" not in header:
        raise Refused("wrong_algorithm", "The header has no alg.")
