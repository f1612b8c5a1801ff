"""The shapes the story is told in; how they look on a terminal is for `cli` to say.

Texts in them come from the database, from errors and from logs: whoever shows them has
to make them harmless first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Tone: TypeAlias = Literal["plain", "masked", "bare", "refused", "good", "quiet"]
"""What a text is: as it was, masked, not guarded at all, a refusal, a success, an aside."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A text of a grid, and what it is: all of it, or from one index of ``part`` to the other."""

    text: str
    tone: Tone = "plain"
    part: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement, and who sends it."""

    who: str
    sql: str


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows under a head."""

    head: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is none: the error's class, the rule, why, and what to do instead."""

    error: str
    rule: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """Something with names and values inside, as it was written."""

    title: str
    content: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence beside the rest."""

    text: str
    tone: Tone = "quiet"


Part: TypeAlias = Asked | Grid | Refusal | Document | Note


@dataclass(frozen=True, slots=True)
class Scene:
    """A part of the story: a title, what it is about, and what happened."""

    title: str
    told: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the story ended, in figures.

    ``planted`` places hold one of ``secrets`` planted secrets; plain psycopg showed
    ``unguarded`` of them; through the wall ``unread`` places were not read though they
    should have been, and ``missed`` says which kinds were seen in ``characters`` of
    text, how often. ``intact`` tells that the audit log of ``records`` records verifies,
    ``caught`` how many of the ``tampered`` copies of it were told apart.
    """

    planted: int
    secrets: int
    unguarded: int
    unread: int
    missed: Mapping[str, int]
    characters: int
    records: int
    intact: bool
    tampered: int
    caught: int

    @property
    def ok(self) -> bool:
        """True when all was read, nothing came through, and the audit log proves itself."""
        complete = not self.unread and self.unguarded == self.planted
        return complete and not self.missed and self.intact and self.caught == self.tampered
