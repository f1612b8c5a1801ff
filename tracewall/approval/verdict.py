"""What people decide: signed notes over a request's hash, and what follows from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

from tracewall.approval.request import VERSION, Person, Request, Requirement, requirement_of
from tracewall.signing import BadNote, PublicKey, Signer, signed_text

Kind: TypeAlias = Literal["approve", "deny", "revoke", "review"]
Matches: TypeAlias = Callable[[str, str], bool]
"""Tells whether a pattern of a policy matches the name of a group."""

SKEW = 60
"""How far clocks may be apart (seconds)."""


class Verdict(msgspec.Struct, frozen=True):
    """One person's decision on a request, at a time (seconds since the epoch)."""

    request: str
    binding: str
    kind: Kind
    person: Person
    groups: tuple[str, ...]
    at: int
    reason: str = ""

    def signed(self, signer: Signer) -> str:
        """Give the signed note of it."""
        return signer.note(self._text())

    def _text(self) -> str:
        lines = [
            VERSION,
            self.request,
            self.binding,
            self.kind,
            _line([self.person.issuer, self.person.subject]),
            _line(sorted(self.groups)),
            str(self.at),
            _line(self.reason),
        ]
        return "\n".join(lines) + "\n"


def _line(value: object) -> str:
    # ASCII only: a line break or a dash of a signature can't be written into a line.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def opened(note: str, keys: Iterable[PublicKey]) -> Verdict:
    """Give the verdict that a note holds.

    Raises:
        BadNote: none of the keys has signed it, or it is no verdict.
    """
    text = signed_text(note, keys)
    try:
        version, request, binding, kind, person, groups, at, reason, rest = text.split("\n")
        issuer, subject = json.loads(person)
        made = msgspec.convert(
            {
                "request": request,
                "binding": binding,
                "kind": kind,
                "person": {"issuer": issuer, "subject": subject},
                "groups": json.loads(groups),
                "at": int(at),
                "reason": json.loads(reason),
            },
            Verdict,
        )
    except (ValueError, TypeError, msgspec.MsgspecError):
        raise BadNote("a signed note is no verdict on a request") from None
    if version != VERSION or rest or made._text() != text:
        raise BadNote("a signed note is no verdict on a request")
    return made


def counted(request: Request, notes: Iterable[str], keys: Iterable[PublicKey]) -> list[Verdict]:
    """Give the verdicts on a request that count, by time.

    Left out are those that nobody known has signed, that are about something else, that
    were made out of time, or by who asks or acts for them (who may take it back only).
    """
    known, binding = list(keys), request.binding
    found = []
    for note in notes:
        try:
            verdict = opened(note, known)
        except BadNote:
            continue
        about = verdict.request == request.id and verdict.binding == binding
        early = verdict.at < request.asked_at - SKEW
        own = is_party(verdict.person, request) and verdict.kind != "revoke"
        if about and not early and not own:
            found.append(verdict)
    return sorted(found, key=lambda verdict: verdict.at)


class Standing(msgspec.Struct, frozen=True):
    """How a request stands: its ``state`` and until when it stays so (0: for good).

    ``state`` is ``pending``, ``approved``, ``denied``, ``revoked`` or ``expired``;
    ``approved_by`` are the people whose approvals count, ``lacking`` the rules that are not
    satisfied yet, each with how many people they lack.
    """

    state: str
    until: int = 0
    approved_by: tuple[Person, ...] = ()
    lacking: tuple[tuple[str, int], ...] = ()


def standing(
    request: Request,
    notes: Iterable[str],
    keys: Iterable[PublicKey],
    now: float,
    matches: Matches,
) -> Standing:
    """Tell how a request stands by what was decided on it, and the time."""
    verdicts = counted(request, notes, keys)
    if any(verdict.kind == "revoke" for verdict in verdicts):
        return Standing("revoked")
    if any(v.kind == "deny" and _may(v, request, matches) for v in verdicts):
        return Standing("denied")
    agreed = [v for v in verdicts if v.kind == "approve" and v.at <= request.expires_at]
    # A note from the future would prolong what it allows.
    agreed = [verdict for verdict in agreed if verdict.at <= now + SKEW]
    for count in range(len(agreed) + 1):
        lacking = tuple(_lacking(request.requirements, agreed[:count], matches))
        if not lacking:
            until = _until(request, agreed[:count])
            by = tuple(dict.fromkeys(verdict.person for verdict in agreed))
            return Standing("approved" if now < until else "expired", until, by)
    lacking = tuple(_lacking(request.requirements, agreed, matches))
    by = tuple(dict.fromkeys(verdict.person for verdict in agreed))
    state = "pending" if now < request.expires_at else "expired"
    return Standing(state, request.expires_at, by, lacking)


def _until(request: Request, agreed: list[Verdict]) -> int:
    last = agreed[-1].at if agreed else request.asked_at
    return last + int(requirement_of(request.requirements).valid)


def _lacking(
    requirements: Iterable[Requirement], agreed: list[Verdict], matches: Matches
) -> Iterator[tuple[str, int]]:
    for requirement in requirements:
        # One subject of two issuers may be one person, who must not count twice.
        agree = (v for v in agreed if is_approver(v.groups, requirement, matches))
        people = {verdict.person.subject for verdict in agree}
        if len(people) < requirement.people:
            yield requirement.rule, requirement.people - len(people)


def _may(verdict: Verdict, request: Request, matches: Matches) -> bool:
    return any(is_approver(verdict.groups, rule, matches) for rule in request.requirements)


def is_party(person: Person, request: Request) -> bool:
    """Tell whether somebody asks, or acts for who asks; by whatever issuer's token."""
    return any(person.subject == party.subject for party in request.act.parties)


def is_approver(groups: Iterable[str], requirement: Requirement, matches: Matches) -> bool:
    """Tell whether the member of some groups is among a rule's approvers."""
    named = list(groups)
    return any(matches(glob, group) for glob in requirement.approvers for group in named)
