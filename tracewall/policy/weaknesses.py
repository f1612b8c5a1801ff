"""What a policy lets through on purpose that weakens its guard: for people to look at again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import NamedTuple

from tracewall.policy.extent import meet
from tracewall.policy.model import (
    DATA_CHANGES,
    FREE_ACTIONS,
    TABLE_ACTIONS,
    Approval,
    Console,
    Grant,
    Issuer,
    Mask,
    Policy,
    Scan,
)


class Weakness(NamedTuple):
    """A rule that weakens the guard: its name, its line in the file, and how it does."""

    rule: str
    line: int
    how: str


def weaknesses(policy: Policy) -> list[Weakness]:
    """Return what weakens the guard of `policy`, in the order of the file."""
    found = [*_of_issuers(policy.issuers), *_of_grants(policy.grants)]
    found += [*_of_masks(policy.masks), *_of_scans(policy.scans), *_of_approvals(policy)]
    found += [*_of_console(policy.console)]
    found += [
        Weakness(f"functions.{rule.name}", rule.line, "vouches for functions nobody looks into")
        for rule in policy.functions
    ]
    if policy.enforcement.mode == "observe":
        found.append(Weakness("enforcement", 0, "refuses nothing while it is observed"))
    for section in ("denials", "masks", "scans", "approvals"):
        for rule in getattr(policy, section):
            if rule.shadow:
                how = "changes nothing: it is in shadow"
                found.append(Weakness(f"{section}.{rule.name}", rule.line, how))
    return sorted(found, key=lambda weakness: weakness.line)


def _of_issuers(issuers: tuple[Issuer, ...]) -> Iterator[Weakness]:
    for issuer in issuers:
        rule = f"issuers.{issuer.name}"
        if "" in (issuer.token_types or ()):
            yield Weakness(rule, issuer.line, "accepts tokens of any type, ID tokens too")
        if not issuer.max_lifetime:
            yield Weakness(rule, issuer.line, "accepts tokens of any lifetime")
    for issuer, other in permutations(issuers, 2):
        # Where both have the same prefix, it is told of one of them.
        first = issuer.groups_prefix != other.groups_prefix or issuer.line > other.line
        if first and other.groups_prefix.startswith(issuer.groups_prefix):
            how = f"can name groups that are those of the issuer '{other.name}': see groups_prefix"
            yield Weakness(f"issuers.{issuer.name}", issuer.line, how)


def _of_grants(grants: tuple[Grant, ...]) -> Iterator[Weakness]:
    for grant in grants:
        rule = f"grants.{grant.name}"
        if grant.lifts:
            yield Weakness(rule, grant.line, f"lifts {', '.join(sorted(grant.lifts))}")
        if free := [action for action in FREE_ACTIONS if action in grant.actions]:
            how = f"lets statements through that can't be followed: {', '.join(free)}"
            yield Weakness(rule, grant.line, how)


def _of_masks(masks: tuple[Mask, ...]) -> Iterator[Weakness]:
    for mask in masks:
        if mask.predicates == "any":
            how = "the masked values can be found out by comparing them"
            yield Weakness(f"masks.{mask.name}", mask.line, how)


def _of_scans(scans: tuple[Scan, ...]) -> Iterator[Weakness]:
    for scan in scans:
        if any(not each.strip("*") for each in scan.allow):
            how = "allows whatever it finds in one piece"
            yield Weakness(f"scans.{scan.name}", scan.line, how)
        if scan.slices == "allow":
            how = "pieces of text are shown, in which a detector may not know half a secret"
            yield Weakness(f"scans.{scan.name}", scan.line, how)


def _of_approvals(policy: Policy) -> Iterator[Weakness]:
    for rule in policy.approvals:
        for how in _weakly_asking(rule, policy):
            yield Weakness(f"approvals.{rule.name}", rule.line, how)


def _of_console(console: Console) -> Iterator[Weakness]:
    for what, globs in (("sessions", console.viewers), ("record", console.auditors)):
        if any(glob.text == "*" for glob in globs):
            yield Weakness("console", 0, f"shows the {what} to anybody who has a token")


def _weakly_asking(rule: Approval, policy: Policy) -> Iterator[str]:
    actions = rule.actions or frozenset(TABLE_ACTIONS)
    if not _reachable(rule, actions, policy):
        yield "asks for nothing: no grant lets these groups do what it is about"
    if rule.mode == "shape" and actions & DATA_CHANGES and not rule.reveal:
        yield "lets changes be repeated with other values than people saw (mode = 'shape')"
    approvers = {glob.text for glob in rule.approvers}
    if rule.break_glass and approvers <= {glob.text for glob in rule.break_glass}:
        yield "lets people go on alone whose own group reviews it: break_glass holds its approvers"
    if approvers <= {glob.text for glob in rule.groups} and "*" not in approvers:
        yield "has people decide for each other: its approvers are those who ask"
    if "*" in approvers:
        yield "lets anybody who has a token decide"
    if (
        rule.rows
        and not rule.per
        and not any(_counts_over(other, rule) for other in policy.approvals)
    ):
        yield "asks for no slices of fewer rows: no rule counts rows or runs over a time (per)"


def _reachable(rule: Approval, actions: frozenset[str], policy: Policy) -> bool:
    return any(
        actions.intersection(grant.actions) and meet(rule.groups, grant.groups)
        for grant in policy.grants
    )


def _counts_over(other: Approval, rule: Approval) -> bool:
    """Tell whether a rule counts over a time what another is about."""
    counts = other.per and (other.rows or other.runs) and other.groups and not other.hours
    tables = {glob.text for glob in other.tables}
    groups = {glob.text for glob in other.groups}
    everyone = "*" in groups or groups >= {glob.text for glob in rule.groups}
    everything = not tables or (bool(rule.tables) and tables >= {g.text for g in rule.tables})
    return bool(counts and everyone and everything and not (other.columns or other.protected))
