"""What may be stored where: a protected value as it is, in what is as protected.

1. A column into which a value is written lies under every rule that the value lay under.
2. Nobody sees that column in clear from whom the value is hidden where it was.
3. A part of a value, or what is computed from it or converted, could show there what its
   mask hides, or be compared piece by piece: it is stored nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from tracewall.policy.model import Mask, Scan
from tracewall.policy.refused import Refused, named
from tracewall.policy.rights import Rights
from tracewall.sql.flow import How, Source, Write


def check_write(write: Write, rights: Rights) -> None:
    """Refuse to store what may not be stored there; raises `Refused`."""
    held = rights.stored(write.target).names
    for source in sorted(write.flow):
        rules: tuple[Mask | Scan, ...] = (
            *rights.stored(source.column).masks,
            *_leaking_scans(source, rights),
        )
        for rule in rules:
            if rule.name not in held or rights.escapes(rule, source.column, write.target):
                raise Refused(
                    named(rule),
                    f"a value of {rights.spelled(source.column)} may not be written into "
                    f"{rights.spelled(write.target)}, which is less protected",
                )
            of_other_type = rights.type_of(source.column) != rights.type_of(write.target)
            if not _keeps(rule, source.how, of_other_type):
                raise Refused(
                    named(rule),
                    f"what is taken or computed from {rights.spelled(source.column)} may not be "
                    f"written into {rights.spelled(write.target)}, where less of it may be hidden",
                    "write literals or parameters, or the column as it is",
                )


def _keeps(rule: Mask | Scan, how: How, of_other_type: bool) -> bool:
    """Tell whether a rule hides as much of what it lies on once that is stored again."""
    if of_other_type and isinstance(rule, Mask) and rule.method.name in ("date", "number"):
        # The server would convert it first, by the session's time zone or by rounding.
        return False
    if how in (How.EXACT, How.AMONG, How.PART, How.COMPARED):
        return True
    if isinstance(rule, Scan):
        # What lay under a telling key counts as computed.
        kept = how in (How.TAKEN, How.MEASURED)
        return kept or (how is How.SLICED and rule.slices == "allow")
    return how is How.MEASURED if rule.inside else how is How.TAKEN


def _leaking_scans(source: Source, rights: Rights) -> Iterator[Scan]:
    if source.how not in (How.MEASURED, How.COMPARED):
        yield from rights.stored(source.column).scans
