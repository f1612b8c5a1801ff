"""The audit log that a policy asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tracewall.audit.anchor import Anchor, Checkpoints
from tracewall.audit.keeping import Keeping
from tracewall.audit.notary import PostgresAnchor
from tracewall.audit.notes import BadKey
from tracewall.audit.offering import patience
from tracewall.audit.packing import Compression, PackingUnavailable, check
from tracewall.audit.people import People
from tracewall.audit.postgres import PostgresLog
from tracewall.audit.register import Register
from tracewall.audit.setup import checkpoints_of, open_database, open_log
from tracewall.audit.store import AuditLog
from tracewall.errors import PolicyError
from tracewall.mirrored import MirroredLog
from tracewall.places import beside, secret
from tracewall.policy.model import Policy
from tracewall.telemetry import Telemetry
from tracewall.telemetry.mirror import Mirror, MirrorUnavailable


def log_of(policy: Policy, anchors: Sequence[Anchor]) -> AuditLog:
    """Open the log that a policy asks for.

    Raises:
        PolicyError: a key or a password is not where the policy says, or is none.
        AuditUnavailable: the record can't be kept.
    """
    settings, signed = policy.audit, checkpoints(policy, anchors)
    if settings.conninfo:
        return _database(policy, signed)
    return open_log(
        beside(policy, settings.directory),
        settings.durability,
        checkpoints=signed,
        keeping=Keeping(
            rotate_bytes=settings.rotate_size,
            rotate_seconds=settings.rotate_interval,
            keep_seconds=settings.keep_for,
            keep_bytes=settings.keep_size,
            pack=settings.pack,
            compression=_compression(policy),
        ),
        deadline=settings.patience,
    )


def mirrored(policy: Policy, log: AuditLog, telemetry: Telemetry) -> AuditLog:
    """Have a log mirrored to OpenTelemetry, where a policy wants that.

    Raises:
        PolicyError: the OpenTelemetry that is installed has no such thing.
    """
    if not policy.audit.mirror:
        return log
    try:
        return MirroredLog(log, Mirror(telemetry.logger_provider))
    except MirrorUnavailable as ex:
        raise PolicyError(str(ex), path=policy.path, help="leave audit.mirror out") from None


def people_of(policy: Policy, log: AuditLog) -> Register | None:
    """Give where the pseudonyms of a log are kept: in its database, or beside its files.

    None: the record is not erasable, and has names.
    """
    if not policy.audit.erasable:
        return None
    kept = getattr(log, "log", log)
    if isinstance(kept, PostgresLog):
        return kept.people
    return People(beside(policy, policy.audit.directory))


def waits(policy: Policy, log: AuditLog) -> bool:
    """Tell whether any intent may have to wait for a disk or a database."""
    grants, masks = (rule.audit for rule in policy.grants), (rule.audit for rule in policy.masks)
    return bool(patience(log)) or "synced" in (policy.audit.writes, *grants, *masks)


def plain_log(policy: Policy) -> AuditLog:
    """Open the log that a policy asks for, for a command of people's: without the signing key.

    Raises:
        PolicyError: the password is not where the policy says.
        AuditUnavailable: the record can't be kept.
    """
    settings = policy.audit
    if settings.conninfo:
        return _database(policy, None)
    return open_log(beside(policy, settings.directory), settings.durability)


def _compression(policy: Policy) -> Compression:
    compression = policy.audit.compression
    try:
        check(compression)
    except PackingUnavailable as ex:
        help = 'or write compression = "gzip"'
        raise PolicyError(str(ex.strerror), path=policy.path, help=help) from None
    return compression


def _database(policy: Policy, signed: Checkpoints | None) -> AuditLog:
    settings, what = policy.audit, "the password of the audit log's database"
    return open_database(
        settings.conninfo,
        schema=settings.schema,
        password=_password(policy, settings.password_env, settings.password_file, what),
        checkpoints=signed,
        deadline=settings.patience,
    )


def _password(policy: Policy, env: str, file: str, what: str) -> Callable[[], str] | None:
    """Give what reads a password that a policy names; None: it names none."""
    if not (env or file):
        return None
    # Once here, so that a missing one is told of and not only refused.
    secret(policy, env, file, what)
    return partial(secret, policy, env, file, what)


def _anchor(policy: Policy) -> PostgresAnchor | None:
    """Give the table that a policy's checkpoints are kept in, too; None: there is none."""
    settings, what = policy.audit, "the password of the anchor's database"
    if not settings.anchor_conninfo:
        return None
    env, file = settings.anchor_password_env, settings.anchor_password_file
    return PostgresAnchor(
        settings.anchor_conninfo,
        schema=settings.anchor_schema,
        password=_password(policy, env, file, what),
    )


def checkpoints(policy: Policy, anchors: Sequence[Anchor]) -> Checkpoints | None:
    """Give what signs the record's end and tells of it, as a policy says; None: nothing does.

    Raises:
        PolicyError: the key is not where the policy says, or is none.
    """
    settings, what = policy.audit, "the key that signs checkpoints"
    key = secret(policy, settings.signing_key_env, settings.signing_key_file, what)
    try:
        return checkpoints_of(
            key or None,
            records=settings.checkpoint_records,
            seconds=settings.checkpoint_interval,
            anchor_file=beside(policy, settings.anchor_file) if settings.anchor_file else None,
            anchor_url=settings.anchor_url,
            anchor_database=_anchor(policy),
            anchors=tuple(anchors),
        )
    except BadKey as ex:
        where = settings.signing_key_env or settings.signing_key_file or policy.path
        help = "tracewall audit keygen NAME makes one"
        raise PolicyError(f"{what}: {ex}", path=where, help=help) from None
