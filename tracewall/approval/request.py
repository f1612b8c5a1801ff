"""What is asked for, bound by a hash."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

VERSION = "tracewall.approval/v1"
_ID = "apr_"
_LATEST = 253_402_300_800
"""The end (seconds since the epoch) of the year 9999, the last one that has a spelling."""


class NotEncodable(ValueError):
    """Something that a request would be bound to has no canonical encoding."""


class Person(msgspec.Struct, frozen=True, order=True):
    """Who asks, acts or decides: a token's issuer and subject."""

    issuer: str
    subject: str

    @property
    def key(self) -> str:
        """The same as one text."""
        return json.dumps([self.issuer, self.subject])


class Requirement(msgspec.Struct, frozen=True):
    """What a rule wants: so many people of its approvers' groups (globs), in time.

    ``expires`` and ``valid`` are in seconds; ``mode`` is ``once`` or ``shape``.
    """

    rule: str
    approvers: tuple[str, ...]
    people: int = 1
    expires: float = 900.0
    valid: float = 900.0
    mode: str = "once"


class Parameter(msgspec.Struct, frozen=True):
    """A parameter as it leaves: its type's oid, its format (0 text, 1 binary), its bytes.

    ``value`` is in base64; None is NULL.
    """

    type: int
    format: int
    value: str | None

    @classmethod
    def of(cls, type: int, format: int, value: bytes | None) -> Parameter:
        """Make one of the bytes for the wire."""
        return cls(type, format, None if value is None else base64.b64encode(value).decode())

    @property
    def bytes(self) -> bytes | None:
        """The bytes for the wire."""
        return None if self.value is None else base64.b64decode(self.value)


class Act(msgspec.Struct, frozen=True):
    """What would be done, by whom and where: nothing of it may differ when it is done.

    ``text`` is the exact statement, or where the policy says so its shape, without literals
    and then without parameters. ``server`` is PostgreSQL's system identifier; ``role`` whom
    the server takes the connection for, ``login`` who logged in; ``rows`` how many rows may
    come back or be changed at most (0: so many as there are); ``reveal`` the masks to lift;
    ``door`` the way it is sent.
    """

    text: str
    parameters: tuple[Parameter, ...]
    door: str
    issuer: str
    subject: str
    actors: tuple[Person, ...]
    purpose: str
    policy: str
    server: str
    database: str
    role: str
    login: str
    search_path: str
    rows: int = 0
    reveal: tuple[str, ...] = ()
    shape: bool = False

    @property
    def requester(self) -> Person:
        """Who asks."""
        return Person(self.issuer, self.subject)

    @property
    def parties(self) -> frozenset[Person]:
        """Who asks, and who acts for them: none of these may decide."""
        return frozenset((self.requester, *self.actors))


class Shown(msgspec.Struct, frozen=True):
    """What approvers are shown besides: what is touched, and how much is expected.

    ``why`` says what made the rules ask; ``estimate`` is the planner's, in rows (-1: none).
    """

    summary: str
    relations: tuple[tuple[str, tuple[str, ...]], ...] = ()
    masked: tuple[tuple[str, str], ...] = ()
    why: str = ""
    estimate: int = -1


class Request(msgspec.Struct, frozen=True):
    """A request as it is kept and bound: an act, the rules that ask, and why it is asked.

    Times are whole seconds since the epoch. The exact ``statement`` is here also where the
    act is a shape. ``trace`` is the W3C traceparent of the span that it was asked in; it is
    no part of the encoding where there is none.
    """

    id: str
    act: Act
    requirements: tuple[Requirement, ...]
    statement: str
    shown: Shown
    asked_at: int
    expires_at: int
    reason: str = ""
    ticket: str = ""
    glass_broken: bool = False
    trace: str = ""

    @property
    def binding(self) -> str:
        """The SHA-256 (hex) that decisions are made over."""
        return digest(self)

    @property
    def once(self) -> bool:
        """True where it can be used once only."""
        return not self.act.shape

    def encoded(self) -> bytes:
        """Give the canonical encoding."""
        return canonical(self)


def canonical(value: Any) -> bytes:
    """Encode a value: equal bytes for equal values, and for nothing else.

    JSON with sorted keys, without blanks, of texts, whole numbers, finite numbers, truth
    values, lists and null, under a name of the version.

    Raises:
        NotEncodable: it holds something else, or a text that is no Unicode.
    """
    try:
        told = msgspec.to_builtins(value)
        if isinstance(value, Request) and not value.trace:
            del told["trace"]
        plain = [VERSION, type(value).__name__, told]
        text = json.dumps(
            plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return text.encode()
    except (TypeError, ValueError, RecursionError):
        pass
    # Out here, so that no part of what is asked for is in the error's context.
    raise NotEncodable("the request holds a text that is no valid Unicode")


def digest(value: Any) -> str:
    """Give the SHA-256 (hex) of a value's canonical encoding.

    Raises:
        NotEncodable: it has none.
    """
    return hashlib.sha256(canonical(value)).hexdigest()


def decoded(content: bytes) -> Request:
    """Read what `Request.encoded` gave.

    Raises:
        NotEncodable: it is nothing of the kind, or not spelled as it would be.
    """
    try:
        version, kind, plain = msgspec.json.decode(content, type=tuple[str, str, Any])
        if (version, kind) == (VERSION, "Request"):
            made = msgspec.convert(plain, Request, strict=True)
            if made.encoded() == content and _is_sound(made):
                return made
    except (msgspec.MsgspecError, ValueError):
        pass
    # Out here, so that nothing of what is kept is in the error's context.
    raise NotEncodable("what is kept is no request of this version")


def _is_sound(made: Request) -> bool:
    """Tell whether a desk can have kept this: whoever writes to the store may write anything.

    Raises:
        ValueError: a parameter is no base64.
    """
    act = made.act
    for parameter in act.parameters:
        base64.b64decode(parameter.value or "", validate=True)
    # What is shown to people is what is bound.
    shown = act.shape or made.statement == act.text
    timely = 0 <= made.asked_at < made.expires_at < _LATEST
    return shown and timely and bool(made.requirements) and all(map(_is_asking, made.requirements))


def _is_asking(rule: Requirement) -> bool:
    return rule.people > 0 and 0 < rule.expires < _LATEST and 0 < rule.valid < _LATEST


def new_id() -> str:
    """Give an id that nobody guesses (128 bits)."""
    raw = base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
    return _ID + raw


def requirement_of(rules: Sequence[Requirement]) -> Requirement:
    """Give what holds of several rules together: the shortest times, the strictest mode."""
    return Requirement(
        rule=", ".join(rule.rule for rule in rules),
        approvers=(),
        people=max(rule.people for rule in rules),
        expires=min(rule.expires for rule in rules),
        valid=min(rule.valid for rule in rules),
        mode="shape" if all(rule.mode == "shape" for rule in rules) else "once",
    )
