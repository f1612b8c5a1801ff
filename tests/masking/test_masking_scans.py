"""What a scan says beside its detectors: what it allows, how it masks, how long values may be."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracewall.errors import PolicyError
from tracewall.masking.config import Method, Pattern, Replacement
from tracewall.masking.detectors import detectors
from tracewall.masking.replacing import OVERSIZED, marks, within
from tracewall.policy.load import loads
from tracewall.policy.model import OutputColumn, Policy
from tracewall.shield import Hide, Shield, scanned

pytestmark = pytest.mark.usefixtures("every")

KEY = b"0123456789abcdef"
ALLOW = ("*@example.com", "10.*", "postmaster@example.org", "hunter2")


def allowing(text: str) -> str:
    return detectors(("*",), allow=ALLOW).mask(text)[0]


@pytest.mark.parametrize(
    "text",
    ["ada@example.com", "Ada@EXAMPLE.com, x", "from 10.1.2.3", "postmaster@example.org",
     "password=hunter2"],
)  # fmt: skip
def test_what_is_allowed_stays(text: str) -> None:
    """A find that is wholly one of the allowed values stays, in whatever case it is written."""
    assert allowing(text) == text


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("ada@example.com.evil.org", "ada@"),
        ("ada@sub.example.com", "ada@"),
        ("ada@evil.org@example.com", "evil.org"),
        ("ada@example.community", "ada@"),
        ("ada@example.com-evil.org", "ada@"),
        ("ada@example\u200b.com", "ada@"),
        ("ada@exаmple.com", "ada@"),
        ("ada%40example.com", "ada"),
        ("4111111111111111@example.com", "4111111111111111"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345@example.com", "ghp_0123456789"),
        ("110.1.2.3", "110.1"),
        ("password=hunter22", "hunter22"),
        ("xpostmaster@example.org", "xpost"),
    ],
)
def test_nothing_slips_through_what_is_allowed(text: str, hidden: str) -> None:
    """Longer names, look-alikes and secrets in front of an allowed domain are masked."""
    assert hidden not in allowing(text)


MARKS = (
    Replacement(("card",), Method("partial", keep_last=4)),
    Replacement(("email",), Method("email")),
    Replacement(("ip", "order", "password"), Method("hash")),
    Replacement(("phone",), Method("constant", value="a number")),
    Replacement(("github",), Method("redact")),
)
OWN = (Pattern("order", "SO-[0-9]{4}"),)


def marking(text: str) -> tuple[str, int]:
    found_by = detectors(("*",), OWN, marks=marks(MARKS, KEY, "notes"))
    return found_by.mask(text)


def test_a_find_is_masked_by_its_detectors_method() -> None:
    """Cards keep four digits, addresses their domain; equal finds have equal pseudonyms."""
    text = (
        "4111 1111 1111 1111, ada@example.com, +1 415 555 2671, 192.0.2.7, 192.0.2.7, SO-1234, "
        "AKIAIOSFODNN7EXAMPLE"
    )
    masked, count = marking(text)
    parts = masked.split(", ")
    assert parts[:3] == ["[masked]1111", "a***@example.com", "a number"]
    assert parts[3] == parts[4] != parts[5]
    assert parts[3].startswith("h_")
    assert parts[6] == "[aws]"
    assert count == 7
    assert marking("password=hunter2xyz")[1] == 1


SECRETS = ("4111 1111 1111 1111", "ada.lovelace@example.com", "192.0.2.17", "password=hunter2xyz",
           "SO-1234", "+1 415 555 2671", "ghp_0123456789abcdefghijABCDEFGHIJ012345")  # fmt: skip


@settings(deadline=None)
@given(
    st.lists(st.sampled_from((*SECRETS, " ", ", ", "x", "token: ", "\n", '"', "h_")), max_size=8)
)
def test_masking_by_methods_always_ends(pieces: list[str]) -> None:
    """What methods left behind is masked no more: neither a pseudonym nor what a mask keeps."""
    once, _ = marking(" ".join(pieces))
    assert marking(once)[0] == once


SCAN = 'version = 1\n[[scans]]\nname = "notes"\ncolumns = ["s.t.c"]\n'


def policy(more: str) -> Policy:
    return loads(SCAN + more)


def hiding(more: str) -> Hide:
    made = policy(more)
    return Shield(made, {"": KEY}).veils({0: OutputColumn("c", scans=made.scans)})[0].hide


def test_a_policys_keys_reach_the_values() -> None:
    """What the file says of allowing and marking holds for texts and documents."""
    hide = hiding(
        'allow = ["*@example.com"]\n[[scans.masks]]\ndetectors = ["card"]\nmethod = "partial"\n'
        'keep_last = 4\n[detect]\nengine = "builtin"\n'
    )
    assert hide("ada@example.com bob@evil.org 4111111111111111") == (
        "ada@example.com [email] [masked]1111"
    )
    assert hide({"a": ["4111111111111111"]}) == {"a": ["[masked]1111"]}


def test_a_value_too_long_is_masked_whole() -> None:
    """No value longer than the scan says is searched, nor shown; one just as long is."""
    masked = hiding("longest = 20")
    assert masked("x" * 20) == "x" * 20
    assert masked("x" * 21) == OVERSIZED
    for value in (["x" * 11, "y" * 10], {"k" * 11: {"a": "v" * 10}}):
        assert masked(value) is None
    assert hiding("")("x" * (1 << 20)) == "x" * (1 << 20)


@given(
    st.recursive(st.text(max_size=5), lambda inner: st.lists(inner, max_size=4)), st.integers(0, 9)
)
def test_length_is_always_that_of_all_texts(value: object, longest: int) -> None:
    """However texts are nested, their characters are counted together."""

    def size(each: object) -> int:
        return len(each) if isinstance(each, str) else sum(map(size, each))  # type: ignore[call-overload, no-any-return]

    assert within(value, longest) is (size(value) <= longest)


def test_pseudonyms_need_a_key() -> None:
    """A scan that hashes is refused where the wall has no mask key."""
    more = '[[scans.masks]]\ndetectors = ["ip"]\nmethod = "hash"\n'
    with pytest.raises(PolicyError, match='scan "notes" needs a key'):
        Shield(policy(more), {})


def test_a_text_with_too_many_places_is_hidden_from_there_on() -> None:
    """What is judged is masked as ever; what is not, with all secrets in it, never shows."""
    found_by = detectors(("*",), places=50)
    text = "write to zqk@example.com " + "token:" * 500 + " pwd=zqkjxvw17 zqkjxvw@example.com"
    shown, count = found_by.mask(text)
    assert shown == "write to [email][oversized]"
    assert count >= 2
    assert found_by.mask(shown)[0] == shown


@pytest.mark.parametrize(
    "secret",
    ["zqk.jxvw [at] example [dot] com", "zqk.jxvw(at)example.com", '"AKIAZQKJ" + "ODNN7EXAMPLE"'],
)
@pytest.mark.parametrize("places", range(1, 12))
def test_what_begins_before_the_last_place_is_hidden_too(secret: str, places: int) -> None:
    """What a judge would have found to the left of where it is asked never shows in part."""
    shown, _ = detectors(("*",), places=places).mask(f"10.0.0. 10.0.0. token: {secret} token:")
    assert not re.search("zqk", shown, re.IGNORECASE)


def test_the_rest_of_a_text_is_never_what_is_allowed() -> None:
    """What was not judged may hold anything, whatever it begins with."""
    hide = scanned(detectors(("*",), allow=("10.*",), places=3))
    secret = "10.0.0.1|AKIAIOSFODNN7EXAMPLE|password=zqkjxvw17"
    shown = hide({"first": "10.0.0.2 10.0.0.3 10.0.0.4", "then": secret})
    assert shown == {"first": "10.0.0.2 10.0.0.3 10.0.0.4", "then": "[oversized]"}
    assert "zqk" not in repr(hide(f"10.0.0.2|10.0.0.3|10.0.0.4|{secret}"))


def test_the_texts_of_one_document_share_the_places() -> None:
    """A hostile document of many small texts is no way around; the next value starts anew."""
    hide = scanned(detectors(("*",), places=40))
    document = {f"k{at}": f"token: zqk{at}@example.com clean" for at in range(60)}
    shown: Any = hide(document)
    assert shown["k0"] == "token: [password] clean"
    assert shown["k59"] == "[oversized]" and "zqk" not in repr(shown)
    assert hide("just text") == "just text"
    assert hide("ada@example.com") == "[email]"


def test_many_real_finds_are_no_attack() -> None:
    """By default tens of thousands of finds in one text are all told apart."""
    text = "".join(f"u{at}@example.com, " for at in range(20_000))
    shown, count = detectors(("email",)).mask(text)
    assert count == 20_000 and "oversized" not in shown
