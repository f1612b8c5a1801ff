"""The reference pages leave nothing out, and say nothing that is not so."""

from __future__ import annotations

import inspect
import re
import tomllib
from datetime import date, datetime
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import psycopg
import pytest

import tracewall
from tracewall import errors, events, telemetry
from tracewall.identity.issuers import NO_TYPE
from tracewall.identity.principal import REASONS
from tracewall.identity.profiles import PROVIDERS, trusted
from tracewall.masking.config import DETECTORS, Method, MethodName
from tracewall.masking.detectors import detectors
from tracewall.masking.methods import masker
from tracewall.policy.model import Durability
from tracewall.policy.schema import json_schema
from tracewall.sql.flow import How
from tracewall.telemetry import mirror
from tracewall.trials.format import PARTY, TRIAL, TRIALS

KEY = b"0123456789abcdef"
PACKAGE = Path(str(tracewall.__file__)).parent
NAMES = {
    "IPv4Address": IPv4Address,
    "date": date,
    "datetime": datetime,
    "Decimal": Decimal,
    "UUID": UUID,
    "Method": Method,
}


def tables(page: Any, heading: str = "") -> dict[str, list[list[str]]]:
    """Give the rows of a page's tables, by the heading that each stands under."""
    found: dict[str, list[list[str]]] = {}
    lines = page.text.splitlines()
    for block in page.blocks:
        if block.language == "table":
            above = [line for line in lines[: block.line] if line.startswith("#")]
            found.setdefault(above[-1].lstrip("# ").strip("`"), []).extend(block.rows)
    return found


def first(rows: list[list[str]]) -> list[str]:
    """Give the first cells of rows, without their marks."""
    return [re.sub(r"[`*]", "", row[0]) for row in rows]


@pytest.fixture(scope="session")
def api(pages: Any) -> Any:
    """The page on the API."""
    return pages["docs/reference/api.md"]


@pytest.fixture(scope="session")
def policy(pages: Any) -> Any:
    """The page on policies."""
    return pages["docs/reference/policy.md"]


def test_every_public_name_is_told_once(api: Any) -> None:
    """Each name of `tracewall.__all__` stands in one table of the API, and no other name."""
    told = [name for rows in tables(api).values() for name in first(rows) if name.isidentifier()]
    assert sorted(told) == sorted(tracewall.__all__)


def test_what_is_told_to_be_psycopgs_is(api: Any) -> None:
    """Names under "psycopg's own" are psycopg's objects; all others are not."""
    own = first(tables(api)["psycopg's own"])
    for name in tracewall.__all__:
        same = getattr(tracewall, name) is getattr(psycopg, name, None)
        assert same == (name in own), name


def test_guarded_names_are_subclasses(api: Any) -> None:
    """What stands under connections and cursors is a subclass of psycopg's of that name."""
    for name in first(tables(api)["Connections and cursors"]):
        assert issubclass(getattr(tracewall, name), getattr(psycopg, name))


def test_every_member_of_a_wall_is_told(api: Any) -> None:
    """Each public method and attribute of `Wall` is on the page, and each option of `load`."""
    members = {name for name in dir(tracewall.Wall) if not name.startswith("_")}
    members |= {name for name in tracewall.Wall.__dataclass_fields__ if not name.startswith("_")}
    told = set(re.findall(r"`(?:wall\.|Wall\.)?(\w+)(?:\(.*?\))?`", api.text))
    assert members <= told
    options = set(inspect.signature(tracewall.Wall.load).parameters) - {"path"}
    assert options <= told


def sections(schema: Any, header: str = "Top level") -> dict[str, Any]:
    """Give each section of the policy's schema by its header in the page."""
    found = {header: schema}
    for name, key in schema["properties"].items():
        inside = key.get("items", key)
        if "properties" in inside:
            title = f"{header}.{name}".strip("[]").removeprefix("Top level.").replace("]", "")
            brackets = "[[{}]]" if "items" in key else "[{}]"
            found |= sections(inside, brackets.format(title))
    return found


def test_every_key_of_a_policy_is_told(policy: Any) -> None:
    """Each section of the schema has its table, each key its row, and no other is told."""
    others = ("Actions", "Row filters", "Bounds")
    told = {h: first(rows) for h, rows in tables(policy).items() if h not in others}
    assert told == {name: list(s["properties"]) for name, s in sections(json_schema()).items()}


def test_required_keys_and_defaults_are_as_told(policy: Any) -> None:
    """Keys in bold are the required ones, and the defaults are the schema's."""
    told = tables(policy)
    for name, section in sections(json_schema()).items():
        for cell, _, default, _ in told[name]:
            key = section["properties"][cell.strip("`*")]
            assert cell.startswith("**") == (cell.strip("`*") in section["required"]), cell
            written = default.strip("`").replace("true", "True").replace("false", "False")
            if written and written != "its position":
                assert eval(written) == key.get("default", 0), cell
            else:
                assert "default" not in key, cell


