"""How long the record in PostgreSQL is kept: old chains are deleted by the log's owner, on record.

The log's own role can't do that, so it is a command of people's, or of a timer of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from tracewall.audit.anchor import Checkpoints
from tracewall.audit.postgres import PostgresLog

_TOLD: Final = 64


@dataclass(frozen=True)
class Retired:
    """What was deleted: so many chains, and records in them."""

    chains: int
    records: int


def retire(
    conninfo: str, schema: str, keep: float, checkpoints: Checkpoints | None = None
) -> Retired:
    """Delete the chains that ended long ago, the oldest first, and record that before.

    A chain goes whole, and only where it was closed in order and so were all before it.

    Args:
        conninfo: a libpq connection string of the log's owner.
        schema: the migration's schema.
        keep: how long (seconds) a chain stays after its last record.
        checkpoints: signs for the deletion; without it `verify` with keys finds fault.

    Raises:
        AuditUnavailable: it can't be recorded; nothing is deleted.
        psycopg.Error: the database says no; nothing is deleted.
    """
    with psycopg.connect(conninfo) as conn:
        chosen = _chosen(conn, schema, keep)
        if not chosen:
            return Retired(0, 0)
        writers = [head["file"].removesuffix(".jsonl") for head in chosen]
        delete = "DELETE FROM {}.{} WHERE writer = ANY(%s)"
        count = 0
        for table in ("records", "heads"):
            names = sql.Identifier(schema), sql.Identifier(table)
            found = conn.execute(sql.SQL(delete).format(*names), (writers,))
            count = count or found.rowcount
        log = PostgresLog(conninfo, schema=schema, checkpoints=checkpoints)
        try:
            before = f"{chosen[-1]['file']}~"
            told = {"before": before, "files": len(chosen), "heads": chosen[-_TOLD:]}
            log.note("retired", told)
        finally:
            log.close()
    return Retired(len(chosen), count)


def _chosen(conn: psycopg.Connection[Any], schema: str, keep: float) -> list[dict[str, Any]]:
    query = (
        "SELECT writer, n, sha256, closed AND received < pg_catalog.clock_timestamp()"
        ' - pg_catalog.make_interval(secs => %s) FROM {}.heads ORDER BY writer COLLATE "C"'
    )
    chosen = []
    for writer, n, sha256, old in conn.execute(
        sql.SQL(query).format(sql.Identifier(schema)), (keep,)
    ):
        if not old:
            # Whole chains from the oldest on: "everything before" must be true.
            break
        chosen.append({"file": f"{writer}.jsonl", "n": n, "sha256": sha256})
    return chosen
