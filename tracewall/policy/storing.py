"""What may be stored where: a protected value as it is, in what is as protected.

1. A column into which a value is written lies under every rule that the value lay under.
2. Nobody sees that column in clear from whom the value is hidden where it was. One person
   may have what several grants lift; what is lifted for some rows only may hide others.
3. A part of a value, or what is computed from it or converted, could show there what its
   mask hides, or be compared piece by piece: it is stored nowhere.
4. What goes into a partitioned table lands in any of its partitions: each has to lie under
   those rules. Rows can be moved between partitions, so that none is updated by way of the
   table where rules lie on some of them only.
"""

from __future__ import annotations

from collections.abc import Iterator

from tracewall.policy.covering import column_name, covers, is_on, lifts, reaches
from tracewall.policy.model import Grant, Mask, Scan
from tracewall.policy.refused import Refused, named
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Relation
from tracewall.sql.flow import Access, Column, How, Source, Write
from tracewall.sql.statement import inherited


def check_write(write: Write, rights: Rights) -> None:
    """Refuse to store what may not be stored there; raises `Refused`."""
    held = _held(write.target, rights)
    for source in sorted(write.flow):
        rules: tuple[Mask | Scan, ...] = (
            *rights.stored(source.column).masks,
            *_leaking_scans(source, rights),
        )
        for rule in rules:
            if rule.name not in held or escapes(rule, source.column, write.target, rights):
                raise Refused(
                    named(rule),
                    f"a value of {rights.spelled(source.column)} may not be written into "
                    f"{rights.spelled(write.target)}, which is less protected",
                    "write literals or parameters",
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


def check_moves(access: Access, rights: Rights) -> None:
    """Refuse an update by which rows could leave partitions that are protected otherwise."""
    if access.action != "update" or not access.attnum or not access.relation:
        return
    for column in rights.catalog.relations[access.relation].columns:
        target = (access.relation, column.attnum)
        held = _held(target, rights)
        for rule in rights.stored(target).rules:
            # Where it is lifted on one of them, it lies on that one less.
            if rule.name not in held or any(
                escapes(rule, target, beneath, rights) for beneath in _beneath(target, rights)
            ):
                raise Refused(
                    named(rule),
                    f"{rights.spelled(target)} is protected in some partitions only, between which "
                    "an update may move rows",
                    "update the partition itself",
                )


def _held(target: Column, rights: Rights) -> frozenset[str]:
    """Give the rules that lie on a column wherever its values land."""
    held = rights.stored(target).names
    for beneath in _beneath(target, rights):
        held &= rights.stored(beneath).names
    return held


def _beneath(column: Column, rights: Rights) -> Iterator[Column]:
    """Give a partitioned table's column in each of its partitions."""
    relation = rights.catalog.relations[column[0]]
    if relation.kind != "p":
        return
    name = column_name(relation, column[1])
    for kin in rights.catalog.family[relation.oid]:
        found = kin.column(name)
        if found is not None and _is_beneath(kin, relation, rights):
            yield kin.oid, found.attnum


def _is_beneath(relation: Relation, above: Relation, rights: Rights) -> bool:
    known = rights.catalog.relations
    parents = [known[oid] for oid in relation.parents if oid in known]
    return any(each.oid == above.oid or _is_beneath(each, above, rights) for each in parents)


def escapes(rule: Mask | Scan, source: Column, target: Column, rights: Rights) -> bool:
    """Tell whether somebody may see `target` without a rule that hides `source` from the caller.

    Whoever sees a value in clear could write it down anyway. A column is clear to whom the
    rule is lifted wherever it lies: on the column itself, its heirs, and beneath a view.
    """
    lifting = [grant for grant in rights.policy.grants if lifts(grant, rule)]
    if not lifting or rule.name not in rights.shown(source).names:
        return False
    clear = set(_laid(rule, target, rights))
    return any(
        all(any(_is_on(g, at) and not _is_whole(g, hidden) for g in lifting) for at in clear)
        for hidden in _laid(rule, source, rights)
    )


def _laid(rule: Mask | Scan, column: Column, rights: Rights) -> Iterator[tuple[Relation, str]]:
    """Give the places, relation and column's name, where a rule lies that protects a column."""
    name = column_name(rights.catalog.relations[column[0]], column[1])
    for kin in rights.catalog.family[column[0]]:
        if reaches(rule.columns, kin.schema, kin.name, name):
            yield kin, name
    for beneath in inherited(column, rights.catalog):
        yield from _laid(rule, beneath, rights)


def _is_on(grant: Grant, place: tuple[Relation, str]) -> bool:
    relation, name = place
    return is_on(grant, relation) and covers(grant.columns, name)


def _is_whole(grant: Grant, place: tuple[Relation, str]) -> bool:
    return grant.rows is None and _is_on(grant, place)
