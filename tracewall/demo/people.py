"""The tenants of the sample store and their users, the same ones for the same seed."""

from __future__ import annotations

from random import Random

from tracewall.demo.secrets import DOCUMENTATION_NETS, make_secret
from tracewall.demo.trace import Caller

TENANTS: tuple[str, ...] = (
    "acme", "borealis", "cobalt", "delphi", "everest", "fathom", "granite", "harbor",
)  # fmt: skip
"""The tenants, the busiest first."""

_USERS = 25
_FIRST = ("ana", "bo", "chi", "dai", "eva", "finn", "gus", "hana", "ida", "jon", "kai", "lia")
_LAST = ("abe", "berg", "cho", "diaz", "endo", "ford", "gray", "hahn", "ito", "juhl", "koch")


def make_callers(rng: Random, providers: tuple[str, ...]) -> dict[str, list[Caller]]:
    """Make the users of every tenant, each with a key of their own at each provider.

    Returns the callers of each provider. Busy tenants come more than once, so that an
    even choice among callers gives an uneven load.
    """
    callers: dict[str, list[Caller]] = {provider: [] for provider in providers}
    for rank, tenant in enumerate(TENANTS):
        for number in range(_USERS):
            email = f"{rng.choice(_FIRST)}.{rng.choice(_LAST)}{number}@{tenant}.example.com"
            for provider in providers:
                key = make_secret(rng, provider).value
                caller = Caller(tenant, f"{tenant}-u{number:03}", email, key)
                callers[provider] += [caller] * (len(TENANTS) - rank)
    return callers


def client_address(rng: Random) -> str:
    """Draw the address a request came from, out of the ranges kept for documentation."""
    return f"{rng.choice(DOCUMENTATION_NETS)}.{rng.randrange(1, 255)}"
