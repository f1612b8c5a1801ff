"""Free text: what is found, what is not, and the ways around that were tried."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.masking.config import DETECTORS, Pattern
from tracewall.masking.detectors import (
    Detectors,
    DetectorUnknown,
    PatternInvalid,
    detectors,
)

pytestmark = pytest.mark.usefixtures("every")

GITHUB = "ghp_" + "aB3" * 12
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_X"
ANTHROPIC = "sk-ant-api03-" + "Ab1_" * 20 + "AA"
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CARD = "4111 1111 1111 1111"
KEY_LINES = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"] * 3 + ["ab12=="]


def masked(every: Detectors, text: str) -> str:
    """Mask, and check on the way that finds and masks tell the same."""
    return every.mask(text)[0]


FOUND = [
    ("write to alice.b+c@mail.example.co.uk.", "write to [email]."),
    ("mailto:alice%40example.com?x", "mailto:[email]?x"),
    ("müller@exämple.de", "[email]"),
    ("'o'brien@example.com'", "'[email]'"),
    ("tel +49 (0)30 901820, ok", "tel [phone], ok"),
    ("call me at 2125550199", "call me at [phone]"),
    ('"phone": "07700900123"', '"phone": "[phone]"'),
    ("+12125550199+12125550199", "[phone][phone]"),
    ("card 4111-1111-1111-1111 exp 12/27", "card [card] exp 12/27"),
    ("years 2019 2020 2021 4111 1111 1111 1111", "years 2019 2020 2021 [card]"),
    ("378282246310005 and 3782 822463 10005", "[card] and [card]"),
    ("DE89 3704 0044 0532 0130 00, de89370400440532013000", "[iban], [iban]"),
    ("from 10.20.30.40:8080 to 8.8.8.8.", "from [ip]:8080 to [ip]."),
    ("[2001:db8::1]:443 fe80::1%eth0 ::1", "[[ip]]:443 [ip]%eth0 ::1"),
    ("ip:2001:0db8:0:0:0:0:0:1", "ip:[ip]"),
    (f"Bearer {JWT}", "Bearer [jwt]"),
    (f"cut {JWT[:60]}", "cut [jwt]"),
    (f"eyAiYWxnIjogIlJTMjU2IiB9.{JWT.split('.')[1]}.x", "[jwt]"),
    ("AKIAIOSFODNN7EXAMPLE", "[aws]"),
    (f"AKIAIOSFODNN7EXAMPLE,{AWS_SECRET}\n", "[aws]\n"),
    (f'"SecretAccessKey": "{AWS_SECRET}"', '"SecretAccessKey": "[aws]"'),
    ("AIza" + "x" * 35, "[gcp]"),
    ("AccountKey=" + "aB1/" * 21 + "aB==;End", "AccountKey=[azure];End"),
    ("https://a.blob/x?sv=1&sig=" + "aB1%2F" * 8 + "&se=2", "https://a.blob/x?sv=1&sig=[azure]&se=2"),
    ("id abc8Q~" + "aB1." * 8, "id [azure]"),
    (f"x{GITHUB} token{GITHUB}", "x[github] token[github]"),
    ("https://hooks.slack.com/services/T000/B000/" + "x" * 24, "https://[slack]"),
    ("xoxb-123456789012-abcdefGHIJ", "[slack]"),
    ("rk_live_" + "a1" * 12, "[stripe]"),
    ("sk-aB3dE5gH7jK9mN1pQ2sT", "[openai]"),
    (f"xsk-ant-{ANTHROPIC[7:]}", "x[anthropic]"),
    ("glpat-" + "x1" * 10, "[token]"),
    ("postgres://svc:p@ss/w0rd@db:5432/x", "postgres://svc:[password]@db:5432/x"),
    (f"https://{GITHUB}:x-oauth@github.com", "https://[github]:[password]@github.com"),
    (f"password={ANTHROPIC}", "password=[anthropic]"),
    ("password=alice@example.com", "password=[password]"),
    ("DB_PASS=foo(bar);baz next", "DB_PASS=[password] next"),
    ("db_password: correcthorse\nuser: x", "db_password: [password]\nuser: x"),
    ("the password is hunter2.", "the password is [password]."),
    ('password: str = "swordfish"', 'password: str = "[password]"'),
    ('passphrase = "correct horse battery"', 'passphrase = "[password]"'),
    ('"password": "a\\"b c\\"d", "x": 1', '"password": "[password]", "x": 1'),
    ('{\\"secret\\": \\"hun\\\\\\"ter2\\"}', '{\\"secret\\": \\"[password]\\"}'),
    ("Authorization: Basic YWxpY2U6aHVudGVyMg==", "Authorization: Basic [password]"),
    ("<db><password>hunter2</password>", "<db><password>[password]</password>"),
    ("login --password 'hunter2' -v", "login --password '[password]' -v"),
    ('secret = "hunter2 cut', 'secret = "[password] cut'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "result"), FOUND)
def test_secrets_are_found_and_only_they_are_masked(
    every: Detectors, text: str, result: str
) -> None:
    """Each built-in detector takes the secret, and leaves what tells a reader what it was."""
    assert masked(every, text) == result


EVASIONS = [
    ("gh\u200bp_" + "aB3" * 12, "[github]"),
    ("a\u200bl\u2060i\ufeffce@exam\u00adple.com!", "[email]!"),
    ("４１１１ １１１１ １１１１ １１１１", "[card]"),
    ("4111\u00a01111\u20091111\u202f1111", "[card]"),
    ("4111\u20131111\u20111111\u22121111", "[card]"),
    ("٤١١١١١١١١١١١١١١١", "[card]"),
    ("pаsswоrd=hunter2x", "pаsswоrd=[password]"),
    ("ѕk-аnt-" + "Ab1_" * 10, "[anthropic]"),
    ("𝐚𝐥𝐢𝐜𝐞＠example．com", "[email]"),
    ("ⓐlice@example.com", "[email]"),
    ("g\u0301hp_" + "aB3" * 12, "[github]"),
    ("👍\u200d" + GITHUB + "👍", "👍\u200d[github]👍"),
    ("\\nalice@example.com\\n4111111111111111\\tx", "\\n[email]\\n[card]\\tx"),
    ("\\u003calice@example.com\\u003e", "\\u003c[email]\\u003e"),
    ("C:\\\\alice@example.com", "C:\\\\[email]"),
    ("\ud800" + GITHUB, "\ud800[github]"),
    ("_4111111111111111_", "_[card]_"),
    ("4111111111111111" + GITHUB, "[card][github]"),
    ("ab12@example.com4111111111111111", "[email]"),
    ("password=[email]hunter2", "password=[password]"),
    ("password=[hunter2]", "password=[password]]"),
    ('"password": "[hunter2]"', '"password": "[password]"'),
    ('"password":"[password]hunter2"', '"password":"[password]"'),
]


@pytest.mark.parametrize(("text", "result"), EVASIONS)
def test_secrets_do_not_hide_behind_spelling(every: Detectors, text: str, result: str) -> None:
    """Invisible characters, look-alikes, escapes, neighbours and forged markers don't help."""
    assert masked(every, text) == result


