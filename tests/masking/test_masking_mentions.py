"""Passwords that no sign assigns, each way by itself, and beside each what only looks like one."""

from __future__ import annotations

import pytest

from tracewall.masking import joints
from tracewall.masking.config import DETECTORS
from tracewall.masking.detectors import Detectors, detectors
from tracewall.masking.judging import merged, strength

GITHUB = "ghp_" + "aB3" * 12


@pytest.fixture(params=["re2", "builtin"])
def every(request: pytest.FixtureRequest) -> Detectors:
    """All detectors, made for the test, in both engines."""
    if request.param == "re2":
        pytest.importorskip("re2", reason="needs google-re2, the extra 'detect'")
    return detectors(("*",), engine=request.param)


SAID = [
    "create role x with password '{abc}'",
    "alter user x PASSWORD '{swordfish}'",
    "x identified by '{swordfish}'",
    "x IDENTIFIED BY '{abc}'",
    "password('{hunter2}')",
    "password('{sword%fish}')",
    "secret '{aB3xyz}'",
    "passphrase '{a3!xyz}'",
    "password('{hun2}')",
    'passwd "{aB3xyz}"',
    "ENV DB_PASSWORD {hunter2x}",
    "docker login user bob password {hunter2x}",
    "Password:\n{hunter2x}",
    "passphrase:\n{hunter2!x}\n",
    "API key:\n{ab12cd34ef56}",
    "token:\n{ab12cd34ef56gh78}",
    "password value: {swordfish}",
    "passwd\n  value = {swordfish}",
    "Secret value: {abcd}",
    'api_key "value": "{ab12cd34ef}"',
    "token value: {ab12cd34ef}",
    "mysql -p{swordfish}",
    "sshpass -p {swordfish} ssh",
    "curl -u bob:{swordfish} http://x",
    "curl --user bob:{swordfish} x",
    "curl --proxy-user bob:{swordfish} x",
    "localhost:5432:db:bob:{swordfish}",
    "x -passin pass:{swordfish}",
    "Cookie: {sid=ab12cd34ef56gh; b=c}",
]


@pytest.mark.parametrize("text", SAID)
def test_a_password_that_is_said_is_found(every: Detectors, text: str) -> None:
    """Its own characters are masked, and what tells a reader what it was stays."""
    before, _, rest = text.partition("{")
    said, _, after = rest.partition("}")
    # A card's number before it keeps the other detectors busy, and changes nothing.
    for lead in ("", "4111111111111111\n"):
        shown, count = every.mask(f"{lead}{before}{said}{after}")
        assert shown == f"{lead and '[card]' + chr(10)}{before}[password]{after}"
        assert count == 1 + bool(lead)


@pytest.mark.parametrize(
    "text",
    [
        "login('password', 'abc')",
        "the password 'swordfish' is",
        "password('swordfish')",
        "password('abc')",
        "secret 'ab3xyz'",
        "secret 'aBcxyz'",
        "secret 'aB3xy'",
        "password 'a B3!xyz'",
        "Password:\nwords",
        "Password:\nsomething\n",
        "Password:\nfoo2!bar:\n",
        "Password:\nconfig={\n",
        "api_key value: colour",
        "password value: None",
        "mysql -p swordfish",
        "ls -u bob:swordfish",
        "mysql -pNone",
        "mysql -p$PASSWORD",
        "localhost:5432:db:bob:None",
        "x -pass pass:None",
        "Cookie: colour=blue; theme=dark; lang=english",
    ],
)
def test_what_only_looks_like_a_password_stays(every: Detectors, text: str) -> None:
    """Words, names, placeholders and options of other commands are no passwords."""
    assert every.mask(text) == (text, 0)


def test_own_patterns_are_before_all_and_each_detector_has_a_rank() -> None:
    """Where finds overlap the strongest names them: no two are as strong as each other."""
    ranks = [strength(name) for name in DETECTORS]
    assert min(ranks) > strength("mine") == 0 and len(set(ranks)) == len(ranks)
    assert strength("pem") < strength("github") < strength("card") < strength("password")


@pytest.mark.parametrize(
    ("found", "made"),
    [
        ([(0, 4, "card"), (4, 8, "ip")], [(0, 4, "card"), (4, 8, "ip")]),
        ([(0, 5, "card"), (4, 8, "ip")], [(0, 8, "card")]),
        ([(0, 5, "ip"), (4, 8, "card")], [(0, 8, "card")]),
        ([(0, 9, "password"), (2, 4, "mine")], [(0, 9, "mine")]),
        ([(5, 6, "ip"), (0, 2, "ip")], [(0, 2, "ip"), (5, 6, "ip")]),
        ([], []),
    ],
)
def test_finds_that_overlap_become_one(found: list[tuple[int, int, str]], made: object) -> None:
    """All that any of them covers is covered; what only touches stays apart."""
    assert merged(found) == made


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to ann_@example.com", "to [email]"),
        ("to ann_%40example.com", "to [email]"),
        ("_@example.com", "[email]"),
        (f"password={GITHUB}", "password=[github]"),
        (f"password={GITHUB}!zqkjxv", "password=[password]"),
        (f"password=zqkjxv!{GITHUB}", "password=[password]"),
        ("password='10.1.2.3'", "password='[ip]'"),
        ("password='10.1.2.3 zqkjxv'", "password='[password]'"),
    ],
)
def test_a_find_is_whole_whatever_its_name(every: Detectors, text: str, shown: str) -> None:
    """A name before an at-sign ends as it may; a password is named by its form if that is all."""
    assert every.mask(text)[0] == shown
    (found,) = every.find(text)
    assert f"{text[: found.start]}[{found.name}]{text[found.end :]}" == shown


