"""A labelled corpus: values of every kind planted in sentences, and near misses.

Everything is made from a seed. None of the values is real.
"""

from __future__ import annotations

import base64
import gzip
import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits

import pytest

from tracewall.masking.detectors import Detectors, detectors

ALNUM = ascii_letters + digits
HEX = "0123456789abcdef"
SENTENCES = (
    "Natalia sold 48/2 = <<48/2=24>>24 clips in May, so 48+24 = <<48+24=72>>72 in all.",
    "The test in tests/test_parser.py fails with IndexError at line 214, column 8.",
    "She pays $1,250.75 a month, i.e. 12*1250.75 = <<12*1250.75=15009>>15009 dollars a year.",
    "def area(width: float, height: float) -> float: return width * height",
    "Let me open the file and look at the function before I change anything.",
    "3.14159265358979 times 2 is 6.28318530717958, which we round to 6.28.",
    "He ran 5 km on Monday, 7.5 km on Tuesday and half as much as both on Friday.",
    "$ grep -rn 'token' src/ | wc -l\n17",
    "Die Bäckerei verkauft 120 Brötchen à 0,45 €, das macht 54,00 €.",
    "The request took 12:34:56.789 and returned 200 OK at 2024-05-17T09:30:00Z.",
    "for i in range(10): print(i, i ** 2, i << 3, sep=', ')",
    "Traceback (most recent call last): KeyError: 'usage' in app/main.py",
)


@dataclass(frozen=True)
class Sample:
    """A text, and where in it what kind of value was planted."""

    text: str
    planted: tuple[tuple[int, int, str], ...] = field(default=())


def pick(rng: Random, alphabet: str, low: int, high: int = 0) -> str:
    return "".join(rng.choices(alphabet, k=rng.randint(low, high or low)))


def luhn_sum(number: str) -> int:
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(number))]
    return sum(d - 9 if d > 9 else d for d in doubled)


def grouped(text: str, sizes: Sequence[int], mark: str) -> str:
    pieces, rest = [], iter(text)
    for size in sizes:
        pieces.append("".join(islice(rest, size)))
    return mark.join(pieces)


def email(rng: Random) -> str:
    local = pick(rng, ascii_lowercase, 2, 9) + rng.choice(["", ".lee", "_x", "+tag", "42", "-b"])
    host = rng.choice(["example.com", "mail.example.org", "a-b.example.co.uk", "exämple.de"])
    return f"{local}@{host}"


def phone(rng: Random) -> str:
    area, exchange, line = rng.randint(201, 999), rng.randint(200, 999), rng.randint(0, 9999)
    area, exchange = area + (area % 100 == 11), exchange + (exchange % 100 == 11)
    return rng.choice([
        f"+1 {area} {exchange} {line:04}", f"+1-{area}-{exchange}-{line:04}",
        f"+1{area}{exchange}{line:04}", f"({area}) {exchange}-{line:04}",
        f"{area}-{exchange}-{line:04}", f"+49 30 {rng.randint(10**6, 10**7 - 1)}",
        f"+44 20 {rng.randint(7000, 8999)} {line:04}", f"+33 6 12 34 56 {line % 90 + 10}",
        f"0049 30 {rng.randint(1000, 9999)} {line:04}", f"07700 900{line % 1000:03}",
        f"01 42 {area % 90 + 10} {exchange % 90 + 10} {line % 90 + 10}",
    ])  # fmt: skip


def card(rng: Random) -> str:
    prefix, size = rng.choice(
        [
            ("4", 16),
            ("52", 16),
            ("2720", 16),
            ("37", 15),
            ("6011", 16),
            ("3530", 16),
            ("36", 14),
            ("4", 19),
            ("62", 16),
            ("4", 13),
        ]
    )
    body = prefix + pick(rng, digits, size - len(prefix) - 1)
    number = next(body + last for last in digits if luhn_sum(body + last) % 10 == 0)
    sizes = {15: (4, 6, 5), 14: (4, 6, 4), 16: (4, 4, 4, 4), 19: (4, 4, 4, 4, 3)}.get(size)
    return grouped(number, sizes, rng.choice(["", " ", "-"])) if sizes else number


