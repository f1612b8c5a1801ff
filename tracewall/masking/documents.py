"""JSON documents: every text in them is searched, and what a telling key holds is masked.

1. The shape is kept: the same lists, and as many members in the same order. Keys are
   searched like any text.
2. A number is searched as the text it would be; where that would be masked it becomes null.
3. A text that is itself JSON (a tool call's arguments) is masked as a document and, where
   something changed, written anew; then it is searched as the text it is.
4. Under a key such as ``password`` or ``api_key`` every text and number is masked wholly,
   at any depth; true, false, null and "" tell nothing and stay. So is the ``value`` beside
   a ``name`` or ``key`` that says so, as headers and variables are listed.
5. Nesting beyond `MAX_DEPTH` and types that JSON has none of raise `MaskFailed`.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from tracewall.masking.config import DETECTORS
from tracewall.masking.methods import MAX_DEPTH, MaskFailed, rebuilt

MaskText: TypeAlias = Callable[[str], tuple[str, int]]
Hides: TypeAlias = Callable[[str, object], bool]

SECRET = "[secret]"
"""What stands for a text under a telling key."""

_MARKS = frozenset((SECRET, *(f"[{name}]" for name in DETECTORS)))
_LONG_NUMBER = 10**6  # seven digits: the shortest telephone number
_LONGEST_NUMBER = 131_072  # as many digits has numeric before the point (chapter 8.1.2)
_SECRET_KEY = re.compile(
    r"(?:passwor[dt]|kennwort|contrasena|(?<!re)senha|motdepasse|wachtwoord|passwd|passphrase"
    r"|passcode|^pass|pwd|secret|credential|authorization|cookie"
    r"|(?:api|access|secret|private|account|signing|encryption|auth|master)key|connectionstring)s?$"
)
_TOKEN_KEY = re.compile(r"(?<!eos)(?<!bos)(?<!pad)(?<!unk)(?<!page)(?:token|bearer|jwt)$")
_NO_LETTERS = re.compile(r"[\W_]+")
_NAMES, _VALUES = ("name", "key", "Name", "Key"), ("value", "Value")
_OPAQUE = re.compile(r"[^\s<>]{8,}")
_SCHEMA_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_SCHEMA_KEYS = frozenset(
    ("type", "description", "title", "format", "minLength", "maxLength", "nullable", "pattern")
)


def mask_document(
    value: object,
    mask_text: MaskText,
    hides: Hides | None = None,
    *,
    long_numbers: bool = False,
) -> tuple[Any, int]:
    """Mask the texts of a JSON `value`; give the new value and how many masks it took.

    `value` is what `json.loads` gives (dict, list, str, int, float, bool, None; tuples and
    Decimals too) and is never changed itself. `mask_text` masks one text and counts;
    `hides` tells whether a key hides the value under it (default: `is_secret`). With
    `long_numbers` only numbers of seven digits and more are searched. Raises `MaskFailed`,
    which holds nothing of the value.
    """
    masking = _Masking(mask_text, hides or is_secret, long_numbers)
    try:
        return masking.any(value, 0)
    except Exception:
        # Raised outside the handler: the cause may quote the value.
        value = None
    raise MaskFailed("a document could not be masked")


def is_secret(key: str, value: object) -> bool:
    """Tell whether `key` says, in whatever style it is written, that `value` is a secret.

    So say ``password``, ``API_KEY``, ``clientSecret``, ``x-auth-token``; not ``max_tokens``,
    ``password_hash`` or a tokenizer's ``eos_token``. Under a ``token`` only a text without
    blanks and of eight characters or more is one, or a list or object.
    """
    name = _letters(key)
    if _SECRET_KEY.search(name) or (not name.isascii() and _FOREIGN_KEY.search(name)):
        return not _describes(value)
    if not _TOKEN_KEY.search(name):
        return False
    if isinstance(value, str):
        return _OPAQUE.fullmatch(value) is not None
    return isinstance(value, dict | list) and not _describes(value)


def _letters(key: str) -> str:
    """Spell a key by its letters and digits alone: no case, width, accent or style."""
    if not key.isascii():
        key = unicodedata.normalize("NFKD", key)
    return _NO_LETTERS.sub("", key.lower())


_FOREIGN_KEY = re.compile(
    "(?:{})$".format(
        "|".join(map(_letters, ("пароль", "密码", "密碼", "パスワード", "비밀번호", "hasło")))
    )
)


def _describes(value: object) -> bool:
    """Tell whether `value` is a JSON Schema that only says what a member looks like."""
    return (
        isinstance(value, dict)
        and value.get("type") in _SCHEMA_TYPES
        and value.keys() <= _SCHEMA_KEYS
    )


@dataclass(frozen=True, slots=True)
class _Masking:
    """One masking of one document; each method gives what it made and how many masks."""

    text: MaskText
    hides: Hides
    long_numbers: bool
    keys: dict[Any, tuple[str, int]] = field(default_factory=dict)

    def any(self, value: Any, depth: int, key: str = "") -> tuple[Any, int]:
        if isinstance(value, str):
            return self.string(value, depth)
        if value is None or isinstance(value, bool):
            return value, 0
        if isinstance(value, int | float | Decimal):
            return self.number(value, key)
        if depth >= MAX_DEPTH:
            raise MaskFailed
        if isinstance(value, dict):
            return self.members(value, depth + 1, hidden=False)
        if isinstance(value, list | tuple):
            made = [self.any(item, depth + 1, key) for item in value]
            return _like(value, made)
        raise MaskFailed

    def number(self, value: Any, key: str) -> tuple[Any, int]:
        """Mask a number that would be found in a text, by itself or beside its key."""
        if self.long_numbers and -_LONG_NUMBER < value < _LONG_NUMBER:
            return value, 0
        digits = dict.fromkeys(_digits(value))
        found = any(self.text(spelled)[1] for spelled in digits) or any(
            self.text(f"{key}: {spelled}")[1] > self.key(key)[1] for spelled in digits
        )
        return (None, 1) if found else (value, 0)

    def string(self, value: str, depth: int) -> tuple[str, int]:
        count = 0
        inner = loaded(value) if depth < MAX_DEPTH else None
        if inner is not None:
            made, count = self.inner(inner.value, depth)
            if count or inner.ambiguous:
                count = max(count, 1)
                value = dumped(made, value)
        text, more = self.text(value)
        return text, count + more

    def inner(self, value: Any, depth: int) -> tuple[Any, int]:
        try:
            return self.any(value, depth + 1)
        except MaskFailed:
            # Too deep for a document; it is still searched as a text.
            return value, 0

    def members(self, value: dict[Any, Any], depth: int, *, hidden: bool) -> tuple[Any, int]:
        made: dict[Any, Any] = {}
        total, alike = 0, Counter[str]()
        label = next((value[name] for name in _NAMES if isinstance(value.get(name), str)), "")
        for key, item in value.items():
            name, found = self.key(key)
            inside = hidden or (bool(label) and key in _VALUES and self.hides(label, item))
            new, count = self.hidden(item, depth) if inside else self.member(key, item, depth)
            numbered = name
            # Keys that are masked alike are numbered, so that no member is lost.
            while found and (numbered in made or numbered in value):
                alike[name] += 1
                numbered = f"{name} {alike[name] + 1}"
            made[numbered] = new
            total += found + count
        return made, total

    def member(self, key: Any, value: Any, depth: int) -> tuple[Any, int]:
        if self.hides(key, value):
            return self.hidden(value, depth)
        new, count = self.any(value, depth, key)
        # Masks take blanks away, and without them a value may look like a token.
        if count and self.hides(key, new):
            return self.hidden(new, depth)
        return new, count

    def key(self, key: Any) -> tuple[str, int]:
        """Mask a key; the members of a list of objects have the same ones again and again."""
        if key not in self.keys:
            self.keys[key] = self.text(key)
        return self.keys[key]

    def hidden(self, value: Any, depth: int) -> tuple[Any, int]:
        if value is None or isinstance(value, bool) or value == "":
            return value, 0
        if isinstance(value, str):
            return (value, 0) if value in _MARKS else (SECRET, 1)
        if isinstance(value, int | float | Decimal):
            return None, 1
        if depth >= MAX_DEPTH:
            raise MaskFailed
        if isinstance(value, dict):
            return self.members(value, depth + 1, hidden=True)
        if isinstance(value, list | tuple):
            return _like(value, [self.hidden(item, depth + 1) for item in value])
        raise MaskFailed


def _digits(number: Any) -> tuple[str, ...]:
    """Spell a number as texts would: with its fraction, and without it; infinities have none."""
    if isinstance(number, int):
        return (str(abs(number)),)
    if isinstance(number, float):
        return (str(abs(int(number))), repr(abs(number))) if math.isfinite(number) else ()
    if not number.is_finite():
        return ()
    if not -_LONGEST_NUMBER <= number.adjusted() <= _LONGEST_NUMBER:
        raise MaskFailed
    # By copy_abs(): arithmetic would round it.
    spelled = f"{number.copy_abs():f}"
    return (spelled.partition(".")[0], spelled)


def _like(value: Any, made: list[tuple[Any, int]]) -> tuple[Any, int]:
    return rebuilt(value, [item for item, _ in made]), sum(masks for _, masks in made)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A text read as JSON; ``ambiguous``: a key came twice, and one value is out of sight."""

    value: Any
    ambiguous: bool


def loaded(text: str) -> Loaded | None:
    """Read a text that is a JSON object, array or string; None when it is none."""
    text = text.removeprefix("\ufeff")
    if text.lstrip(" \t\r\n")[:1] not in ("{", "[", '"'):
        return None
    twice: list[bool] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            twice.append(True)
        return made

    try:
        return Loaded(json.loads(text, object_pairs_hook=members), bool(twice))
    except (ValueError, RecursionError):
        return None


def dumped(value: Any, like: str) -> str:
    """Write a document as JSON, with escapes where the text `like` that it was read from has any.

    They may stand for what can't be encoded: half a surrogate pair.
    """
    escaped = like.isascii() or "\\u" in like
    return json.dumps(value, ensure_ascii=escaped, separators=(",", ":"))
