"""How two policies differ on a statement, and which of the differences loosen the guard.

What can't be ranked counts as loosening: another mask may show more than the one before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tracewall.judge import decision_by
from tracewall.policy.enforcement import in_force
from tracewall.policy.meaning import meaning
from tracewall.policy.model import Decision, Mask, OutputColumn, Policy, Scan
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Catalog
from tracewall.trials.corpus import Sample
from tracewall.trials.format import Party

_RANKS = {"forbidden": 0, "asks": 1, "allowed": 2}
_TOTAL = frozenset({"redact", "null", "constant"})
"""Masks that show nothing of a value."""

LOOSENING = frozenset(
    {
        *("newly allowed", "asks less", "masked less", "masked otherwise", "more rows"),
        *("not followed", "settings loosened"),
    }
)
"""The kinds of difference that may let somebody have more than before."""


class Difference(NamedTuple):
    """One difference: of what ``kind``, for ``who``, in ``what``; ``before`` and ``now``."""

    kind: str
    who: str
    what: str
    before: str
    now: str

    @property
    def loosens(self) -> bool:
        """True where somebody may have more than before."""
        return self.kind in LOOSENING


class Side:
    """One of the two policies that are compared: judges by it, for any principal."""

    def __init__(self, policy: Policy, catalog: Catalog) -> None:
        self.policy, self.catalog = policy, catalog
        self._force = in_force(policy)
        self._rights: dict[tuple[frozenset[str], ...], Rights] = {}

    def rights(self, party: Party) -> Rights:
        """Give what a principal may do."""
        key = tuple(map(frozenset, (party.groups, *party.actors)))
        if key not in self._rights:
            self._rights[key] = Rights(self._force, self.catalog, key[0], key[1:])
        return self._rights[key]

    def decide(self, sql: str, party: Party) -> Decision:
        """Give the decision on a statement."""
        return decision_by(sql.encode(), self.rights(party))


def compared(
    sample: Sample, parties: Sequence[Party], old: Side, new: Side
) -> Iterator[Difference]:
    """Give how two policies differ on a statement, for whoever sends it."""
    for party in parties if sample.party is None else (sample.party,):
        before, now = old.decide(sample.sql, party), new.decide(sample.sql, party)
        for kind, was, becomes in differences(before, now):
            yield Difference(kind, party.name, sample.sql, was, becomes)


def differences(old: Decision, new: Decision) -> Iterator[tuple[str, str, str]]:
    """Give how two decisions on the same statement differ: the kind, before, and now."""
    was, becomes = _RANKS[old.outcome], _RANKS[new.outcome]
    if becomes == 0:
        if was:
            yield "newly refused", _outcome(old), _outcome(new)
        return
    if was == 0:
        yield "newly allowed", _outcome(old), _outcome(new)
        return
    yield from _asking(old, new)
    if new.unfollowed != old.unfollowed:
        kind = "not followed" if new.unfollowed else "masked more"
        yield kind, _outcome(old), _outcome(new)
    yield from _columns(old.columns, new.columns)


def _asking(old: Decision, new: Decision) -> Iterator[tuple[str, str, str]]:
    before, now = ([_bare(rule) for rule in d.approvals] for d in (old, new))
    told = [", ".join(rule.name for rule in d.approvals) or "nobody" for d in (old, new)]
    if any(rule not in now for rule in before):
        yield "asks less", f"asks by {told[0]}", f"asks by {told[1]}"
    elif any(rule not in before for rule in now):
        yield "asks more", f"asks by {told[0]}", f"asks by {told[1]}"


def _columns(
    old: Sequence[OutputColumn], new: Sequence[OutputColumn]
) -> Iterator[tuple[str, str, str]]:
    for before, now in zip(old, new, strict=False):
        rules = [[each for each in (c.mask, *c.scans) if each is not None] for c in (before, now)]
        kind = masking(rules[0], rules[1])
        if kind:
            told = [spelled(each, exactly=kind == "masked otherwise") for each in rules]
            yield kind, f"{before.name}: {told[0]}", f"{now.name}: {told[1]}"


def spelled(rules: Sequence[Mask | Scan], *, exactly: bool = False) -> str:
    """Name what lies on a value; `exactly` has what each rule says, too."""
    names = [f"{'masks' if isinstance(rule, Mask) else 'scans'}.{rule.name}" for rule in rules]
    if exactly:
        names = [f"{name} {json.dumps(_bare(r))}" for name, r in zip(names, rules, strict=True)]
    return ", ".join(names) or "clear"


def masking(old: Sequence[Mask | Scan], new: Sequence[Mask | Scan]) -> str:
    """Tell how what lies on a value differs: ``masked less``, ``more``, ``otherwise`` or not."""
    before, now = ([_bare(rule) for rule in rules] for rules in (old, new))
    if before == now:
        return ""
    if all(rule in now for rule in before) or (_hides_all(new) and not _tighter(old, new)):
        return "masked more"
    if all(rule in before for rule in now):
        return "masked less"
    return "masked otherwise"


def _hides_all(rules: Sequence[Mask | Scan]) -> bool:
    masks = [rule for rule in rules if isinstance(rule, Mask) and not rule.inside]
    return any(mask.method.name in _TOTAL for mask in masks)


def _tighter(old: Sequence[Mask | Scan], new: Sequence[Mask | Scan]) -> bool:
    """Tell whether what may be done with the value was held tighter before."""
    ranks = {"any": 0, "equality": 1, "none": 2}
    most = [max((ranks[rule.predicates] for rule in rules), default=0) for rules in (old, new)]
    gives = [any(isinstance(r, Mask) and r.expressions == "mask" for r in x) for x in (old, new)]
    return most[0] > most[1] or gives[1] > gives[0]


def _bare(rule: Any) -> Any:
    """Give what a rule means, apart from its name and from where it applies."""
    told = meaning(rule)
    return {key: told[key] for key in told if key not in ("name", "columns", "tables", "groups")}


def _outcome(decision: Decision) -> str:
    told = f"{decision.outcome} by {decision.rule}"
    if decision.outcome == "forbidden":
        return told
    masked = [f"{c.name} by {c.rule}" for c in decision.columns if c.rule]
    return f"{told}, masks {', '.join(masked)}" if masked else f"{told}, masks nothing"
