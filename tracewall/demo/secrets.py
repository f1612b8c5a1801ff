"""Fake secrets of every kind a detector looks for, the same ones for the same seed.

Each passes the checksum of its kind (Luhn, mod 97, CRC-32), so that a detector with a
confirm step accepts it. None is real: mail goes to reserved domains, phone numbers,
addresses and card prefixes are those set aside for fiction, documentation and tests,
and everything else is noise.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

_DIGITS = "0123456789"
_LOWER = "abcdefghijklmnopqrstuvwxyz"
_UPPER = _LOWER.upper()
_ALNUM = _DIGITS + _UPPER + _LOWER
_TOKEN = _ALNUM + "_-"
DOCUMENTATION_NETS = ("192.0.2", "198.51.100", "203.0.113")
"""The beginnings of the IPv4 addresses that are kept for documentation (RFC 5737)."""

_FIRST = ("ada", "alan", "barbara", "donald", "edsger", "frances", "grace", "hedy", "katherine")
_LAST = ("almeida", "brandt", "costa", "dubois", "eriksen", "fischer", "garcia", "kowalski")


@dataclass(frozen=True, slots=True)
class Secret:
    """A fake secret: its ``kind``, the ``value`` to hide, and the ``text`` it stands in.

    ``text`` is ``value`` itself, or the shortest phrase by which the value can be known
    for what it is, as ``password=<value>``.
    """

    kind: str
    value: str
    text: str


@dataclass(frozen=True, slots=True)
class Planted:
    """One place where a secret was put.

    ``table`` is ``schema.table``, ``key`` the value of its primary key (a number or
    text), ``column`` the column that holds the value, inside a text or a JSON string.
    """

    kind: str
    value: str
    table: str
    key: int | str
    column: str


def _pick(rng: Random, alphabet: str, length: int) -> str:
    return "".join(rng.choices(alphabet, k=length))


def _noise(rng: Random, length: int) -> str:
    return base64.b64encode(rng.randbytes(length)).decode()


def _email(rng: Random) -> str:
    name = f"{rng.choice(_FIRST)}.{rng.choice(_LAST)}{rng.randrange(1000)}"
    return f"{name}@{rng.choice(('example.com', 'example.org', 'mail.example.net'))}"


def _phone(rng: Random) -> str:
    shapes = (
        f"+1 {rng.choice((202, 212, 305, 415, 617))} 555 01{rng.randrange(100):02}",
        f"+1-{rng.choice((202, 312, 404, 512, 702))}-555-01{rng.randrange(100):02}",
        f"+44 20 7946 0{rng.randrange(1000):03}",
        f"+44 7700 900{rng.randrange(1000):03}",
        f"+49 30 23125 {rng.randrange(1000):03}",
    )
    return rng.choice(shapes)


def luhn_digit(digits: str) -> str:
    """Give the digit that makes `digits` a number the Luhn check accepts."""
    doubled = (int(digit) * 2 for digit in digits[::-2])
    total = sum(value - 9 if value > 9 else value for value in doubled)
    total += sum(int(digit) for digit in digits[-2::-2])
    return str(-total % 10)


def _card(rng: Random) -> str:
    prefix, length = rng.choice(
        (("424242", 16), ("411111", 16), ("555555", 16), ("601111", 16), ("378282", 15))
    )
    digits = prefix + _pick(rng, _DIGITS, length - 7)
    digits += luhn_digit(digits)
    return rng.choice(("", " ", "-")).join(_card_groups(digits))


def _card_groups(digits: str) -> list[str]:
    if len(digits) == 15:
        return [digits[:4], digits[4:10], digits[10:]]
    return [digits[at : at + 4] for at in range(0, 16, 4)]


def iban_check(country: str, account: str) -> str:
    """Give the two check digits that make `country` + digits + `account` right by mod 97."""
    spelled = "".join(str(int(char, 36)) for char in account + country + "00")
    return f"{98 - int(spelled) % 97:02}"


def _iban(rng: Random) -> str:
    country, account = rng.choice(
        (
            ("DE", _pick(rng, _DIGITS, 18)),
            ("GB", "TEST" + _pick(rng, _DIGITS, 14)),
            ("NL", "TEST" + _pick(rng, _DIGITS, 10)),
            ("FR", _pick(rng, _DIGITS, 23)),
        )
    )
    iban = country + iban_check(country, account) + account
    if rng.random() < 0.5:
        return iban
    return " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))


def _ip(rng: Random) -> str:
    if rng.random() < 0.25:
        return "2001:db8:" + ":".join(f"{rng.randrange(4096, 65536):x}" for _ in range(6))
    net = rng.choice(DOCUMENTATION_NETS)
    # Three digits each, so that no address is the beginning of another one.
    return f"{net}.{rng.randrange(100, 255)}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _jwt(rng: Random) -> str:
    header = {"alg": "RS256", "typ": "JWT", "kid": _pick(rng, _LOWER + _DIGITS, 8)}
    claims = {
        "iss": "https://issuer.example",
        "sub": _pick(rng, _LOWER, 10),
        "exp": 1_735_689_600 + rng.randrange(31_536_000),
    }
    parts = [json.dumps(part, separators=(",", ":")).encode() for part in (header, claims)]
    return ".".join(_base64url(part) for part in (*parts, rng.randbytes(64)))


def _pem(rng: Random) -> str:
    label, size = rng.choice((("PRIVATE KEY", 138), ("EC PRIVATE KEY", 121)))
    body = _noise(rng, size)
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"))


def _aws(rng: Random) -> str:
    return rng.choice(("AKIA", "ASIA")) + _pick(rng, _UPPER + "234567", 16)


def _gcp(rng: Random) -> str:
    return "AIza" + _pick(rng, _TOKEN, 34) + rng.choice(_ALNUM)


def _azure(rng: Random) -> str:
    return _noise(rng, 64)


def github_checksum(body: str) -> str:
    """Give the last six characters of a GitHub token: CRC-32 of `body` in base 62."""
    rest, out = zlib.crc32(body.encode()), ""
    while rest:
        rest, digit = divmod(rest, 62)
        out = _ALNUM[digit] + out
    return out.rjust(6, "0")


def _github(rng: Random) -> str:
    body = _pick(rng, _ALNUM, 30)
    return rng.choice(("ghp", "gho", "ghs")) + "_" + body + github_checksum(body)


def _slack(rng: Random) -> str:
    team, user = (_pick(rng, "123456789", 11) for _ in range(2))
    return f"xoxb-{team}-{user}-{_pick(rng, _ALNUM, 24)}"


def _stripe(rng: Random) -> str:
    return f"{rng.choice(('sk', 'rk'))}_live_{_pick(rng, _ALNUM, 32)}"


def _openai(rng: Random) -> str:
    body = f"{_pick(rng, _TOKEN, 74)}T3BlbkFJ{_pick(rng, _TOKEN, 73)}"
    return f"sk-proj-{body}{rng.choice(_ALNUM)}"


def _anthropic(rng: Random) -> str:
    return f"sk-ant-api03-{_pick(rng, _TOKEN, 93)}AA"


def _password(rng: Random) -> str:
    # A letter, a digit and a sign are always there, as password rules ask for.
    return rng.choice(_UPPER) + _pick(rng, _ALNUM + "-_!", 14) + rng.choice(_DIGITS) + "!"


_MAKERS = MappingProxyType[str, Callable[[Random], str]](
    {
        "email": _email,
        "phone": _phone,
        "card": _card,
        "iban": _iban,
        "ip": _ip,
        "jwt": _jwt,
        "pem": _pem,
        "aws": _aws,
        "gcp": _gcp,
        "azure": _azure,
        "github": _github,
        "slack": _slack,
        "stripe": _stripe,
        "openai": _openai,
        "anthropic": _anthropic,
        "password": _password,
    }
)
_CONTEXTS = MappingProxyType(
    {
        "azure": ("AccountName=traces;AccountKey={};EndpointSuffix=core.windows.net",),
        "password": ("password={}", "PGPASSWORD={}", "postgresql://svc:{}@db.example.net/traces"),
    }
)

KINDS: tuple[str, ...] = tuple(_MAKERS)
"""Every kind of secret that `make_secret` knows."""


def make_secret(rng: Random, kind: str) -> Secret:
    """Make a fake secret of `kind` from the next numbers of `rng`.

    Raises KeyError for a kind that is not in `KINDS`.
    """
    value = _MAKERS[kind](rng)
    context = rng.choice(_CONTEXTS.get(kind, ("{}",)))
    return Secret(kind, value, context.replace("{}", value))


def any_secret(rng: Random) -> Secret:
    """Make a fake secret of a kind chosen by `rng`, each kind as likely as another."""
    return make_secret(rng, rng.choice(KINDS))
