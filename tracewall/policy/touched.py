"""What a statement touches, and how strongly the record of it is to be kept for that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import get_args

from tracewall.policy.model import DATA_CHANGES, Durability, Grant, Mask, Scan
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Catalog
from tracewall.sql.flow import Access
from tracewall.sql.statement import Statement, Understanding

_STRENGTHS = get_args(Durability)


def columns(understood: Understanding, catalog: Catalog) -> dict[str, list[str]]:
    """Give the columns that a statement touches, by relation, in the order of the tables."""
    touched: dict[int, set[int]] = {}
    for _, oid, attnum, _, _ in understood.accesses:
        numbers = touched.setdefault(oid, set())
        if attnum > 0:
            numbers.add(attnum)
    found: dict[str, list[str]] = {}
    for oid, numbers in touched.items():
        relation = catalog.relations.get(oid)
        listed = relation.columns if relation is not None and numbers else ()
        names = [column.name for column in listed if column.attnum in numbers]
        if relation is not None and names:
            found[relation.qualified] = names
    return found


def kept(understood: Understanding, rights: Rights) -> str:
    """Give how strongly a statement is to be recorded, if rules ask for more than the log's own.

    What can't be followed may do anything, so the strongest rule of all is held to.
    """
    if not rights.strengthened:
        return ""
    followed = isinstance(understood, Statement)
    asked = _asked(understood.accesses, rights) if followed else _all(rights)
    strongest = max((_STRENGTHS.index(each) for each in asked if each), default=0)
    own = _STRENGTHS.index(rights.policy.audit.durability)
    return _STRENGTHS[strongest] if strongest > own else ""


def writes(understood: Understanding) -> bool:
    """Tell whether a statement may change data; what can't be followed may."""
    if not isinstance(understood, Statement):
        return True
    return any(access.action in DATA_CHANGES for access in understood.accesses)


def searched(understood: Understanding, rights: Rights) -> tuple[Scan, ...]:
    """Give the scans whose marks a statement may not write, for it writes what they search."""
    if not isinstance(understood, Statement):
        return ()
    updated = {access.relation for access in understood.accesses if access.action == "update"}
    return tuple(
        dict.fromkeys(
            scan
            for target, _ in understood.writes
            for scan in rights.shown(target).scans
            if scan.write_back == "refuse_writes"
            or (scan.write_back == "refuse_updates" and target[0] in updated)
        )
    )


def _asked(accesses: Iterable[Access], rights: Rights) -> Iterator[str]:
    if rights.trusted is not None:
        yield rights.trusted.audit
    for access in accesses:
        if access.action in DATA_CHANGES:
            yield rights.policy.audit.writes
        if not access.relation:
            continue
        for side in rights.sides:
            verdict = side.verdict(access.action, access.relation, access.attnum)
            if isinstance(verdict, Grant):
                yield verdict.audit
        for mask in rights.stored((access.relation, access.attnum)).masks:
            yield mask.audit


def _all(rights: Rights) -> Iterator[str]:
    yield rights.policy.audit.writes
    rules: tuple[Grant | Mask, ...] = (*rights.policy.grants, *rights.policy.masks)
    yield from (rule.audit for rule in rules)
