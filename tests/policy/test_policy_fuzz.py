"""Whatever the text: a policy, or a PolicyError that points into the text."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracewall.errors import PolicyError
from tracewall.policy.load import loads
from tracewall.policy.model import Policy

TEXT = Path(__file__).with_name("sample.toml").read_text("utf-8")
TOKENS = [
    *("[", "]", "[[", "]]", "{", "}", "=", ",", ".", "#", "\n", "\r", "\r\n", " ", "\t", "\\"),
    *('"', "'", '"""', "'''", "\0", "\ud800", "\ufeff", "é", "日", "\u2028", "\x7f", "\x1b"),
    *("version", "= 1", "nan", "-inf", "1e999", "0x" + "f" * 300, "9" * 5000, "1979-05-27 07:32Z"),
    *("[grants]", "[[masks]]", "[[scans.patterns]]", "masks.x = 1", '""', "''", "true", "*", "-1"),
    *(
        'method = "partial"',
        "keep_last = 0",
        "[limits]",
        "rows = 1",
        "[]",
        "{}",
        "[[]]",
        "[1, 'a']",
    ),
]


def outcome(text: str) -> Policy | None:
    """Load `text`; what is raised must be a PolicyError that can be shown and points into it."""
    try:
        return loads(text)
    except PolicyError as error:
        assert error.message
        lines = text.split("\n")
        assert (error.line == 0) == (error.column == 0)
        if error.line:
            assert error.line <= len(lines)
            assert 1 <= error.column <= len(lines[error.line - 1]) + 1
        str(error).encode("utf-8", "surrogatepass")
        return None


@settings(deadline=None)
@given(st.text(st.characters()) | st.lists(st.sampled_from(TOKENS), max_size=20).map("".join))
@example("﻿")
@example("version = 1\r")
@example("version = 1\r\n\r\n")
@example("''=0")
@example("a = 0000-00-00")
@example("a = 1979-05-27T00:00:00+99:99")
@example('a = "\\UFFFFFFFF"')
@example('a = "\\ud800"')
def test_any_text(text: str) -> None:
    """No text makes the loader raise anything but a PolicyError."""
    outcome(text)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_damaged_policy(seed: int, times: int) -> None:
    """A good policy with parts cut, doubled, swapped or overwritten is read or refused."""
    chance, text = random.Random(seed), TEXT
    for _ in range(times):
        start = chance.randrange(len(text))
        end = min(len(text), start + chance.choice([0, 1, 1, 5, 40]))
        again = text[end : end + chance.choice([1, 10, 80])]
        text = text[:start] + chance.choice([*TOKENS, "", again]) + text[end:]
    outcome(text)


@pytest.mark.parametrize(
    "text",
    [
        "a.b.c." * 2000 + "d = 1",
        "version = 1\n" + "[a" + ".a" * 3000 + "]",
        "version = 1\n" + "[[grants]]\n" * 2000,
        "version = 1" + "0" * 4299,
        "version = 1\nname = 1" + "_0" * 4300,
        "version = 1\nname = '''" + "''x" * 100_000 + "'''",
        "version = 1\nx = [" + "1," * 100_000 + "]",
        '"' + "\\u0061" * 10_000 + '" = 1',
    ],
    ids=lambda text: text[:20],
)
def test_long_text(text: str) -> None:
    """Length does not turn a mistake into anything but a PolicyError."""
    outcome(text)


@pytest.mark.parametrize("token", TOKENS)
def test_every_value_replaced(token: str) -> None:
    """Each value of a good policy, replaced by anything odd, is read or refused."""
    for section in TEXT.split("\n\n"):
        lines = ["version = 1", *section.split("\n")]
        for at, line in enumerate(lines):
            if "=" in line:
                odd = f"{line.partition('=')[0]}= {token}"
                outcome("\n".join([*lines[:at], odd, *lines[at + 1 :]]))


WORDS = st.sampled_from(
    "s.t|s.t.c|*|*.*|*.*.*|a|select|partial|date|email|equality|30s|https://h/k|http://h/k|RS256"
    "|none|synced||dbname=x password=y".split("|")
)
ODD = st.one_of(
    WORDS,
    st.text(max_size=5),
    st.integers(),
    st.booleans(),
    st.floats(),
    st.just(10**400),
)
KEYS = st.sampled_from(
    "version name strict groups actions tables columns lifts method keep_first keep_last value "
    "unit bucket predicates expressions regex detectors patterns issuer audience keys algorithms "
    "leeway reason conninfo password_env password_file rows statement_timeout durability".split()
)
SECTIONS = st.sampled_from(
    ["database", "audit", "limits", "issuers", "grants", "denials", "masks", "scans"]
)
INNER = st.dictionaries(KEYS, st.recursive(ODD, st.lists, max_leaves=4), max_size=6)
DOCUMENTS = st.dictionaries(SECTIONS | KEYS, INNER | st.lists(INNER, max_size=3) | ODD, max_size=6)


def written(value: Any) -> str:
    """Write a value as TOML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value)


@settings(max_examples=400, deadline=None)
@given(DOCUMENTS)
def test_known_keys_with_any_values(document: dict[str, Any]) -> None:
    """Known keys in any place with any values are read or refused."""
    document["version"] = 1
    outcome("\n".join(f"{key} = {written(value)}" for key, value in document.items()))


@pytest.mark.parametrize("depth", [50, 150, 300, 450, 600, 900, 2000])
@pytest.mark.parametrize("pair", ["[]", "{}"])
def test_any_depth(depth: int, pair: str) -> None:
    """However deep values are nested, they are read or refused."""
    inside = "a = " if pair == "{}" else ""
    outcome(f"version = 1\nx = {(pair[0] + inside) * depth}1{pair[1] * depth}")
