"""What the console works with, wired once: a policy and what is kept by it."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tracewall.approval.desk import Case, Desk
from tracewall.approval.store import Store as RequestStore
from tracewall.approval.verdict import is_approver
from tracewall.audit.reads import Reads
from tracewall.audit.stored import Stored
from tracewall.console.flow import Flow
from tracewall.console.place import Place
from tracewall.console.visits import Visit, Visits
from tracewall.counter import desk_of, matches
from tracewall.deciding import named
from tracewall.errors import PolicyError
from tracewall.events import Incident
from tracewall.identity.principal import Principal
from tracewall.identity.tokens import Verifier
from tracewall.logbook import plain_log
from tracewall.places import beside, secret
from tracewall.policy.glob import Glob
from tracewall.policy.model import Policy
from tracewall.recording.folder import Folder
from tracewall.recording.remote import Remote, RemoteUnavailable
from tracewall.recording.store import Store as TapeStore
from tracewall.signing import BadKey, PublicKey, Signer
from tracewall.trust import check_files, verifier_of

SEARCHES = 2
"""How many searches of the record go on at once: each may read all of it."""

_PASSWORD = "the password of the record's reader"
_NO_KEY = (
    "This console has no key to sign decisions with, so it only shows: "
    "name one by key_file or key_env under [console] in the policy."
)
_STRANGE_KEY = (
    "This console has no key to sign decisions with that counts, so it only shows: "
    "put its public key among the keys under [approval] in the policy."
)


@dataclass(frozen=True, eq=False)
class House:
    """A policy, and all that the pages need of what is kept by it.

    ``signer`` is None where there is no key to sign decisions with; ``tapes`` is where
    recorded sessions are, ``identities`` open those that are encrypted.
    """

    policy: Policy
    place: Place
    verifier: Verifier
    desk: Desk
    tapes: TapeStore
    clock: Callable[[], float]
    signer: Signer | None = field(default=None, repr=False)
    identities: Sequence[Any] = field(default=(), repr=False)
    flows: tuple[Flow, ...] = ()
    searching: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(SEARCHES)
    )
    visits: Visits = field(init=False)
    reads: Reads = field(init=False)
    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reads", Reads(self.audit))
        object.__setattr__(self, "visits", Visits(self.clock, self.policy.console.lasts))

    @property
    def audit(self) -> Path:
        """The directory of the audit record."""
        return beside(self.policy, self.policy.audit.directory)

    def stored(self) -> Stored | None:
        """Give the record in PostgreSQL as the console may read it; None: it may not."""
        settings = self.policy.console
        asked = settings.record_password_env or settings.record_password_file

        def password() -> str:
            return secret(
                self.policy, settings.record_password_env, settings.record_password_file, _PASSWORD
            )

        if not settings.record_conninfo:
            return None
        schema = self.policy.audit.schema
        return Stored(settings.record_conninfo, schema, password if asked else None)

    @property
    def keys(self) -> list[PublicKey]:
        """The public keys whose signatures on decisions count."""
        return [PublicKey.parse(key) for key in self.policy.approval.keys]

    @property
    def no_key(self) -> str:
        """Why no decision can be signed here; empty: it can."""
        if self.signer is None:
            return _NO_KEY
        return "" if self.signer.public in self.keys else _STRANGE_KEY

    def views(self, who: Principal) -> bool:
        """Tell whether somebody may see recorded sessions."""
        return _among(who.groups, self.policy.console.viewers)

    def audits(self, who: Principal) -> bool:
        """Tell whether somebody may search the record."""
        return _among(who.groups, self.policy.console.auditors)

    def shows(self, case: Case, visit: Visit) -> bool:
        """Tell whether somebody may see a request: who asks, and who may decide."""
        return visit.person in case.request.act.parties or self.decides(case, visit)

    def decides(self, case: Case, visit: Visit) -> bool:
        """Tell whether somebody is among the approvers of a request."""
        rules = case.request.requirements
        return any(is_approver(visit.who.groups, rule, matches) for rule in rules)

    def on_record(self, visit: Visit, incident: Incident) -> None:
        """Record what somebody does here, under their name.

        Raises:
            AuditUnavailable: it can't be recorded; they may not.
        """
        made = replace(incident, who=named(visit.who), policy=self.policy.hash)
        if not self.policy.audit.conninfo:
            self.reads.note(made)
            return
        with closing(plain_log(self.policy)) as log:
            log.incident(made)

    def mark(self, purpose: str, text: str) -> str:
        """Give what only this house can say of a text, for a purpose."""
        told = f"{purpose}\n{text}".encode("utf-8", "replace")
        return hmac.new(self._secret, told, "sha256").hexdigest()

    def close(self) -> None:
        """Let go of the store of requests, and of the log of readings."""
        self.desk.close()
        self.reads.close()


def furnished(
    policy: Policy,
    place: Place,
    *,
    key: str | None,
    requests: RequestStore | None,
    tapes: TapeStore | None,
    identities: Sequence[Any],
    clock: Callable[[], float],
    revoked: Callable[[Principal], bool] | None = None,
) -> House:
    """Open what a policy names.

    Raises:
        PolicyError: a key or a secret is not where the policy says, or is none.
        StoreUnavailable: the requests are out of reach.
    """
    verifier = verifier_of(policy, revoked)
    verifier.refresh()
    check_files(policy, verifier)
    return House(
        policy,
        place,
        verifier,
        desk_of(policy, requests, clock),
        tapes or _tapes(policy),
        clock,
        _signer(policy, key),
        identities,
        tuple(Flow.of(policy, login, place, verifier, revoked) for login in policy.console.logins),
    )


def _tapes(policy: Policy) -> TapeStore:
    """Give the place where the recordings of all machines come together."""
    settings = policy.recording
    if not settings.url:
        return Folder(beside(policy, settings.directory))
    try:
        return Remote(settings.url)
    except (RemoteUnavailable, OSError) as ex:
        why = f"the recordings are out of reach: {ex}"
        raise PolicyError(why, path=policy.path) from None


def _signer(policy: Policy, key: str | None) -> Signer | None:
    console, what = policy.console, "the key that signs decisions"
    found = key or secret(policy, console.key_env, console.key_file, what)
    if not found:
        return None
    try:
        return Signer.parse(found.strip())
    except BadKey as ex:
        raise PolicyError(f"{what} can't be used: {ex}", path=policy.path) from None


def _among(groups: Iterable[str], globs: Iterable[Glob]) -> bool:
    held = list(groups)
    return any(glob.matches(group) for glob in globs for group in held)
