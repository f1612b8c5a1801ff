"""The format of a file of policy tests: every key, what it may hold, and what it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from tracewall.policy.kinds import ANYTHING, Choice, Json, Only, Text
from tracewall.policy.locate import Place
from tracewall.policy.model import Outcome
from tracewall.policy.reading import Reading
from tracewall.policy.sections import Key, Many, OneOrMany, Section
from tracewall.testing.values import type_oid


@dataclass(frozen=True, slots=True)
class Party:
    """A principal of the tests: ``groups``, and those of each who acts for them."""

    name: str
    groups: tuple[str, ...] = ()
    actors: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """One test: what the principals in ``who`` are to get for a statement.

    What is None, or empty, is not looked at. ``masks`` and ``shows`` map the names of output
    columns to rules and to how they are shown; ``rows`` are what the server would answer,
    ``gives`` what is to be handed out of it.
    """

    name: str
    who: tuple[str, ...]
    sql: str
    expect: Outcome
    parameters: Any = None
    rule: str = ""
    reason: str = ""
    hint: str = ""
    masks: Mapping[str, str] | None = None
    shows: Mapping[str, str] | None = None
    approvals: tuple[str, ...] | None = None
    rows: tuple[Mapping[str, Any], ...] | None = None
    gives: tuple[Mapping[str, Any], ...] | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Trials:
    """A file of tests: the ``policy`` (a path), where its catalog comes from, and the tests.

    Of ``catalog`` and ``schema`` (paths), ``dsn_env`` (the name of an environment variable)
    and ``tables`` exactly one is set.
    """

    version: int
    policy: str
    catalog: str = ""
    schema: tuple[str, ...] = ()
    dsn_env: str = ""
    tables: Mapping[str, Mapping[str, str]] | None = None
    principals: tuple[Party, ...] = ()
    tests: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class _Texts:
    """A table of texts by name."""

    what: str

    def read(self, raw: object, place: Place, reading: Reading) -> Mapping[str, str]:
        """Return the table itself."""
        if not isinstance(raw, dict):
            reading.mistyped(place, self.what, raw, 'write { column = "..." }')
            return {}
        return {name: Text().read(raw[name], place.inside[name], reading) for name in raw}

    def schema(self) -> Json:
        """Return the type of the values."""
        return {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}}


@dataclass(frozen=True)
class _Tables:
    """Tables by their qualified names, each with its columns and their types."""

    help = 'write "schema.table" = { column = "int8" }'

    def read(self, raw: object, place: Place, reading: Reading) -> Any:
        """Return the tables as a `FakeBackend` takes them."""
        if not isinstance(raw, dict):
            reading.mistyped(place, "a table of tables", raw, self.help)
            return {}
        for name in raw:
            if len(parts := name.split(".")) != 2 or not all(parts):
                reading.fault(
                    place.inside[name].key, f"'{name[:80]}' is no schema.table", self.help
                )
        return {name: self._columns(raw[name], place.inside[name], reading) for name in raw}

    def _columns(self, raw: object, place: Place, reading: Reading) -> Mapping[str, str]:
        columns = _Texts("a table of columns").read(raw, place, reading)
        for name, kind in columns.items():
            try:
                type_oid(kind)
            except ValueError as ex:
                reading.wrong(place.inside[name], str(ex))
        return columns

    def schema(self) -> Json:
        """Return what a table is."""
        return {"type": "object", "additionalProperties": _Texts("").schema()}


@dataclass(frozen=True)
class _Values:
    """Values of any type, in a list or by name."""

    def read(self, raw: object, place: Place, reading: Reading) -> Any:
        """Return them as they are."""
        if not isinstance(raw, list | dict):
            reading.mistyped(place, "a list or a table of values", raw, 'write [1, "two"]')
        return raw

    def schema(self) -> Json:
        """Return both ways to write them."""
        return {"type": ["array", "object"]}


@dataclass(frozen=True)
class _Row:
    """A row: values by the names of columns; a column that is left out is NULL."""

    def read(self, raw: object, place: Place, reading: Reading) -> Mapping[str, Any]:
        """Return the row as it is."""
        if not isinstance(raw, dict):
            reading.mistyped(place, "a row", raw, "write { column = value }; NULL is left out")
            return {}
        return raw

    def schema(self) -> Json:
        """Return what it is."""
        return {"type": "object"}


_NAMES = Many(Text("a name"))
PARTY = Section(
    Party,
    "Somebody whose statements are tried.",
    {
        "name": Key(Text("a name"), "What tests call them.", required=True),
        "groups": Key(Many(Text("the name of a group"), empty=True), "Their groups."),
        "actors": Key(
            Many(Many(Text("the name of a group"), empty=True)),
            "The groups of each who acts for them, as the token's act claim nests them.",
        ),
    },
)
TRIAL = Section(
    Trial,
    "One test: a statement, whose it is, and what is expected.",
    {
        "name": Key(Text("a name"), "What the test shows.", required=True),
        "as": Key(
            OneOrMany(Text("a principal")), "The principal, or several.", required=True, field="who"
        ),
        "sql": Key(Text("a statement", ANYTHING), "As the program writes it.", required=True),
        "parameters": Key(
            _Values(), "What is passed with it; placeholders are psycopg's (%s, %(name)s) then."
        ),
        "expect": Key(Choice(get_args(Outcome)), "The outcome of the decision.", required=True),
        "rule": Key(Text("a rule"), "The rule that decides, as grants.name."),
        "reason": Key(Text(), "What the decision's reason contains."),
        "hint": Key(Text(), "What the decision's hint contains."),
        "masks": Key(
            _Texts("a table of columns and rules"),
            "The rule on each output column that is masked; columns that are left out are clear.",
        ),
        "shows": Key(
            _Texts("a table of columns"),
            "How output columns are shown: clear, scanned, or the method of a mask.",
        ),
        "approvals": Key(
            Many(Text("the name of a rule"), empty=True),
            "The rules of approvals that ask, or may ask when rows are counted.",
        ),
        "rows": Key(Many(_Row(), empty=True), "Rows that the server answers, unmasked."),
        "gives": Key(Many(_Row(), empty=True), "What the caller gets of these rows."),
    },
)
TRIALS = Section(
    Trials,
    "Tests of a policy: what it decides on statements, without executing them.",
    {
        "version": Key(Only(1, "this tracewall reads version 1"), "The format's version: 1.", True),
        "policy": Key(Text("a path"), "The policy under test, beside this file.", required=True),
        "catalog": Key(Text("a path"), "A snapshot of a catalog, made by tracewall catalog."),
        "schema": Key(
            OneOrMany(Text("a path")),
            "SQL files that make the schema, run in a server of the tests' own.",
        ),
        "dsn_env": Key(Text(), "The environment variable with the DSN of a live database."),
        "tables": Key(_Tables(), "The tables there are: columns and their built-in types."),
        "principals": Key(Many(PARTY), PARTY.purpose, required=True),
        "tests": Key(Many(TRIAL), TRIAL.purpose, required=True),
    },
    exclusive=(
        ("catalog", "schema"),
        ("catalog", "dsn_env"),
        ("catalog", "tables"),
        ("schema", "dsn_env"),
        ("schema", "tables"),
        ("dsn_env", "tables"),
    ),
)
"""The whole file."""
