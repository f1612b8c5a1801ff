"""A log with its checkpoints, from plain settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tracewall.audit.anchor import Anchor, Checkpoints, FileAnchor, HttpAnchor
from tracewall.audit.keeping import Keeping
from tracewall.audit.log import Durability, FileLog
from tracewall.audit.notes import BadKey, Signer
from tracewall.audit.postgres import PostgresLog
from tracewall.audit.timely import TimelyLog, opened


def checkpoints_of(
    signing_key: str | None,
    *,
    records: int = 1000,
    seconds: float = 60.0,
    anchor_file: Path | None = None,
    anchor_url: str = "",
    anchor_database: Anchor | None = None,
    anchors: tuple[Anchor, ...] = (),
) -> Checkpoints | None:
    """Make checkpoints where a signing key is given.

    Raises:
        BadKey: the signing key is none, or there are anchors and no key.
    """
    told = [*anchors]
    if anchor_file is not None:
        told.append(FileAnchor(anchor_file))
    if anchor_url:
        told.append(HttpAnchor(anchor_url))
    if anchor_database is not None:
        told.append(anchor_database)
    if signing_key is None:
        if told:
            raise BadKey("anchors take signed checkpoints; there is no signing key")
        return None
    return Checkpoints(Signer.parse(signing_key), told, records=records, seconds=seconds)


def open_log(
    directory: Path,
    durability: Durability,
    *,
    checkpoints: Checkpoints | None = None,
    keeping: Keeping = Keeping(),  # noqa: B008 (a frozen value)
    deadline: float = 0.0,
) -> FileLog | TimelyLog:
    """Open a log in files; nobody waits longer than the deadline (seconds; 0: there is none).

    Raises:
        AuditUnavailable: the first file can't be made, or not in time.
    """
    make = partial(
        FileLog, directory, durability=durability, checkpoints=checkpoints, keeping=keeping
    )
    return opened(make, deadline) if deadline else make()


def open_database(
    conninfo: str,
    *,
    schema: str,
    password: Callable[[], str] | None = None,
    checkpoints: Checkpoints | None = None,
    deadline: float = 5.0,
) -> PostgresLog:
    """Open a log in PostgreSQL.

    Raises:
        AuditUnavailable: the server does not take the first record.
    """
    return PostgresLog(
        conninfo, schema=schema, password=password, deadline=deadline, checkpoints=checkpoints
    )
