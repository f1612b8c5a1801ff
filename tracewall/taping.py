"""Who is recorded, and what of a statement: the policy's recordings, for one connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracewall.audit.store import AuditLog
from tracewall.errors import PolicyError
from tracewall.events import Incident, What, Who
from tracewall.identity.principal import Principal
from tracewall.judge import Judged
from tracewall.places import beside
from tracewall.policy.model import Policy, Recording, RecordingRule
from tracewall.recording.folder import Folder
from tracewall.recording.recorder import Recorder, Reel, Take, Terms
from tracewall.recording.remote import RemoteUnavailable, installed
from tracewall.recording.sealing import SealingUnavailable
from tracewall.recording.shipping import Shipper
from tracewall.version import __version__

_MOST_CHOICES = 4_096


def recorder_of(policy: Policy, audit: AuditLog) -> Recorder | None:
    """Give what records the sessions that a policy wants recorded; None: it wants none.

    Raises:
        PolicyError: they can't be encrypted, or shipped, as the policy says.
    """
    if not policy.recordings:
        return None

    def tell(kind: str, detail: str) -> None:
        audit.incident(Incident(kind=kind, detail=detail, policy=policy.hash))

    settings = policy.recording
    folder = Folder(beside(policy, settings.directory))
    try:
        shipper = _shipper_of(settings, folder, tell)
        made = Recorder(folder, settings.recipients, tell, shipper)
    except (SealingUnavailable, RemoteUnavailable) as ex:
        raise PolicyError(str(ex), path=policy.path) from None
    if shipper is not None:
        # What dead processes have left goes now.
        shipper.start()
    return made


def _shipper_of(
    settings: Recording, folder: Folder, tell: Callable[[str, str], None]
) -> Shipper | None:
    if not settings.url:
        return None
    if not folder.lockable:
        raise RemoteUnavailable("recordings can't be shipped where files can't be locked")
    installed(settings.url)
    return Shipper(
        folder,
        settings.url,
        remove=settings.remove_shipped,
        most=settings.max_unshipped,
        tell=tell,
    )


class Taping:
    """Records what goes over one connection; a principal who takes it over starts anew.

    Args:
        recorder: the wall's.
        policy: whose ``recordings`` say what is recorded.
        named: gives what the record calls somebody, by issuer and subject: a pseudonym,
            where it is erasable.
    """

    def __init__(
        self, recorder: Recorder, policy: Policy, named: Callable[[str, str], str]
    ) -> None:
        self._named = named
        self._recorder = recorder
        self._policy = policy
        self._principal: Principal | None = None
        self._rules: list[RecordingRule] = []
        self._reels: dict[str, Reel] = {}
        self._chosen: dict[What, RecordingRule | None] = {}
        self._last: Take | None = None

    def take(self, judged: Judged, principal: Principal | None, who: Who) -> Take | None:
        """Record that a statement was judged; None: no rule wants it recorded.

        Raises:
            AuditUnavailable: it can't be recorded, and must be.
        """
        if principal is None:
            return None
        if principal is not self._principal:
            self._become(principal)
        if not self._rules:
            return None
        what = judged.what
        if what not in self._chosen:
            if len(self._chosen) >= _MOST_CHOICES:
                self._chosen.clear()
            fitting = (rule for rule in self._rules if _fits(rule, what))
            self._chosen[what] = next(fitting, None)
        rule = self._chosen[what]
        if rule is None:
            return None
        self._last = take = self._reel(rule, principal, who).take(_told(judged))
        return take

    def notice(self, severity: str, sqlstate: str) -> None:
        """Record that the server sent a notice; its words are nobody's.

        Raises:
            AuditUnavailable: it can't be recorded, and must be.
        """
        if self._last is not None:
            self._last.note("notice", severity=severity, sqlstate=sqlstate)

    def close(self) -> None:
        """Close what is being recorded."""
        self._last = None
        for reel in self._reels.values():
            reel.close()
        self._reels.clear()

    def _become(self, principal: Principal) -> None:
        former = self._principal
        if former is None or _identity(former) != _identity(principal):
            self.close()
        self._principal = principal
        self._chosen.clear()
        self._rules = [
            rule
            for rule in self._policy.recordings
            if any(
                glob.matches(group) for glob in rule.groups for group in principal.groups or ("",)
            )
        ]

    def _reel(self, rule: RecordingRule, principal: Principal, who: Who) -> Reel:
        reel = self._reels.get(rule.name)
        if reel is None:
            terms = Terms(
                rule.name,
                rule.rows,
                rule.bytes,
                rule.on_failure == "refuse",
                rule.rotate_size,
                rule.rotate_interval,
            )
            actors = [self._named(actor.issuer, actor.subject) for actor in principal.actors]
            header = _header(rule, principal, who, self._policy, actors)
            reel = self._reels[rule.name] = self._recorder.reel(terms, header)
        return reel


def _identity(principal: Principal) -> tuple[object, ...]:
    return (principal.issuer, principal.subject, principal.groups, principal.actors)


def _fits(rule: RecordingRule, what: What) -> bool:
    """Tell whether a rule wants a statement; one that touches nothing known it always does."""
    if not what.relations:
        return True
    return any(
        (not rule.tables or any(glob.matches(name) for glob in rule.tables))
        and (not rule.actions or not rule.actions.isdisjoint(actions))
        for name, actions in what.relations.items()
    )


def _header(
    rule: RecordingRule, principal: Principal, who: Who, policy: Policy, actors: list[str]
) -> dict[str, Any]:
    return {
        "tracewall": __version__,
        "session": who.session,
        "rule": rule.name,
        "issuer": who.issuer,
        "subject": who.subject,
        "groups": sorted(principal.groups),
        "actors": [
            {"subject": actor, "groups": sorted(groups)}
            for actor, groups in zip(actors, principal.actor_groups, strict=True)
        ],
        "token_id": who.token_id,
        "purpose": who.purpose,
        "database": who.database,
        "role": who.role,
        "policy": policy.hash,
        "policy_name": policy.name,
        "most_rows": rule.rows,
        "most_bytes": rule.bytes,
    }


def _told(judged: Judged) -> dict[str, Any]:
    decision, what = judged.decision, judged.what
    return {
        "summary": what.summary,
        "text": what.text,
        "sha256": what.sha256,
        "decision": what.decision,
        "rule": what.rule,
        "reason": what.reason,
        "relations": what.relations,
        "unfollowed": decision.unfollowed,
        "columns": [
            {"name": column.name, "shows": column.shows, "rule": column.rule}
            for column in decision.columns
        ],
    }
