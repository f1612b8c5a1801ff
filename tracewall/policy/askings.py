"""What the rules that ask say against the rest of a policy, and which of them ask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeAlias

from tracewall.policy.covering import classes
from tracewall.policy.locate import Place
from tracewall.policy.model import FREE_ACTIONS, TABLE_ACTIONS, Approval, Decision, Policy
from tracewall.policy.reading import Reading, did_you_mean, listed
from tracewall.policy.rights import Rights
from tracewall.sql.flow import Access
from tracewall.sql.statement import Statement, Understanding

Raw: TypeAlias = dict[str, Any]

_CONDITIONS = (
    *("actions", "tables", "columns", "protected", "no_where", "rows", "bytes", "runs", "hours"),
    "reveal",
)
_OPEN = frozenset({"anything", "do", "call", "prepare"})
"""What can't be followed, and could do any of the other actions besides."""
_UNCONDITIONAL = frozenset({"update", "delete", "truncate"})


def liftable(policy: Policy) -> set[str]:
    """Give the names of all masks and scans, and of the classes of presets."""
    known = {mask.name for mask in policy.masks} | {scan.name for scan in policy.scans}
    return known | {f"{mask.name}.{each}" for mask in policy.masks for each in classes(mask)}


def complain_of_approvals(policy: Policy, raw: Raw, root: Place, reading: Reading) -> None:
    """Give `reading` what is contradictory in the rules that ask."""
    _complain_of_webhook(policy, root, reading)
    if "approvals" not in root.inside:
        return
    places = list(root.inside["approvals"].inside.values())
    if not policy.approval.keys:
        help = "write keys = [...] under [approval]; tracewall audit keygen NAME makes a pair"
        reading.wrong(places[0], "nobody could decide: no key of approvers is known", help)
    for rule, written, place in zip(policy.approvals, raw["approvals"], places, strict=True):
        for key, message, help in _wrong(rule, written):
            reading.wrong(place.inside[key] if key else place, message, help)
        for at, name in enumerate(written.get("reveal", ())):
            if name not in (known := liftable(policy)):
                help = did_you_mean(name, known, "reveal holds names of masks and scans")
                message = f"no mask and no scan is called '{name}'"
                reading.wrong(place.inside["reveal"].inside[at], message, help)


def _complain_of_webhook(policy: Policy, root: Place, reading: Reading) -> None:
    where = policy.approval
    if where.webhook and not (where.webhook_secret_env or where.webhook_secret_file):
        at = root.inside["approval"].inside["webhook"]
        help = "write webhook_secret_env or webhook_secret_file"
        reading.wrong(at, "nobody could tell that this webhook is yours", help)


def _wrong(rule: Approval, written: Raw) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with one rule: the key it is about, the message and the help."""
    if not written.keys() & set(_CONDITIONS):
        yield "", "this asks for every statement", f"write one of {listed(_CONDITIONS)}"
    if "per" in written and not rule.counts:
        yield "per", "nothing is counted over this time", "write rows, bytes or runs, too"
    if "runs" in written and not rule.per:
        yield "runs", "runs are counted over a time", 'write per = "1h", or the like'
    if "bytes" in written and not rule.per:
        yield "bytes", "bytes are counted over a time", 'write per = "1h", or the like'
    if "timezone" in written and not rule.hours:
        yield "timezone", "there are no hours that this is about", "write hours, or leave it out"
    if rule.no_where and rule.actions and rule.actions.isdisjoint(_UNCONDITIONAL):
        yield "no_where", "no action here has a condition to lack", f"add {listed(_UNCONDITIONAL)}"
    if not (rule.people and rule.expires and rule.valid):
        key = "expires" if not rule.expires else "valid"
        yield key, "in no time nobody can decide", "write a length of time above 0"
    free = rule.actions.intersection(FREE_ACTIONS)
    if free and (written.keys() & {"tables", "columns", "protected", "rows", "bytes", "runs"}):
        help = "write a rule of its own for it"
        yield "actions", f"what {listed(sorted(free))} reaches is not known", help


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
    return not rule.tables or any(
        glob.reaches(kin.schema, kin.name) for glob in rule.tables for kin in family
    )


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
        if any(glob.reaches(*name) for glob in rule.columns for name in full):
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
