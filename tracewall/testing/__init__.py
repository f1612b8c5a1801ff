"""What tests of code behind the guard need: public, and kept stable like the rest."""

from tracewall.testing.issuer import ServedIssuer, SigningKey, TokenIssuer

__all__ = ["ServedIssuer", "SigningKey", "TokenIssuer"]
