"""A statement on its way: what a session keeps of it, and what it looks at in its result."""

from __future__ import annotations

import secrets
from itertools import repeat
from typing import Protocol

import msgspec

from tracewall.approval.request import Act
from tracewall.asked import NOTHING, Asked, Tally, pending, shown_of
from tracewall.audit.people import Committing, Person
from tracewall.budgets import Meter
from tracewall.errors import Forbidden, Unreadable, Withheld
from tracewall.events import Ended, Who
from tracewall.holder import Holder
from tracewall.identity.principal import Principal
from tracewall.judge import Judge, Judged
from tracewall.policy.model import Approval, Decision
from tracewall.recording.recorder import Take
from tracewall.telemetry import Labels, Span

_FIRST = repeat(0)
_FEWEST_WEIGHED, _MOST_WEIGHED = 32, 1_024
"""Of how many values the bytes are looked at, at least and at most, where they are estimated."""

_PART_WEIGHED = 16
"""One value of so many in between: each costs about half of what loading it does."""

_MOST_RIGHT = 8
"""How many origins of a statement's results are remembered as right: the server tells few."""


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

    def get_value(self, row_number: int, column_number: int) -> bytes | memoryview | None:
        """Give a value as the server sent it; None: it is NULL."""
        ...

    def ftable(self, column_number: int) -> int:
        """Give the oid of the table that a column comes from, 0 where the server tells none."""
        ...

    def ftablecol(self, column_number: int) -> int:
        """Give the attribute number of the column that a column comes from."""
        ...


class Admission(msgspec.Struct, eq=False):
    """A statement that was let through, until its outcome is recorded.

    ``sql`` is what was judged, and all that may leave; ``who`` whom it was admitted
    for; ``holder`` whose state must be on
    the connection then (None: nobody's); ``rows`` how many rows were seen (-1: none were
    told), ``bytes`` how many bytes were seen (-1: no rows came), ``estimated`` where not each
    value was looked at; ``transaction`` is its number within the session (0: it is one by
    itself); ``take`` records it, where that is wanted; ``sets`` is how many sets of parameters a
    batch has sent, ``written`` commits to them, or to what a COPY writes, where the record is
    erasable; ``told`` is the outcome,
    ``ended`` is true when that is recorded, ``queued`` when it was sent in a pipeline, where
    results come later.

    ``said`` is what the caller says to those who may have to approve; it may leave only
    once it is ``cleared`` of that: then the rules ``over`` ask about its ``act`` where it has
    more than ``most`` rows (0: none do), and a ``meter`` counts what it gives, where that
    is counted over time (None: it is not); ``promised`` is how many rows unique keys let
    through (-1: nobody knows), ``tally`` counts those that sets of a batch may have (None: no
    rule asks about that). One that is ``fenced`` is undone then; of one that
    ``flows`` some rows may have been handed out. ``judge`` has judged it, for ``principal``:
    others may ask for their own rights meanwhile. ``person`` is whose salt commits to what it
    writes, where the record is erasable.
    """

    sql: bytes
    judged: Judged
    intent: int
    labels: Labels
    span: Span | None
    started: float
    holder: Holder | None = None
    who: Who | None = None
    rows: int = -1
    bytes: int = -1
    estimated: bool = False
    transaction: int = 0
    take: Take | None = None
    sets: int = 0
    written: Committing | None = None
    told: Ended | None = None
    ended: bool = False
    said: Asked = NOTHING
    cleared: bool = True
    most: int = 0
    over: tuple[Approval, ...] = ()
    act: Act | None = None
    meter: Meter | None = None
    promised: int = -1
    tally: Tally | None = None
    fenced: bool = False
    flows: bool = False
    queued: bool = False
    judge: Judge | None = None
    principal: Principal | None = None
    person: Person | None = None


def refusal(decision: Decision) -> Forbidden:
    """Give the error that a decision against a statement is raised as."""
    decision = decision.for_caller()
    kind = Unreadable if decision.unreadable else Forbidden
    prefix = "the statement is refused: " if decision.unreadable else ""
    reason = f"{prefix}{decision.reason}"
    hint = f"\nHINT:  {decision.hint}" if decision.hint else ""
    return kind(f"{reason} (rule {decision.rule}){hint}", decision=decision)


