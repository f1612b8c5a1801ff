"""Judging by what is in force, and telling what the whole policy would have done.

1. What is sent, masked, asked or refused is what the policy in force says, no less.
2. What the whole policy says beyond that is added to what is recorded, and to nothing else.
3. When the time to observe is over, everything in force is enforced from the next statement
   on: nothing that was judged before is remembered past it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

from msgspec import structs

from tracewall.errors import PolicyError
from tracewall.judge import Judge, Judged, remember
from tracewall.policy.enforcement import (
    NOBODY,
    has_shadows,
    in_force,
    observed,
)
from tracewall.policy.model import Decision, Durability, Policy
from tracewall.shield import Shield, Written
from tracewall.sql.catalog import Catalog

_REMEMBERED_STATEMENTS = 10_000


OBSERVE_VARIABLE = "TRACEWALL_UNSAFE_OBSERVE"
"""The variable that agrees to observe the policy of ``TRACEWALL_CONFIG``; it has to be ``1``."""


class ObservedOnly(UserWarning):
    """A wall does not enforce its policy."""


def agreed() -> bool:
    """Tell whether the environment agrees that the policy it names is only observed."""
    return os.environ.get(OBSERVE_VARIABLE) == "1"


def check_observing(policy: Policy, agreed: bool) -> None:
    """Raise PolicyError for a policy that is only observed where the program has not agreed."""
    if policy.enforcement.mode == "observe" and not agreed:
        raise PolicyError(
            'the policy says mode = "observe", and the program has not agreed to that',
            path=policy.path,
            help="pass unsafe_observe=True where the wall is loaded (beside TRACEWALL_CONFIG: "
            f'set {OBSERVE_VARIABLE}=1), or write mode = "enforce"',
        )


def loudly(policy: Policy) -> str:
    """Warn that a policy is only observed, and give the words for the record."""
    told = policy.enforcement
    end = datetime.fromtimestamp(told.until or 0, UTC).isoformat(timespec="minutes")
    masks = "masks and scans are laid on" if told.masks == "enforce" else "nothing is masked"
    said = f"the policy is only observed until {end}; {masks}"
    warnings.warn(f"tracewall: {said}", ObservedOnly, stacklevel=5)
    return said


class Policies:
    """A policy, what of it is in force, and what while it is only observed.

    Args:
        policy: the whole policy.
        shield: its masks.
        observes: tells whether it is only observed now.
    """

    def __init__(self, policy: Policy, shield: Shield, observes: Callable[[], bool]) -> None:
        self._whole, self._shield, self._observes = policy, shield, observes
        self._plain = policy.enforcement.mode == "enforce" and not has_shadows(policy)
        if not self._plain:
            self._force, self._loose = in_force(policy), observed(policy)
            self._bare = observed(policy, grants=False)
            self._force_shield = shield.under(self._force)
            self._loose_shield = shield.under(self._loose)

    def judge(
        self,
        catalog: Catalog,
        groups: frozenset[str],
        actors: tuple[frozenset[str], ...],
        revealed: frozenset[str],
    ) -> Judge:
        """Make the judge of a set of groups, and of those who act for it, in a catalog."""
        whole = Judge(self._whole, catalog, groups, self._shield, actors, revealed)
        if self._plain:
            return whole
        force = Judge(self._force, catalog, groups, self._force_shield, actors, revealed)
        if self._whole.enforcement.mode == "enforce":
            return Observer(whole, force, force, self._observes)
        # A grant to "*" is for members of any group: without one, no mask is lifted by it.
        sides = [side or frozenset({NOBODY}) for side in (groups, *actors)]
        left = self._loose if all((groups, *actors)) else self._bare
        shield = self._loose_shield
        loose = Judge(left, catalog, sides[0], shield, tuple(sides[1:]), revealed)
        return Observer(whole, force, loose, self._observes)


class Observer(Judge):
    """Judges by what is in force now, and tells what the ``whole`` policy would have done."""

    __slots__ = ("_force", "_known", "_loose", "_observes", "_whole")

    def __init__(
        self, whole: Judge, force: Judge, loose: Judge, observes: Callable[[], bool]
    ) -> None:
        self._whole, self._force, self._loose = whole, force, loose
        self._observes = observes
        self._known: dict[tuple[bool, bytes], Judged] = {}
        # Never filled: whoever looks here first has to ask whether it still observes.
        self.said = {}

    @property
    def _now(self) -> Judge:
        return self._loose if self._observes() else self._force

    @property
    def trusts(self) -> bool:
        """True where whoever acts may do anything now, and nothing is protected from them."""
        return self._now.trusts

    def hear(self, channel: str, payload: str) -> str | None:
        """Give what may be heard of a notification now."""
        return self._now.hear(channel, payload)

    def judge(self, sql: bytes) -> Judged:
        """Give the judgement of what is in force now, with what would have been."""
        judge = self._now
        key = (judge is self._loose, sql)
        judged = self._known.get(key)
        if judged is None:
            judged = _told(judge.judge(sql), self._whole.judge(sql))
            remember(self._known, key, judged, _REMEMBERED_STATEMENTS)
        return judged

    def strictly(self, sql: bytes) -> Decision:
        """Give the decision of the whole policy."""
        return self._whole.judge(sql).decision

    def writing_back(self, sql: bytes, judged: Judged, data: Written) -> Judged:
        """Give the judgement of a statement that writes `data`: no mark may be written back."""
        return self._now.writing_back(sql, judged, data)


def _told(done: Judged, whole: Judged) -> Judged:
    would = _would(done.decision, whole.decision)
    # Rules that are not in force may still want the record kept strongly.
    kept = max(done.what.kept, whole.what.kept, key=("", *get_args(Durability)).index)
    return replace(done, what=structs.replace(done.what, would=would, kept=kept))


def _would(done: Decision, whole: Decision) -> dict[str, str]:
    """Tell what the whole policy would have done that was not done; empty: nothing."""
    if done.outcome == "forbidden":
        return {}
    if whole.outcome == "forbidden":
        told = {"outcome": "would_refuse", "rule": whole.rule, "reason": whole.reason}
        return told | ({"unreadable": "true"} if whole.unreadable else {})
    asking = [rule.name for rule in whole.approvals if rule not in done.approvals]
    masks = _unmasked(done, whole)
    told = {"masks": ", ".join(masks)} if masks else {}
    if asking:
        surely = whole.outcome == "asks"
        reason = "people are asked" if surely else "people may be asked, when rows are counted"
        rule = ", ".join(f"approvals.{name}" for name in asking)
        return {"outcome": "would_ask", "rule": rule, "reason": reason} | told
    return {"outcome": "would_mask", "rule": ", ".join(masks)} if masks else {}


def _unmasked(done: Decision, whole: Decision) -> list[str]:
    """Give the rules that mask an output position by the whole policy, and did not."""
    shown: Mapping[int, str] = {at: column.rule for at, column in enumerate(done.columns)}
    rules: dict[str, None] = {}
    for at, column in enumerate(whole.columns):
        laid = shown.get(at, "").split(", ")
        missing = (rule for rule in column.rule.split(", ") if rule and rule not in laid)
        rules |= dict.fromkeys(missing)
    return list(rules)
