"""What tests of code behind the guard need: public, and kept stable like the rest."""

from tracewall.testing.answers import Answer, Received
from tracewall.testing.backend import FakeBackend
from tracewall.testing.clock import FixedClock
from tracewall.testing.issuer import ServedIssuer, SigningKey, TokenIssuer

__all__ = [
    "Answer",
    "FakeBackend",
    "FixedClock",
    "Received",
    "ServedIssuer",
    "SigningKey",
    "TokenIssuer",
]
