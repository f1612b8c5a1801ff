"""What the name of a column says of what is in it, and how such a thing is masked."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from tracewall.masking.config import Method
from tracewall.masking.documents import is_secret
from tracewall.policy.fitting import ColumnType, fit


@dataclass(frozen=True, slots=True)
class Hint:
    """A kind of thing: what its masks are called, and the methods to try, the best first."""

    kind: str
    methods: tuple[Method, ...]

    def method(self, type: ColumnType) -> Method:
        """Give the first method that keeps something of a type, or else the one that keeps none."""
        return next((method for method in self.methods if not fit(method, type)), Method("null"))


_LAST_FOUR = Method("partial", keep_last=4)
_REDACT = Method("redact")
SECRET = Hint("secrets", (_REDACT,))
BY_DETECTOR = {
    "email": Hint("emails", (Method("email"),)),
    "card": Hint("cards", (_LAST_FOUR,)),
    "iban": Hint("accounts", (_LAST_FOUR,)),
    "phone": Hint("phones", (Method("partial", keep_last=2),)),
    "ip": Hint("addresses-of-machines", (Method("hash"),)),
}
"""What whole values are that a detector finds; all others are secrets."""

_NAMES: tuple[tuple[str, Hint], ...] = (
    (r"e?mail(address)?|emailaddr", BY_DETECTOR["email"]),
    (r"(phone|mobile|cell|telephone|tel|fax|msisdn)(number|no|nr)?", BY_DETECTOR["phone"]),
    (r"(card|creditcard|cc|pan)(number|no|nr|num)|pan|ccn", BY_DETECTOR["card"]),
    (r"iban|(bank)?account(number|no|nr|num)|routing(number|no)|sortcode|bic|swift",
     BY_DETECTOR["iban"]),
    (r"ip|ip(v[46])?(address|addr)|(client|remote|source|user)ip|macaddr(ess)?", BY_DETECTOR["ip"]),
    (r"ssn|socialsecurity(number|no)?|nationalid|taxid|tin|vatid|passport(number|no)?|personalid"
     r"|driver(s)?licen[cs]e(number|no)?|licen[cs]eplate|nino|steuerid|dni|cpf|cnpj",
     Hint("identity-numbers", (_LAST_FOUR,))),
    (r"cvv2?|cvc2?|pin|pincode|otp|totp|mfa|seed(phrase)?|mnemonic|salt|signature", SECRET),
    (r"birth(day|date)?|dateofbirth|dob|born(on)?|dateofdeath",
     Hint("dates-of-life", (Method("date", unit="year"), _REDACT))),
    (r"salary|wages?|income|bonus|compensation|networth|creditscore|creditlimit",
     Hint("incomes", (Method("number", bucket=10_000), _REDACT))),
    (r"lat(itude)?|lon(gitude)?|lng",
     Hint("places", (Method("number", bucket=1), _REDACT))),
    (r"(first|last|full|middle|given|family|maiden|legal|sur|fore)name|lname|fname|nachname|vorname",
     Hint("names", (_REDACT,))),
    (r"(home|street|postal|mailing|billing|shipping)?(address|addr)(line)?[0-9]?|street|zip(code)?"
     r"|post(al)?code|plz", Hint("addresses", (_REDACT,))),
    (r"gender|sex|religion|ethnicity|race|nationality|sexualorientation|disability|diagnos[ie]s"
     r"|medical\w*|health\w*|blood(type|group)|biometrics?|fingerprint|politicalparty",
     Hint("sensitive", (_REDACT,))),
)  # fmt: skip
_FREE_TEXT = re.compile(
    r"(body|content|contents|messages?|notes?|comments?|descriptions?|text|prompt|completion|parts"
    r"|response|request|payload|arguments|attributes|metadata|reason|remarks|feedback|transcript"
    r"|instructions|log|error|stacktrace|query|details|data|raw)$"
)
_TENANT = re.compile(
    r"(tenant|org|organi[sz]ation|workspace|company|account|customer|client)(id|uuid|key)?"
)
_TEXTUAL = frozenset({"text", "varchar", "bpchar", "json", "jsonb"})


def hinted(name: str) -> Hint | None:
    """Tell what a column's name says, if it says anything."""
    letters = _letters(name)
    for pattern, hint in _NAMES:
        if re.fullmatch(pattern, letters):
            return hint
    return SECRET if is_secret(name, "an-opaque-text") else None


def is_free_text(name: str, type: ColumnType) -> bool:
    """Tell whether a column is, by its name and type, one where people or programs write."""
    # An array's type is called by its item's name, behind an underscore.
    return type.name.lstrip("_") in _TEXTUAL and bool(_FREE_TEXT.search(_letters(name)))


def is_tenant(name: str) -> bool:
    """Tell whether a column's name says whose the row is."""
    return _TENANT.fullmatch(_letters(name)) is not None


def _letters(name: str) -> str:
    folded = unicodedata.normalize("NFKD", name).casefold()
    return "".join(char for char in folded if char.isalnum())
