"""The frozen values of a policy that say whose tokens are accepted, and who acts for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tracewall.policy.glob import Glob

Provider: TypeAlias = Literal[
    "generic",
    "okta",
    "entra",
    "keycloak",
    "auth0",
    "cognito",
    "google",
    "kubernetes",
    "github-actions",
    "spiffe",
]
Tokens: TypeAlias = Literal["access", "id"]


@dataclass(frozen=True, slots=True)
class Introspection:
    """Where an issuer is asked whether a token is still active (RFC 7662), and as whom.

    ``lasts`` is for how many seconds an answer holds.
    """

    url: str
    client_id: str
    secret_env: str
    lasts: float = 30.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What holds for tokens of every issuer.

    ``background`` lets a thread read keys before they are due; ``revocations`` is the path
    of a list of what is revoked, or empty.
    """

    background: bool = True
    revocations: str = ""


DEFAULTS = Identity()
"""What holds where a policy says nothing of it."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are accepted, and how they are checked.

    ``issuer`` must equal the token's ``iss``; one of ``audiences`` must be in its
    audience; ``keys`` is the path or http(s) URL of a JSON Web Key Set (RFC 7517), empty:
    found by the issuer's metadata, which is at ``discovery`` or at the well-known places.
    ``require`` has pairs of a claim and the values that it may have. What is None or
    empty is as the ``provider`` usually has it; times are seconds. The other fields are
    those of `tracewall.identity.TrustedIssuer`.
    """

    name: str
    issuer: str
    audiences: tuple[str, ...]
    keys: str = ""
    discovery: str = ""
    provider: Provider = "generic"
    tokens: Tokens | None = None
    algorithms: tuple[str, ...] | None = None
    token_types: tuple[str, ...] | None = None
    audience_claim: str | None = None
    subject_claim: str | None = None
    groups_claims: tuple[str, ...] | None = None
    groups_prefix: str = ""
    groups_limit: int | None = None
    actor_groups_claim: str = ""
    claims: tuple[str, ...] = ()
    purpose_claim: str = ""
    require: tuple[tuple[str, tuple[object, ...]], ...] = ()
    leeway: float = 30.0
    max_lifetime: float = 86400.0
    introspection: Introspection | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Actor:
    """Says which ``groups`` those actors (RFC 8693 ``act``) are in whose ``sub`` matches.

    ``issuer`` is the name of the issuer that vouches for them; empty: that of the token.
    """

    name: str
    subjects: tuple[Glob, ...]
    groups: frozenset[str]
    issuer: str = ""
    line: int = 0
