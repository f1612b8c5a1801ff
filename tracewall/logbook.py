"""The audit log that a policy asks for."""

from __future__ import annotations

from collections.abc import Sequence

from tracewall.audit.anchor import Anchor
from tracewall.audit.keeping import Keeping
from tracewall.audit.notes import BadKey
from tracewall.audit.setup import open_log
from tracewall.audit.store import AuditLog
from tracewall.errors import PolicyError
from tracewall.policy.model import Policy
from tracewall.trust import beside, from_file, from_variable


def log_of(policy: Policy, anchors: Sequence[Anchor]) -> AuditLog:
    """Open the log that a policy asks for."""
    settings, what = policy.audit, "the key that signs checkpoints"
    key = None
    if settings.signing_key_env:
        key = from_variable(settings.signing_key_env, what)
    elif settings.signing_key_file:
        key = from_file(beside(policy, settings.signing_key_file), what)
    try:
        return open_log(
            beside(policy, settings.directory),
            settings.durability,
            signing_key=key,
            records=settings.checkpoint_records,
            seconds=settings.checkpoint_interval,
            anchor_file=beside(policy, settings.anchor_file) if settings.anchor_file else None,
            anchor_url=settings.anchor_url,
            anchors=tuple(anchors),
            keeping=Keeping(
                rotate_bytes=settings.rotate_size,
                rotate_seconds=settings.rotate_interval,
                keep_seconds=settings.keep_for,
                keep_bytes=settings.keep_size,
                pack=settings.pack,
            ),
        )
    except BadKey as ex:
        where = settings.signing_key_env or settings.signing_key_file or policy.path
        help = "tracewall audit keygen NAME makes one"
        raise PolicyError(f"{what}: {ex}", path=where, help=help) from None