def bounds(key: Any) -> set[tuple[int, int]]:
    """Give the least and the most that a key's schema takes, where it takes a number."""
    inside = [key, *key.get("anyOf", ()), key.get("items", {})]
    return {(each["minimum"], each["maximum"]) for each in inside if "maximum" in each}


def test_the_bounds_of_numbers_are_as_told(policy: Any) -> None:
    """Each number of the schema that is written as told has the bounds told, and no others."""
    told: dict[str, tuple[int, int]] = {}
    for what, range_ in tables(policy)["Bounds"]:
        if found := re.match(r"(\d+) to (\d+)\b(?! of)", range_):
            for name in re.findall(r"`([\w.]+)`", what) or [what]:
                told[name] = (int(found[1]), int(found[2]))
    met = set()
    for header, section in sections(json_schema()).items():
        for name, key in section["properties"].items():
            for least, most in bounds(key):
                path = f"{header.strip('[]').split('.')[-1]}.{name}"
                text = str(key)
                kind = "a number of bytes" if "TB" in text else "a length of time"
                (what, *_) = [each for each in (path, name, kind) if each in told]
                assert told[what] == (least, most), path
                met.add(what)
    assert met == told.keys()


def test_words_to_choose_from_are_told(policy: Any) -> None:
    """Each word that a key may have stands in the key's row."""
    told = tables(policy)
    for name, section in sections(json_schema()).items():
        for cell, value, *_ in told[name]:
            key = section["properties"][cell.strip("`*")]
            words = key.get("enum", key.get("items", {}).get("enum", []))
            if "(#actions)" in value:
                assert words == re.findall(r'^\| `"(\w+)"` \|', policy.text, re.MULTILINE)
            elif not set(words) & set(DETECTORS):
                assert words == re.findall(r'"([^"]*)"', value), cell


def test_every_reason_is_told(pages: Any) -> None:
    """The reasons of `TokenRejected` are those of the code, each with its sentence."""
    rows = tables(pages["docs/reference/errors.md"])["Reasons of TokenRejected"]
    told = {row[0].strip("`"): row[1] for row in rows}
    assert told == REASONS


def test_every_error_is_told(pages: Any) -> None:
    """Each error of tracewall is in the tree and in the table, with its SQLSTATE and its base."""
    page = pages["docs/reference/errors.md"]
    rows = {row[0].strip("`"): row for row in tables(page)["The tree"]}
    ours = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    assert rows.keys() == ours - {"Explained"}
    drawn: list[Any] = []
    seen = set()
    for line in next(block.text for block in page.blocks if block.language == "text").splitlines():
        name = line.lstrip(" │├└─")
        depth = (len(line) - len(name)) // 3
        kind = ValueError if name == "ValueError" else getattr(errors, name.split(".")[-1])
        drawn = [*drawn[:depth], kind]
        assert not depth or issubclass(kind, drawn[-2])
        seen.add(name)
    assert ours - {"Explained"} <= seen
    for name, row in rows.items():
        assert row[1] == (getattr(getattr(errors, name), "sqlstate", None) or "none")


def test_every_rule_that_decides_is_told(pages: Any) -> None:
    """The page on errors has each rule by which the code decides or refuses."""
    deciding = [*PACKAGE.glob("*.py"), *PACKAGE.glob("policy/*.py")]
    source = "".join(path.read_text("utf-8") for path in deciding)
    written = set(
        re.findall(r'\brule(?:: str)?(?:, reason(?:, hint)?)? ?= ?"([a-z][a-z._-]*)"', source)
    )
    written |= set(re.findall(r'\b(?:Refused\(|Decision\(\s*"\w+",)\s*"([a-z][a-z._-]*)"', source))
    page = pages["docs/reference/errors.md"].text
    part = page.partition("\n## The decision behind a refusal\n")[2].partition("\n## ")[0]
    assert {"default", "unreadable", "door", "transaction", "token", "approvals"} <= written
    assert [rule for rule in sorted(written) if f"`{rule}`" not in part] == []


def test_every_option_of_a_wall_is_told(api: Any) -> None:
    """`Wall.load` is told with each of its options, in order."""
    (shown,) = [row[0] for row in tables(api)["Wall"] if row[0].startswith("`Wall.load(")]
    known = list(inspect.signature(tracewall.Wall.load).parameters)
    assert re.findall(r"\w+", shown.partition("(")[2]) == known


def test_every_flow_of_a_column_is_told(api: Any) -> None:
    """The lineage of an output column is told with each way of flowing."""
    (told,) = [row[1] for row in tables(api)["Decision"] if row[0] == "`column.lineage`"]
    assert [how for how in re.findall(r"`(\w+)`", told) if how != "column"] == [
        how.name.lower() for how in How
    ]


def test_every_member_of_a_record_is_told(pages: Any) -> None:
    """Each member of the audit's values has its row under its own name, and no other has."""
    told = tables(pages["docs/reference/audit.md"])
    for name, kind in (
        ("who", events.Who),
        ("what", events.What),
        ("ended", events.Ended),
        ("incident", events.Incident),
    ):
        known = [field for field in first(told[name]) if field in kind.__struct_fields__]
        assert sorted(known) == sorted(kind.__struct_fields__)
    assert first(told["Durability"]) == list(get_args(Durability))