@pytest.mark.parametrize(
    "text",
    [
        f'"{GITHUB[:20]}" + "{GITHUB[20:]}"',
        f"'{GITHUB[:20]}' \\\n    '{GITHUB[20:]}'",
        f"<b>{GITHUB[:20]}</b>{GITHUB[20:]}",
        f"{GITHUB[:20]}<wbr>{GITHUB[20:]}",
        f"{GITHUB[:20]} <b>{GITHUB[20:]}</b>",
        f"{GITHUB[:20]}<!-- x -->{GITHUB[20:]}",
        f"{GITHUB[:20]}**{GITHUB[20:]}",
        f"{GITHUB[:20]}=\n{GITHUB[20:]}",
        f"{GITHUB[:20]}=\r\n{GITHUB[20:]}",
    ],
)
def test_a_key_in_pieces_is_found(every: Detectors, text: str) -> None:
    """Quotes, markup, comments and soft line breaks in a key hide nothing of it."""
    shown, count = every.mask(f"the key {text} is")
    assert count >= 1
    for at in range(4, len(GITHUB) - 8):
        assert GITHUB[at : at + 8] not in shown


@pytest.mark.parametrize("joint", ["**", '" + "', "<b>", "<wbr/>", '"\n  "', "=\n"])
@pytest.mark.parametrize("key", [GITHUB, "sk-ant-api03-" + "Ab1_" * 8, "glpat-a_b-" + "c1D_2" * 5])
def test_wherever_a_key_is_cut_no_part_of_it_shows(every: Detectors, key: str, joint: str) -> None:
    """Words of letters, underscores and dashes are joined again at each of their characters."""
    for at in range(4, len(key) - 5):
        shown = every.mask(f"the key {key[:at]}{joint}{key[at:]} is")[0]
        assert not any(key[each : each + 8] in shown for each in range(6, len(key) - 8)), at


def test_what_lies_on_one_side_of_a_joint_does_not_cross_it() -> None:
    """A find crosses when it has characters of two pieces, and its span has all of the joint."""
    joined = joints.around(b"ab [at] cd [dot] ef", 3, 0)
    assert joined.data == b"ab@cd.ef"
    for find, crosses, original in (
        ((0, 2, "x"), False, (0, 2, "x")),
        ((0, 3, "x"), True, (0, 8, "x")),
        ((2, 4, "x"), True, (2, 9, "x")),
        ((3, 5, "x"), False, (8, 10, "x")),
        ((0, 8, "x"), True, (0, 19, "x")),
        ((4, 6, "x"), True, (9, 17, "x")),
    ):
        assert (joined.crosses(find), joined.original(find)) == (crosses, original)


@pytest.mark.parametrize(
    "text",
    [
        "alice [at] example [dot] com",
        "alice (at) example (dot) com",
        "alice {AT} example {DOT} com",
        "alice[@]example[.]com",
        "alice at example dot com",
        "alice (at) mail (dot) example (dot) org",
    ],
)
def test_an_address_that_is_spelled_out_is_found(every: Detectors, text: str) -> None:
    """Neither the name nor the domain of it is readable."""
    shown = every.mask(f"write to {text} soon")[0]
    assert shown == "write to [email] soon"


@pytest.mark.parametrize(
    "text", ["meet me at noon dot", 'x = "a" + "b"', "he is at home", "**bold**"]
)
def test_what_joins_nothing_stays(every: Detectors, text: str) -> None:
    """Joints by themselves are no finds."""
    assert every.mask(text) == (text, 0)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("4222222222222", "[card]"),
        ("4111111111111111.5", "4111111111111111.5"),
        ("4111111111111111.", "[card]."),
        ("4111111111111111x", "4111111111111111x"),
        ("0.4111111111111111", "0.4111111111111111"),
        ("4111 1111 1111 1111x", "4111 1111 1111 1111x"),
        ("2019 2020 2021 2022 4111 1111 1111 1111", "2019 2020 2021 2022 [card]"),
        ("9999 1111 1111 1111", "9999 1111 1111 1111"),
    ],
)
def test_a_card_stands_alone(text: str, shown: str) -> None:
    """It is no part of a word or a fraction, is of a known issuer, and may follow other numbers."""
    assert detectors(("card",), engine="builtin").mask(text)[0] == shown