def size_of(result: Result) -> tuple[int, int]:
    """Give how many rows and bytes a result counts for in a budget."""
    rows, columns = range(result.ntuples), range(result.nfields)
    return result.ntuples or result.command_tuples or 0, _sum(result, rows, columns)


def weighed(result: Result, *, exact: bool) -> tuple[int, bool]:
    """Give how many bytes the values of a result have, and whether each one was looked at.

    More than a few are estimated by rows that lie evenly, from a row drawn by lot on, unless it
    must be ``exact``: looking at each would cost what loading does.
    """
    rows, columns = result.ntuples, range(result.nfields)
    if rows == 1:
        # What is asked for most, and has no microsecond to lose.
        return sum(map(len, filter(None, map(result.get_value, _FIRST, columns)))), True
    values = rows * len(columns)
    most = max(_FEWEST_WEIGHED, min(_MOST_WEIGHED, values // _PART_WEIGHED))
    step = 1 if exact else values // most or 1
    if step == 1:
        return _sum(result, range(rows), columns), True
    some = range(secrets.randbelow(min(step, rows)), rows, step)
    return _sum(result, some, columns) * rows // len(some), False


def _sum(result: Result, rows: range, columns: range) -> int:
    value = result.get_value
    return sum(sum(map(len, filter(None, map(value, repeat(row), columns)))) for row in rows)


def too_big(admission: Admission) -> Withheld | None:
    """Give the error for more bytes than may be handed out; None: they may."""
    limit = admission.judged.decision.byte_limit
    if not 0 < limit < admission.bytes:
        return None
    return _over(admission, limit, "which is the policy's limit", "limits.bytes", "bytes")


def too_many(admission: Admission, rows: int, *, returned: bool) -> Forbidden | None:
    """Give the error for more rows than may be handed out or changed; None: they may."""
    limit, wanted = admission.judged.decision.row_limit, admission.said.rows
    if returned and 0 < limit < rows:
        return _over(admission, limit, "which is the policy's limit", "limits.rows")
    if returned and 0 <= admission.promised < rows:
        what = "which its unique keys do not let through: the schema changed meanwhile"
        return _over(admission, admission.promised, what, "approvals")
    if 0 < admission.most < rows:
        return _late(admission, rows)
    if 0 < wanted < rows and (returned or admission.fenced):
        return _over(admission, wanted, "which is what was asked for", "rows")
    return None


def _over(admission: Admission, limit: int, what: str, rule: str, unit: str = "rows") -> Withheld:
    return Withheld(
        f"the result has more than {limit} {unit}, {what}; "
        f"nothing more of it is handed out (rule {rule})",
        decision=admission.judged.decision,
    )


def _late(admission: Admission, rows: int) -> Forbidden:
    """Give the error that has people asked about a result that is here, and withheld."""
    decision, act = admission.judged.decision, admission.act
    assert act is not None
    why = f"the result has more than {admission.most} rows"
    rules = tuple(rule for rule in admission.over if 0 < rule.rows < rows and not rule.per)
    shown, late = shown_of(decision, why, -1), admission.flows
    return pending(decision, act, rules, admission.sql, shown, admission.said, late=late)


def differs(admission: Admission, columns: int, origins: tuple[int, ...]) -> str:
    """Tell how a result's columns are not those that were judged; empty: they are.

    Args:
        admission: what was judged.
        columns: how many there are.
        origins: the oids of their tables, then their attribute numbers; 0: the server
            tells no origin, as for expressions.
    """
    sources, right = admission.judged.sources, admission.judged.right
    if columns != len(sources):
        return "it has another number of columns"
    for known, table, column in zip(sources, origins, origins[columns:], strict=False):
        if table and (table, column) not in known:
            return "a column comes from elsewhere"
    if len(right) < _MOST_RIGHT:
        right.add(origins)
    return ""
