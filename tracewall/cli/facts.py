"""What the server's catalog tells besides what statements are judged by."""

from __future__ import annotations

from dataclasses import dataclass

from tracewall.cli.live import Server
from tracewall.policy.fitting import ColumnType
from tracewall.sql.flow import Column

_TYPES = """
    WITH RECURSIVE base (column_type, oid) AS (
        SELECT DISTINCT a.atttypid, a.atttypid FROM pg_catalog.pg_attribute a
            JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL SELECT b.column_type, t.typbasetype FROM base b
            JOIN pg_catalog.pg_type t ON t.oid = b.oid WHERE t.typtype = 'd')
    SELECT b.column_type::int8 AS oid, t.oid::int8 AS base, t.typname::text AS name,
        CASE WHEN t.typcategory = 'A' THEN t.typelem::int8 ELSE 0 END AS item
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.oid WHERE t.typtype <> 'd'"""
_FOREIGN_KEYS = """
    SELECT c.conrelid::int8 AS relation, c.conkey::int8[] AS columns,
        c.confrelid::int8 AS target, c.confkey::int8[] AS keys
    FROM pg_catalog.pg_constraint c WHERE c.contype = 'f'"""


@dataclass(frozen=True, slots=True)
class Facts:
    """The columns' types by oid, and pairs of columns that a foreign key holds equal."""

    types: dict[int, ColumnType]
    keys: tuple[tuple[Column, Column], ...]


def facts(server: Server) -> Facts:
    """Ask for them. Raises psycopg.Error."""
    types = {
        row["oid"]: ColumnType(row["name"], row["base"], row["item"]) for row in server.ask(_TYPES)
    }
    keys = tuple(
        ((row["relation"], ours), (row["target"], theirs))
        for row in server.ask(_FOREIGN_KEYS)
        for ours, theirs in zip(row["columns"], row["keys"], strict=True)
    )
    return Facts(types, keys)
