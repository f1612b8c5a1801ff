"""The frozen values of what a policy says of the server, the record and the limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Durability: TypeAlias = Literal["buffered", "written", "synced"]
EnforcementMode: TypeAlias = Literal["enforce", "observe"]


@dataclass(frozen=True, slots=True)
class Enforcement:
    """Whether the rules are enforced, or observed ``until`` a moment (Unix seconds; None: never).

    ``masks`` says whether masks and scans are laid on while the rules are observed.
    """

    mode: EnforcementMode = "enforce"
    until: float | None = None
    masks: EnforcementMode = "enforce"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one statement may return: ``rows`` and ``bytes`` (0: no limit), and for how long.

    ``statement_timeout`` is in seconds (0: the server's own setting). ``masked_value`` is
    the most bytes of a value that has to be read to be masked (0: no limit).
    """

    rows: int = 0
    statement_timeout: float = 0.0
    masked_value: int = 16 << 20
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Database:
    """Where the wall logs in, and where it finds the password.

    ``conninfo`` is a libpq connection string without a password; at most one of
    ``password_env`` (name of an environment variable) and ``password_file`` (a path)
    is set. ``catalog_max_age`` is how long (seconds) statements are judged by the catalog
    that was read last before it is looked whether it has changed; 0: before each.
    """

    conninfo: str = ""
    password_env: str = ""
    password_file: str = ""
    catalog_max_age: float = 30.0


@dataclass(frozen=True, slots=True)
class Audit:
    """Where the record is kept: ``directory``, and how strongly (``durability``).

    With ``conninfo`` it is kept in PostgreSQL, in ``schema``, by a login of its own, with at most
    one of ``password_env`` and ``password_file``. ``deadline`` is how long (seconds) a record
    may take; None: 5 where it is kept in PostgreSQL or ``synced``, else there is none (0).

    Statements that change rows are kept as strongly as ``writes`` says, where that is more.
    An ``erasable`` record has pseudonyms and salted commitments in place of names and hashes.
    With ``bytes`` the bytes of each result are added up, not only those of COPY.
    With ``mirror`` its records are emitted as OpenTelemetry log records, too.
    Where ``signing_key_env`` (name of an environment variable) or ``signing_key_file`` (a
    path) is set, the record's end is signed after ``checkpoint_records`` records or
    ``checkpoint_interval`` seconds; ``anchor_file`` (a path), ``anchor_url`` and the database of
    ``anchor_conninfo`` (in ``anchor_schema``, with at most one ``anchor_password_``) are told.
    A file ends after ``rotate_size`` bytes or ``rotate_interval`` seconds; with ``pack`` it
    is packed then, and deleted ``keep_for`` seconds after its last record, or when there are
    more than ``keep_size`` bytes of files (0: never).
    """

    directory: str = "audit"
    durability: Durability = "written"
    writes: Durability | Literal[""] = ""
    deadline: float | None = None
    conninfo: str = ""
    password_env: str = ""
    password_file: str = ""
    schema: str = "tracewall_audit"
    erasable: bool = False
    mirror: bool = False
    bytes: bool = False
    signing_key_env: str = ""
    signing_key_file: str = ""
    checkpoint_records: int = 1000
    checkpoint_interval: float = 60.0
    anchor_file: str = ""
    anchor_url: str = ""
    anchor_conninfo: str = ""
    anchor_password_env: str = ""
    anchor_password_file: str = ""
    anchor_schema: str = "tracewall_anchor"
    rotate_size: int = 0
    rotate_interval: float = 0.0
    pack: bool = False
    compression: Literal["gzip", "zstd"] = "gzip"
    keep_for: float = 0.0
    keep_size: int = 0

    @property
    def patience(self) -> float:
        """How long (seconds) a record may take; 0: as long as it takes."""
        if self.deadline is not None:
            return self.deadline
        return 5.0 if self.conninfo or self.durability == "synced" else 0.0

    @property
    def signed(self) -> bool:
        """True where checkpoints are signed."""
        return bool(self.signing_key_env or self.signing_key_file)


@dataclass(frozen=True, slots=True)
class Recording:
    """Where recorded sessions are kept: ``directory``; encrypted where there are ``recipients``.

    With ``url`` they are shipped there when they are closed; with ``remove_shipped`` they are
    deleted here when they have arrived. Where more than ``max_unshipped`` bytes wait (0: no
    limit), nothing more can be recorded.
    """

    directory: str = "recordings"
    recipients: tuple[str, ...] = ()
    url: str = ""
    remove_shipped: bool = False
    max_unshipped: int = 0
