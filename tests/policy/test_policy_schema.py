"""The JSON Schema for editors says what the loader says."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracewall.errors import PolicyError
from tracewall.policy.load import loads
from tracewall.policy.schema import SHIPPED, json_schema, main

SAMPLE = tomllib.loads(Path(__file__).with_name("sample.toml").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
RULE = {"groups": ["a"], "actions": ["select"], "tables": ["s.t"]}
MASK = {"name": "m", "columns": ["s.t.c"]}
SCAN = {"name": "f", "columns": ["s.t.c"]}
ISSUER = {"issuer": "i", "audience": "a", "keys": "k"}


def test_shipped_schema_is_current() -> None:
    """The schema in the package is the one that the description gives."""
    assert json.loads(SHIPPED.read_text("utf-8")) == json_schema()
    assert main(["--check"]) is None


def test_stale_schema_is_told(tmp_path: Path) -> None:
    """The check fails for a schema that is missing or old, and writing it again mends it."""
    file = tmp_path / "schema.json"
    assert "out of date" in str(main(["--check"], file))
    assert main([], file) is None
    assert main(["--check"], file) is None
    file.write_text(file.read_text("utf-8").replace("minItems", "maxItems", 1), "utf-8")
    assert "out of date" in str(main(["--check"], file))


def test_slip_of_the_pen_writes_nothing(tmp_path: Path) -> None:
    """A misspelt option is told, and nothing is written."""
    file = tmp_path / "schema.json"
    assert "usage" in str(main(["--chekc"], file))
    assert not file.exists()


def test_schema_is_one() -> None:
    """What is shipped is itself a valid JSON Schema of draft 2020-12."""
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_sample_is_valid() -> None:
    """The policy that uses every key is valid, so every key is in the schema."""
    VALIDATOR.validate(SAMPLE)


def described(schema: dict[str, Any], path: str = "") -> list[str]:
    """List the keys that a schema offers without telling what they are for."""
    bare = []
    for name, inner in schema.get("properties", {}).items():
        bare += [] if inner.get("description") else [f"{path}.{name}"]
        bare += described(inner, f"{path}.{name}")
        bare += described(inner.get("items", {}), f"{path}.{name}[]")
    return bare


def test_every_key_is_described() -> None:
    """An editor has something to show for each key."""
    assert described(json_schema()) == []


def test_defaults_are_valid() -> None:
    """A default that the schema tells is what the loader takes for a key left out."""
    grant = json_schema()["properties"]["grants"]["items"]["properties"]
    issuer = json_schema()["properties"]["issuers"]["items"]["properties"]
    denial = json_schema()["properties"]["denials"]["items"]["properties"]
    assert grant["columns"]["default"] == ["*"]
    assert denial["groups"]["default"] == ["*"]
    assert "default" not in denial["actions"]
    assert issuer["provider"]["default"] == "generic"
    assert issuer["max_lifetime"]["default"] == 86400


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"version": 2},
        {"version": 1, "stric": True},
        {"version": 1, "limits": {"rows": -1}},
        {"version": 1, "limits": {"statement_timeout": "30 seconds"}},
        {"version": 1, "limits": {"statement_timeout": "30s\n"}},
        {"version": 1, "audit": {"durability": "sync"}},
        {"version": 1, "database": {"password_env": "A", "password_file": "b"}},
        {"version": 1, "grants": []},
        {"version": 1, "grants": [{**RULE, "groups": []}]},
        {"version": 1, "grants": [{**RULE, "groups": ["a", "a"]}]},
        {"version": 1, "grants": [{**RULE, "tables": ["runs"]}]},
        {"version": 1, "grants": [{**RULE, "tables": ["a.b.c"]}]},
        {"version": 1, "grants": [{**RULE, "columns": ["t.c"]}]},
        {"version": 1, "grants": [{**RULE, "name": "a.b"}]},
        {"version": 1, "grants": [{"groups": ["a"]}]},
        {"version": 1, "masks": [{**MASK, "method": "redcat"}]},
        {"version": 1, "masks": [{**MASK, "method": "redact", "keep_last": 4}]},
        {"version": 1, "masks": [{**MASK, "method": "partial", "unit": "day"}]},
        {"version": 1, "masks": [{**MASK, "method": "date"}]},
        {"version": 1, "masks": [{**MASK, "method": "number", "bucket": 0}]},
        {"version": 1, "masks": [{**MASK, "method": "constant"}]},
        {"version": 1, "scans": [{**SCAN, "detectors": ["emial"]}]},
        {"version": 1, "scans": [{**SCAN, "patterns": [{"name": "x"}]}]},
        {"version": 1, "issuers": [{**ISSUER, "algorithms": ["HS256"]}]},
        {"version": 1, "issuers": [{**ISSUER, "audience": []}]},
    ],
    ids=str,
)
def test_editor_sees_what_the_loader_refuses(policy: dict[str, Any]) -> None:
    """What is wrong in itself is marked by an editor already."""
    assert not VALIDATOR.is_valid(policy)
    with pytest.raises(PolicyError):
        loads("\n".join(f"{key} = {written(value)}" for key, value in policy.items()))


def written(value: Any) -> str:
    """Write a value as TOML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


NAMES = st.text(st.sampled_from('aB.*" \n\tä\u00a0\x7f-_'), max_size=6)
TIMES = st.text(st.sampled_from("01.smind h\n"), max_size=6) | st.integers(-2, 2**32)


@settings(max_examples=500, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": NAMES,
            "limits": st.fixed_dictionaries({"statement_timeout": TIMES}),
            "audit": st.fixed_dictionaries({"directory": NAMES}),
            "grants": st.lists(
                st.fixed_dictionaries(
                    {
                        "groups": st.lists(NAMES, min_size=1, max_size=2),
                        "actions": st.just(["select"]),
                        "tables": st.lists(NAMES | st.just("s.t"), min_size=1, max_size=2),
                    },
                    optional={"columns": st.lists(NAMES, max_size=2), "name": NAMES},
                ),
                max_size=1,
            ),
        },
    )
)
def test_editor_marks_nothing_that_the_loader_takes(policy: dict[str, Any]) -> None:
    """What the loader reads is valid for an editor: no false alarm."""
    policy["version"] = 1
    try:
        loads("\n".join(f"{key} = {written(value)}" for key, value in policy.items()))
    except PolicyError:
        return
    VALIDATOR.validate(policy)
