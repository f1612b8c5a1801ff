"""A session summed up, in a few kilobytes however long it was: what lists and timelines show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tracewall.recording.course import Course
from tracewall.recording.reader import Proof
from tracewall.recording.shown import Spoken

_FINEST: Final = 500
_HINT: Final = 120
_WORST: Final = ("refused", "failed", "open", "ok")


class Mark(NamedTuple):
    """A place of the timeline: a statement, or ``several`` that stand close to each other.

    ``number``, ``text`` and ``mood`` are those of the one that went worst.
    """

    number: int
    began: float
    last: float
    mood: str
    text: str
    several: int = 1

    def joined(self, other: Mark) -> Mark:
        """Give the mark of both."""
        worse = min(self, other, key=lambda mark: _WORST.index(mark.mood))
        last = max(self.last, other.last)
        return worse._replace(began=self.began, last=last, several=self.several + other.several)


@dataclass
class Summary:
    """What there is to say of a session as a whole; ``marks`` are at most a thousand.

    ``statements`` is how many there were, ``lines`` how many lines were read, ``proof`` what they
    prove. ``why`` is empty where no end was recorded; ``length`` is in seconds.
    """

    header: dict[str, Any] = field(default_factory=dict)
    statements: int = 0
    why: str = ""
    length: float = 0.0
    marks: list[Mark] = field(default_factory=list)
    proof: Proof = field(default_factory=Proof)
    _step: int = 1

    @classmethod
    def of(cls, course: Course) -> Summary:
        """Read a session to its end, and sum it up."""
        made = cls(course.header, proof=course.proof)
        for spoken in course:
            if not spoken.goes_on:
                made._count(spoken)
        made.why, made.length = course.why, course.length
        return made

    @property
    def who(self) -> str:
        """Who was recorded."""
        return str(self.header.get("subject") or "nobody")

    def _count(self, spoken: Spoken) -> None:
        self.statements += 1
        mark = Mark(spoken.number, spoken.began, spoken.last, spoken.mood, spoken.text[:_HINT])
        if self.marks and self.marks[-1].several < self._step:
            self.marks[-1] = self.marks[-1].joined(mark)
            return
        self.marks.append(mark)
        if len(self.marks) >= 2 * _FINEST:
            pairs = zip(self.marks[::2], self.marks[1::2], strict=True)
            self.marks = [one.joined(other) for one, other in pairs]
            self._step *= 2
