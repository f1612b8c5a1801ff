"""Where secrets end and near misses begin: each rule of a judge by a text on either side of it."""

from __future__ import annotations

import base64

import pytest

from tracewall.masking import confirm
from tracewall.masking.detectors import DetectorUnknown, detectors
from tracewall.masking.spelling import unspelt

GITHUB = "ghp_" + "aB3" * 12


def b64url(text: str) -> str:
    """Give what a part of a JSON Web Token is."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def token(header: str) -> str:
    """Give what has the form of a JSON Web Token."""
    return ".".join((b64url(header), b64url('{"sub":"1"}'), "abcd"))


@pytest.mark.parametrize(
    ("names", "text", "shown"),
    [
        # A JSON escape before an address belongs to it only where a backslash escapes it.
        ("email", "nalice@example.com \\", "[email] \\"),
        ("email", "\\nalice@example.com", "\\n[email]"),
        ("email", "\\\\nalice@example.com", "\\\\[email]"),
        ("email", "\\\\\\nalice@example.com", "\\\\\\n[email]"),
        # A soft line break is none of what is found.
        ("email", "ann@example.com x=\ny", "[email] x=\ny"),
        # Telephone numbers.
        ("phone", "77 212-555-0199", "77 212-555-0199"),
        ("phone", "x 212-555-0199", "x [phone]"),
        ("phone", "tel: 012345678", "tel: [phone]"),
        ("phone", "tel: 01234567", "tel: 01234567"),
        ("phone", "tel: 01234567890", "tel: [phone]"),
        ("phone", "tel: 012345678901", "tel: 012345678901"),
        ("phone", "tel: 493012345678", "tel: [phone]"),
        ("phone", "tel: 210123456789", "tel: 210123456789"),
        ("phone", "+49 30 12345678", "[phone]"),
        ("phone", "+210 123 456 789", "+210 123 456 789"),
        # Addresses of machines.
        ("ip", "http://[2000::2]:80/", "http://[[ip]]:80/"),
        ("ip", "x[2000::2]", "x[2000::2]"),
        # Cards.
        ("card", "4111 1111 1111 1111 x", "[card] x"),
        ("card", "4111 1111 1111 1111x", "4111 1111 1111 1111x"),
        ("card", "4111 1111 1111 1111.5", "4111 1111 1111 1111.5"),
        ("card", "4111 1111 1111 1111.x", "[card].x"),
        # Values of telling names.
        ("password", 'api_key = "some_word"', 'api_key = "some_word"'),
        ("password", 'api_key = "12345678"', 'api_key = "12345678"'),
        ("password", 'api_key = "a1345678"', 'api_key = "[password]"'),
        ("password", 'password = "ab"', 'password = "ab"'),
        ("password", 'password = "abc"', 'password = "[password]"'),
        ("password", 'password="", user="bob"', 'password="", user="bob"'),
        ("password", 'password="a", user="bob"', 'password="a", user="bob"'),
        ("password", f"password=your{'-x1' * 21}", "password=[password]"),
        ("password", "password=your-own", "password=your-own"),
        ("password", "if password == hunter2x:", "if password == hunter2x:"),
        ("password", "if password = hunter2x:", "if password = [password]:"),
        ("password", f"password = {'a1' * 32}b(x)", "password = [password])"),
        ("password", "password = a1b2(x)", "password = a1b2(x)"),
        ("password", "password: correcthorse battery", "password: correcthorse battery"),
        ("password", "password: correcthorse # x", "password: [password] # x"),
        ("password github", f"https://{GITHUB}:80/x", "https://[github]:80/x"),
        ("password github", f"https://{GITHUB}:${{PASS}}@host", "https://[github]:${PASS}@host"),
        # Keys.
        ("openai", "x sk-a1b2c3d4e5f6g7h8i9j0", "x [openai]"),
        ("openai", "sk-a1b2c3d4e5f6g7h8i9j0", "[openai]"),
        ("openai", "task-a1b2c3d4e5f6g7h8i9j0", "task-a1b2c3d4e5f6g7h8i9j0"),
        ("openai aws", "AKIAIOSFODNN7EXAMPLEsk-a1b2c3d4e5f6g7h8i9j0", "[aws][openai]"),
        ("jwt", token('{"alg":"none"}'), "[jwt]"),
        ("jwt", token('{"kid":"x"}'), token('{"kid":"x"}')),
        ("pem", f"x\n{'a1B2' * 16}\nab12\n-----END PRIVATE KEY-----.", "x\n[pem]."),
        ("aws github", f'"a" + "{GITHUB}/AKIAIOSFODNN7EXAMPLE"', '"a" + "[github]/[aws]"'),
        ("azure", f"AccountKey={'aB1/' * 21}aB==;End", "AccountKey=[azure];End"),
        ("azure", f"https://x/y?sig={'aB1%2F' * 8}&se=2", "https://x/y?sig=[azure]&se=2"),
        ("azure", f"id abc8Q~{'aB1.' * 8}", "id [azure]"),
    ],
)
def test_a_rule_holds_on_both_of_its_sides(names: str, text: str, shown: str) -> None:
    """What is a secret is masked, and what differs from one in a single point is not."""
    found_by = detectors(tuple(names.split()), engine="builtin")
    assert found_by.mask(text)[0] == shown
    made = text
    for start, end, name in reversed(found_by.find(text)):
        made = f"{made[:start]}[{name}]{made[end:]}"
    assert made == shown


def test_numbers_and_wrappings_are_what_their_standards_say() -> None:
    """Calling codes that nobody has, base64 with other signs, headers that are no objects."""
    assert confirm.international(b"493012345678")
    assert not confirm.international(b"210123456789")
    assert not confirm.international(b"4930123")
    assert not confirm.international(b"4444444444")
    assert confirm.decoded(b"YWJj") == b"abc" and confirm.decoded(b"YW!!!!Jj") == b""
    assert confirm.jose_header(b64url(' {"typ":"JWT"}').encode())
    assert not confirm.jose_header(b64url('["alg"]').encode())


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a&amp;b&commat;c&period;d&colon;e&sol;f\\/g", "a&b@c.d:e/f/g"),
        ("a&#64;b&#x2E;c%2Fd\\u003ae\\x2ff\\100g\\u{2e}h", "a@b.c/d:e/f@g.h"),
    ],
)
def test_each_escape_stands_for_its_character(text: str, meant: str) -> None:
    """In HTML, URLs, JSON and code."""
    read = unspelt(text, broken=False)
    assert read is not None and read.text == meant


@pytest.mark.parametrize("escape", ["&#10;", "&#31;", "&#127;", "&#200;", "\\012", "\\177"])
def test_what_is_no_sign_of_ascii_is_left_as_it_is_written(escape: str) -> None:
    """Control characters and other letters hide nothing, so they are not read."""
    read = unspelt(f"a{escape}b&#64;c", broken=False)
    assert read is not None and read.text == f"a{escape}b@c"


def test_a_name_that_resembles_none_has_no_suggestion() -> None:
    """It is refused all the same."""
    with pytest.raises(DetectorUnknown) as caught:
        detectors(("zzzzzz",), engine="builtin")
    assert caught.value.suggestion == ""
