"""The goals that were set before anything was measured, and why one may be missed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit: at most so much, or at least; `why` says what stands against it."""

    limit: float
    why: str
    least: bool = False

    @property
    def said(self) -> str:
        """The limit in signs."""
        return f"{'≥' if self.least else '≤'} {self.limit:,.{0 if self.limit >= 10 else 2}f}"

    def met(self, value: float) -> bool:
        """Tell whether a value is within it, to the two digits that a figure is worth."""
        value = round(value, 2)
        return value >= self.limit if self.least else value <= self.limit


CALLS = (
    "fifteen per cent of a lookup is some seven microseconds: the record takes more than half of "
    "them, the rest goes to who acts, the text, the result, each time"
)
SYSTEM = (
    "the same, and the record is in the kernel before the statement leaves: two system calls "
    "that `buffered` does not make, and a line more"
)
SPANS = (
    "the span begins while the server is at work, but looking at each result, and the record, come "
    "on top of it"
)
PIECES = (
    "nothing is masked, so what it takes more is what each result takes, not each row: some "
    "hundred microseconds, less than by which ratios of clocks vary"
)
VALUES = (
    "a mask that depends on the value is Python for each value, where psycopg's own loaders are "
    "C; see [masks](masks.md)"
)
CONSTANT = "psycopg makes an object of each value for a loader that is not its own"
SIGHT = "both parsers read the text, and each column is followed; a text pays this once"
CLEAN = (
    "some words in the text look like the beginning of a find and are looked at in Python; see "
    "[how detectors find](detectors.md)"
)
FINDS = "each find is confirmed in Python: the time is that of the finds, not that of the text"
PLACES = (
    "nearly all of such a text is places that may be a find, and each is judged in Python; no "
    "value has more than 100,000 of them judged, see [how detectors find](detectors.md)"
)
MASKED = "the lookup's own cost, as above, and the calls that show the masks"
MANY_RULES = "the same code runs; thousands of rules leave less of the processor's cache to it"

GOALS = {
    ("lookup", "tracewall, record `buffered`"): Goal(1.15, CALLS),
    ("lookup", "tracewall, record `written`"): Goal(1.40, SYSTEM),
    ("lookup", "tracewall, two columns masked"): Goal(1.20, MASKED),
    **{
        ("spans", f"tracewall beside the package, {what}"): Goal(1.0, SPANS)
        for what in ("a lookup", "100 rows", "10,000 rows", "1,000 updates by executemany")
    },
    ("doors", "10,000 rows"): Goal(1.05, PIECES),
    ("doors", "10,000 rows, async"): Goal(1.05, PIECES),
    **{
        ("masks", f"{kind}, {method}"): Goal(limit, CONSTANT)
        for kind, limit in (("mixed types", 1.05), ("integers and texts", 1.10))
        for method in ("redact", "null")
    },
    **{
        ("masks", f"{kind}, {method}"): Goal(1.30, VALUES)
        for kind in ("mixed types", "integers and texts")
        for method in ("partial", "email", "hash")
    },
    ("judge", "first sight, point lookup"): Goal(0.15, SIGHT),
    ("judge", "first sight, report of 6 joins"): Goal(1.5, SIGHT),
    ("judge", "first sight, analytics of 206 lines"): Goal(15.0, SIGHT),
    ("judge", "seen before"): Goal(3.0, SIGHT),
    ("policy", "a lookup seen before, 10,000 rules beside 10"): Goal(1.05, MANY_RULES),
    ("text", "clean"): Goal(300.0, CLEAN, least=True),
    ("text", "a value each 10,000 bytes"): Goal(100.0, FINDS, least=True),
    ("text", "a value each 2,000 bytes"): Goal(100.0, FINDS, least=True),
    ("text", "hostile, the slowest of eight"): Goal(5.0, PLACES, least=True),
    ("record", "1,000,000 statements verified"): Goal(30.0, "each line is parsed and hashed"),
}
