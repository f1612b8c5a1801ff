"""One meaning in any layout: positions stay exact, the policy and its hash stay the same."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracewall.policy.load import loads
from tracewall.policy.locate import Lines, Place, locate
from tracewall.policy.meaning import digest, meaning
from tracewall.policy.model import TABLE_ACTIONS

TEXT = Path(__file__).with_name("sample.toml").read_text("utf-8")
SAMPLE = tomllib.loads(TEXT)
Steps = tuple[str | int, ...]
BARE = re.compile(r"[A-Za-z0-9_-]+")


class Writer:
    """Writes tables as TOML in one of countless layouts, which the seed chooses."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def flip(self) -> bool:
        return self.random.random() < 0.5

    def one_of(self, *choices: str) -> str:
        return self.random.choice(choices)

    def blank(self) -> str:
        return self.one_of("", " ", "\t ")

    def gap(self) -> str:
        """What may stand between the values of a list."""
        return self.one_of("", " ", "\n", "\n\t# ], } = \" '\n", "\r\n ")

    def key(self, name: str) -> str:
        if BARE.fullmatch(name) and self.flip():
            return name
        if "'" not in name and name.isprintable() and self.flip():
            return f"'{name}'"
        return _quoted(name)

    def text(self, value: str) -> str:
        quoted = _quoted(value)
        forms = [quoted, f'""{quoted}""', f'"""\n{quoted[1:-1]}"""']
        if value[:1].strip():
            forms.append(f'"""\\\n  {quoted[1:-1]}"""')
        if '"""' not in value:
            bare = quoted[1:-1].replace('\\"', '"')
            forms += [f'"""{bare}"""', f'"""\n{bare}"""'] if "\\" not in value else []
        if value.isprintable() and "'''" not in value:
            forms.append(f"'''{value}'''")
        if value.isprintable() and "'" not in value:
            forms += [f"'{value}'", f"'''{value}'''", f"'''\n{value}'''"]
        return self.one_of(*forms)

    def value(self, value: object) -> str:
        match value:
            case str():
                return self.text(value)
            case bool():
                return str(value).lower()
            case float():
                return repr(value)
            case dict():
                pairs = (f"{self.pair(name, item)}" for name, item in value.items())
                return "{" + self.blank() + ", ".join(pairs) + self.blank() + "}"
            case list():
                items = (self.gap() + self.value(item) + self.gap() for item in value)
                last = "," if value and self.flip() else ""
                return "[" + ",".join(items) + last + self.gap() + "]"
            case datetime():
                return value.isoformat(self.one_of(" ", "T"))
            case date() | time():
                return value.isoformat()
        assert isinstance(value, int)
        return self.one_of(str(value), hex(value)) if value > 0 else str(value)

    def pair(self, name: str, value: object) -> str:
        if isinstance(value, dict) and len(value) == 1 and self.flip():
            ((inner, item),) = value.items()
            return f"{self.key(name)}{self.blank()}.{self.blank()}{self.pair(inner, item)}"
        return f"{self.key(name)}{self.blank()}={self.blank()}{self.value(value)}"

    def line(self, text: str) -> str:
        comment = self.one_of("", ' # [x] = {"', "\n\n# comment")
        return f"{self.blank()}{text}{comment}{self.one_of(chr(10), chr(13) + chr(10))}"

    def header(self, path: tuple[str, ...], brackets: int) -> str:
        keys = f"{self.blank()}.{self.blank()}".join(map(self.key, path))
        inside = f"{self.blank()}{keys}{self.blank()}"
        return self.line("[" * brackets + inside + "]" * brackets)

    def table(self, table: dict[str, Any], path: tuple[str, ...] = ()) -> str:
        """Write pairs first, then what gets headers of its own."""
        names = self.random.sample(list(table), len(table))
        below = [name for name in names if _may_have_header(table[name]) and self.flip()]
        pairs = [self.line(self.pair(name, table[name])) for name in names if name not in below]
        sections = [self.section((*path, name), table[name]) for name in below]
        return "".join(pairs) + "".join(sections)

    def section(self, path: tuple[str, ...], value: Any) -> str:
        if isinstance(value, list):
            return "".join(self.header(path, 2) + self.table(item, path) for item in value)
        return self.header(path, 1) + self.table(value, path)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _may_have_header(value: object) -> bool:
    tables = value if isinstance(value, list) else [value]
    return bool(tables) and all(isinstance(table, dict) for table in tables)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [
        '"',
        "''",
        '"""',
        'a""b""',
        "''a'b''",
        "\\",
        "#",
        "a.b",
        "]",
        "\n",
        "\r\n",
        'a"""',
        "x = 1",
        "é\t",
    ]
)
SCALARS = (
    TEXTS
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.dates(min_value=date(1000, 1, 1))
    | st.times()
    | st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.sampled_from([None, UTC]))
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)
TABLES = st.dictionaries(TEXTS, VALUES, max_size=6)


