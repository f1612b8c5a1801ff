"""What in a policy does nothing, or reaches further than it seems, in a live catalog.

Everything here is valid, and may be meant: it is for people to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from tracewall.policy.covering import covers_all
from tracewall.policy.extent import Extents, covered, meet
from tracewall.policy.fitting import ColumnType
from tracewall.policy.model import DATA_CHANGES, Denial, Grant, Mask, Policy, Scan
from tracewall.policy.reviewed import Remark, Reviewed
from tracewall.policy.rights import Rights
from tracewall.policy.rows import held, is_filtered
from tracewall.policy.uncovered import alike, misfits, opaque, telling
from tracewall.sql.catalog import Catalog
from tracewall.sql.flow import Column


def review(
    policy: Policy,
    catalog: Catalog,
    types: Mapping[int, ColumnType],
    keys: tuple[tuple[Column, Column], ...],
) -> list[Remark]:
    """Look at a policy beside a catalog that all its patterns match; in the order of the file.

    Args:
        policy: what is looked at.
        catalog: what the database has.
        types: the types of its columns, by their oids.
        keys: pairs of columns that a foreign key holds equal.
    """
    rights = Rights(policy, catalog, frozenset())
    seen = Reviewed(policy, catalog, types, keys, Extents(catalog), rights)
    looks: tuple[Callable[[Reviewed], Iterable[Remark]], ...] = (
        _ineffective, _redundant, _idle_denials, _idle_lifts, _idle_masks, _broad, _functions,
        _recordings, _unheld, _meeting, misfits, alike, telling, opaque,
    )  # fmt: skip
    found = dict.fromkeys(remark for look in looks for remark in look(seen))
    return sorted(found, key=lambda remark: (remark.line, remark.column, remark.check))


# --- rules that do nothing ----------------------------------------------------------------


def _ineffective(seen: Reviewed) -> Iterator[Remark]:
    for grant in seen.policy.grants:
        for denial in seen.policy.denials:
            if _takes(denial, grant, seen.extents):
                yield Remark(
                    "ineffective", "warning",
                    f"grants.{grant.name} gives nothing: denials.{denial.name} takes all of it",
                    "leave the grant out, or narrow the denial", grant.line,
                )  # fmt: skip
                break


def _takes(denial: Denial, grant: Grant, extents: Extents) -> bool:
    if not (grant.tables and grant.actions <= denial.actions):
        return False
    inside = extents.columns(grant) <= extents.columns(denial)
    return inside and covered(grant.groups, denial.groups)


def _redundant(seen: Reviewed) -> Iterator[Remark]:
    grants = seen.policy.grants
    for at, grant in enumerate(grants):
        for other_at, other in enumerate(grants):
            if other is grant or not _gives(other, grant, seen.extents):
                continue
            if other_at > at and _gives(grant, other, seen.extents):
                continue  # They say the same: the later one is told of.
            yield Remark(
                "shadowed", "note",
                f"grants.{grant.name} gives nothing that grants.{other.name} does not give",
                "leave it out, or narrow the wider one", grant.line,
            )  # fmt: skip
            break


def _gives(wider: Grant, grant: Grant, extents: Extents) -> bool:
    same = wider.rows is None or wider.rows == grant.rows
    narrower = grant.actions <= wider.actions and grant.lifts <= wider.lifts
    if not (same and narrower and grant.audit in ("", wider.audit)):
        return False
    reached = (
        extents.columns(grant) <= extents.columns(wider)
        and set(extents.tables(grant)) <= set(extents.tables(wider))
        and covered(grant.channels, wider.channels)
        and _whole(grant, wider)
    )
    return reached and covered(grant.groups, wider.groups)


def _whole(grant: Grant, wider: Grant) -> bool:
    # Tables that are not there yet count too: what only happens to be the same stays.
    return covered(grant.tables, wider.tables) and covered(grant.columns, wider.columns)


def _idle_denials(seen: Reviewed) -> Iterator[Remark]:
    for denial in seen.policy.denials:
        if denial.tables and not any(_touches(denial, g, seen.extents) for g in seen.policy.grants):
            yield Remark(
                "ineffective", "note",
                f"denials.{denial.name} takes nothing that a grant gives",
                "it stays of use against grants to come; else leave it out", denial.line,
            )  # fmt: skip


def _touches(denial: Denial, grant: Grant, extents: Extents) -> bool:
    tables = {relation.oid for relation in extents.tables(denial)}
    kin = {kin.oid for oid in tables for kin in extents.catalog.family[oid]}
    there = any(relation.oid in kin for relation in extents.tables(grant))
    acts = not denial.actions.isdisjoint(grant.actions)
    return there and acts and meet(denial.groups, grant.groups)


def _idle_lifts(seen: Reviewed) -> Iterator[Remark]:
    both: tuple[Mask | Scan, ...] = (*seen.policy.masks, *seen.policy.scans)
    rules = {rule.name: rule for rule in both}
    for grant in seen.policy.grants:
        for name in sorted({lift.partition(".")[0] for lift in grant.lifts}):
            if not _lies_on(rules[name], seen.extents.columns(grant), seen):
                yield Remark(
                    "ineffective", "warning",
                    f"grants.{grant.name} lifts '{name}', which lies on none of its columns",
                    "lifts count on the columns that the mask names", grant.line,
                )  # fmt: skip


def _lies_on(rule: Mask | Scan, columns: Iterable[Column], seen: Reviewed) -> bool:
    return any(rule in seen.rights.stored(column).rules for column in columns)


def _idle_masks(seen: Reviewed) -> Iterator[Remark]:
    """Find masks and scans that everybody who may read the columns sees lifted."""
    readers = [grant for grant in seen.policy.grants if "select" in grant.actions]
    rules: tuple[Mask | Scan, ...] = (*seen.policy.masks, *seen.policy.scans)
    for rule in rules:
        mine = [g for g in readers if _lies_on(rule, seen.extents.columns(g), seen)]
        if mine and all(rule.name in g.lifts and g.rows is None for g in mine):
            kind = "masks" if isinstance(rule, Mask) else "scans"
            yield Remark(
                "ineffective", "warning",
                f"{kind}.{rule.name} hides nothing: each grant on its columns lifts it",
                "leave it out, or grant the columns without lifting it", rule.line,
            )  # fmt: skip


# --- what reaches far ---------------------------------------------------------------------


def _broad(seen: Reviewed) -> Iterator[Remark]:
    for grant in seen.policy.grants:
        for glob in grant.tables:
            if not glob.text.partition(".")[0].strip("*"):
                yield Remark(
                    "broad", "warning",
                    f"grants.{grant.name}: '{glob.text}' reaches every schema, those of the future"
                    " too",
                    "name the schemas", glob.line, glob.column,
                )  # fmt: skip
        if covers_all(grant.groups) and (grant.lifts or not DATA_CHANGES.isdisjoint(grant.actions)):
            what = "lifts masks" if grant.lifts else "lets rows be changed"
            yield Remark(
                "broad", "warning",
                f"grants.{grant.name} {what} for everybody who has a token",
                "name the groups", grant.line,
            )  # fmt: skip


def _recordings(seen: Reviewed) -> Iterator[Remark]:
    relations = [(r.schema, r.name) for r in seen.catalog.relations.values()]
    for rule in seen.policy.recordings:
        for glob in rule.tables:
            if not any(glob.reaches(*names) for names in relations):
                yield Remark(
                    "unknown", "error", f"'{glob.text}' matches no table of the database",
                    f"recordings.{rule.name} records nothing of it", glob.line, glob.column,
                )  # fmt: skip


def _functions(seen: Reviewed) -> Iterator[Remark]:
    kinds = (seen.catalog.functions, seen.catalog.operators)
    known = {f"{f.schema}.{f.name}" for own in kinds for found in own.values() for f in found}
    for rule in seen.policy.functions:
        for glob in rule.functions:
            if not any(glob.matches(name) for name in known):
                yield Remark(
                    "unknown", "error", f"'{glob.text}' matches no function of the database",
                    "names are as PostgreSQL stores them, schema first", glob.line, glob.column,
                )  # fmt: skip


# --- row filters --------------------------------------------------------------------------


def _unheld(seen: Reviewed) -> Iterator[Remark]:
    for relation in sorted(seen.catalog.relations.values(), key=lambda r: r.qualified):
        if not is_filtered(seen.policy, relation) or held(seen.policy, seen.catalog, relation):
            continue
        found = seen.catalog.row_security.get(relation.oid)
        filtering = (grant for grant in seen.policy.grants if grant.rows)
        line = next(g.line for g in filtering if relation in seen.extents.tables(g))
        if found is not None and found.exempt:
            why = f"for the role {seen.catalog.role}, which is exempt from row-level security"
            help = "log in as the role that the wall uses; it may be no superuser, nor BYPASSRLS"
        else:
            why, help = "as the policy says", "run what `tracewall rls` prints"
        message = f"the server does not hold the row filters of {relation.qualified} {why}"
        yield Remark("rows", "error", message, f"{help}; until then it is refused", line)


def _meeting(seen: Reviewed) -> Iterator[Remark]:
    """Find filtered grants that give what others do not give on the rows that they give."""
    for grant in seen.policy.grants:
        for other in seen.policy.grants if grant.rows else ():
            shared = grant.actions & other.actions
            if other.rows == grant.rows or not shared or not meet(grant.groups, other.groups):
                continue
            tables = {r.oid for r in seen.extents.tables(grant)} & {
                r.oid for r in seen.extents.tables(other)
            }
            more = {c for c in seen.extents.columns(grant) if c[0] in tables}
            if more - seen.extents.columns(other) or grant.lifts - other.lifts:
                yield Remark(
                    "rows", "warning",
                    f"who is in the groups of grants.{grant.name} and grants.{other.name} is"
                    " refused the columns, and keeps the masks, that only the former gives",
                    "give the same columns and lifts in both", grant.line,
                )  # fmt: skip
