"""PostgreSQL's privileges: what there are, and the GRANT or REVOKE of many of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from tracewall.sql.quoting import quoted

Kind: TypeAlias = Literal[
    "DATABASE", "SCHEMA", "TABLE", "SEQUENCE", "ROUTINE", "TYPE", "LANGUAGE",
    "FOREIGN SERVER", "FOREIGN DATA WRAPPER", "PARAMETER",
]  # fmt: skip
_ORDER: tuple[Kind, ...] = ("DATABASE", "SCHEMA", "TABLE", "SEQUENCE", "ROUTINE")


class Thing(NamedTuple):
    """What privileges are held on; a routine with its ``arguments``' types, schema and name."""

    kind: Kind
    name: str
    schema: str = ""
    arguments: tuple[tuple[str, str], ...] = ()

    @property
    def spelled(self) -> str:
        """Give it as SQL, whatever its names hold."""
        if self.kind == "PARAMETER":
            # It takes no quotes around the whole; the server has checked each part's letters.
            return ".".join(quoted(part) for part in self.name.split("."))
        name = quoted(self.schema, self.name) if self.schema else quoted(self.name)
        types = ", ".join(quoted(*each) for each in self.arguments)
        return f"{name}({types})" if self.kind == "ROUTINE" else name


class Privilege(NamedTuple):
    """One right on a thing, such as SELECT, or on one ``column`` of it (empty: on the whole)."""

    thing: Thing
    right: str
    column: str = ""


def covers(held: frozenset[Privilege], wanted: Privilege) -> bool:
    """Tell whether a privilege is among those held; what is held on a table is on its columns."""
    return wanted in held or (bool(wanted.column) and wanted._replace(column="") in held)


def granted(privileges: Iterable[Privilege], role: str) -> Iterator[str]:
    """Yield the GRANT of each thing, in a steady order."""
    for thing, rights in _by_thing(privileges):
        yield f"GRANT {rights} ON {thing.kind} {thing.spelled} TO {role};"


def revoked(privileges: Iterable[Privilege], role: str) -> Iterator[str]:
    """Yield the REVOKE of each thing, in a steady order."""
    for thing, rights in _by_thing(privileges):
        yield f"REVOKE {rights} ON {thing.kind} {thing.spelled} FROM {role};"


def _by_thing(privileges: Iterable[Privilege]) -> Iterator[tuple[Thing, str]]:
    found: dict[Thing, dict[str, list[str]]] = {}
    for each in sorted(set(privileges)):
        found.setdefault(each.thing, {}).setdefault(each.right, []).append(each.column)
    for thing in sorted(found, key=_place):
        yield thing, ", ".join(_right(*each) for each in found[thing].items())


def _right(right: str, columns: list[str]) -> str:
    if "" in columns:
        return right
    return f"{right} ({', '.join(map(quoted, columns))})"


def _place(thing: Thing) -> tuple[object, ...]:
    known = _ORDER.index(thing.kind) if thing.kind in _ORDER else len(_ORDER)
    return known, thing
