"""Runs policy tests: each statement is judged as the wall would judge it, and not executed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import psycopg
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer
from psycopg.rows import tuple_row

from tracewall.errors import PolicyError
from tracewall.judge import Judge, Judged
from tracewall.policy.enforcement import in_force
from tracewall.policy.load import load as load_policy
from tracewall.policy.match import column_names, unmatched
from tracewall.policy.model import Decision, OutputColumn, Policy
from tracewall.shield import Shield
from tracewall.sql.catalog import Catalog, read
from tracewall.testing.backend import FakeBackend
from tracewall.testing.bench import Bench
from tracewall.trials.catalogs import answers_for
from tracewall.trials.format import Party, Trial
from tracewall.trials.load import Sheet

_KEY = b"tracewall tests of policies"


class Mismatch(NamedTuple):
    """What differs from what a test expects: under which of its keys, and where that stands."""

    key: str
    expected: str
    got: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a test for one principal; it passed where nothing mismatches."""

    name: str
    who: str
    decision: Decision
    mismatches: tuple[Mismatch, ...]
    line: int
    seconds: float

    @property
    def passed(self) -> bool:
        """True where everything is as expected."""
        return not self.mismatches


class Trying:
    """A file of tests with its policy and its catalog; close it at the end.

    Raises:
        PolicyError: the policy does not load, or does not fit the catalog.
        CatalogMissing: there is no catalog.
    """

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.policy: Policy = in_force(load_policy(sheet.beside(sheet.trials.policy)))
        self._answers = answers_for(sheet)
        self.catalog: Catalog = read(self._answers)
        complaint = unmatched(self.policy, column_names(self.catalog))
        if complaint is not None:
            raise complaint
        self._shield, self._own = _shield(self.policy)
        self._judges: dict[str, Judge] = {}
        self._opened = ExitStack()

    def cases(self) -> Iterator[tuple[int, Party]]:
        """Give each test, by its number, with each principal it is about."""
        for number, trial in enumerate(self.sheet.trials.tests):
            for name in trial.who:
                yield number, self.sheet.parties[name]

    def run(self, number: int, party: Party) -> Result:
        """Run one test for one principal."""
        started = time.perf_counter()
        trial = self.sheet.trials.tests[number]
        try:
            decision = self._judged(trial, party).decision
            wrong = dict(_wrong(trial, decision))
        except ValueError as error:
            decision = Decision("forbidden", "parameters", str(error))
            wrong = {"sql": ("placeholders that the parameters fit", str(error))}
        if not wrong and trial.rows is not None:
            wrong |= self._rows(trial, party, decision)
        places = self.sheet.places[number]
        mismatches = tuple(
            Mismatch(key, *told, *places.get(key, places[""])) for key, told in wrong.items()
        )
        seconds = time.perf_counter() - started
        return Result(trial.name, party.name, decision, mismatches, trial.line, seconds)

    def close(self) -> None:
        """Close what was opened to try rows."""
        self._opened.close()

    def __enter__(self) -> Trying:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _judged(self, trial: Trial, party: Party) -> Judged:
        judge = self._judges.get(party.name)
        if judge is None:
            groups, *actors = map(frozenset, (party.groups, *party.actors))
            judge = Judge(self.policy, self.catalog, groups, self._shield, tuple(actors))
            self._judges[party.name] = judge
        sql, parameters = rendered(trial.sql, trial.parameters)
        judged = judge.judge(sql)
        return judge.writing_back(sql, judged, parameters) if judged.writes else judged

    def _rows(
        self, trial: Trial, party: Party, decision: Decision
    ) -> Mapping[str, tuple[str, str]]:
        names = [column.name for column in decision.columns]
        if stray := {name for row in trial.rows or () for name in row}.difference(names):
            return {"rows": (f"columns among {', '.join(names)}", f"one called {min(stray)}")}
        raw = [tuple(row.get(name) for name in names) for row in trial.rows or ()]
        backend, bench = self._bench
        backend.reset()
        backend.on(trial.sql).rows(raw)
        try:
            with bench.connect(*party.groups, autocommit=True) as conn:
                cursor = conn.cursor(row_factory=tuple_row)
                given = cursor.execute(trial.sql.encode(), trial.parameters).fetchall()
        except psycopg.Error as error:
            return {"gives": (f"{len(trial.gives or ())} rows", str(error))}
        wanted = [[row.get(name) for name in names] for row in trial.gives or ()]
        if len(wanted) != len(given):
            return {"gives": (f"{len(wanted)} rows", f"{len(given)} rows")}
        for number, (want, got) in enumerate(zip(wanted, given, strict=True), 1):
            for name, one, other in zip(names, want, got, strict=True):
                if not _same(one, other):
                    at = f"row {number}, {name}: "
                    return {"gives": (at + _told(one), at + _told(other))}
        return {}

    @cached_property
    def _bench(self) -> tuple[FakeBackend, Bench]:
        backend = self._opened.enter_context(FakeBackend(catalog=self._answers))
        own = self._own
        bench = Bench.load(self.policy.path, backend, mask_key=lambda id: _KEY if id else own)
        return backend, self._opened.enter_context(bench)


