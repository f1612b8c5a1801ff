"""Who is asking: tokens verified offline, and the issuers' keys behind them."""

from tracewall.identity.keys import Key, KeyKeeper, KeySet
from tracewall.identity.principal import REASONS, Principal, Rejection
from tracewall.identity.tokens import ALGORITHMS, TrustedIssuer, Verifier

__all__ = [
    "ALGORITHMS",
    "REASONS",
    "Key",
    "KeyKeeper",
    "KeySet",
    "Principal",
    "Rejection",
    "TrustedIssuer",
    "Verifier",
]
