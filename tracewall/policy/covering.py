"""Which names a rule's patterns are about, and what of a rule is left where parts are lifted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tracewall.masking.messages import CLASSES
from tracewall.policy.glob import Glob
from tracewall.policy.model import Grant, Mask, Policy, Scan
from tracewall.sql.catalog import Relation
from tracewall.sql.system import OWN


def is_on(grant: Grant, relation: Relation) -> bool:
    """Tell whether a grant is about a relation."""
    tables = grant.tables
    if relation.schema in OWN:
        # Who grants everything means what the database holds, not what the server tells of it.
        tables = tuple(glob for glob in tables if glob.text.startswith(f"{relation.schema}."))
    return covers(tables, relation.qualified)


def hits(rule: Mask | Scan, column: tuple[str, str, str], lifted: frozenset[str]) -> bool:
    """Tell whether a rule lies on a column (schema, table, column), unless it is lifted."""
    return rule.name not in lifted and reaches(rule.columns, *column)


def may_hit(rule: Mask | Scan, schema: str, table: str) -> bool:
    """Tell whether a rule lies on some column, of whatever name, of a relation."""
    return any(glob.begins(schema, table) for glob in rule.columns)


def classes(mask: Mask) -> tuple[str, ...]:
    """Give the classes of a preset's documents that a mask hides; none without a preset."""
    return mask.classes or (CLASSES if mask.preset else ())


def liftable(policy: Policy) -> set[str]:
    """Give the names of all masks and scans, and of the classes of presets."""
    known = {mask.name for mask in policy.masks} | {scan.name for scan in policy.scans}
    return known | {f"{mask.name}.{each}" for mask in policy.masks for each in classes(mask)}


def lifts(grant: Grant, rule: Mask | Scan) -> bool:
    """Tell whether a grant lifts a rule, or a part of it."""
    names = (lift.partition(".")[0] for lift in grant.lifts)
    return "select" in grant.actions and rule.name in names


def lessened(mask: Mask, lifted: frozenset[str]) -> Mask | None:
    """Give what is left of a mask when some of its classes are lifted."""
    left = tuple(each for each in classes(mask) if f"{mask.name}.{each}" not in lifted)
    if left == classes(mask):
        return mask
    return replace(mask, classes=left) if left else None


def covers(globs: Iterable[Glob], name: str) -> bool:
    """Tell whether one of the patterns matches a name, as what gives something has to."""
    return any(glob.matches(name) for glob in globs)


def reaches(globs: Iterable[Glob], *names: str) -> bool:
    """Tell whether one of the patterns reaches a dotted name, as what takes or hides does."""
    return any(glob.reaches(*names) for glob in globs)


def spells(globs: Iterable[Glob], name: str) -> bool:
    """Tell whether one of the patterns is a name, without any wildcard."""
    return any(glob.text == name for glob in globs)


def covers_all(globs: Iterable[Glob]) -> bool:
    """Tell whether one of the patterns is about every name."""
    return any(not glob.text.strip("*") for glob in globs)


def with_sources(relation: Relation, attnum: int) -> list[str]:
    """Give the names of a column and, for a generated one, of those that it is computed from."""
    uses = next((c.uses for c in relation.columns if c.attnum == attnum), ())
    return [column_name(relation, number) for number in (attnum, *uses)]


def column_name(relation: Relation, attnum: int) -> str:
    """Give the name of a column by its number; empty for none."""
    return next((c.name for c in relation.columns if c.attnum == attnum), "")