def _shield(policy: Policy) -> tuple[Shield, bytes]:
    """Make a policy's shield, with an own key only where a mask can't do without one."""
    keys = {key.id: _KEY for key in policy.keys}
    try:
        return Shield(policy, {"": b""} | keys), b""
    except PolicyError:
        return Shield(policy, {"": _KEY} | keys), _KEY


def rendered(sql: str, parameters: Any) -> tuple[bytes, Sequence[bytes | None]]:
    """Give the bytes for the wire, as psycopg makes them of a statement and its parameters.

    Raises:
        ValueError: its placeholders and parameters do not fit.
    """
    query = PostgresQuery(Transformer())
    try:
        query.convert(sql.encode(), parameters)
    except (psycopg.Error, TypeError) as error:
        raise ValueError(str(error)) from None
    return query.query, [None if p is None else bytes(p) for p in query.params or ()]


def _wrong(trial: Trial, decision: Decision) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the keys that are not as expected, each with what was expected and what came."""
    if trial.expect != decision.outcome:
        yield "expect", (trial.expect, _why(decision))
        return
    if trial.rule and trial.rule != decision.rule:
        yield "rule", (trial.rule, decision.rule)
    for key in ("reason", "hint"):
        wanted, got = getattr(trial, key), getattr(decision, key)
        if wanted not in got:
            yield key, (f"... {wanted} ...", got or f"no {key}")
    asking = tuple(rule.name for rule in decision.approvals)
    if trial.approvals is not None and set(trial.approvals) != set(asking):
        yield "approvals", (_listed(trial.approvals), _listed(asking))
    if trial.masks is not None:
        yield from _differ("masks", _every(trial.masks, decision), decision.columns, "rule")
    if trial.shows is not None:
        yield from _differ("shows", trial.shows, decision.columns, "shows")


def _every(masks: Mapping[str, str], decision: Decision) -> Mapping[str, str]:
    return {column.name: "" for column in decision.columns} | dict(masks)


def _differ(
    key: str, wanted: Mapping[str, str], columns: Sequence[OutputColumn], of: str
) -> Iterator[tuple[str, tuple[str, str]]]:
    expected, got = [], []
    for name, want in wanted.items():
        found = {getattr(column, of) for column in columns if column.name == name}
        if found != {want}:
            expected.append(f"{name}: {want or 'clear'}")
            told = (each or "clear" for each in sorted(found))
            got.append(f"{name}: {' and '.join(told) or 'no such column'}")
    if expected:
        yield key, ("; ".join(expected), "; ".join(got))


def _why(decision: Decision) -> str:
    told = f"{decision.outcome} by {decision.rule}"
    return f"{told}: {decision.reason}" if decision.reason else told


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _same(wanted: Any, got: Any) -> bool:
    # What TOML can't write (uuid, numeric, inet …) is written as its text.
    return bool(wanted == got) or (isinstance(wanted, str) and wanted == str(got))


def _told(value: Any) -> str:
    return "NULL" if value is None else repr(value)