SEEDS = st.integers(0, 2**32)


def places(value: Any, place: Place) -> Iterator[tuple[Any, Place]]:
    """Walk values and places side by side; both must have the same shape."""
    yield value, place
    if isinstance(value, dict):
        assert place.inside.keys() == value.keys()
        for name in value:
            yield from places(value[name], place.inside[name])
    elif isinstance(value, list):
        assert list(place.inside) == list(range(len(value)))
        for index, item in enumerate(value):
            yield from places(item, place.inside[index])
    else:
        assert not place.inside


@settings(max_examples=400, deadline=None)
@given(TABLES, SEEDS)
def test_every_value_is_where_it_is_said_to_be(table: dict[str, Any], seed: int) -> None:
    """The text between a value's start and end is that value, and its key stands at its key."""
    text = Writer(seed).table(table)
    assert tomllib.loads(text) == table
    for value, place in places(table, locate(text)):
        if place.path:
            assert _as_written(text[place.start : place.end], value, place) == value
        if place.path and isinstance(place.path[-1], str):
            assert _key_at(text, place.key) == place.path[-1]


def _as_written(written: str, value: object, place: Place) -> object:
    """Read what a place encloses; a header or an implied table must name the table's path."""
    by_header = written.startswith("[") if isinstance(value, dict) else place.key > place.start
    if by_header:
        named = tomllib.loads(written)
        for step in place.path:
            if isinstance(step, str):
                named = named[step][-1] if isinstance(named[step], list) else named[step]
        assert named == {}
        return value
    if isinstance(value, dict) and not written.startswith("{"):
        assert list(tomllib.loads(f"{written}=0")) == [place.path[-1]]
        return value
    return tomllib.loads(f"x={written}")["x"]


