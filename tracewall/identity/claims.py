"""What the claims of a trusted issuer's token must say before they name a principal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from tracewall.identity.compact import Refused
from tracewall.identity.principal import Principal

_SPENT: Final = frozenset({"iss", "sub", "aud", "exp", "iat", "nbf", "jti"})
_MAX_NAME: Final = 255


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """Whose tokens are accepted, and how they are checked.

    The policy's ``Issuer`` without its line number: identity and policy do not see each
    other, so the wall converts one into the other. ``issuer`` must equal the token's
    ``iss``; one of ``audiences`` must be in its ``aud``; ``keys`` is the path or http(s)
    URL of a JSON Web Key Set (RFC 7517); ``groups_claim`` the name or the dotted path of
    the claim that lists groups (empty: no groups); ``token_type`` the ``typ`` the header
    must have (compared without case and ``application/``; empty: any or none);
    ``leeway`` and ``max_lifetime`` are seconds (0: no limit on the lifetime).
    """

    name: str
    issuer: str
    audiences: tuple[str, ...]
    keys: str
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    groups_claim: str = "groups"
    token_type: str = "at+jwt"
    leeway: float = 30.0
    max_lifetime: float = 86400.0


def principal_from(
    claims: Mapping[str, Any],
    trusted: TrustedIssuer,
    *,
    key_id: str,
    now: float,
    purpose: str | None = None,
) -> Principal:
    """Make the principal that verified claims name, or raise `Refused`.

    The signature and ``iss`` must have been checked before. ``now`` is in seconds since
    the epoch.
    """
    _check_audience(claims, trusted)
    expires_at = _check_times(claims, trusted, now)
    _check_unsupported(claims)
    return Principal(
        issuer=trusted.issuer,
        subject=_name(claims, "sub", required=True),
        groups=_groups(claims, trusted.groups_claim),
        expires_at=expires_at,
        token_id=_name(claims, "jti"),
        key_id=key_id,
        claims=_frozen({name: claims[name] for name in claims if name not in _SPENT}),
        purpose=purpose,
    )


def _check_audience(claims: Mapping[str, Any], trusted: TrustedIssuer) -> None:
    audience = _present(claims, "aud")
    listed = [audience] if isinstance(audience, str) else audience
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise Refused("bad_claim", "aud must be a string or a list of strings.")
    if not any(one in trusted.audiences for one in listed):
        raise Refused("wrong_audience")


def _check_times(claims: Mapping[str, Any], trusted: TrustedIssuer, now: float) -> float:
    expires, issued = _seconds(claims, "exp"), _seconds(claims, "iat")
    starts = _seconds(claims, "nbf") if "nbf" in claims else issued
    # Each test asks for the good case, so that a clock that answers NaN refuses.
    if not now < expires + trusted.leeway:
        raise Refused("expired")
    if not max(starts, issued) <= now + trusted.leeway:
        raise Refused("not_yet_valid")
    if not 0 < expires - issued <= (trusted.max_lifetime or math.inf):
        raise Refused("lifetime")
    return expires


def _check_unsupported(claims: Mapping[str, Any]) -> None:
    if "cnf" in claims:
        raise Refused("proof_required")
    if "act" in claims:
        raise Refused("delegation")
    if "_claim_names" in claims or "hasgroups" in claims:
        raise Refused("groups_overage")


def _present(claims: Mapping[str, Any], name: str) -> Any:
    if name not in claims:
        raise Refused("missing_claim", f"It lacks {name}.")
    return claims[name]


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = _present(claims, name)
    # bool is an int to Python, and an int may be too long to become a float.
    if type(value) not in (int, float) or not abs(value) < 2**53:
        raise Refused("bad_claim", f"{name} must be a number of seconds.")
    return float(value)


def _name(claims: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    if name not in claims and not required:
        return ""
    value = _present(claims, name)
    if not isinstance(value, str) or not _is_name(value):
        raise Refused("bad_claim", f"{name} must be a string of 1 to 255 characters without NUL.")
    return value


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _MAX_NAME and "\0" not in text


def _groups(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    listed = _at(claims, path)
    # A string must never be iterated: "admin" would be the groups a, d, m, i and n.
    if not isinstance(listed, list):
        raise Refused("bad_groups")
    if not all(isinstance(group, str) and _is_name(group) for group in listed):
        raise Refused("bad_groups")
    return frozenset(listed)


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """Return what is at `path`, an empty list where the way to it ends."""
    if not path:
        return []
    if path in claims:  # Auth0 has claims named by a URL, dots and all
        return claims[path]
    value: Any = claims
    for step in path.split("."):
        if not isinstance(value, Mapping):
            raise Refused("bad_groups")
        if step not in value:
            return []
        value = value[step]
    return value


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({name: _frozen(member) for name, member in value.items()})
    if isinstance(value, list):
        return tuple(_frozen(member) for member in value)
    return value
