"""A statement on its way: what a session keeps of it, and what it looks at in its result."""

from __future__ import annotations

from typing import Protocol

import msgspec

from tracewall.errors import Forbidden, Unreadable
from tracewall.holder import Holder
from tracewall.judge import Judged
from tracewall.policy.model import Decision
from tracewall.recording.recorder import Take
from tracewall.telemetry import Labels, Span


class Result(Protocol):
    """What a session looks at in a result: libpq's PGresult, as psycopg shows it."""

    @property
    def nfields(self) -> int:
        """How many columns there are; 0 where no rows can come."""
        ...

    @property
    def ntuples(self) -> int:
        """How many rows there are."""
        ...

    @property
    def command_tuples(self) -> int | None:
        """How many rows the command changed."""
        ...

    def ftable(self, column_number: int) -> int:
        """Give the oid of the table that a column comes from, 0 where the server tells none."""
        ...

    def ftablecol(self, column_number: int) -> int:
        """Give the attribute number of the column that a column comes from."""
        ...


class Admission(msgspec.Struct, eq=False):
    """A statement that was let through, until its outcome is recorded.

    ``sql`` is what was judged, and all that may leave; ``holder`` whose state must be on
    the connection then (None: nobody's); ``rows`` how many rows were seen (-1: none were
    told), ``bytes`` how many bytes a COPY has moved (-1: it is none); ``transaction`` is
    its number within the session (0: it is one by itself); ``take`` records
    it, where that is wanted; ``ended`` is true when the outcome is recorded.
    """

    sql: bytes
    judged: Judged
    intent: int
    labels: Labels
    span: Span | None
    started: float
    holder: Holder | None = None
    rows: int = -1
    bytes: int = -1
    transaction: int = 0
    take: Take | None = None
    ended: bool = False


def refusal(decision: Decision) -> Forbidden:
    """Give the error that a decision against a statement is raised as."""
    decision = decision.for_caller()
    kind = Unreadable if decision.unreadable else Forbidden
    prefix = "the statement is refused: " if decision.unreadable else ""
    reason = f"{prefix}{decision.reason}"
    hint = f"\nHINT:  {decision.hint}" if decision.hint else ""
    return kind(f"{reason} (rule {decision.rule}){hint}", decision=decision)


def differs(admission: Admission, result: Result) -> str:
    """Tell how a result's columns are not those that were judged; empty: they are."""
    sources = admission.judged.sources
    if result.nfields != len(sources):
        return "it has another number of columns"
    table, column = result.ftable, result.ftablecol
    for at, known in enumerate(sources):
        oid = table(at)
        # 0: the server tells no origin, as for expressions.
        if oid and (oid, column(at)) not in known:
            return "a column comes from elsewhere"
    return ""
