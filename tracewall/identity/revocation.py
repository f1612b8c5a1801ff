"""Tokens and people that are no longer to be believed, by a list in a file.

The file is TOML. Each ``[[revoked]]`` has either ``token_id`` (the token's ``jti``), or
``subject``, or ``issued_before`` (seconds since the epoch, or a date and time with its
offset), or the latter two; ``issuer`` (the ``iss``) narrows each to one issuer.

1. The file is looked at about once a second, and read again when it has changed.
2. What can't be read revokes everything: nobody knows what it says.
"""

from __future__ import annotations

import datetime
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tracewall.identity.principal import Principal

_LARGEST: Final = 16 * 1024 * 1024
_KEYS: Final = frozenset({"token_id", "subject", "issued_before", "issuer"})


@dataclass(frozen=True, slots=True)
class Revoked:
    """What a list says; keys begin with the issuer (empty: any), times are in seconds."""

    tokens: frozenset[tuple[str, str]] = frozenset()
    subjects: Mapping[tuple[str, str], float] = field(default_factory=dict)
    issuers: Mapping[str, float] = field(default_factory=dict)

    def covers(self, principal: Principal) -> bool:
        """Tell whether the list revokes a principal, or one of those who act for it."""
        issued, issuer = principal.issued_at, principal.issuer
        people = [(issuer, principal.subject)]
        people += [(actor.issuer, actor.subject) for actor in principal.actors]
        return (
            not self.tokens.isdisjoint((("", principal.token_id), (issuer, principal.token_id)))
            or any(issued < self.issuers.get(each, -math.inf) for each in ("", issuer))
            or any(
                issued < self.subjects.get((each, subject), -math.inf)
                for of, subject in people
                for each in ("", of)
            )
        )


def read_revoked(document: bytes) -> Revoked:
    """Read a list; ValueError where it is none."""
    found = tomllib.loads(document.decode())
    listed = found.pop("revoked", [])
    if found or not isinstance(listed, list):
        raise ValueError("there is only [[revoked]]")
    tokens: set[tuple[str, str]] = set()
    subjects: dict[tuple[str, str], float] = {}
    issuers: dict[str, float] = {}
    for entry in listed:
        issuer, before = _text(entry, "issuer"), _time(entry)
        token, subject = _text(entry, "token_id"), _text(entry, "subject")
        if _KEYS.issuperset(entry) and token and not subject and "issued_before" not in entry:
            tokens.add((issuer, token))
        elif _KEYS.issuperset(entry) and subject and not token:
            subjects[issuer, subject] = max(before, subjects.get((issuer, subject), before))
        elif _KEYS.issuperset(entry) and "issued_before" in entry and not token:
            issuers[issuer] = max(before, issuers.get(issuer, before))
        else:
            raise ValueError("each needs token_id, subject or issued_before")
    return Revoked(frozenset(tokens), subjects, issuers)


class RevocationList:
    """Keeps what a file says; without a list that can be read, everything is revoked."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._revoked: Revoked | None = None
        self._seen: tuple[int, ...] = ()
        self.problem = "has not been read yet"

    def stale(self) -> bool:
        """Tell whether the file is another than the one that was read."""
        return self._look() != self._seen

    def refresh(self) -> None:
        """Read the file again. Never raises: `problem` says why it could not be read."""
        # Looked at before it is read, so that what is written meanwhile is read again.
        seen = self._look()
        try:
            with self._path.open("rb") as file:
                document = file.read(_LARGEST + 1)
            if len(document) > _LARGEST:
                raise ValueError("it is too large")
            self._revoked, self.problem = read_revoked(document), ""
        except OSError as error:
            self._revoked, self.problem = None, f"can't be read: {error.strerror}"
        except tomllib.TOMLDecodeError as error:
            self._revoked, self.problem = None, f"is not TOML: {error}"
        except (ValueError, TypeError, AttributeError) as error:
            self._revoked, self.problem = None, f"is not a list of what is revoked: {error}"
        self._seen = seen

    def current(self) -> Revoked | None:
        """Give the list, or None where there is none that could be read."""
        return self._revoked

    def _look(self) -> tuple[int, ...]:
        try:
            stat = self._path.stat()
        except OSError:
            return (-1,)
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name, "")
    if not isinstance(value, str) or (name in entry and not value):
        raise ValueError(f"{name} must be a text")
    return value


def _time(entry: Mapping[str, Any]) -> float:
    value = entry.get("issued_before", math.inf)
    if isinstance(value, datetime.datetime) and value.tzinfo:
        return value.timestamp()
    if type(value) not in (int, float) or math.isnan(value):
        raise ValueError("issued_before must be seconds, or a date and time with its offset")
    return float(value)
