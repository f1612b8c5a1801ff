"""Secrets spelt in another way: escapes, encodings, broken lines, and all of them at random."""

from __future__ import annotations

import base64
import json
import quopri
import time
from collections.abc import Callable
from random import Random
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.masking.detectors import Detectors
from tracewall.masking.spelling import unspelt

GITHUB = "ghp_" + "aB3" * 12
ANTHROPIC = "sk-ant-api03-" + "Ab1_" * 22 + "AA"
CARD = "4111 1111 1111 1111"
MAIL = "ada.lovelace@example.org"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SPELT = [
    ("ada\\u0040example.com!", "[email]!"),
    ("x ada\\\\u0040example\\\\u002ecom y", "x [email] y"),
    ("ada&#64;example.com ada&#x40;example.com ada&commat;example.com", "[email] [email] [email]"),
    ("q=4111%201111%201111%201111&x", "q=[card]&x"),
    ("ghp%5F" + "aB3" * 12, "[github]"),
    ("postgres:\\/\\/svc:hunter2xy@db\\/x", "postgres:\\/\\/svc:[password]@db\\/x"),
    ("\\x67hp_" + "aB3" * 12, "[github]"),
    (f"key {GITHUB[:20]}=\n{GITHUB[20:]} end", "key [github] end"),
    (f"key {ANTHROPIC[:76]}\n  {ANTHROPIC[76:]} end", "key [anthropic] end"),
    (f'"{ANTHROPIC[:60]}\\n{ANTHROPIC[60:]}"', '"[anthropic]"'),
    (f"data: {b64('DB_PASSWORD=hunter2xyz')}", "data: [password]"),
    (f"auth {b64('x' + GITHUB + ' token=' + GITHUB)} end", "auth [github] end"),
    (b64(GITHUB), "[github]"),
    (f"x {b64('a ' + GITHUB)}", "x [github]"),
    (b64("id AKIAIOSFODNN7EXAMPLE"), "[aws]"),
    (b64("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n"), "[pem]"),
    (f"cGFzc3dvcmQ/{'AKIAIOSFODNN7EXAMPLE'}", "cGFzc3dvcmQ/[aws]"),
]


@pytest.mark.parametrize(("text", "result"), SPELT)
def test_secrets_do_not_hide_behind_escapes_and_encodings(
    every: Detectors, text: str, result: str
) -> None:
    """What an escape, a soft line break or base64 stands for is searched, and masked as written."""
    assert every.mask(text)[0] == result


@pytest.mark.parametrize(
    "text",
    ["100%25 of 50%20", "C:\\x64\\temp", "R&#38;D", "if a=\nb", b64("the password policy is long"),
     f"{GITHUB}\nThe next line"[40:], "=3D=\n=20", "\\u0041\\u0042 \\/ %41%42"],
)  # fmt: skip
def test_harmless_escapes_stay(every: Detectors, text: str) -> None:
    """A text whose escapes hide nothing comes back as the very same object."""
    assert every.mask(text)[0] is text


def test_prose_after_a_key_stays(every: Detectors) -> None:
    """Only what looks like the rest of a key is taken for it, not the words of the next line."""
    assert every.mask(f"{GITHUB}\nThe next line, 2024")[0] == "[github]\nThe next line, 2024"


def _zero_width(text: str) -> str:
    return "\u200b".join(text)


def _wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


EVASIONS: dict[str, Callable[[str], str]] = {
    "percent": lambda text: quote(text, safe=""),
    "all percent": lambda text: "".join(f"%{ord(c):02X}" for c in text),
    "json": lambda text: json.dumps(text),
    "json twice": lambda text: json.dumps(json.dumps({"a": text})),
    "unicode": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "html": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "zero width": _zero_width,
    "full width": _wide,
    "quoted printable": lambda text: quopri.encodestring((text + " é " * 30).encode()).decode(),
}


@pytest.mark.parametrize("evasion", EVASIONS)
@given(
    st.sampled_from([GITHUB, ANTHROPIC, CARD, MAIL]), st.sampled_from(["", "x ", "é ", '{"a": "'])
)
def test_a_planted_secret_is_always_found(
    every: Detectors, evasion: str, secret: str, before: str
) -> None:
    """However a secret is spelt, no four characters of the spelling are left in a row."""
    spelt = EVASIONS[evasion](secret)
    masked, count = every.mask(f"{before}{spelt} after")
    assert count
    core = spelt.strip('"\\{a: }').removesuffix("\\n")
    if evasion == "quoted printable":
        core = core.partition(" =C3")[0]
    words = {core[at : at + 4] for at in range(len(core) - 3)}
    assert not [word for word in words if word in masked.replace(" after", "")]


PIECES = (
    "\\u0040|%40|&#64;|=\n|=40|\\/|a|B|1|.com|x.y| |%25|\\|é|\n|password|=|:|"
    + GITHUB + "|" + b64("password=hunter2x")
).split("|")  # fmt: skip
ESCAPES = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


@given(ESCAPES)
def test_masking_always_leaves_nothing_to_find(every: Detectors, text: str) -> None:
    """A masked text holds no find any more, escapes or not."""
    once, _ = every.mask(text)
    assert every.find(once) == ()
    assert every.mask(once) == (once, 0)


@given(ESCAPES, ESCAPES)
def test_spans_in_the_original_are_always_right(before: str, after: str) -> None:
    """A character without escapes is pointed out where it stands in the original."""
    plain = unspelt(f"{before} <{'Q'}> {after}", broken=False)
    if plain is not None:
        at = plain.text.index("<Q>")
        start, end = plain.original(at, at + 3)
        assert f"{before} <Q> {after}"[start:end] == "<Q>"


@pytest.mark.parametrize(
    "unit", ["%40", "\\u0040", "&#64;", "=\n", "cGFzc3dvcmQ", "c2VjcmV0", GITHUB + "\n", "%2540"]
)
def test_time_stays_linear_in_escapes(every: Detectors, unit: str) -> None:
    """Eight times the text takes some eight times as long; squared it would be 64 times."""
    rng = Random(1)
    times = []
    for size in (20_000, 160_000):
        text = "".join(unit + rng.choice("aB1") for _ in range(size // len(unit)))
        started = time.process_time()
        every.mask(text)
        times.append(time.process_time() - started)
    assert times[1] < 24 * times[0] + 0.1