PEMS = [
    "-----BEGIN PRIVATE KEY-----\n{0}\n-----END PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,0A\n\n{0}",
    "-----BEGIN OPENSSH PRIVATE KEY-----\\n{1}",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\r\n{0}\r\n-----END PGP PRIVATE KEY BLOCK-----",
    "{0}\n-----END PRIVATE KEY-----",
    "{1}\\n-----END EC PRIVATE KEY-----",
]


@pytest.mark.parametrize("form", PEMS)
def test_private_keys_are_masked_whole_or_cut(every: Detectors, form: str) -> None:
    """Not a line of a key is left, whichever end of it is missing and however lines break."""
    text = form.format("\n".join(KEY_LINES), "\\n".join(KEY_LINES))
    assert masked(every, f"see {text} end.") in ("see [pem] end.", "see [pem].", "[pem] end.")


NOT_FOUND = [
    "version 1.2.3.4, v10.0.0.1, lib==1.2.3.4, Chrome/98.0.4758.102, 1.2.3.4.5, 1.2.3.4-beta",
    "127.0.0.1 0.0.0.0 255.255.255.0 300.1.1.1 01.2.3.4",
    "x = 3.4111111111111111 + 0.4111111111111111",
    "4111111111111112 41111111111111111111 0000000000000000",
    "5+12125550199 (3)+12125550199 x+12125550199",
    "DE89370400440532013001 GB82WEST1234569876543",
    "git@github.com:org/repo.git icon@2x.png w@x.T @decorated a@b x@y.mean()",
    "std::vector<bad::cafe> x[2000::2] 00:1b:44:11:3a:b7",
    "64:18:c9:bd:82:d3:fb:e7:56:ea:ff:d2:4f:f2:34:0c",
    "risk-0123456789abcdef01234567 task-management-for-everybody-and-more",
    "password = getpass(); token = tokens[0]; secret = cfg.secret; f(password=password)",
    'password: str, api_key: "your-api-key", token: "string", secret=${SECRET}, pwd=****',
    "max_tokens: 4096, token_type=bearer, password_hash, passwords must match",
    "PWD=/home/me OLDPWD=/ cat /etc/passwd: ok",
    "Bearer authentication is used. basic understanding.",
    "http://localhost:8080/@me https://example.com:443?x=a@b",
    "<<16-3=13>> 2024-01-31T12:59:07Z 978-3-16-148410-0 123-45-6789",
    "550e8400-e29b-41d4-a716-446655440000 d41d8cd98f00b204e9800998ecf8427e",
    "-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----",
    "eyJub3QiOiAiYSB0b2tlbiJ9 " + base64.b64encode(bytes(range(200))).decode(),
    "[email] [password] token: [token] password=[password], [secret]: abc12345",
]


