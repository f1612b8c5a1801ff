"""What masks leave open: columns like the masked ones, and masks that do not suit a type."""

from __future__ import annotations

from collections.abc import Iterator

from tracewall.masking.documents import is_secret
from tracewall.policy.fitting import ColumnType, fit
from tracewall.policy.model import Glob, Grant, Mask
from tracewall.policy.reviewed import Remark, Reviewed
from tracewall.sql.catalog import Relation
from tracewall.sql.flow import Column
from tracewall.sql.quoting import verbatim
from tracewall.sql.statement import Statement, understand

_TEXT = 25
"""The oid of text (pg_type.dat)."""


def misfits(seen: Reviewed) -> Iterator[Remark]:
    """Find masks that keep nothing of a column, though their method keeps a part."""
    for mask in seen.policy.masks:
        if mask.inside:
            continue
        for glob in mask.columns:
            for column in seen.matched(glob):
                yield from _misfit(mask, glob, column, seen)


def _misfit(mask: Mask, glob: Glob, column: Column, seen: Reviewed) -> Iterator[Remark]:
    type = seen.type_of(column)
    made = fit(mask.method, _loaded(type, seen)) if type else ""
    if not type or not made:
        return
    usual = mask.method.name == "redact"
    shown = "NULL" if made == "none" else "a mark"
    yield Remark(
        "misfit", "note" if usual else "warning",
        f"masks.{mask.name}: '{mask.method.name}' shows every value of {seen.of(column)}"
        f" ({type.name}) as {shown}",
        "that hides it all the same; method = \"null\" says so" if usual else
        f"no part of a {type.name} is kept by this method: take another, or \"null\"",
        glob.line, glob.column,
    )  # fmt: skip


def _loaded(type: ColumnType, seen: Reviewed) -> ColumnType:
    """Give text for what an extension spells as text, as `citext`: it is loaded and masked so."""
    return type._replace(base=_TEXT) if type.base in seen.catalog.texts else type


def alike(seen: Reviewed) -> Iterator[Remark]:
    """Find columns in clear that a masked one has the name and type, or the values, of."""
    masked = [(mask, glob, c) for mask in seen.policy.masks for glob in mask.columns
              for c in seen.matched(glob)]  # fmt: skip
    readable = _readable(seen)
    named: dict[tuple[str, int], list[Column]] = {}
    for column in readable:
        if not seen.protected(column):
            named.setdefault(_looks(column, seen), []).append(column)
    tied = _tied(seen)
    for mask, glob, column in masked:
        same = named.get(_looks(column, seen), ()) if not mask.inside else ()
        for other in dict.fromkeys((*same, *tied.get(column, ()))):
            if other in readable and not seen.protected(other):
                by = "a foreign key holds the same values in" if other in tied.get(column, ()) \
                    else "the same name and type has"  # fmt: skip
                yield Remark(
                    "look-alike", "warning",
                    f"masks.{mask.name} hides {seen.of(column)}; {by} {seen.of(other)}, in clear",
                    "add it to the mask's columns, or to no grant", glob.line, glob.column,
                )  # fmt: skip


def _readable(seen: Reviewed) -> dict[Column, Grant]:
    found: dict[Column, Grant] = {}
    for grant in seen.policy.grants:
        if "select" in grant.actions:
            for column in seen.extents.columns(grant):
                found.setdefault(column, grant)
    return found


def _looks(column: Column, seen: Reviewed) -> tuple[str, int]:
    name = seen.of(column).rpartition(".")[2]
    type = seen.type_of(column)
    return "".join(filter(str.isalnum, name)).casefold(), type.base if type else 0


def _tied(seen: Reviewed) -> dict[Column, list[Column]]:
    found: dict[Column, list[Column]] = {}
    for one, other in seen.keys:
        found.setdefault(one, []).append(other)
        found.setdefault(other, []).append(one)
    return found


def telling(seen: Reviewed) -> Iterator[Remark]:
    """Find columns in clear whose own name says that they hold a secret."""
    for column, grant in _readable(seen).items():
        name = seen.of(column).rpartition(".")[2]
        if is_secret(name, "an-opaque-text") and not seen.protected(column):
            yield Remark(
                "look-alike", "warning",
                f"{seen.of(column)} has a name that says secret, and no mask",
                f"mask it, or leave it out of grants.{grant.name}", grant.line,
            )  # fmt: skip


def opaque(seen: Reviewed) -> Iterator[Remark]:
    """Find views that are shown unfollowed, because a grant names their columns."""
    for grant in seen.policy.grants:
        for relation in seen.extents.tables(grant):
            if relation.kind not in ("v", "m") or "select" not in grant.actions:
                continue
            if relation.oid in seen.catalog.definitions and not _followed(relation, seen):
                yield _unfollowed(grant, relation)


def _followed(view: Relation, seen: Reviewed) -> bool:
    sql = f"SELECT * FROM {verbatim(view.schema, view.name)}".encode()  # noqa: S608  # only read
    told = understand(sql, seen.catalog)
    return isinstance(told, Statement)


def _unfollowed(grant: Grant, view: Relation) -> Remark:
    exact = any(glob.text == view.qualified for glob in grant.tables)
    named = exact and all("*" not in glob.text for glob in grant.columns)
    if named:
        message = f"grants.{grant.name} shows the view {view.qualified}, which can't be followed"
        help = "nothing beneath it is masked: make sure that it shows what it may"
        return Remark("view", "warning", message, help, grant.line)
    message = f"the view {view.qualified} can't be followed to its tables, so it is refused"
    help = "simplify the view, or name it and its columns in a grant, without any *"
    return Remark("view", "note", message, help, grant.line)
