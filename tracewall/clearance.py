"""Between admission and departure: which rules ask, whom that would bind, what a permit clears.

1. Nothing that a rule may ask about leaves before it is cleared here.
2. A permit clears its own act only, and only of the rules that people were asked about.
3. The desk is asked by the doors, never while a connection is locked.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from tracewall.admission import Admission
from tracewall.approval.desk import Permit
from tracewall.approval.request import Act, Parameter
from tracewall.approval.store import Spending
from tracewall.asked import (
    UNASKABLE_BATCH,
    Place,
    Tally,
    act_of,
    asked,
    bounded,
    by_keys,
    counting,
    digest_of_run,
    due,
    most_rows,
    pending,
    satisfies,
    shown_of,
)
from tracewall.budgets import Aside, Meter
from tracewall.errors import Forbidden
from tracewall.policy.model import Approval, Decision
from tracewall.reception import spent
from tracewall.session import Session

_READS = frozenset({"select", "explain"})


class Clearance:
    """What one admitted statement needs before it may leave.

    Args:
        session: of its connection.
        admission: the statement.
        parameters: as they will leave.
        door: ``execute``, ``stream``, ``copy``, ``declare`` or ``executemany``.
        batch: how many times it is sent; 0: nobody knows.
    """

    def __init__(
        self,
        session: Session,
        admission: Admission,
        parameters: Sequence[Parameter],
        door: str,
        batch: int = 1,
    ) -> None:
        self.session, self.admission, self.door = session, admission, door
        self.parameters = tuple(parameters)
        now, judged = session.wall.clock(), admission.judged
        self.rules = due(judged, now)
        self.counting = tuple(rule for rule in counting(judged, now) if rule not in self.rules)
        most = bounded(judged, self.parameters)
        self._most = most * batch if batch else -1
        if self.counting:
            promised = by_keys(judged.extent.keyed, self.parameters)
            admission.promised = promised * batch if batch else -1
            if door == "executemany" and most_rows(self.counting):
                admission.tally = Tally(judged, self.counting)

    @property
    def asks(self) -> bool:
        """True where a rule asks whatever comes, or may ask when rows are counted."""
        return bool(self.rules or self.counted)

    @property
    def counted(self) -> tuple[Approval, ...]:
        """The rules whose number of rows the statement's own text does not keep."""
        kept = self._most >= 0
        return tuple(
            rule for rule in self.counting if rule.per or not (kept and self._most <= rule.rows)
        )

    @property
    def changes(self) -> bool:
        """True where rows are changed, which has to be undone if they are too many."""
        relations = self.admission.judged.decision.relations
        return any(not _READS.issuperset(actions) for _, actions in relations)

    @property
    def estimable(self) -> str:
        """The query whose rows the planner is to be asked for; empty: there is no need."""
        return self.admission.judged.query if most_rows(self.counted) else ""

    def check(self, *, pipeline: bool) -> None:
        """Return where people can be asked about the statement this way.

        Raises:
            Forbidden: they can't, for nobody would know what they are asked.
        """
        what, rule = "", (self.rules or self.counted)[0]
        if self.door == "executemany":
            raise self.session.refuse(self.admission, Forbidden(UNASKABLE_BATCH.format(rule.name)))
        if pipeline:
            what = "in a pipeline"
        elif self.changes and self.door != "execute":
            what = f"about what changes rows by {self.door}(): use execute()"
        if what:
            text = f"people can't be asked {what} (rule approvals.{rule.name})"
            raise self.session.refuse(self.admission, Forbidden(text))

    def act(self, place: Place) -> Act:
        """Give what would be done.

        Raises:
            Forbidden: it can't be spelled out, so nobody can be asked.
        """
        admission = self.admission
        try:
            statement = admission.sql.decode()
        except UnicodeDecodeError:
            raise self.session.refuse(
                admission, Forbidden("people can't be shown the statement: it is no valid UTF-8")
            ) from None
        return act_of(
            admission.judged,
            self.session.principal(),
            place,
            self.parameters,
            statement,
            self.door,
            admission.said,
        )

    def settle(self, act: Act, permit: Permit | None) -> None:
        """Clear what needs no people, or what a permit is for.

        Raises:
            ApprovalRequired: people have to be asked.
            Forbidden: the permit is for something else.
        """
        admission = self.admission
        counted = self.counted
        if permit is not None:
            if not satisfies(permit, act, ()):
                text = "the approval is for something else than what is about to leave: ask again"
                raise self.session.refuse(admission, Forbidden(text))
            self.rules = tuple(rule for rule in self.rules if rule.name not in permit.rules)
            counted = tuple(rule for rule in counted if rule.name not in permit.rules)
            self.session.wall.telemetry.approved(admission.span, permit.id, permit.trace)
            if admission.take is not None:
                named = self.session.named
                people = [f"{who.issuer} {named(who.issuer, who.subject)}" for who in permit.people]
                rules = sorted(permit.rules)
                admission.take.note("approval", request=permit.id, rules=rules, people=people)
        if permit is None and admission.said.approval:
            raise self.pend(act, self.rules, "", -1)
        if self.rules:
            raise self.pend(act, self.rules, "the rule asks for every such statement", -1)
        admission.act, admission.over, admission.most = act, counted, most_rows(counted)
        admission.meter = self._meter(act, tuple(rule for rule in counted if rule.per))
        admission.fenced = self.changes and bool(counted or admission.said.rows)
        admission.flows = self.door != "execute"
        admission.cleared = True

    def weigh(self, act: Act, estimate: int) -> None:
        """Take the planner's estimate of how many rows there will be.

        Raises:
            ApprovalRequired: they would be too many.
        """
        over = tuple(rule for rule in self.admission.over if 0 < rule.rows < estimate)
        over = tuple(rule for rule in over if not rule.per)
        if over:
            self.admission.cleared = False
            raise self.pend(act, over, f"the planner expects {estimate} rows", estimate)

    def _meter(self, act: Act, rules: tuple[Approval, ...]) -> Meter | None:
        admission, session = self.admission, self.session
        decision, sql, said = admission.judged.decision, admission.sql, admission.said
        shown = shown_of(decision, "the budget of rows, bytes or runs is used up", -1)

        def excess(over: tuple[Approval, ...]) -> Forbidden:
            return pending(decision, act, over, sql, shown, said, late=admission.flows)

        def spend(spending: Spending, at: float) -> bool:
            return spent(session, spending, at)

        return Meter(rules, act.requester.key, spend, session.wall.clock, excess) if rules else None

    def run_gen(self) -> Generator[Any, Any, None]:
        """Count that the statement is sent, where that is counted over time.

        Raises:
            ApprovalRequired: a budget would be passed.
            Forbidden: nobody can count.
        """
        meter = self.admission.meter
        if meter is not None and meter.counts_runs:
            run = digest_of_run(self.admission.sql, self.parameters)
            # Nothing was handed out yet: there is going on from here.
            flows, self.admission.flows = self.admission.flows, False
            yield Aside(lambda: meter.run(run))
            self.admission.flows = flows

    def pend(self, act: Act, rules: tuple[Approval, ...], why: str, estimate: int) -> Forbidden:
        """Give the error that has people asked; nothing was sent."""
        decision = self.admission.judged.decision
        shown = shown_of(decision, why, estimate)
        error = pending(decision, act, rules, self.admission.sql, shown, self.admission.said)
        return self.session.refuse(self.admission, error)


def explained(session: Session, sql: bytes) -> Decision:
    """Judge a statement for whoever acts, without recording or sending it.

    Raises:
        TokenRejected: nobody acts, or their token is refused.
        Forbidden: the connection's catalog is not known.
    """
    return session.judge(asked().reveal).strictly(sql).for_caller()
