"""A policy beside a live catalog, and what is remarked on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tracewall.policy.extent import Extents
from tracewall.policy.fitting import ColumnType
from tracewall.policy.model import Glob, Policy
from tracewall.policy.rights import Rights
from tracewall.sql.catalog import Catalog
from tracewall.sql.flow import Column


class Remark(NamedTuple):
    """One thing to look at: the kind of it, how grave, where, and what could be done."""

    check: str
    severity: Literal["error", "warning", "note"]
    message: str
    help: str
    line: int
    column: int = 0


@dataclass(frozen=True)
class Reviewed:
    """A policy beside a catalog, its columns' types, and the pairs that foreign keys equate.

    ``rights`` are those of nobody: for what holds whoever asks.
    """

    policy: Policy
    catalog: Catalog
    types: Mapping[int, ColumnType]
    keys: tuple[tuple[Column, Column], ...]
    extents: Extents
    rights: Rights

    def of(self, column: Column) -> str:
        """Spell a column as policies do."""
        return self.rights.spelled(column)

    def type_of(self, column: Column) -> ColumnType | None:
        """Give a column's type."""
        return self.types.get(self.rights.type_of(column))

    def protected(self, column: Column) -> bool:
        """Tell whether a mask or scan lies on a column, lifted for somebody or not."""
        return bool(self.rights.stored(column).rules)

    def matched(self, glob: Glob) -> Iterator[Column]:
        """Yield the columns that a mask's pattern reaches."""
        for relation in self.catalog.relations.values():
            for column in relation.columns:
                if glob.reaches(relation.schema, relation.name, column.name):
                    yield relation.oid, column.attnum
