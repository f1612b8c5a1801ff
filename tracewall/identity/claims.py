"""What the claims of a trusted issuer's token must say before they name a principal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from tracewall.identity.compact import Refused
from tracewall.identity.delegation import actors_of
from tracewall.identity.groups import groups_of, is_name
from tracewall.identity.issuers import ActorRights, Claims, TrustedIssuer
from tracewall.identity.paths import ABSENT, find
from tracewall.identity.principal import Principal
from tracewall.identity.profiles import PROVIDERS, check_kind


def principal_from(
    claims: Claims,
    trusted: TrustedIssuer,
    *,
    key_id: str,
    now: float,
    purpose: str | None = None,
    actors: Iterable[ActorRights] = (),
    mark: str = "",
) -> Principal:
    """Make the principal that verified claims name, or raise `Refused`.

    The signature and ``iss`` must have been checked before. ``now`` is in seconds since
    the epoch. A purpose that the token says goes before `purpose`.
    """
    _check_audience(claims, trusted)
    issued_at, expires_at = _check_times(claims, trusted, now)
    if "cnf" in claims:
        raise Refused("proof_required")
    subject = _name(claims, "sub")
    check_kind(claims, trusted)
    _check_required(claims, trusted)
    return Principal(
        issuer=trusted.issuer,
        subject=subject if trusted.subject_claim == "sub" else _name(claims, trusted.subject_claim),
        groups=groups_of(claims, trusted),
        expires_at=expires_at,
        issued_at=issued_at,
        token_id=_name(claims, "jti") if "jti" in claims else "",
        key_id=key_id,
        claims=_copied(claims, trusted.claims),
        purpose=_purpose(claims, trusted) or purpose,
        actors=actors_of(claims, trusted, actors),
        mark=mark,
    )


def _check_audience(claims: Claims, trusted: TrustedIssuer) -> None:
    name = trusted.audience_claim
    audience = _present(claims, name)
    listed = [audience] if isinstance(audience, str) else audience
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise Refused("bad_claim", f"{name} must be a string or a list of strings.")
    if not any(one in trusted.audiences for one in listed):
        raise Refused("wrong_audience")


def _check_times(claims: Claims, trusted: TrustedIssuer, now: float) -> tuple[float, float]:
    expires = _seconds(claims, "exp")
    dated = "iat" in claims or PROVIDERS[trusted.provider].needs_issued
    # A token that does not say since when is taken for one of this moment.
    issued = _seconds(claims, "iat") if dated else now
    starts = _seconds(claims, "nbf") if "nbf" in claims else issued
    # Each test asks for the good case, so that a clock that answers NaN refuses.
    if not now < expires + trusted.leeway:
        raise Refused("expired")
    if not max(starts, issued) <= now + trusted.leeway:
        raise Refused("not_yet_valid")
    if (
        not (0 if dated else -trusted.leeway)
        < expires - issued
        <= (trusted.max_lifetime or math.inf)
    ):
        raise Refused("lifetime")
    return issued, expires


def _check_required(claims: Claims, trusted: TrustedIssuer) -> None:
    for path, values in trusted.require:
        found = find(claims, path)
        # Types count: true is not 1, nor "1".
        if not any(type(found) is type(value) and found == value for value in values):
            raise Refused("claim_not_allowed")


def _purpose(claims: Claims, trusted: TrustedIssuer) -> str:
    found = find(claims, trusted.purpose_claim) if trusted.purpose_claim else ABSENT
    if found is not ABSENT and not is_name(found):
        raise Refused("bad_claim", "The purpose must be a string of 1 to 255 characters.")
    return "" if found is ABSENT else str(found)


def _copied(claims: Claims, paths: Iterable[str]) -> Mapping[str, Any]:
    found = {path: find(claims, path) for path in paths}
    return MappingProxyType(
        {path: _frozen(value) for path, value in found.items() if value is not ABSENT}
    )


def _present(claims: Claims, name: str) -> Any:
    if name not in claims:
        raise Refused("missing_claim", f"It lacks {name}.")
    return claims[name]


def _seconds(claims: Claims, name: str) -> float:
    value = _present(claims, name)
    # bool is an int to Python, and an int may be too long to become a float.
    if type(value) not in (int, float) or not abs(value) < 2**53:
        raise Refused("bad_claim", f"{name} must be a number of seconds.")
    return float(value)


def _name(claims: Claims, name: str) -> str:
    value = _present(claims, name)
    if not is_name(value):
        raise Refused("bad_claim", f"{name} must be a string of 1 to 255 characters without NUL.")
    return str(value)


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({name: _frozen(member) for name, member in value.items()})
    if isinstance(value, list):
        return tuple(_frozen(member) for member in value)
    return value
