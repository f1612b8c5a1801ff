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


_SECTIONS = {Mask: "masks", Scan: "scans", Denial: "denials", Grant: "grants"}
