"""A file log with its checkpoints, from plain settings."""

from __future__ import annotations

from pathlib import Path

from tracewall.audit.anchor import Anchor, Checkpoints, FileAnchor, HttpAnchor
from tracewall.audit.keeping import Keeping
from tracewall.audit.log import Durability, FileLog
from tracewall.audit.notes import BadKey, Signer


def open_log(
    directory: Path,
    durability: Durability,
    *,
    signing_key: str | None = None,
    records: int = 1000,
    seconds: float = 60.0,
    anchor_file: Path | None = None,
    anchor_url: str = "",
    anchors: tuple[Anchor, ...] = (),
    keeping: Keeping = Keeping(),  # noqa: B008 (a frozen value)
) -> FileLog:
    """Open a log, with checkpoints where a signing key is given.

    Raises:
        AuditUnavailable: the first file can't be made.
        BadKey: the signing key is none, or there are anchors and no key.
    """
    told = [*anchors]
    if anchor_file is not None:
        told.append(FileAnchor(anchor_file))
    if anchor_url:
        told.append(HttpAnchor(anchor_url))
    if signing_key is None:
        if told:
            raise BadKey("anchors take signed checkpoints; there is no signing key")
        return FileLog(directory, durability=durability, keeping=keeping)
    signer = Signer.parse(signing_key)
    checkpoints = Checkpoints(signer, told, records=records, seconds=seconds)
    return FileLog(directory, durability=durability, checkpoints=checkpoints, keeping=keeping)