def iban(rng: Random) -> str:
    country, bank = rng.choice(
        [
            ("DE", "18"),
            ("GB", "A4 14"),
            ("NL", "A4 10"),
            ("NO", "11"),
            ("FR", "23"),
            ("MT", "A4 23"),
            ("CH", "17"),
        ]
    )
    account = "".join(
        pick(rng, ascii_uppercase, 4) if part[0] == "A" else pick(rng, digits, int(part))
        for part in bank.split()
    )
    spelled = "".join(str(int(char, 36)) for char in account + country + "00")
    text = f"{country}{98 - int(spelled) % 97:02}{account}"
    if rng.random() < 0.4:
        return grouped(
            text, (4,) * (len(text) // 4) + ((len(text) % 4,) if len(text) % 4 else ()), " "
        )
    return text.lower() if rng.random() < 0.1 else text


def ip(rng: Random) -> str:
    if rng.random() < 0.3:
        head = f"2001:db8:{rng.randrange(65536):x}"
        return rng.choice(
            [
                f"{head}::{rng.randrange(1, 65536):x}",
                f"fe80::{rng.randrange(65536):x}:1",
                f"{head}:0:0:0:0:{rng.randrange(1, 65536):x}",
            ]
        )
    return ".".join(str(rng.randint(1, 223)) for _ in range(3)) + f".{rng.randint(0, 255)}"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def jwt(rng: Random) -> str:
    header = rng.choice(
        [
            {"alg": "RS256", "typ": "JWT"},
            {"typ": "JWT", "alg": "HS256"},
            {"algorithm": "x", "alg": "ES256"},
            {"kid": "a1", "alg": "EdDSA"},
        ]
    )
    claims = {"sub": pick(rng, digits, 6), "exp": rng.randint(10**9, 2 * 10**9)}
    parts = [b64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)]
    signature = b64(rng.randbytes(64))
    return ".".join([*parts, signature[: rng.choice([len(signature), 20])]])