def test_every_kind_of_record_is_told(pages: Any) -> None:
    """Kinds of records, statuses and incidents are those that the code writes."""
    told = tables(pages["docs/reference/audit.md"])
    source = "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    kinds = set(re.findall(r'"kind":"(\w+)"', source)) | set(re.findall(r'body\("(\w+)"', source))
    assert set(first(told["Lines"])) >= kinds and kinds
    incidents = set(re.findall(r'(?:Incident\(kind=|_tell\(|\.tell\()"(\w+)"', source))
    assert set(first(told["incident"])) == incidents | set(events.Incident.__struct_fields__)


def test_every_flow_is_told(pages: Any) -> None:
    """The page on lineage has each way of flowing, in the order of the code."""
    rows = tables(pages["docs/explanation/lineage.md"])["Ways of flowing"]
    assert first(rows) == [how.name for how in How]


def test_every_attribute_of_a_span_is_told(pages: Any) -> None:
    """The page on telemetry has each attribute that the code can set, and no other."""
    source = inspect.getsource(telemetry).partition("from __future__")[2]
    named = r'"((?:db|server|tracewall|error)\.[a-z_.]+)"'
    written = set(re.findall(named, source)) - {"tracewall.telemetry"}
    metrics = {"db.client.operation.duration"}
    told = set(first(tables(pages["docs/reference/telemetry.md"])["Span"]))
    assert told == written - metrics
    assert metrics <= written


def test_every_attribute_of_a_log_record_is_told(pages: Any) -> None:
    """The page on telemetry has each attribute that the mirrored record can have."""
    source = inspect.getsource(mirror).partition("from __future__")[2]
    written = set(re.findall(r'"((?:db|tracewall)\.[a-z_.]+)"', source)) - {"tracewall.telemetry"}
    page = pages["docs/reference/telemetry.md"].text
    part = page.partition("\n## Log records\n")[2].partition("\n## ")[0]
    assert written and all(f"`{name}`" in part for name in written)


def test_methods_mask_as_told(pages: Any) -> None:
    """Each row of the table of methods is what masking gives, and no method is missing."""
    rows = tables(pages["docs/reference/masks.md"])["Methods"]
    used = set()
    for cells in rows:
        method, value, shown = (eval(cell.strip("`"), dict(NAMES)) for cell in cells)
        got = masker(method, KEY, "p")(value)
        assert got == shown and type(got) is type(shown), cells
        used.add(method.name)
    assert used == set(get_args(MethodName))


def test_detectors_find_what_is_told(pages: Any) -> None:
    """Each detector has its row, and its example is masked as shown, by all of them together."""
    rows = tables(pages["docs/reference/masks.md"])["Detectors"]
    assert first(rows) == list(DETECTORS)
    every = detectors(("*",))
    for _, _, example, shown in rows:
        assert every.mask(example.strip("`"))[0] == shown.strip("`")


def test_every_key_of_policy_tests_is_told(pages: Any) -> None:
    """Each key of a file of policy tests stands in the table of its section, and no other."""
    page = tables(pages["docs/reference/policy-tests.md"])
    for heading, section in {
        "The file": TRIALS,
        "[[principals]]": PARTY,
        "[[tests]]": TRIAL,
    }.items():
        assert first(page[heading]) == list(section.keys)
        bold = {row[0].strip("`*") for row in page[heading] if row[0].startswith("**")}
        assert bold == {name for name, key in section.keys.items() if key.required}


def test_what_profiles_fill_in_is_as_told(pages: Any) -> None:
    """Each provider's row has what its profile fills in, and where groups are."""
    rows = tables(pages["docs/reference/identity.md"])["Providers"]
    assert [row[0].strip("`") for row in rows] == list(PROVIDERS)
    for name, groups, filled, _ in rows:
        provider = name.strip("`")
        kind = "id" if provider == "google" else "access"
        tenant = "https://sts.windows.net/6babcaad-604b-40ac-a9d7-9fd97c0b779f/"
        known = {"entra": tenant, "spiffe": "spiffe://example.org"}
        issuer = known.get(provider, "https://issuer.test")
        made = trusted(provider, name="x", issuer=issuer, audiences=("x",))
        told = {}
        for written in re.findall(r"`(\w+ = .*?)`", filled):
            told |= tomllib.loads(written)
        assert made.tokens == told.pop("tokens", kind)
        types = told.pop("token_type", ["JWT", "none"] if kind == "id" else ["at+jwt"])
        types = [types] if isinstance(types, str) else types
        assert sorted("none" if each == NO_TYPE else each for each in made.token_types) == sorted(
            types
        ), provider
        assert made.groups_limit == told.pop("groups_limit", 0)
        assert made.audience_claim == told.pop("audience_claim", "aud")
        assert not told
        claims = [] if ":" in groups.replace("cognito:", "") or "itself" in groups else [groups]
        assert [f"`{claim}`" for claim in made.groups_claims] == claims, provider
