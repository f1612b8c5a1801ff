"""What tests of code behind the guard need: public, and kept stable like the rest."""

from tracewall.testing.answers import Answer, Received
from tracewall.testing.approver import StaticApprover
from tracewall.testing.backend import FakeBackend
from tracewall.testing.bench import Bench, mint_token
from tracewall.testing.clock import FixedClock
from tracewall.testing.issuer import ServedIssuer, SigningKey, TokenIssuer
from tracewall.testing.permissive import permit_all

__all__ = [
    "Answer",
    "Bench",
    "FakeBackend",
    "FixedClock",
    "Received",
    "ServedIssuer",
    "SigningKey",
    "StaticApprover",
    "TokenIssuer",
    "mint_token",
    "permit_all",
]
