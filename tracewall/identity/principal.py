"""Who is asking: the frozen result of verifying a token, or the reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "missing": "No token: pass token= to connect, or use wall.acting_as().",
        "malformed": "The token is not a compact JSON Web Token with strict JSON inside.",
        "too_large": "The token is larger than 16 KiB.",
        "header_not_allowed": "The token's header has a member that is not allowed.",
        "unknown_issuer": "The token's issuer is not trusted by the policy.",
        "wrong_algorithm": "The token's algorithm is not allowed for its issuer or its key.",
        "wrong_type": "The token's type is not the one the policy asks for.",
        "keys_unavailable": "The issuer's keys are out of reach.",
        "unnamed_key": "The token names no key, and the issuer has not exactly one.",
        "unknown_key": "The token names a key that the issuer does not publish.",
        "bad_signature": "The token's signature does not verify.",
        "missing_claim": "The token lacks a claim that is required.",
        "bad_claim": "A claim of the token has the wrong form.",
        "wrong_audience": "The token is meant for another audience.",
        "expired": "The token has expired.",
        "not_yet_valid": "The token is not valid yet.",
        "lifetime": "The token's lifetime is longer than allowed, or not positive.",
        "proof_required": "The token is bound to a proof of possession, which is not checked here.",
        "claim_not_allowed": "A claim of the token has not the value that the policy requires.",
        "delegation": "The token names an actor whose rights are not known.",
        "groups_overage": "The token leaves its groups out because there are too many.",
        "bad_groups": "The groups claim is not a list of names.",
        "revoked": "The token, or whom it names, has been revoked.",
        "revocations_unavailable": "What has been revoked can't be told.",
        "inactive": "The issuer says that the token is no longer active.",
        "introspection_unavailable": "The issuer has not said whether the token is still active.",
        "another_subject": "The token provider gave a token of another subject.",
        "provider_failed": "The token provider gave no token.",
        "key_withdrawn": "The key that verified the token is no longer published.",
        "unverifiable": "The token could not be verified.",
    }
)
"""Every reason code that a `Rejection` can have, with its sentence. Codes never change."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts for a principal's subject (RFC 8693), and the groups it belongs to itself."""

    issuer: str
    subject: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was verified.

    ``issuer`` and ``subject`` are the token's ``iss`` and ``sub``; ``groups`` what the
    issuer's groups claim listed; ``claims`` the claims that the policy's ``claims``
    names, by those names (read-only all the way down: objects are mappings, lists are
    tuples; what the token lacks is not there); ``expires_at`` and ``issued_at`` the
    token's ``exp`` and ``iat`` in seconds since the epoch; ``token_id`` its ``jti`` or
    empty; ``key_id`` the RFC 7638 thumbprint of the key that verified it; ``purpose``
    what the token or the service says this access is for, or None; ``actors`` who acts
    for the subject, the current one first: what may be done is what each of them may;
    ``mark`` is the token's hash where its issuer is asked about it, else empty.
    """

    issuer: str
    subject: str
    groups: frozenset[str]
    expires_at: float
    token_id: str = ""
    key_id: str = ""
    claims: Mapping[str, object] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )
    purpose: str | None = None
    issued_at: float = 0.0
    actors: tuple[Actor, ...] = ()
    mark: str = field(default="", compare=False, repr=False)

    @property
    def actor_groups(self) -> tuple[frozenset[str], ...]:
        """The groups of each actor; a right counts only where each of them has it, too."""
        return tuple(actor.groups for actor in self.actors)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a token was refused.

    ``reason`` is a stable code out of `REASONS`; ``message`` one or two sentences that
    hold nothing of the token; ``issuer`` the policy's *name* for the issuer, empty
    where the token is from nobody trusted.
    """

    reason: str
    message: str
    issuer: str = ""

    @property
    def unknown_key(self) -> bool:
        """True when asking the issuer, for keys or about the token, could change the answer."""
        return self.reason in ("unknown_key", "keys_unavailable", "introspection_unavailable")


def rejection(reason: str, issuer: str = "", detail: str = "") -> Rejection:
    """Make the Rejection for a code of `REASONS`; ``detail`` must hold nothing of the token."""
    return Rejection(reason, f"{REASONS[reason]} {detail}".rstrip(), issuer)
