"""What detectors find in a database: a sample of each table, counted, never shown.

1. Everything is read in one transaction that can't write, with a limit of time for each
   statement; a table of which no sample can be had is told, and the others go on.
2. Large tables are sampled by blocks (TABLESAMPLE SYSTEM), so that none is read whole.
3. What was found is kept as counts. No value leaves this module.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from tracewall.masking.detectors import Detectors
from tracewall.masking.documents import is_secret

# Planning calls the functions that stand in indexes, statistics and keys of partitions, as
# whoever plans: those of a table's owner must not run as whoever scans.
_LIVELY = """EXISTS (
        WITH RECURSIVE kin (oid) AS (SELECT c.oid UNION SELECT i.inhrelid
            FROM kin k JOIN pg_catalog.pg_inherits i ON i.inhparent = k.oid)
        SELECT FROM kin k CROSS JOIN LATERAL (
            SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid AS class, k.oid AS oid
            UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid, x.indexrelid
            FROM pg_catalog.pg_index x WHERE x.indrelid = k.oid
            UNION ALL SELECT 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass::oid, e.oid
            FROM pg_catalog.pg_statistic_ext e WHERE e.stxrelid = k.oid) AS part
        JOIN pg_catalog.pg_depend d ON d.classid = part.class AND d.objid = part.oid
            AND d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass::oid,
                'pg_catalog.pg_operator'::pg_catalog.regclass::oid)
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend b WHERE b.classid = d.refclassid
            AND b.objid = d.refobjid AND b.deptype = 'e'))"""
_TABLES = f"""
    SELECT n.nspname, c.relname, c.relkind, c.reltuples::float8, c.relpages, {_LIVELY},
        array_agg(a.attname::text ORDER BY a.attnum), array_agg(t.typname::text ORDER BY a.attnum)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type f ON f.oid = a.atttypid
    JOIN pg_catalog.pg_type t ON t.oid = CASE WHEN f.typbasetype <> 0 THEN f.typbasetype
        WHEN f.typelem <> 0 AND f.typcategory = 'A' THEN f.typelem ELSE f.oid END
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition
        AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        AND (t.typcategory = 'S' OR t.typname IN ('json', 'jsonb', 'inet', 'xml', 'hstore'))
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2"""  # noqa: S608  # made of the constants here
# Not by a cast to text, which the owner of a type can make a function of his own.
_SPELLED = "CASE WHEN {0} IS DISTINCT FROM NULL THEN left(concat({0}), {1}) END"
_LONGEST_VALUE = 20_000
_BLOCKS = 200
_TELLING_TYPES = {"inet": "ip"}
_TELLING = 0.5


@dataclass(frozen=True, slots=True)
class Table:
    """A table to sample: its columns that can hold text, each with its type's name.

    A ``lively`` one can't be read without running functions of its owner's.
    """

    schema: str
    name: str
    kind: str
    rows: float
    pages: int
    columns: tuple[tuple[str, str], ...]
    lively: bool = False

    @property
    def qualified(self) -> str:
        """``schema.table``, as policies write it."""
        return f"{self.schema}.{self.name}"


@dataclass(slots=True)
class Column:
    """What a sample of a column holds: ``found`` counts, by detector, the values with a find.

    ``values`` were not NULL, ``whole`` were nothing but one find. ``telling`` is true where
    the column's own name says that it holds a secret.
    """

    table: str
    name: str
    type: str
    values: int = 0
    whole: int = 0
    telling: bool = False
    found: Counter[str] = field(default_factory=Counter)


def tables(conn: psycopg.Connection[Any]) -> list[Table]:
    """Give the tables that have columns of text or documents."""
    return [
        Table(schema, name, kind, rows, pages, tuple(zip(columns, types, strict=True)), lively)
        for schema, name, kind, rows, pages, lively, columns, types in conn.execute(
            _TABLES.encode()
        )
    ]


def survey(
    conn: psycopg.Connection[Any], table: Table, detectors: Detectors, most: int
) -> list[Column]:
    """Look at a sample of at most so many rows. Raises psycopg.Error."""
    found = [
        Column(table.qualified, name, type, telling=is_secret(name, "an-opaque-text"))
        for name, type in table.columns
    ]
    with conn.transaction():
        for row in conn.execute(_sample(table, most)):
            for column, value in zip(found, row, strict=True):
                if value is not None:
                    _look(column, value, detectors)
    return found


def _look(column: Column, value: str, detectors: Detectors) -> None:
    column.values += 1
    if column.type in _TELLING_TYPES:
        column.whole += 1
        column.found[_TELLING_TYPES[column.type]] += 1
        return
    finds = detectors.find(value)
    column.whole += len(finds) == 1 and finds[0].start == 0 and finds[0].end == len(value)
    column.found.update(sorted({find.name for find in finds}))


def _sample(table: Table, most: int) -> sql.Composed:
    columns = sql.SQL(", ").join(
        sql.SQL(_SPELLED).format(sql.Identifier(name), sql.Literal(_LONGEST_VALUE))
        for name, _ in table.columns
    )
    only = sql.SQL("ONLY " if table.kind == "r" else "")
    share: sql.Composable = sql.SQL("")
    if table.kind in "rpm" and table.pages > _BLOCKS:
        percent = max(100 * _BLOCKS / table.pages, 0.0001)
        share = sql.SQL(" TABLESAMPLE SYSTEM ({})").format(sql.Literal(percent))
    return sql.SQL("SELECT {} FROM {}{}{} LIMIT {}").format(
        columns, only, sql.Identifier(table.schema, table.name), share, sql.Literal(most)
    )


# --- what to do about it ----------------------------------------------------------------

_METHODS = {
    "email": 'method = "email"',
    "card": 'method = "partial"\nkeep_last = 4',
    "iban": 'method = "partial"\nkeep_last = 4',
    "phone": 'method = "partial"\nkeep_last = 2',
    "ip": 'method = "hash"',
}


def proposed(columns: list[Column]) -> Iterator[str]:
    """Give masks and scans in TOML, each with its evidence in a comment above it."""
    for column in columns:
        if column.found or (column.telling and column.values):
            yield _rule(column)


def _rule(column: Column) -> str:
    name = f"{column.table}.{column.name}"
    counts = [f"{count} with {kind}" for kind, count in column.found.most_common()]
    counts += ["a name that says secret"] if column.telling else []
    evidence = f"# {column.values} values looked at: {', '.join(counts)}"
    if '"' in name or name.count(".") != 2 or not name.isprintable():
        # Such a name can't be written in a policy; the evidence is told all the same.
        return (
            f"{evidence}\n# not to be named in a policy: {name.encode('unicode_escape').decode()}"
        )
    toml = name.replace("\\", "\\\\")
    label = _label(name)
    if column.telling or column.whole >= _TELLING * column.values:
        kind = column.found.most_common(1)[0][0] if column.found else ""
        method = _METHODS.get(kind, 'method = "redact"')
        return f'{evidence}\n[[masks]]\nname = "{label}"\ncolumns = ["{toml}"]\n{method}'
    return f'{evidence}\n[[scans]]\nname = "{label}"\ncolumns = ["{toml}"]'


def _label(name: str) -> str:
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in name)
    return kept if len(kept) <= 63 and kept == name.replace(".", "-") else _short(kept, name)


def _short(kept: str, name: str) -> str:
    # Names that differ only in what can't be written, or far behind, must differ all the same.
    return f"{kept[:54]}-{zlib.crc32(name.encode()):08x}"
