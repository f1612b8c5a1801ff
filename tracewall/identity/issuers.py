"""Whose tokens are accepted: one frozen value for each issuer, whatever its provider."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tracewall.identity.introspection import Introspection

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
"""What a policy may allow; Ed25519 is RFC 9864's name for the EdDSA that is meant here."""

NO_TYPE: Final = "none"
"""Stands in ``token_types`` for a header without ``typ``."""

Claims: TypeAlias = Mapping[str, Any]
Wanted: TypeAlias = tuple[tuple[str, tuple[object, ...]], ...]


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """Whose tokens are accepted, and how they are checked.

    The policy's ``Issuer`` without its line number, and with what its provider's profile
    fills in (`tracewall.identity.profiles.trusted`): identity and policy do not see each
    other, so the wall converts one into the other.

    ``issuer`` must equal the token's ``iss``; one of ``audiences`` must be in its
    ``audience_claim``. ``keys`` is the path or http(s) URL of a JSON Web Key Set (RFC
    7517); where it is empty, the set is found by the issuer's metadata, at ``discovery``
    or at the well-known places of OpenID Connect Discovery and RFC 8414. ``tokens`` is
    ``access`` or ``id``. ``token_types`` lists what the header's ``typ`` may be (compared
    without case and ``application/``; `NO_TYPE`: none; empty text: anything).

    Paths of claims are a claim's name, a dotted path, or a JSON pointer (RFC 6901, from
    ``/`` on): ``groups_claims`` list groups, each of which gets ``groups_prefix``; as many
    as ``groups_limit`` (0: no limit) are refused, for there may be more; ``claims`` are
    copied to the principal; ``purpose_claim`` says what the access is for;
    ``actor_groups_claim`` lists an actor's groups, inside ``act``. ``require`` has the
    claims that must have one of some values. ``leeway`` and ``max_lifetime`` are seconds
    (0: no limit on the lifetime); ``introspection`` says where the issuer is asked whether
    a token is still active.
    """

    name: str
    issuer: str
    audiences: tuple[str, ...]
    keys: str = ""
    discovery: str = ""
    provider: str = "generic"
    tokens: str = "access"
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    token_types: tuple[str, ...] = ("at+jwt",)
    audience_claim: str = "aud"
    subject_claim: str = "sub"
    groups_claims: tuple[str, ...] = ("groups",)
    groups_prefix: str = ""
    groups_limit: int = 0
    actor_groups_claim: str = ""
    claims: tuple[str, ...] = ()
    purpose_claim: str = ""
    require: Wanted = ()
    leeway: float = 30.0
    max_lifetime: float = 86400.0
    introspection: Introspection | None = None


@dataclass(frozen=True, slots=True)
class ActorRights:
    """Which groups an actor (RFC 8693 ``act``) belongs to.

    ``issuer`` is the ``iss`` that vouches for the actor, empty: the token's own;
    ``matches`` tells whether a subject is meant.
    """

    matches: Callable[[str], bool]
    groups: frozenset[str]
    issuer: str = ""


def check(trusted: TrustedIssuer) -> None:
    """Refuse an issuer that could not be checked as meant (ValueError)."""
    complaint = ""
    if not trusted.name or not trusted.issuer or not all((*trusted.audiences, trusted.audiences)):
        complaint = "name, issuer and audiences must not be empty"
    elif not trusted.algorithms or not set(ALGORITHMS).issuperset(trusted.algorithms):
        complaint = f"algorithms must be some of {', '.join(ALGORITHMS)}"
    elif not trusted.token_types or trusted.tokens not in ("access", "id"):
        complaint = 'token_types must not be empty, and tokens must be "access" or "id"'
    elif not 0 <= trusted.leeway < math.inf or not 0 <= trusted.max_lifetime < math.inf:
        complaint = "leeway and max_lifetime must be seconds from 0"
    if complaint:
        raise ValueError(f"issuer {trusted.name!r}: {complaint}")