@pytest.mark.parametrize("text", NOT_FOUND)
def test_near_misses_are_left_alone(every: Detectors, text: str) -> None:
    """What only looks like a secret stays, and the very same object comes back."""
    assert every.find(text) == ()
    result, count = every.mask(text)
    assert result is text
    assert count == 0


FRAGMENTS = [
    "alice@example.com", GITHUB, CARD, "4111111111111111", "DE89370400440532013000", JWT, ANTHROPIC,
    "password=hunter2x", "AKIAIOSFODNN7EXAMPLE", "+1 212 555 0199", "10.1.2.3", "2001:db8::1",
    "https://u:s3cr3tpw@h.com/", "Bearer abcdef123456789XYZ", "AccountKey=", "DB_PASS=", "token: ",
    "token: str = '", '"password": "', 'password="\\"', "<password>", "</password>", "pwd: ",
    "://a:b", "--token ", "secret> ", "password is ", "eyJhbGciOi.", ".eyJaaaaa", "sk-", "sk-ant-",
    "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "a@b.co(", "a@b.png ", "1.1.1.1 ",
    "1.1.1.1.", "1234 ", "0123 456 7890 ", "01 02 03 04 05 ", "(212) 5", "212-555-1212-", "fe80:",
    "call 1111111 ", "2000::", "a:a:a:a:a:a:a:a ", "DE12", "ab12abcdabcdabcdabcd ", "1Q~", "sig=",
    "version ", "[email]", "[password]", "\\n", '\\"',
    *"\\\"'\n(){}/:=&,<_-. aA7éа４👍\u200b\x00\ud800的",
]  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=8).map(
    "".join
)


@given(TEXTS)
def test_masking_a_masked_text_always_changes_nothing(every: Detectors, text: str) -> None:
    """What masks leave behind is never found again, whatever stood beside it."""
    once, _ = every.mask(text)
    assert every.mask(once) == (once, 0)


@given(TEXTS)
def test_finds_are_always_spans_of_the_text_in_order(every: Detectors, text: str) -> None:
    """Spans lie in the text, are not empty, don't overlap, and bear a detector's name."""
    end = 0
    for find in every.find(text):
        assert end <= find.start < find.end <= len(text)
        assert find.name in DETECTORS
        end = find.end


@given(TEXTS, st.sampled_from(FRAGMENTS[:9]), TEXTS)
def test_a_secret_is_always_found_whatever_stands_around(
    every: Detectors, before: str, secret: str, after: str
) -> None:
    """No run of things that look like secrets makes a detector pass over a real one."""
    secret_part = secret.removeprefix("password=")
    if secret_part in before or secret_part in after:
        return
    assert secret_part not in masked(every, f"{before}\n{secret}\n{after}")


@given(st.text(), st.text())
def test_offsets_are_right_in_any_script(every: Detectors, before: str, after: str) -> None:
    """A find's span is in characters, however many bytes or parts these have."""
    text = f"{before} {GITHUB} {after}"
    assert any(text[find.start : find.end] == GITHUB for find in every.find(text))


def test_a_long_value_is_masked_to_its_end(every: Detectors) -> None:
    """No limit of a judge cuts a secret in two, in any script."""
    for value in ("s3cret" * 5000, "é的👍1" * 5000):
        for shift in range(4):
            assert masked(every, "x" * shift + f" DB_SECRET={value} end").endswith(
                "=[password] end"
            )


