"""What of a policy is only watched: the part of the file that says so, and what is left then.

1. A rule with ``shadow = true`` changes nothing: what it would take, hide or ask is recorded.
   So it can be tried before it is in force; with or without it the rest is the same.
2. With ``mode = "observe"`` everybody may do everything, and what the rules would have said
   is recorded. Masks and scans stay in force unless ``masks = "observe"``. It ends by itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

from tracewall.policy.kinds import Choice, Flag, Moment
from tracewall.policy.locate import Place
from tracewall.policy.model import (
    ACTIONS,
    Enforcement,
    EnforcementMode,
    Glob,
    Grant,
    Policy,
)
from tracewall.policy.reading import Reading
from tracewall.policy.sections import Key, Section
from tracewall.sql.system import OWN

_MODES = get_args(EnforcementMode)
_SHADOWS = ("denials", "masks", "scans", "approvals")

ENFORCEMENT = Section(
    Enforcement,
    "Whether the rules are enforced, or only observed for a time.",
    {
        "mode": Key(
            Choice(_MODES),
            "Whether what the rules are against is refused (enforce), or sent and recorded "
            "(observe); the program has to agree by unsafe_observe=True.",
        ),
        "until": Key(Moment(), "When observing ends, as 2026-01-31T12:00:00Z."),
        "masks": Key(Choice(_MODES), "Whether masks and scans are laid on while observing."),
    },
)
SHADOW = Key(Flag(), "Whether it changes nothing, and what it would do is recorded only.")
"""The key of rules that take, hide or ask."""

NOBODY = "\0nobody"
"""The group of those who have none, while a policy is observed."""

OBSERVED = "(observe)"
"""The name of the grant by which they may; no rule of a file can be called so."""


def complain_of_enforcement(policy: Policy, root: Place, reading: Reading) -> None:
    """Give `reading` what is contradictory in how a policy is enforced."""
    if "enforcement" not in root.inside:
        return
    found, place = policy.enforcement, root.inside["enforcement"]
    if found.mode == "observe" and not found.until:
        help = "write until = 2026-01-31T12:00:00Z: nobody forgets what ends by itself"
        reading.wrong(place.inside["mode"], "there is no end to observing", help)
    if found.mode == "observe" and any(grant.rows for grant in policy.grants):
        message = "row filters can't be held where everybody may do everything"
        reading.wrong(place.inside["mode"], message, "observe a policy without row filters")
    if found.mode == "enforce":
        for key in ("until", "masks"):
            if key in place.inside:
                help = 'write mode = "observe", or leave it out'
                reading.wrong(place.inside[key], "this goes with observing only", help)


def has_shadows(policy: Policy) -> bool:
    """Tell whether a policy has rules that change nothing."""
    return any(rule.shadow for section in _SHADOWS for rule in getattr(policy, section))


def in_force(policy: Policy) -> Policy:
    """Give a policy without the rules that change nothing; its hash stays."""
    if not has_shadows(policy):
        return policy
    left: dict[str, Any] = {
        section: tuple(rule for rule in getattr(policy, section) if not rule.shadow)
        for section in _SHADOWS
    }
    return replace(policy, **left)


def observed(policy: Policy, *, grants: bool = True) -> Policy:
    """Give what is left of a policy while it is only observed; its hash stays.

    Its `grants` lift masks; for those without any group they are left out.
    """
    everything = Grant(
        OBSERVED,
        (Glob("*", dots=True),),
        frozenset(ACTIONS),
        tables=(Glob("*.*"), *(Glob(f"{schema}.*") for schema in sorted(OWN))),
        channels=(Glob("*", dots=True),),
    )
    kept = policy.grants if grants else ()
    left = replace(in_force(policy), grants=(*kept, everything), denials=(), approvals=())
    if policy.enforcement.masks == "enforce":
        return left
    return replace(left, masks=(), scans=())
