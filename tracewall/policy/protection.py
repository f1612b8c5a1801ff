"""What lies on a column: masks and scans."""

from __future__ import annotations

from dataclasses import dataclass

from tracewall.policy.model import Mask, Scan


@dataclass(frozen=True, slots=True)
class Protection:
    """The masks and scans that lie on a column."""

    masks: tuple[Mask, ...] = ()
    scans: tuple[Scan, ...] = ()

    @property
    def rules(self) -> tuple[Mask | Scan, ...]:
        """All of them."""
        return (*self.masks, *self.scans)

    @property
    def names(self) -> frozenset[str]:
        """The names of the rules."""
        return frozenset(rule.name for rule in self.rules)


BARE = Protection()
"""No protection at all."""
