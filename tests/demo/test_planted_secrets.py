import base64
import ipaddress
import json
import os
import re
import subprocess
import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.demo.generate import made_up_traces
from tracewall.demo.secrets import (
    KINDS,
    any_secret,
    github_checksum,
    iban_check,
    luhn_digit,
    make_secret,
)
from tracewall.masking.detectors import detectors

SEEDS = st.integers(min_value=0, max_value=2**64)
DOCUMENTATION = [
    ipaddress.ip_network(net)
    for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]


def value_of(seed: int, kind: str) -> str:
    """Make one secret's value."""
    return make_secret(Random(seed), kind).value


def unpadded(text: str) -> bytes:
    """Decode base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_there_is_every_kind_a_detector_looks_for() -> None:
    """Mail, phone, card, IBAN, address, token, key, each cloud and each issuer are there."""
    people = {"email", "phone", "card", "iban", "ip"}
    tokens = {"jwt", "pem", "password"}
    issuers = {"aws", "gcp", "azure", "github", "slack", "stripe", "openai", "anthropic"}
    assert set(KINDS) == people | tokens | issuers
    rng = Random(1)
    assert {any_secret(rng).kind for _ in range(400)} == set(KINDS)


def test_the_same_seed_gives_the_same_secrets_in_every_process() -> None:
    """Neither the process nor its hash seed has a say in what is made."""
    code = (
        "from random import Random; from tracewall.demo.secrets import any_secret\n"
        "rng = Random(7)\nprint([any_secret(rng) for _ in range(200)])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    rng = Random(7)
    assert told == {f"{[any_secret(rng) for _ in range(200)]}\n"}


@given(SEEDS, st.sampled_from(KINDS))
def test_the_value_always_stands_in_its_text_once(seed: int, kind: str) -> None:
    """The text holds the value exactly once, and nothing of either is unprintable."""
    secret = make_secret(Random(seed), kind)
    assert secret.kind == kind
    assert secret.text.count(secret.value) == 1
    assert secret.text.replace("\n", "").isascii()
    assert secret.text.replace("\n", "").isprintable()


@pytest.mark.parametrize(("digits", "check"), [("7992739871", "3"), ("411111111111111", "1")])
def test_luhn_digits_of_known_numbers(digits: str, check: str) -> None:
    """Published examples of the Luhn check come out as published."""
    assert luhn_digit(digits) == check


@given(SEEDS)
def test_cards_always_pass_the_luhn_check(seed: int) -> None:
    """Every card, its digits summed the slow way, is a multiple of ten."""
    digits = re.sub(r"[ -]", "", value_of(seed, "card"))
    assert re.fullmatch(r"\d{15,16}", digits)
    total = 0
    for place, digit in enumerate(reversed(digits)):
        total += sum(map(int, str(int(digit) * (1 + place % 2))))
    assert total % 10 == 0


@pytest.mark.parametrize(
    ("country", "account", "check"),
    [("GB", "WEST12345698765432", "82"), ("DE", "370400440532013000", "89")],
)
def test_check_digits_of_known_ibans(country: str, account: str, check: str) -> None:
    """Published examples of IBANs come out as published."""
    assert iban_check(country, account) == check


@given(SEEDS)
def test_ibans_always_pass_mod_97(seed: int) -> None:
    """Every IBAN, rearranged and read as a number, leaves 1 by 97, and has its country's length."""
    iban = value_of(seed, "iban").replace(" ", "")
    assert int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1
    assert len(iban) == {"DE": 22, "GB": 22, "NL": 18, "FR": 27}[iban[:2]]


def test_the_github_checksum_of_a_known_token() -> None:
    """A revoked token that was published ends as computed here."""
    assert github_checksum("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ") == "0mLq17"


@given(SEEDS)
def test_github_tokens_always_carry_their_checksum(seed: int) -> None:
    """Every GitHub token ends with the checksum of its body."""
    token = value_of(seed, "github")
    assert re.fullmatch(r"gh[pos]_[0-9A-Za-z]{36}", token)
    assert token.endswith(github_checksum(token[4:34]))


@given(SEEDS)
def test_web_tokens_always_decode(seed: int) -> None:
    """Every JWT has a JSON header with an algorithm and JSON claims with a subject."""
    header, claims, signature = value_of(seed, "jwt").split(".")
    assert json.loads(unpadded(header))["alg"] == "RS256"
    assert set(json.loads(unpadded(claims))) == {"iss", "sub", "exp"}
    assert len(unpadded(signature)) == 64


@given(SEEDS)
def test_keys_always_have_a_frame(seed: int) -> None:
    """Every PEM block ends as it begins, and its body is base64 in lines of 64."""
    first, *body, last = value_of(seed, "pem").split("\n")
    assert re.fullmatch(r"-----BEGIN (EC )?PRIVATE KEY-----", first)
    assert last == first.replace("BEGIN", "END")
    assert all(len(line) == 64 for line in body[:-1])
    assert base64.b64decode("".join(body), validate=True)


@given(SEEDS)
def test_nothing_points_at_anybody_real(seed: int) -> None:
    """Addresses are those kept for documentation, mail goes to domains that are reserved."""
    address = ipaddress.ip_address(value_of(seed, "ip"))
    assert any(address in net for net in DOCUMENTATION)
    assert re.search(r"[@.]example\.(com|org|net)$", value_of(seed, "email"))


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("aws", r"A[KS]IA[A-Z2-7]{16}"),
        ("gcp", r"AIza[0-9A-Za-z_-]{35}"),
        ("azure", r"[0-9A-Za-z+/]{86}=="),
        ("slack", r"xoxb-\d{11}-\d{11}-[0-9A-Za-z]{24}"),
        ("stripe", r"[sr]k_live_[0-9A-Za-z]{32}"),
        ("openai", r"sk-proj-[0-9A-Za-z_-]{74}T3BlbkFJ[0-9A-Za-z_-]{74}"),
        ("anthropic", r"sk-ant-api03-[0-9A-Za-z_-]{93}AA"),
        ("phone", r"\+\d{1,2}[ -]\d+([ -]\d+)+"),
        ("password", r"[0-9A-Za-z_!-]{17}"),
    ],
)
def test_keys_have_the_shape_their_issuer_gives_them(kind: str, shape: str) -> None:
    """Prefix, alphabet and length are those that the issuer documents."""
    assert all(re.fullmatch(shape, value_of(seed, kind)) for seed in range(300))


def test_detectors_find_every_secret_that_is_planted() -> None:
    """In made-up traces each secret is found as what it is, and nothing else is found."""
    pytest.importorskip("re2")
    every = detectors(("*",))
    for trace in made_up_traces(300, seed=11, secrets=0.3):
        texts = [(trace.prompt, trace.prompt_secrets), (trace.answer, trace.answer_secrets)]
        for text, secrets in texts + [(step.content, step.secrets) for step in trace.steps]:
            assert not any(secret.value in every.mask(text)[0] for secret in secrets)
            assert {find.name for find in every.find(text)} == {one.kind for one in secrets}


def test_an_unknown_kind_is_an_error() -> None:
    """A kind that nobody makes is not made up."""
    with pytest.raises(KeyError):
        make_secret(Random(1), "passport")