@pytest.mark.parametrize(
    "unit",
    ["AKIA", "1", "1.", "2000::", "token:token:", "pwd='", "eyJhbGciOi.", "a@b.co(", "sk-ant-",
     "-----BEGIN PRIVATE KEY-----", "://a:b", "4111 ", "\u200b", "а", 'password="\\"', "+1"],
)  # fmt: skip
def test_time_stays_linear_in_hostile_text(every: Detectors, unit: str) -> None:
    """A text of nothing but triggers takes a second at most; squared it would take minutes."""
    text = unit * (300_000 // len(unit.encode()))
    started = time.process_time()
    every.mask(text)
    assert time.process_time() - started < 10


@pytest.mark.parametrize("name", DETECTORS)
def test_one_detector_finds_its_own_kind_alone(name: str) -> None:
    """A detector can be chosen by its name, and brings no other along."""
    alone = detectors((name,))
    assert alone.names == (name,)
    names = {find.name for text, _ in FOUND for find in alone.find(text)}
    names |= {find.name for form in PEMS for find in alone.find(form.format("a" * 64, "a" * 64))}
    assert names == {name}


def test_a_misspelt_detector_is_refused_with_a_suggestion() -> None:
    """An unknown name is an error that knows the nearest one."""
    with pytest.raises(DetectorUnknown) as caught:
        detectors(("email", "emial"))
    assert caught.value.suggestion == "email"


# A policy's own patterns


def test_own_patterns_are_found_by_their_names() -> None:
    """Patterns work beside built-in detectors, leftmost first, then longest."""
    own = detectors(
        ("email",), (Pattern("employee", r"EMP-\d{4,6}"), Pattern("street", r"(?i)\b\w+straße \d+"))
    )
    text = "EMP-123456, Hauptstraße 7 und alice@example.com"
    assert own.mask(text) == ("[employee], [street] und [email]", 3)
    assert [text[find.start : find.end] for find in own.find(text)][1] == "Hauptstraße 7"
    assert own.names == ("email", "employee", "street")


def test_overlapping_finds_become_one() -> None:
    """Where two finds overlap, no part of either stays readable."""
    own = detectors(("email",), (Pattern("case", r"case \w+"), Pattern("tail", r"\.com/\w+")))
    assert own.mask("case alice@example.com/secret!") == ("[case]!", 1)


@pytest.mark.parametrize("regex", [r"[a-z]+", r"\w", r"\[", r"email", r"\S+"])
def test_own_patterns_leave_marks_alone(regex: str) -> None:
    """Even a pattern that matches markers finds nothing inside one."""
    own = detectors(("email",), (Pattern("mine", regex),))
    once, _ = own.mask("ab@example.com [x abc")
    assert own.mask(once) == (once, 0)


@pytest.mark.parametrize(
    ("pattern", "position"),
    [
        (Pattern("x", r"abc(def"), 0), (Pattern("x", r"ab[z-a]"), 3), (Pattern("x", r"ab(?=c)"), 2),
        (Pattern("x", r"(a)\1"), 3), (Pattern("x", r"a{2000}"), 1), (Pattern("x", r"a*"), -1),
        (Pattern("x", ""), -1), (Pattern("x", r"\b"), -1), (Pattern("x", r"a|"), -1),
        (Pattern("email", r"a"), -1), (Pattern("Not a name", r"a"), -1), (Pattern("x]", r"a"), -1),
        (Pattern("x", "\ud800"), 0), (Pattern("x", r"$|abc"), -1),
    ],
)  # fmt: skip
def test_a_pattern_that_cannot_work_is_refused(pattern: Pattern, position: int) -> None:
    """Bad syntax (with its place), empty matches and names already taken are errors at load."""
    with pytest.raises(PatternInvalid) as caught:
        detectors((), (pattern,))
    assert caught.value.name == pattern.name
    assert caught.value.position == position
    assert caught.value.message


def test_two_patterns_of_one_name_are_refused() -> None:
    """A mark must tell which pattern made it."""
    with pytest.raises(PatternInvalid):
        detectors((), (Pattern("x", "a"), Pattern("x", "b")))


def test_without_the_library_there_are_no_detectors() -> None:
    """Where google-re2 is missing, building fails and says what to install; nothing is weaker."""
    code = (
        "import sys; sys.modules['re2'] = None\n"
        "from tracewall.masking.detectors import DetectorsUnavailable, detectors\n"
        "try: detectors(('email',))\n"
        "except DetectorsUnavailable as error: print(isinstance(error, ImportError), error)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert told.startswith("True ")
    assert "pgtracewall[detect]" in told


def test_random_long_numbers_are_seldom_cards(every: Detectors) -> None:
    """Of numbers of sixteen digits drawn blindly at most one in twenty passes for a card."""
    rng = Random(3)
    numbers = [str(rng.randrange(10**15, 10**16)) for _ in range(4000)]
    assert sum(bool(every.find(f"order {number}")) for number in numbers) < 200


def test_documents_of_text_are_found_in(every: Detectors) -> None:
    """Escaping twice and thrice doesn't hide a password's value."""
    text = json.dumps({"password": 'hun"ter2'})
    for _ in range(3):
        assert "ter2" not in masked(every, text)
        text = json.dumps({"arguments": text})
