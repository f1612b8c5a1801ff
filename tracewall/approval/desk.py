"""The desk: where a wall asks for approval, and where approvers decide."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from tracewall.approval.request import (
    Act,
    NotEncodable,
    Person,
    Request,
    Requirement,
    Shown,
    decoded,
    digest,
    new_id,
    requirement_of,
)
from tracewall.approval.store import Kept, Spending, Store, StoreUnavailable
from tracewall.approval.verdict import (
    Kind,
    Matches,
    Standing,
    Verdict,
    is_approver,
    is_party,
    standing,
)
from tracewall.signing import PublicKey, Signer

LONGEST_REASON = 2_000
"""How long (characters) a reason may be."""

_PRUNED_AT_ONCE = 50


class NotGranted(Exception):
    """A request gives no right to go on: ``state`` says how it stands, the text why."""

    def __init__(self, state: str, why: str) -> None:
        super().__init__(why)
        self.state = state


class Permit(msgspec.Struct, frozen=True):
    """The right to do an act, used up in the store already.

    ``rules`` are the names of the rules that it satisfies, ``people`` who agreed,
    ``trace`` is the W3C traceparent of the span that it was asked in.
    """

    id: str
    act: Act
    rules: frozenset[str]
    binding: str
    people: tuple[Person, ...] = ()
    glass_broken: bool = False
    trace: str = ""


class Case(msgspec.Struct, frozen=True):
    """A request with what is kept of it, and how it stands."""

    request: Request
    kept: Kept
    standing: Standing

    @property
    def state(self) -> str:
        """How it stands, what became of its use among that.

        ``pending``, ``approved``, ``denied``, ``revoked``, ``expired``; ``done``, ``failed``
        or ``not sent`` once used, or ``unknown`` where whoever used it has not told.
        """
        if self.kept.state == "used":
            return self.kept.outcome or "unknown"
        return self.standing.state


Tell = Callable[[str, Request], None]
"""Is told an event (``requested``, ``glass_broken``) and the request; must not block."""


class Desk:
    """Takes requests, lets people decide on them, and gives each grant out once.

    Args:
        store: where requests are kept.
        keys: the public keys whose signatures on verdicts count.
        matches: tells whether a pattern of the policy matches a group.
        clock: gives the time, in seconds since the epoch.
        listeners: are told of each new request, in turn; what they raise is not heard.
        most_pending: how many requests of one person may wait at a time (0: any number).
        keep: how long (seconds) requests are kept after they are over (0: for good).
    """

    def __init__(
        self,
        store: Store,
        keys: Sequence[PublicKey],
        matches: Matches,
        *,
        clock: Callable[[], float] = time.time,
        listeners: Sequence[Tell] = (),
        most_pending: int = 0,
        keep: float = 0.0,
    ) -> None:
        self.store = store
        self._keys = tuple(keys)
        self._matches = matches
        self._clock = clock
        self.listeners = list(listeners)
        self._most_pending, self._keep = most_pending, keep
        self._used: dict[str, None] = {}

    # --- who asks ---------------------------------------------------------------------

    def ask(
        self,
        act: Act,
        requirements: Sequence[Requirement],
        shown: Shown,
        *,
        statement: str,
        reason: str = "",
        ticket: str = "",
        trace: str = "",
    ) -> Request:
        """Keep a request, or give the one that waits already for the very same.

        Raises:
            NotEncodable: it can't be bound.
            NotGranted: too many of their requests wait already.
            StoreUnavailable: it can't be kept.
        """
        made = self._request(act, requirements, shown, statement, reason, ticket)
        made = msgspec.structs.replace(made, trace=trace)
        same = digest(_Same(act, made.requirements, statement, reason, ticket))
        waiting = self.store.pending(same, self._clock())
        kept = self.store.get(waiting) if waiting else None
        if kept is not None:
            return decoded(kept.content)
        if not self._add(made, same, most=self._most_pending):
            why = f"{self._most_pending} of your requests wait already: have them decided first"
            raise NotGranted("too many", why)
        self._told("requested", made)
        # What is over goes little by little, so that nobody has to think of it.
        with suppress(StoreUnavailable):
            self.prune(most=_PRUNED_AT_ONCE)
        return made

    def _add(self, made: Request, act: str, *, most: int = 0) -> bool:
        return self.store.add(
            made.id,
            act,
            made.encoded(),
            made.expires_at,
            used=made.glass_broken,
            who=made.act.requester.key,
            most=most,
            now=self._clock(),
            over_at=made.expires_at + requirement_of(made.requirements).valid,
        )

    def break_glass(
        self,
        act: Act,
        requirements: Sequence[Requirement],
        shown: Shown,
        *,
        statement: str,
        reason: str,
        ticket: str = "",
    ) -> Permit:
        """Let somebody go on alone, once, and keep that for review.

        Raises:
            NotEncodable: it can't be bound.
            StoreUnavailable: it can't be kept; nobody may go on.
        """
        made = self._request(act, requirements, shown, statement, reason, ticket, broken=True)
        self._add(made, digest(made))
        self._told("glass_broken", made)
        rules = frozenset(rule.rule for rule in requirements)
        return Permit(made.id, act, rules, made.binding, glass_broken=True)

    def _request(
        self,
        act: Act,
        requirements: Sequence[Requirement],
        shown: Shown,
        statement: str,
        reason: str,
        ticket: str,
        *,
        broken: bool = False,
    ) -> Request:
        now = int(self._clock())
        return Request(
            id=new_id(),
            act=act,
            requirements=tuple(requirements),
            statement=statement,
            shown=shown,
            asked_at=now,
            expires_at=now + max(1, int(requirement_of(requirements).expires)),
            reason=reason[:LONGEST_REASON],
            ticket=ticket,
            glass_broken=broken,
        )

    def claim(self, id: str, act: Act, known: Sequence[Requirement]) -> Permit:
        """Use what was granted for an act; whoever calls must do it now, and settle after.

        Args:
            id: the request's.
            act: what is to be done.
            known: what the policy's rules want: what others want, nobody has to satisfy.

        Raises:
            NotGranted: it was not granted, not for this, or was used already.
            StoreUnavailable: the store can't be asked.
        """
        case = self._case(id)
        request, state = case.request, case.state
        if state == "pending":
            raise NotGranted(state, "the request waits for approval")
        if request.act != act:
            raise NotGranted("other", _difference(request.act, act))
        if not set(request.requirements) <= set(known):
            why = "the rules that asked for this approval are not in the policy any more: ask again"
            raise NotGranted("other", why)
        if state != "approved":
            raise NotGranted(state, _WHY.get(state, "the approval was used already: ask again"))
        if (request.once and id in self._used) or not self.store.use(
            id, self._clock(), once=request.once
        ):
            raise NotGranted("used", "the approval was used already, or taken back: ask again")
        self._used[id] = None
        rules = frozenset(rule.rule for rule in request.requirements)
        people = case.standing.approved_by
        return Permit(id, act, rules, request.binding, people, trace=request.trace)

    def settle(self, permit: Permit, outcome: str) -> None:
        """Keep what became of a use: ``done``, ``failed`` or ``not sent``."""
        self.store.settle(permit.id, outcome)

    def spend(self, spending: Spending, at: float = 0.0) -> bool:
        """Count what is had against a budget (``at`` a time; 0: now); False: it would pass it."""
        return self.store.spend(spending, at or self._clock())

    def prune(self, older: float | None = None, *, most: int = 10_000) -> int:
        """Delete requests that have been over for long, and tell how many; at most so many.

        Args:
            older: for how long (seconds); None: as the policy says.
            most: how many at a time.

        Raises:
            StoreUnavailable: the store can't be asked.
        """
        kept = self._keep if older is None else older
        now = self._clock()
        return self.store.prune(now - kept, now, most=most) if kept or older is not None else 0

    def is_pending(self, id: str) -> bool:
        """Tell whether a request waits still for somebody's decision."""
        return self._case(id).state == "pending"

    def _told(self, event: str, request: Request) -> None:
        for listener in self.listeners:
            # The request is kept: whoever can't be told of it can still find it.
            with suppress(Exception):
                listener(event, request)

    # --- who decides ------------------------------------------------------------------

    def case(self, id: str) -> Case | None:
        """Give a request with how it stands; None: there is none of that id."""
        kept = self.store.get(id)
        return self._seen(kept) if kept is not None else None

    def cases(self, *, most: int = 100) -> list[Case]:
        """Give the newest requests, newest first; what can't be read is left out.

        Of more than ``most`` those are here first that wait, are approved or to be reviewed.
        """
        found = []
        for kept in self.store.all(most=most):
            try:
                found.append(self._seen(kept))
            except NotEncodable:
                continue
        return sorted(found, key=lambda case: case.request.asked_at, reverse=True)

    def decide(
        self,
        id: str,
        kind: Kind,
        person: Person,
        groups: frozenset[str],
        signer: Signer,
        reason: str = "",
        *,
        binding: str = "",
    ) -> Case:
        """Sign and keep a person's verdict, and give how the request stands after it.

        ``binding`` is that of the request as the person was shown it, where it was shown.

        Raises:
            NotGranted: it is not theirs to decide, or not any more, or not what they saw.
            StoreUnavailable: the store can't be asked.
        """
        case = self._case(id)
        request = case.request
        if binding and request.binding != binding:
            raise NotGranted("other", "the request is not the one that was shown: look again")
        if is_party(person, request) and kind != "revoke":
            raise NotGranted(
                "own", "you ask for this, or act for who does: somebody else has to decide"
            )
        member = any(is_approver(groups, rule, self._matches) for rule in request.requirements)
        if not member and person != request.act.requester:
            why = "your groups are not among this request's approvers: ask a member of one"
            raise NotGranted("stranger", why)
        open_states = {"review": ("done", "failed", "not sent", "unknown")}
        if case.state not in open_states.get(kind, ("pending", "approved")):
            raise NotGranted(case.state, f"the request is {case.state}")
        if kind == "review" and case.kept.review != "open":
            raise NotGranted("closed", "there is nothing to review")
        if signer.public not in self._keys:
            why = "this key is not one of those under [approval] keys in the policy"
            raise NotGranted("key", why)
        now = int(self._clock())
        verdict = Verdict(
            id, request.binding, kind, person, tuple(sorted(groups)), now, reason[:LONGEST_REASON]
        )
        if not self.store.decide(id, person.key, kind, verdict.signed(signer)):
            raise NotGranted("late", "you have said so already, or the request is used up")
        return self._case(id)

    def _case(self, id: str) -> Case:
        try:
            case = self.case(id)
        except NotEncodable:
            case = None
        if case is None:
            raise NotGranted("none", "there is no request of this id")
        return case

    def _seen(self, kept: Kept) -> Case:
        request = decoded(kept.content)
        if request.id != kept.id:
            raise NotEncodable("a request is kept under another's id")
        now = self._clock()
        return Case(request, kept, standing(request, kept.notes, self._keys, now, self._matches))

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()


class _Same(msgspec.Struct, frozen=True):
    """What makes two requests the same: one of them is enough."""

    act: Act
    requirements: tuple[Requirement, ...]
    statement: str
    reason: str
    ticket: str


_WHY = {
    "denied": "the request was denied",
    "revoked": "the approval was taken back",
    "expired": "the request, or its approval, has expired: ask again",
    "unknown": "the approval was used, and how that ended is not known: look, then ask again",
}


def _difference(asked: Act, now: Act) -> str:
    """Say in what an act differs from what was asked for, without saying how."""
    names = [f for f in Act.__struct_fields__ if getattr(asked, f) != getattr(now, f)]
    return f"the approval is for something else ({', '.join(names)}): ask again"
