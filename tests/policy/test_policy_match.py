"""A policy against the names of a database."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.errors import PolicyError
from tracewall.policy.load import loads
from tracewall.policy.match import unmatched
from tracewall.policy.model import Glob

RELATIONS = {
    "traces.runs": ["id", "api_key", "user_email"],
    "traces.steps": ["id", "content"],
    "billing.cards": ["id", "iban"],
    "billing.nothing": [],
    "odd.name.with.dots": ["id"],
    "strange.columns": ["with.dot"],
}
HEAD = "version = 1\n"
GRANT = HEAD + '[[grants]]\ngroups = ["a"]\nactions = ["select"]\n'
MASK = HEAD + '[[masks]]\nname = "m"\nmethod = "null"\n'


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        GRANT + 'tables = ["traces.runs", "traces.*", "*.*", "*.cards", "t*s.*n*"]',
        GRANT + 'tables = ["traces.*"]\ncolumns = ["content", "*_key", "id"]',
        GRANT + 'tables = ["billing.nothing"]',
        GRANT + 'tables = ["*.*"]\ncolumns = ["*"]',
        HEAD + '[[denials]]\ntables = ["billing.*"]\ncolumns = ["iban"]',
        MASK + 'columns = ["traces.runs.api_key", "*.*.*_email", "billing.cards.*"]',
        HEAD + '[[scans]]\nname = "f"\ncolumns = ["traces.steps.content", "traces.*.id"]',
        MASK + 'columns = ["*.runs.*", "traces.*.api_key"]',
        MASK + 'columns = ["*.*.api_key"]\n[[scans]]\nname = "f"\ncolumns = ["*.*.api_key"]',
    ],
)
def test_everything_matches(text: str) -> None:
    """A policy each of whose patterns matches something is fit for the database."""
    assert unmatched(loads(text), RELATIONS) is None


@pytest.mark.parametrize(
    ("text", "message", "help"),
    [
        (GRANT + 'tables = [«"traces.run"]', "matches no table", "did you mean 'traces.runs'?"),
        (GRANT + 'tables = [«"trace.runs"]', "matches no table", "did you mean 'traces.runs'?"),
        (GRANT + 'tables = [«"Traces.Runs"]', "matches no table", "did you mean 'traces.Runs'?"),
        (GRANT + 'tables = [«"tracs.*"]', "matches no table", "did you mean 'traces.*'?"),
        (GRANT + 'tables = [«"*.card"]', "'*.card' matches no table", "did you mean '*.cards'?"),
        (GRANT + 'tables = [«"zzz.*"]', "matches no table", "no schema matches 'zzz'; names are"),
        (GRANT + 'tables = [«"traces.q*q"]', "matches no table", "no table matches 'q*q'"),
        (GRANT + 'tables = [«"traces.run?"]', "matches no table", "did you mean 'traces.runs'?"),
        (GRANT + 'tables = [«"traces.%"]', "matches no table", "'*' is the only wildcard"),
        (GRANT + 'tables = ["traces.*",\n «"b.*"]', "'b.*' matches no table", ""),
        (GRANT + 'tables = [«"odd.name"]', "matches no table", ""),
        (GRANT + 'tables = [«"odd.*"]', "matches no table", ""),
        (MASK + 'columns = [«"strange.columns.*"]', "matches no column", ""),
        (GRANT + 'tables = ["traces.*"]\ncolumns = ["id", «"apikey"]',
         "'apikey' matches no column of this rule's tables", "did you mean 'api_key'?"),
        (GRANT + 'tables = ["traces.*"]\ncolumns = [«"iban"]', "matches no column", "no column"),
        (GRANT + 'tables = ["traces.*"]\ncolumns = [«"*x*"]', "matches no column", "'*x*'"),
        (HEAD + '[[denials]]\ntables = [«"billing.card"]', "matches no table", "'billing.cards'?"),
        (MASK + 'columns = [«"traces.runs.apikey"]', "'traces.runs.apikey' matches no column",
         "did you mean 'traces.runs.api_key'?"),
        (MASK + 'columns = [«"traces.run.api_key"]', "matches no column",
         "did you mean 'traces.runs.api_key'?"),
        (MASK + 'columns = [«"billing.nothing.*"]', "matches no column", "no column matches '*'"),
        (MASK + 'columns = ["*.*.api_key", «"*.*.apikey"]', "matches no column",
         "did you mean '*.*.api_key'?"),
        (HEAD + '[[scans]]\nname = "f"\ncolumns = [«"traces.steps.contents"]', "matches no column",
         "did you mean 'traces.steps.content'?"),
        (MASK + 'columns = ["traces.runs.*"]\n[[masks]]\nname = "n"\nmethod = "hash"\n'
         'columns = ["traces.steps.*", «"*.*.api_key"]',
         "traces.runs.api_key is under the mask 'm' too", "a column has one mask"),
        (MASK + 'columns = [«"no.such.c"]\n[[grants]]\ngroups = ["a"]\nactions = ["select"]\n'
         'tables = ["no.such"]', "'no.such.c'", ""),
        (GRANT + 'tables = [«"no.such"]\n[[masks]]\nname = "m"\nmethod = "null"\n'
         'columns = ["no.such.c"]', "'no.such'", ""),
    ],
)  # fmt: skip
def test_first_fault(text: str, message: str, help: str) -> None:
    """The first pattern at fault is told at its place, with the name that was meant."""
    before, _, after = text.partition("«")
    error = unmatched(loads(before + after, "policy.toml"), RELATIONS)
    assert isinstance(error, PolicyError)
    assert message in error.message
    assert help in error.help
    assert (error.path, error.line) == ("policy.toml", before.count("\n") + 1)
    assert error.column == len(before) - before.rfind("\n")


def test_empty_database() -> None:
    """In a database without tables no pattern matches anything."""
    assert unmatched(loads(GRANT + 'tables = ["*.*"]'), {}) is not None
    assert unmatched(loads(HEAD), {}) is None


PARTS = st.text(st.sampled_from("ab*"), min_size=1, max_size=4)
NAMES = st.text(st.sampled_from("ab"), min_size=1, max_size=3)


@given(
    st.lists(st.tuples(NAMES, NAMES, NAMES), max_size=6),
    st.tuples(PARTS, PARTS, PARTS),
)
def test_index_agrees_with_globs(
    names: list[tuple[str, str, str]], pattern: tuple[str, str, str]
) -> None:
    """A pattern is found unmatched exactly when its glob matches none of the full names."""
    relations: dict[str, list[str]] = {}
    for schema, table, column in names:
        relations.setdefault(f"{schema}.{table}", []).append(column)
    full = ".".join(pattern)
    glob = Glob(full)
    matches = any(glob.matches(".".join(name)) for name in names)
    policy = loads(MASK + f'columns = ["{full}"]')
    assert (unmatched(policy, relations) is None) == matches
    table = Glob(".".join(pattern[:2]))
    grant = loads(GRANT + f'tables = ["{table.text}"]')
    assert (unmatched(grant, relations) is None) == any(map(table.matches, relations))


def test_ten_thousand_tables() -> None:
    """Hundreds of rules against ten thousand tables take a moment, not a coffee break."""
    relations = {
        f"s{n % 50}.table_{n}": [f"c{m}" for m in range(20)] + ["api_key"] for n in range(10_000)
    }
    rules = "".join(
        f'[[grants]]\ngroups = ["g{n}"]\nactions = ["select"]\n'
        f'tables = ["s{n % 50}.table_{n}", "s{n % 50}.*", "*.table_{n}*"]\ncolumns = ["c1", "a*"]\n'
        for n in range(300)
    )
    masks = '[[masks]]\nname = "m"\nmethod = "null"\ncolumns = ["*.*.api_key"]\n'
    policy = loads(HEAD + rules + masks)
    # This thread's own time: another program on the machine must not turn it red.
    started = time.thread_time()
    assert unmatched(policy, relations) is None
    assert time.thread_time() - started < 5
