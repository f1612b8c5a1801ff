"""What a statement may do with a protected value besides giving it out: `predicates`.

1. Under ``none`` a value is not compared at all, under ``equality`` for equality only: with
   a constant, or with a column that lies under the same rule. ``any`` allows all of it.
2. Ordering and grouping compare values with each other, which is more than equality.
3. An expression that can fail, or give more or fewer rows, tells of the value that it is
   computed from: only measures of scanned text may be in it.
"""

from __future__ import annotations

from tracewall.policy.model import Mask, Predicates, Scan
from tracewall.policy.refused import Refused, named, shows_more
from tracewall.policy.rights import Rights
from tracewall.sql.flow import Column, How, Use

_STRICTNESS: dict[Predicates, int] = {"any": 0, "equality": 1, "none": 2}


def check_use(use: Use, rights: Rights) -> None:
    """Refuse what may not be done with a protected column; raises `Refused`."""
    if rights.clear(use.flow) and rights.clear(use.other):
        return
    for column in sorted({source.column for source in use.flow | use.other}):
        for rule in rights.shown(column).rules:
            if not _may_use(use, column, rule, rights):
                spelled = rights.spelled(column)
                if use.how == "compute":
                    raise shows_more(rule, spelled)
                raise _compares(use.how, rule, spelled)


def _may_use(use: Use, column: Column, rule: Mask | Scan, rights: Rights) -> bool:
    strictness = _STRICTNESS[rule.predicates]
    if strictness == 0:
        return True
    if use.how == "compute":
        # A measure of scanned text is clear, and so is what is computed from it.
        hows = {source.how for source in use.flow if source.column == column}
        return isinstance(rule, Scan) and hows == {How.MEASURED}
    if strictness == 2 or use.how not in ("equality", "join"):
        return False
    if use.how == "equality":
        return True
    # A join tells which values are equal: the other side must be as protected.
    return all(rule.name in rights.shown(source.column).names for source in (*use.flow, *use.other))


def _compares(how: str, rule: Mask | Scan, spelled: str) -> Refused:
    if how in _BY_ITSELF:
        reason, hint = _BY_ITSELF[how]
    else:
        told = _ONLY_JOINED if (how, rule.predicates) == ("join", "equality") else _COMPARED
        reason, hint = told[rule.predicates]
    return Refused(named(rule), f"{spelled} is protected: {reason}", hint)


_BY_ITSELF = {
    "sort": (
        "rows may not be ordered by it, nor its least or greatest value taken",
        "order by another column, or sort the rows that come back",
    ),
    "group": (
        "rows may not be grouped or told apart by it",
        "group by another column; DISTINCT and UNION tell rows apart by all that they select, "
        "UNION ALL does not",
    ),
}
_COMPARED: dict[Predicates, tuple[str, str]] = {
    "none": (
        "it may not be compared at all",
        "select it without filtering, sorting, grouping or joining by it",
    ),
    "equality": (
        "it may be compared for equality only",
        "compare it with parameters by = or IN, or join it to a column under the same mask",
    ),
}
_ONLY_JOINED: dict[Predicates, tuple[str, str]] = {
    "equality": (
        "it may be joined only to a column under the same mask",
        "join by another column, or compare it with parameters by = or IN",
    ),
}