def pem(rng: Random) -> str:
    kind = rng.choice(["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
    body = base64.b64encode(rng.randbytes(rng.randint(120, 400))).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    mark = rng.choice(["\n", "\r\n", "\\n"])
    whole = [f"-----BEGIN {kind}PRIVATE KEY-----", *lines, f"-----END {kind}PRIVATE KEY-----"]
    return mark.join(rng.choice([whole, whole, whole[:-1], whole[:-2]]))


def aws(rng: Random) -> str:
    return rng.choice(["AKIA", "ASIA"]) + pick(rng, ascii_uppercase + "234567", 16)


def openai(rng: Random) -> str:
    return rng.choice(
        [
            "sk-proj-" + pick(rng, ALNUM + "_-", 60, 120) + "A",
            "sk-" + pick(rng, ALNUM, 20) + "T3BlbkFJ" + pick(rng, ALNUM, 20),
            "sk-svcacct-" + pick(rng, ALNUM, 40),
        ]
    )


def keyed(
    prefixes: Iterable[str], alphabet: str, low: int, high: int = 0
) -> Callable[[Random], str]:
    choices = list(prefixes)
    return lambda rng: rng.choice(choices) + pick(rng, alphabet, low, high)


MAKERS: dict[str, Callable[[Random], str]] = {
    "email": email, "phone": phone, "card": card, "iban": iban, "ip": ip, "jwt": jwt, "pem": pem,
    "aws": aws, "openai": openai,
    "gcp": keyed(["AIza"], ALNUM + "_-", 35),
    "github": keyed(["ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_11"], ALNUM, 36),
    "slack": keyed(["xoxb-", "xoxp-", "xoxa-"], digits + ALNUM, 24, 40),
    "stripe": keyed(["sk_live_", "rk_live_", "sk_test_"], ALNUM, 24, 40),
    "anthropic": keyed(["sk-ant-api03-", "sk-ant-admin01-"], ALNUM + "_-", 80, 95),
    "token": keyed(["glpat-", "npm_", "pplx-"], ALNUM, 36, 40),
}  # fmt: skip
FRAMES = (
    "{0}", "see {0} for that", '"{0}"', "({0})", "x = '{0}'", '{{"value": "{0}", "n": 3}}',
    "value: {0}", "{0}, and then", "- {0}\n", "<{0}>", 'print("{0}")', "a\t{0}\tb", "é {0} —",
)  # fmt: skip
PASSWORD_FRAMES = r"""
password={0}
DB_PASSWORD={0}
"password": "{0}"
passwd: {0}
password = '{0}'
"api_key": "{0}",
client_secret: {0}
export APP_SECRET={0}
postgres://svc:{0}@db.internal/app
--password {0} --verbose
{{\"password\": \"{0}\"}}
<password>{0}</password>
Authorization: Bearer {0}
access_token="{0}"
secret: str = '{0}'
host=db user=a password={0} dbname=x
?user=me&password={0}&x=1
MY_TOKEN={0}
""".strip().splitlines()
SECRET_FRAMES = (
    *(("password", frame) for frame in PASSWORD_FRAMES),
    ("aws", "aws_secret_access_key = {0}"),
    ("aws", '"secretAccessKey": "{0}"'),
    ("azure", "AccountName=a;AccountKey={0};EndpointSuffix=x"),
    ("azure", "SharedAccessKey={0}"),
)
NEAR_MISSES = """
std::vector<abc::def>
x[2000::2]
@app.route('/users')
import a @ b.T
git@github.com:org/repo.git
w @ x.mean(axis=0)
password = get_password()
token = tokens[0]
max_tokens: 4096
"password": {"type": "string"}
PASSWORD=${DB_PASSWORD}
password: str = None
if token == self.token:
secret = config['secret']
api_key=os.environ['KEY']
api_key = settings.API_KEY
password=password)
PWD=/home/user/app
<password></password>
the password: is required
Bearer tokens are opaque
basic understanding of arithmetic
https://example.com:8080/path
-----BEGIN CERTIFICATE-----
-----BEGIN PUBLIC KEY-----
127.0.0.1:5432 and 0.0.0.0 and 255.255.255.0
ghp_short and sk-learn and AKIA
""".strip().splitlines()


def imei(rng: Random) -> str:
    """Make a device's number: it has a check digit as cards have, but no issuer."""
    body = "99" + pick(rng, digits, 12)
    return next(body + last for last in digits if luhn_sum(body + last) % 10 == 0)


def isbn(rng: Random) -> str:
    body = "978" + pick(rng, digits, 9)
    total = sum(int(d) * (1 + 2 * (i % 2)) for i, d in enumerate(body))
    return f"{body}{-total % 10}"


def near_misses(rng: Random) -> list[str]:
    """Make what looks like a secret and is none."""
    sixteen = pick(rng, "123456789", 16)
    while luhn_sum(sixteen) % 10 == 0:
        sixteen = pick(rng, "123456789", 16)
    a, b, c = (rng.randint(2, 999) for _ in range(3))
    big = rng.randint(1000, 9999)
    return [
        *NEAR_MISSES,
        f"order {sixteen}",
        f"order no. {grouped(sixteen, (4, 4, 4, 4), ' ')}",
        f"commit {pick(rng, HEX, 40)}",
        f"sha256:{pick(rng, HEX, 64)}",
        f"task-{uuid.UUID(int=rng.getrandbits(128))} {pick(rng, HEX, 32)}",
        f"version {a % 9}.{a}.{b}.{c}",
        f"v{a % 9}.2.3.4 and lib==1.{a}.3.1",
        f"Chrome/{a}.0.{big}.{b}",
        f"1.3.6.1.4.1.{a}",
        f"0.{pick(rng, digits, 16)}",
        pick(rng, digits, 20, 60),
        f"{a}*{b} = <<{a}*{b}={a * b}>>",
        f"{a}+{rng.randint(10**6, 10**8)}+{c}",
        f"{a}-{b}-{c}",
        f"{a} {b} {big}",
        f"data:image/png;base64,{base64.b64encode(rng.randbytes(90)).decode()}",
        f"{rng.randint(1, 28):02}-{rng.randint(1, 12):02}-2024",
        f"{rng.randint(10**12, 2 * 10**12 - 1)} ms",
        ":".join(pick(rng, HEX, 2) for _ in range(6)),
        ":".join(pick(rng, HEX, 2) for _ in range(16)),
        f"{a}:{b % 60:02}:{c % 60:02}",
        f"icon@{a}x.png",
        f"lodash@4.{a}.1",
        f"token_count={a}",
        f"http://localhost:{big}/a@b",
        f"eyJ{pick(rng, ALNUM, 30)}",
        f"sk-{pick(rng, ascii_lowercase, 8)}-learn-module",
        f"risk-{pick(rng, HEX, 24)}",
        f"GB{pick(rng, digits, 20)}X",
        f"tel aviv {a} km, ISBN 978-3-16-{pick(rng, digits, 6)}-0",
        f"IMEI {imei(rng)}, ISBN-13 {isbn(rng)}",
        f"invoice INV-{rng.randint(2000, 2030)}-{big}-{b:03} of 3/{a % 28 + 1}/2024",
        f"color: #{pick(rng, HEX, 6)}; background:#{pick(rng, HEX, 8)}",
        f"/var/lib/app-{a}/releases/{rng.randint(10**13, 10**14 - 1)}/{pick(rng, HEX, 8)}.log",
        f"!function(e,t){{var n=e[{a}],r=t.{pick(rng, ascii_lowercase, 2)};return n(r,{b})}}({c});",
        f"20{a % 90 + 10}-0{b % 9 + 1}-1{c % 9} 1{a % 9}:0{b % 9}:55.{pick(rng, digits, 6)}+00:00",
        f"epoch {rng.randint(10**9, 2 * 10**9)} and {rng.randint(10**18, 2 * 10**18)} ns",
        f"lat {a % 90}.{pick(rng, digits, 6)}, lon -{b % 180}.{pick(rng, digits, 6)}",
        f"numpy=={a % 3}.{b % 30}.{c % 9}.dev{big}, node v{a % 30}.{b % 20}.{c % 9}",
        f'etag W/"{pick(rng, HEX, 32)}", x-request-id: {pick(rng, HEX, 16)}',
        f"rows {a},{b:03},{big % 1000:03} of {c},{a:03},{b:03}",
        f"ticket #{rng.randint(10**6, 10**8)}, size {rng.randint(10**6, 10**10)} bytes",
        f"port 127.0.0.1:{big}, mask 255.255.{a % 256}.0, 0.0.0.0/0",
        f"uuid {{{uuid.UUID(int=rng.getrandbits(128))}}} sha1 {pick(rng, HEX, 40)}",
    ]


def corpus(seed: int, sentences: Sequence[str], each: int) -> list[Sample]:
    """Plant `each` values of every kind, and as many near misses of every sort by tenths."""
    rng = Random(seed)
    samples = []
    for kind, make in MAKERS.items():
        for _ in range(each):
            samples.append(planted(rng, sentences, kind, make(rng), rng.choice(FRAMES)))
    for kind, frame in SECRET_FRAMES:
        for _ in range(each // 4):
            samples.append(planted(rng, sentences, kind, secret_value(rng, kind), frame))
    for _ in range(max(each // 10, 1)):
        for miss in near_misses(rng):
            samples.append(Sample(f"{rng.choice(sentences)} {miss} {rng.choice(sentences)}"))
    return samples


def secret_value(rng: Random, kind: str) -> str:
    if kind == "aws":
        return pick(rng, ALNUM + "/+", 40)
    if kind == "azure":
        return base64.b64encode(rng.randbytes(64)).decode()
    return (
        pick(rng, ascii_letters, 6, 10)
        + pick(rng, digits, 3, 6)
        + pick(rng, ALNUM + "!*~", 5, 9)
        + "z"
    )


def planted(rng: Random, sentences: Sequence[str], kind: str, value: str, frame: str) -> Sample:
    before = rng.choice(sentences) + rng.choice([" ", "\n"]) + frame.partition("{0}")[0].format()
    text = before + value + frame.partition("{0}")[2].format() + " " + rng.choice(sentences)
    return Sample(text, ((len(before), len(before) + len(value), kind),))


@pytest.fixture(scope="session")
def every() -> Detectors:
    """All built-in detectors."""
    pytest.importorskip("re2", reason="needs google-re2, the extra 'detect'")
    return detectors(("*",))


@pytest.fixture(scope="session")
def made_corpus() -> list[Sample]:
    """The corpus over a dozen sentences of our own."""
    return corpus(7, SENTENCES, 80)


@pytest.fixture(scope="session")
def plant() -> Callable[[int, Sequence[str], int], list[Sample]]:
    """The builder of corpora: a seed, sentences, and how many values of each kind."""
    return corpus


@pytest.fixture(scope="session")
def real_sentences(real_traces: Path) -> list[str]:
    """Texts of real traces: reasoning of both sources, tool calls and their answers."""
    texts: list[str] = []
    with gzip.open(real_traces, "rt") as lines:
        for line in lines:
            trace = json.loads(line)
            texts += [step["content"] for step in trace["steps"]]
    return texts
