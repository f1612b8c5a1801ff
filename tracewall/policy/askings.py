"""Which of the rules that ask do ask, for a statement that is permitted otherwise."""

from __future__ import annotations

from dataclasses import replace

from tracewall.policy.covering import reaches
from tracewall.policy.model import FREE_ACTIONS, TABLE_ACTIONS, Approval, Decision
from tracewall.policy.rights import Rights
from tracewall.sql.flow import Access
from tracewall.sql.statement import Statement, Understanding

_OPEN = frozenset({"anything", "do", "call", "prepare"})
"""What can't be followed, and could do any of the other actions besides."""


def asking(
    understood: Understanding, rights: Rights, reveal: frozenset[str] = frozenset()
) -> tuple[Approval, ...]:
    """Give the rules that ask, or may ask, for a statement that is permitted otherwise.

    Whoever acts for another is asked for by the rules of either. What was not followed could
    do anything to any table: every rule asks for it that is not about other such statements.
    """
    if isinstance(understood, Statement):
        return tuple(rule for rule in rights.asking if _asks(rule, understood, rights, reveal))
    return tuple(
        rule for rule in rights.asking if not rule.reveal and _unfollowed(rule, understood.action)
    )


def _unfollowed(rule: Approval, action: str) -> bool:
    if not rule.actions or not rule.actions.issubset(FREE_ACTIONS):
        return True
    return bool({"anything", action} & rule.actions) or action in _OPEN


def _asks(rule: Approval, told: Statement, rights: Rights, reveal: frozenset[str]) -> bool:
    if rule.reveal and rule.reveal.isdisjoint(reveal):
        return False
    accesses = [access for access in told.accesses if access.relation]
    if rule.no_where:
        accesses = [access for access in accesses if access.action in told.extent.unconditional]
    actions = rule.actions or frozenset(TABLE_ACTIONS)
    done = {
        access.relation
        for access in accesses
        if access.action in actions and _among(rule, access, rights)
    }
    if not done:
        return False
    if not rule.columns and not rule.protected:
        return True
    return any(_touches(rule, access, rights) for access in accesses if access.relation in done)


def _among(rule: Approval, access: Access, rights: Rights) -> bool:
    # Rows of a partition or heir are rows of its parent too.
    family = rights.catalog.family[access.relation]
    return not rule.tables or any(reaches(rule.tables, kin.schema, kin.name) for kin in family)


def _touches(rule: Approval, access: Access, rights: Rights) -> bool:
    relation = rights.catalog.relations[access.relation]
    # Deleting a row deletes each of its values.
    whole = access.action in ("delete", "truncate")
    for column in relation.columns:
        if access.attnum not in ((column.attnum,) if not whole else (column.attnum, 0)):
            continue
        numbers = (column.attnum, *column.uses)
        names = [each.name for each in relation.columns if each.attnum in numbers]
        if rule.protected and any(rights.shown((relation.oid, each)).rules for each in numbers):
            return True
        kins = rights.catalog.family[relation.oid]
        full = [(kin.schema, kin.name, name) for kin in kins for name in names]
        if any(reaches(rule.columns, *name) for name in full):
            return True
    return False


def outright(rule: Approval, *, uncounted: bool) -> bool:
    """Tell whether a rule asks without counting: rows can't be counted, or need not be."""
    return bool(rule.reveal) or not rule.counts or (uncounted and bool(rule.rows or rule.bytes))


def asked(decision: Decision, understood: Understanding, rights: Rights) -> Decision:
    """Give the decision with the rules that ask, where it lets the statement through."""
    if not decision.allowed or not (rights.asking or rights.revealed):
        return decision
    if rights.revealed and rights.actors:
        return replace(
            decision,
            outcome="forbidden",
            rule="approvals",
            reason="whoever acts for another is shown nothing that a mask hides",
            hint="the other person has to ask for it themselves, by a token of their own",
            columns=(),
        )
    rules = asking(understood, rights, rights.revealed)
    revealing = frozenset[str]().union(*(rule.reveal for rule in rules))
    if missing := rights.revealed - revealing:
        return replace(
            decision,
            outcome="forbidden",
            rule="approvals",
            reason=f"no rule lets anybody reveal {', '.join(sorted(missing))} to you here",
            hint="reveal takes names of masks and scans that an approval rule names under reveal",
            columns=(),
        )
    uncounted = not isinstance(understood, Statement) or understood.extent.uncounted
    # What depends on the clock only is the session's to look at.
    sure = [rule for rule in rules if outright(rule, uncounted=uncounted) and not rule.hours]
    if not sure:
        return replace(decision, approvals=rules)
    strictest = replace(decision, approvals=rules).strictest
    name = f"approvals.{strictest.name}" if strictest else ""
    return replace(
        decision,
        outcome="asks",
        rule=f"approvals.{sure[0].name}",
        reason="people have to approve of this first",
        hint=f"the strictest rule is {name}" if len(rules) > 1 else "",
        approvals=rules,
    )
