"""The wall: a policy with everything that enforces it, wired once and passed explicitly.

A `Wall` is shared by all connections that it guards, and safe to use from many threads.
What it remembers (principals, judgements) only saves work; it never widens access.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Any

from tracewall.approval.desk import Desk
from tracewall.approval.store import Store
from tracewall.audit.anchor import Anchor
from tracewall.audit.offering import Offering, Threads
from tracewall.audit.register import Known
from tracewall.audit.store import AuditLog
from tracewall.bearer import Acting, Bearer, acting
from tracewall.counter import desk_of
from tracewall.errors import OperationalError, PolicyError
from tracewall.events import Incident
from tracewall.identity.background import Background
from tracewall.identity.principal import Principal, Rejection
from tracewall.identity.tokens import Verifier
from tracewall.judge import Judge, remember
from tracewall.logbook import log_of, mirrored, people_of, waits
from tracewall.places import secret
from tracewall.policy.load import load
from tracewall.policy.match import column_names, unmatched
from tracewall.policy.model import Decision, Policy
from tracewall.recording.recorder import Recorder
from tracewall.shadow import Policies, agreed, check_observing, loudly
from tracewall.shield import MaskKey, Shield, keyring
from tracewall.sql.catalog import Catalog, read
from tracewall.taping import recorder_of
from tracewall.telemetry import Telemetry
from tracewall.trust import check_files, verifier_of
from tracewall.underway import Underway

CONFIG_VARIABLE = "TRACEWALL_CONFIG"
"""The environment variable that names the policy file when no wall is passed."""

_REMEMBERED_TOKENS = 4_096
_REMEMBERED_GROUPS = 1_024


@dataclass(frozen=True, eq=False)
class Wall:
    """A policy, and what enforces it: the drop-in's only source of configuration.

    Make one with `Wall.load`; close it when the program ends. It is also a context
    manager that closes itself.

    ``unsafe_anonymous`` is a token that those act under who bring none; with
    ``unsafe_logins`` callers choose server, database, role and password themselves. Both
    are for `tracewall.testing.permit_all`, and are written to the record. ``unsafe_observe``
    agrees that the policy is only observed, where it says so. ``approvals`` is
    where requests for approval are kept, instead of where the policy says.
    """

    policy: Policy
    verifier: Verifier
    audit: AuditLog
    telemetry: Telemetry
    clock: Callable[[], float] = time.time
    recorder: Recorder | None = None
    unsafe_anonymous: str = field(default="", repr=False)
    unsafe_logins: bool = False
    unsafe_observe: bool = False
    approvals: Store | None = field(default=None, repr=False)
    _password: Callable[[], str] | None = field(default=None, repr=False)
    _shield: Shield | None = field(default=None, repr=False)
    _catalogs: dict[int, Catalog] = field(default_factory=dict, repr=False)
    _fingerprints: dict[bytes, Catalog] = field(default_factory=dict, repr=False)
    _judges: dict[tuple[object, ...], Judge] = field(default_factory=dict, repr=False)
    _principals: dict[tuple[str, str | None], Principal] = field(default_factory=dict, repr=False)
    _background: Background = field(default_factory=Background, repr=False)
    _underway: Underway = field(default_factory=Underway, repr=False)
    _threads: Threads = field(default_factory=Threads, repr=False)

    def __post_init__(self) -> None:
        weak = [name for name in ("unsafe_anonymous", "unsafe_logins") if getattr(self, name)]
        if self.observes:
            weak.append(loudly(self.policy))
        if weak:
            detail = f"the wall is weakened: {', '.join(weak)}"
            self.audit.incident(Incident(kind="unsafe", detail=detail, policy=self.policy.hash))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        password: Callable[[], str] | None = None,
        mask_key: MaskKey = None,
        audit: AuditLog | None = None,
        anchors: Sequence[Anchor] = (),
        approvals: Store | None = None,
        telemetry: Telemetry | None = None,
        clock: Callable[[], float] = time.time,
        revoked: Callable[[Principal], bool] | None = None,
        unsafe_observe: bool = False,
    ) -> Wall:
        """Read a policy file, and make the wall that enforces it.

        Args:
            path: the policy, in TOML.
            password: gives the database password at each log-in, instead of the
                policy's ``password_env`` or ``password_file``.
            mask_key: the key of pseudonyms and marks, at least 16 bytes, or a function
                that gives the key of an id ("" for the wall's own); by default the policy's
                ``keys`` and the environment variable ``TRACEWALL_MASK_KEY``.
            audit: where the record is kept, instead of files in the policy's directory.
            anchors: functions that keep a checkpoint (a signed note) in a second place,
                besides the policy's ``anchor_file`` and ``anchor_url``; they are called in a
                thread of their own.
            approvals: where requests for approval are kept, instead of where the policy says.
            telemetry: whose spans and metrics are used; by default the global ones.
            clock: gives the time, in seconds since the epoch.
            revoked: tells, at each statement and without blocking, whether a principal is
                revoked, besides the policy's ``identity.revocations``. An exception or
                anything but False refuses.
            unsafe_observe: agrees that a policy which says ``mode = "observe"`` is not
                enforced; without it such a policy is not loaded.

        Raises:
            PolicyError: the policy can't be enforced; the error says where and why.
            AuditUnavailable: the record can't be kept.
        """
        return cls.from_policy(
            load(path),
            password=password,
            mask_key=mask_key,
            audit=audit,
            anchors=anchors,
            approvals=approvals,
            telemetry=telemetry,
            clock=clock,
            revoked=revoked,
            unsafe_observe=unsafe_observe,
        )

    @classmethod
    def from_policy(
        cls,
        policy: Policy,
        *,
        password: Callable[[], str] | None = None,
        mask_key: MaskKey = None,
        audit: AuditLog | None = None,
        anchors: Sequence[Anchor] = (),
        approvals: Store | None = None,
        telemetry: Telemetry | None = None,
        clock: Callable[[], float] = time.time,
        revoked: Callable[[Principal], bool] | None = None,
        unsafe_observe: bool = False,
    ) -> Wall:
        """Make the wall that enforces a policy that was read before; see `load`."""
        check_observing(policy, unsafe_observe)
        verifier = verifier_of(policy, revoked)
        verifier.refresh()
        check_files(policy, verifier)
        shield = Shield(policy, keyring(policy, mask_key))
        made = telemetry or Telemetry()
        log = mirrored(policy, audit or log_of(policy, anchors), made)
        log.incident(Incident(kind="policy_loaded", detail=policy.name, policy=policy.hash))
        recorder = recorder_of(policy, log)
        return cls(
            policy,
            verifier,
            log,
            made,
            clock,
            recorder,
            unsafe_observe=unsafe_observe,
            approvals=approvals,
            _password=password,
            _shield=shield,
        )

    @classmethod
    def from_environment(cls) -> Wall:
        """Load the wall that ``TRACEWALL_CONFIG`` names; one for each file and process.

        Raises:
            PolicyError: the variable is not set, or its policy can't be enforced.
        """
        path = os.environ.get(CONFIG_VARIABLE)
        if not path:
            raise PolicyError(
                "no wall: there is no unguarded mode",
                path=CONFIG_VARIABLE,
                help=f"pass wall=Wall.load(...) or name a policy file in {CONFIG_VARIABLE}",
            )
        # Not resolved: what a policy names is beside its link, which outlives what it points to.
        key = os.path.abspath(path)
        if key not in _LOADED:
            _LOADED[key] = cls.load(key, unsafe_observe=agreed())
        return _LOADED[key]

    def acting_as(self, token: str, purpose: str | None = None) -> Acting:
        """Act under a token in this context, on every connection of this wall without its own.

        Use as a context manager. It holds for the current task or thread, as context
        variables do; a connection's own token wins over it.

        Example:
            with wall.acting_as(request_token, purpose="support case"):
                with pool.connection() as conn:
                    conn.execute("SELECT ...")
        """
        return Acting(self.bearer(token, purpose))

    def bearer(self, token: str, purpose: str | None = None) -> Bearer:
        """Give what `identify`, `due` and `renew` take: a token, and what for. Checks nothing."""
        return Bearer(self, _exact(token), None if purpose is None else _exact(purpose))

    def acting(self) -> Bearer | None:
        """Give the bearer that this context acts under, if it acts under this wall."""
        return acting(self) or self._anonymous

    @cached_property
    def _anonymous(self) -> Bearer | None:
        return Bearer(self, self.unsafe_anonymous) if self.unsafe_anonymous else None

    @cached_property
    def _people(self) -> Known | None:
        """Whose pseudonyms the record has; None: it is not erasable, and has names."""
        register = people_of(self.policy, self.audit)
        return Known(register) if register is not None else None

    def _offering(self) -> Offering | None:
        """Give a log for one session in an event loop; None: none of its records has to wait."""
        return Offering(self.audit, self._threads) if waits(self.policy, self.audit) else None

    def identify(self, bearer: Bearer) -> Principal | Rejection:
        """Verify a bearer's token, or give why not. Never blocks."""
        key = (bearer.token, bearer.purpose)
        known = self._principals.get(key)
        if known is not None:
            return self.verifier.still_valid(known, self.clock()) or known
        found = self.verifier.verify(bearer.token, self.clock(), bearer.purpose)
        if isinstance(found, Principal):
            remember(self._principals, key, found, _REMEMBERED_TOKENS)
        return found

    def due(self, bearer: Bearer | None) -> bool:
        """Tell whether `renew` has anything to do. Never blocks."""
        if self.policy.identity.background and self.verifier.remote:
            self._background.ensure(self.verifier)
        wanted = bearer is not None and self.verifier.needs_asking(self.identify(bearer))
        return wanted or self.verifier.needs_refresh()

    def renew(self, bearer: Bearer | None) -> None:
        """Read keys and revocations that are due, and ask the bearer's issuer. Blocks."""
        if bearer is not None and self.verifier.needs_asking(self.identify(bearer)):
            self.verifier.renew(bearer.token, self.clock())
        self.verifier.refresh(due_only=True)

    def recall(self, fingerprint: bytes) -> Catalog | None:
        """Give the catalog of a fingerprint, if a connection of this wall has read it."""
        return self._fingerprints.get(fingerprint)

    def forget(self, fingerprint: bytes) -> None:
        """Have the catalog of a fingerprint read again by whoever meets it next."""
        self._fingerprints.pop(fingerprint, None)

    def know(self, fingerprint: bytes, answers: tuple[bytes, ...]) -> Catalog:
        """Give the catalog that the answers describe, shared by all that got the same.

        Raises:
            PolicyError: a pattern of the policy matches nothing in it.
        """
        catalog = read(answers)
        shared = self._catalogs.get(catalog.version)
        if shared is None:
            complaint = unmatched(self.policy, column_names(catalog))
            if complaint is not None:
                raise complaint
            remember(self._catalogs, catalog.version, catalog, 64)
            shared = catalog
        remember(self._fingerprints, fingerprint, shared, 64)
        return shared

    def judge_for(
        self,
        catalog: Catalog,
        groups: frozenset[str],
        actors: tuple[frozenset[str], ...] = (),
        revealed: frozenset[str] = frozenset(),
    ) -> Judge:
        """Give the judge of a set of groups, and of those who act for it, in a catalog.

        It judges as if the masks and scans that are ``revealed`` were lifted by people.
        """
        key = (catalog.version, groups, actors, revealed)
        judge = self._judges.get(key)
        if judge is None:
            judge = self._policies.judge(catalog, groups, actors, revealed)
            remember(self._judges, key, judge, _REMEMBERED_GROUPS)
        return judge

    @cached_property
    def _policies(self) -> Policies:
        shield = self._shield or Shield(self.policy, {})
        return Policies(self.policy, shield, lambda: self.observes)

    @property
    def observes(self) -> bool:
        """Tell whether the rules are only observed now: policy and program both say so."""
        told = self.policy.enforcement
        return self.unsafe_observe and told.mode == "observe" and self.clock() < (told.until or 0)

    def explain(
        self, sql: str | bytes, who: Principal | str, *, catalog: Catalog | None = None
    ) -> Decision:
        """Say what the policy says of a statement, without sending or recording it.

        Args:
            sql: the statement as it goes over the wire, with ``$1`` for parameters.
            who: who would send it, or their token.
            catalog: what the database holds; by default the last that a connection of
                this wall has read. ``connection.explain`` uses its own.

        Returns:
            The decision, as who would send it may see it; `str` of it is for people. A
            token that is refused is forbidden by the rule ``token``.

        Raises:
            OperationalError: no catalog is known yet.
        """
        known = catalog or next(reversed(self._catalogs.values()), None)
        if known is None:
            raise OperationalError("the wall knows no catalog yet: connect once, or pass catalog=")
        found = self.identify(self.bearer(who)) if isinstance(who, str) else who
        if isinstance(found, Rejection):
            return Decision("forbidden", "token", found.message, policy_hash=self.policy.hash)
        judge = self.judge_for(known, found.groups, found.actor_groups)
        return judge.strictly(sql.encode() if isinstance(sql, str) else sql).for_caller()

    @cached_property
    def desk(self) -> Desk:
        """Where this wall has people asked for approval; opened when it is first wanted.

        Raises:
            StoreUnavailable: where requests are kept can't be used.
        """
        return desk_of(self.policy, self.approvals, self.clock)

    def _credential(self) -> str:
        """Give the database password, or an empty string where the policy names none.

        Raises:
            PolicyError: the place that the policy names holds none.
        """
        database = self.policy.database
        if self._password is not None:
            return self._password()
        return secret(self.policy, database.password_env, database.password_file)

    def close(self) -> None:
        """End the audit log; connections of this wall can't send statements after that."""
        self._background.close()
        self._underway.close()
        if self.recorder is not None:
            self.recorder.close()
        if "desk" in vars(self):
            self.desk.close()
        self._threads.close()
        self.audit.close()

    def __enter__(self) -> Wall:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_LOADED: dict[str, Wall] = {}


def _exact(text: Any) -> Any:
    """Give a text that is no subclass: what is remembered is found by its own hash and letters."""
    return str.__str__(text) if isinstance(text, str) else text
