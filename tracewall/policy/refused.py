"""How a rule refuses, while a statement is judged."""

from __future__ import annotations

from tracewall.policy.model import Denial, Grant, Mask, Scan


class Refused(Exception):
    """A rule refuses: its name, the reason and a hint."""

    def __init__(self, rule: str, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.rule, self.reason, self.hint = rule, reason, hint


def named(rule: Mask | Scan | Denial | Grant) -> str:
    """Give a rule's name as decisions tell it, with its section."""
    return f"{_SECTIONS[type(rule)]}.{rule.name}"


def shows_more(rule: Mask | Scan, spelled: str) -> Refused:
    """Refuse an expression that could show more of a column than its rule leaves to be seen."""
    if isinstance(rule, Mask):
        return Refused(
            named(rule),
            f"{spelled} is masked, and an expression over it would show more",
            "select the column itself"
            + (", or a part that the mask leaves clear" if rule.inside else "")
            + ": it comes back masked",
        )
    return Refused(
        named(rule),
        f"{spelled} is scanned, and what is computed from it could defeat the detectors",
        "select the column itself, or a whole part of a document (->, ->>)",
    )


_SECTIONS = {Mask: "masks", Scan: "scans", Denial: "denials", Grant: "grants"}