def _key_at(text: str, offset: int) -> str:
    token = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+""").match(text, offset)
    assert token is not None
    return next(iter(tomllib.loads(f"{token[0]}=0")))


@given(st.text(st.sampled_from("ab\n\r\u20ac"), max_size=30), st.data())
def test_lines_and_columns(text: str, data: st.DataObject) -> None:
    """A line and a column lead back to the offset they were made from."""
    offset = data.draw(st.integers(0, len(text)))
    line, column = Lines(text).at(offset)
    before = text.split("\n")[: line - 1]
    assert sum(len(part) + 1 for part in before) + column - 1 == offset


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_layout_leaves_policy_and_hash(seed: int) -> None:
    """Comments, blanks, quotes, headers and the order of keys change nothing of a policy."""
    policy, usual = loads(Writer(seed).table(SAMPLE)), loads(TEXT)
    assert meaning(policy) == meaning(usual)
    assert policy.hash == usual.hash == digest(usual)


def single_values(value: Any, path: Steps = ()) -> Iterator[tuple[Steps, Any]]:
    """Give each value of the sample with another one that could stand there."""
    if isinstance(value, dict):
        for name in value:
            yield from single_values(value[name], (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from single_values(item, (*path, index))
    elif path != ("version",):
        yield path, value


CHANGED: dict[Any, Any] = {
    **{"30s": "31s", "500ms": "501ms", "1h": "2h", True: False, "synced": "written", "": "at+jwt"},
    **{"ES256": "RS256", "select": "insert", "insert": None, "update": None, "delete": None},
    **{"partial": None, "email": None, "constant": None, "date": None, "number": None},
    **{"none": "any", "mask": "refuse", "year": "month", "jwt": "pem", "equality": "none"},
    **{"allow": "refuse", "listen": "notify", "ddl": "do", "refuse_writes": "allow"},
    **{"*": "x", "*.*": "x.*", "api-keys": None, "free-text": None, "mails": None},
    **{"30min": "31min", "10min": "11min", "365d": "366d", "100MB": "101MB", "once": "shape"},
    **{"required": "optional", "Europe/Berlin": "Europe/Paris", "update": None},
    **{"Mon-Fri 08:00-18:00": "Mon-Thu 08:00-18:00", SAMPLE["approval"]["keys"][0]: None},
}


def _changed(value: Any) -> Any:
    if value in CHANGED:
        return CHANGED[value]
    return value + 1 if isinstance(value, int) else f"{value}x"


def _with(table: Any, path: Steps, value: Any) -> Any:
    if not path:
        return value
    copy = list(table) if isinstance(table, list) else dict(table)
    copy[path[0]] = _with(copy[path[0]], path[1:], value)
    return copy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (path, _changed(value))
        for path, value in single_values(SAMPLE)
        if _changed(value) is not None
    ],
    ids=str,
)
def test_any_change_changes_the_hash(path: Steps, value: object) -> None:
    """Two policies that differ in one value have different hashes."""
    assert loads(Writer(0).table(_with(SAMPLE, path, value))).hash != loads(TEXT).hash


def _without(table: Any, path: Steps) -> Any:
    copy = list(table) if isinstance(table, list) else dict(table)
    if len(path) == 1:
        del copy[path[0]]  # type: ignore[arg-type]
    else:
        copy[path[0]] = _without(copy[path[0]], path[1:])
    return copy


@pytest.mark.parametrize(
    "section",
    ["issuers", "grants", "denials", "masks", "scans", "functions", "approvals"],
)
def test_any_rule_left_out_changes_the_hash(section: str) -> None:
    """A policy without one of its rules has another hash than with it, and than without another."""
    # What a grant lifts must exist, and what people reveal.
    table = _without(_without(SAMPLE, ("grants", 0, "lifts")), ("approvals", 3))
    texts = [Writer(0).table(_without(table, (section, at))) for at in range(len(table[section]))]
    hashes = {loads(text).hash for text in [Writer(0).table(table), *texts]}
    assert len(hashes) == len(table[section]) + 1


def test_each_method_has_its_own_hash() -> None:
    """Two masks that differ in their method alone mean different things."""
    mask = 'version = 1\nmasks = [{{name = "m", columns = ["s.t.c"], method = "{}"}}]'
    methods = ["redact", "null", "email", "hash"]
    assert len({loads(mask.format(method)).hash for method in methods}) == len(methods)


def test_defaults_mean_the_same_when_written() -> None:
    """A default that is written out means the same as one that is left out."""
    rule = 'version = 1\n[[denials]]\nname = "no"\ntables = ["s.t"]\n'
    actions = f"actions = {json.dumps(TABLE_ACTIONS)}\n"
    assert loads(rule).hash == loads(rule + actions + 'groups = ["*"]\ncolumns = ["*"]\n').hash


def test_the_recipe_of_the_hash_stays() -> None:
    """The hash of a policy is not made in another way unnoticed: old records are found by it."""
    text = """
        version = 1
        [[grants]]
        groups = ["a"]
        actions = ["select", "insert"]
        tables = ["s.*"]
        [[masks]]
        name = "m"
        columns = ["s.t.c"]
        method = "partial"
        keep_last = 4
    """
    assert loads(text).hash == "a4aa9f65004b62050ba0f3ec00f6451feea2d4caa1acd37e7049bac2de472b61"
