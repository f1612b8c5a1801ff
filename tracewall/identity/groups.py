"""Which groups a token's bearer belongs to, by its claims: all of them, or a refusal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tracewall.identity.compact import Refused
from tracewall.identity.issuers import Claims, TrustedIssuer
from tracewall.identity.paths import ABSENT, find
from tracewall.identity.profiles import PROVIDERS

_LONGEST_NAME = 255


def groups_of(claims: Claims, trusted: TrustedIssuer) -> frozenset[str]:
    """Give the groups that claims list and those that the provider's profile derives.

    Raises:
        Refused: a claim is no list of names, or not all groups are there.
    """
    found = set(_named(PROVIDERS[trusted.provider].groups(claims)))
    for path in trusted.groups_claims:
        _check_overage(claims, path)
        listed = listed_at(claims, path)
        if trusted.groups_limit and len(listed) >= trusted.groups_limit:
            raise Refused("groups_overage")
        found |= listed
    return frozenset(f"{trusted.groups_prefix}{group}" for group in found)


def listed_at(claims: Claims, path: str) -> frozenset[str]:
    """Give the names that the list at `path` has; none where there is no list."""
    listed = find(claims, path, "bad_groups") if path else ABSENT
    if listed is ABSENT:
        return frozenset()
    # A string must never be iterated: "admin" would be the groups a, d, m, i and n.
    if not isinstance(listed, list):
        raise Refused("bad_groups")
    return frozenset(_named(listed))


def is_name(text: object) -> bool:
    """Tell whether it is a string of 1 to 255 characters without NUL."""
    return isinstance(text, str) and 0 < len(text) <= _LONGEST_NAME and "\0" not in text


def _named(groups: Iterable[Any]) -> list[str]:
    names = list(groups)
    if not all(is_name(group) for group in names):
        raise Refused("bad_groups")
    return names


def _check_overage(claims: Claims, path: str) -> None:
    # OpenID Connect Core 5.6.2: the claim is to be asked for elsewhere. Entra ID does so
    # when there are too many groups, and says `hasgroups` where there is no room for that.
    elsewhere = claims.get("_claim_names", {})
    name = path if path in claims else path.split(".")[0]
    if not isinstance(elsewhere, Mapping) or name in elsewhere:
        raise Refused("groups_overage")
    if name == "groups" and "hasgroups" in claims:
        raise Refused("groups_overage")
