"""Make modules wrong in one place after another, and tell which mistakes no test notices.

The tests run once, for the lines that each of them reaches. Then each mutant's code is put
in place of its module's functions in a process forked from that one, which runs the tests
that reach its line: first those that noticed others, then the quickest. What is made at
import (tables, defaults) is tried in a process that imports the module anew.

    python tools/mutate.py decide             # an area of tools/mutate.toml
    python tools/mutate.py decide --module tracewall/policy/uses.py --tests tests/judge

Each result is a line of ``build/mutants/AREA.jsonl``: a run that was stopped goes on there,
as long as the module is the same. What survived is printed, but for what ``mutate.toml``
explains; the exit code is 1 where anything is left.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import hashlib
import importlib
import json
import os
import random
import sys
import time
import tomllib
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import coverage
import hypothesis
import pytest
from _pytest.runner import runtestprotocol
from forks import Pool
from mistakes import Mutant, codes, mutants, mutated

ROOT = Path(__file__).resolve().parent.parent
_OPTIONS = ["-q", "-p", "no:cacheprovider", "--no-header", "--tb=no"]
_OPTIONS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported already
# So many budgets' worth of tests is tried with nothing changed, and others are not taken.
_CONTROL = 10
# What takes long to import and is not the project's, for processes that import it anew.
_HEAVY = ("psycopg", "psycopg_pool", "sqlglot", "postgast", "msgspec", "jwt", "opentelemetry.trace")


@dataclass
class Module:
    """A module under test: its text, what to try, and the tests that reach its lines."""

    path: Path
    source: str
    every: list[Mutant]
    chosen: list[Mutant]
    lines: dict[int, list[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The path within the project."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def edition(self) -> str:
        """What tells this text of the module from another."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Results:
    """The results so far, a line of JSON for each."""

    path: Path

    def add(self, module: Module, mutant: Mutant, verdict: str, **more: Any) -> None:
        """Keep one."""
        told = {"module": module.name, "edition": module.edition, "number": mutant.number}
        told |= {"line": mutant.line, "story": mutant.story, "verdict": verdict} | more
        with self.path.open("a") as file:
            file.write(json.dumps(told) + "\n")

    def of(self, modules: list[Module]) -> dict[tuple[str, int], dict[str, Any]]:
        """Give the last result of each mutant of the modules as they are now."""
        editions = {module.name: module.edition for module in modules}
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        found = map(json.loads, lines)
        return {
            (one["module"], one["number"]): one
            for one in found
            if editions.get(one["module"]) == one["edition"]
        }


class Run:
    """A pytest session that runs its tests once, and then against each mutant."""

    def __init__(self, told: argparse.Namespace, modules: list[Module], results: Results) -> None:
        self.told, self.modules, self.results = told, modules, results
        self.seconds: dict[str, float] = {}
        self.killers: deque[str] = deque(maxlen=12)
        self.pool = Pool(told.jobs)
        # Started before anything is imported: what runs then has no test's name.
        paths = [str(module.path) for module in modules]
        self.watch = coverage.Coverage(data_file=None, include=paths, config_file=False)
        self.watch.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests once for the lines they reach, then the mutants."""
        self._reach(session)
        if session.testsfailed:
            sys.exit("the tests fail as it is")
        found = Installer.of(self.modules)
        gc.freeze()
        known = self.results.of(self.modules)
        if self.told.again:
            known = {key: one for key, one in known.items() if one["verdict"] in ("killed", "slow")}
        stop = time.monotonic() + self.told.minutes * 60
        quickest = self._taken(session.items, _CONTROL * self.told.budget)
        items = {item.nodeid: item for item in quickest}
        self._control(quickest)
        for module, mutant in _left(self.modules, known):
            if time.monotonic() > stop:
                break
            self._try(module, mutant, items, found)
        self.pool.finish()
        session._setupstate.teardown_exact(None)
        return True

    def _reach(self, session: pytest.Session) -> None:
        for item, following in zip_longest(session.items, session.items[1:]):
            # What an earlier test left in a shared catalog would hide that this one reaches it.
            for views in _followed():
                views.clear()
            self.watch.switch_context(item.nodeid)
            start = time.perf_counter()
            runtestprotocol(item, nextitem=_next(item, following))
            self.seconds[item.nodeid] = time.perf_counter() - start
        self.watch.stop()
        for module in self.modules:
            module.lines = self.watch.get_data().contexts_by_lineno(str(module.path))

    def _control(self, items: list[pytest.Item]) -> None:
        said: list[str] = []
        self.pool.start(
            lambda: _failing(items), 600, lambda verdict, who: said.extend((verdict, who))
        )
        self.pool.finish()
        if said[0] != "survived":
            sys.exit(f"with nothing changed, a fork is {said[0]}: {said[1]}")

    def _try(
        self, module: Module, mutant: Mutant, items: dict[str, pytest.Item], found: Installer
    ) -> None:
        lines = module.lines
        reaching = set(lines.get(mutant.line, ()))
        wrong = mutated(module.source, str(module.path), mutant.number)
        anew = mutant.at_import or reaching == {""} or not found.takes(wrong)
        if anew:
            reaching = {name for names in lines.values() for name in names}
        those = [items[name] for name in reaching if name in items]
        reached = [item for item in those if not anew or self._starts(item)]
        taken = self._taken(reached, self.told.budget)
        if anew:
            # A module's tables may be used by other modules alone.
            others = [i for i in items.values() if self._starts(i) and i not in taken]
            taken += self._taken(others, self.told.budget) if others else []
            reached = list({item.nodeid: item for item in (*reached, *taken)}.values())
        counts = {"tests": len(taken), "of": len(reached)}
        if not taken:
            self.results.add(module, mutant, "unreached", **counts)
        elif anew:
            self.results.add(module, mutant, "waits", names=[i.nodeid for i in taken], **counts)
        else:

            def work() -> str | None:
                found.install(wrong)
                return _failing(taken)

            def done(verdict: str, killer: str) -> None:
                self._noticed(killer)
                self.results.add(module, mutant, verdict, by=killer, **counts)

            self.pool.start(work, 3 * self.told.budget + 20, done)

    def _starts(self, item: pytest.Item) -> bool:
        # A server is started anew for each process that imports a module anew.
        return self.told.servers or "server" not in getattr(item, "fixturenames", ())

    def _noticed(self, killer: str) -> None:
        if self.seconds.get(killer, 1) < 1 and killer not in self.killers:
            self.killers.append(killer)

    def _taken(self, items: list[pytest.Item], left: float) -> list[pytest.Item]:
        taken = list[pytest.Item]()
        for item in sorted(
            items, key=lambda item: (item.nodeid not in self.killers, self.seconds[item.nodeid])
        ):
            left -= self.seconds[item.nodeid]
            if left >= 0 or not taken:
                taken.append(item)
        return taken


def _next(item: pytest.Item, following: pytest.Item | None) -> Any:
    # The session follows the last one: what tests share (a server) stays for the forks.
    return following or item.session


def _followed() -> list[dict[Any, Any]]:
    """Give what catalogs that tests share remember of views and tables they have read."""
    return [c.followed for c in gc.get_objects() if type(c).__name__ == "Catalog"]


def _failing(items: list[pytest.Item]) -> str | None:
    for item, following in zip_longest(items, items[1:]):
        told = runtestprotocol(item, log=False, nextitem=_next(item, following))
        if any(report.failed for report in told):
            return item.nodeid
    return None


@dataclass(frozen=True)
class Installer:
    """The functions of the modules that this process has, and what it remembers of calls."""

    functions: list[FunctionType]
    memories: list[Any]
    followed: list[dict[Any, Any]]

    @classmethod
    def of(cls, modules: list[Module]) -> Installer:
        """Find them."""
        paths = {str(module.path) for module in modules}
        every = gc.get_objects()
        functions = [f for f in every if isinstance(f, FunctionType)]
        memories = [m for m in every if isinstance(m, functools._lru_cache_wrapper)]
        return cls([f for f in functions if f.__code__.co_filename in paths], memories, _followed())

    def takes(self, module: CodeType) -> bool:
        """Tell whether each function can have its code: one without its `super()` can't."""
        return all(code.co_freevars == f.__code__.co_freevars for f, code in self._pairs(module))

    def install(self, module: CodeType) -> None:
        """Give the functions of a module its code, and forget what was remembered of calls."""
        for memory in self.memories:
            memory.cache_clear()
        for views in self.followed:
            views.clear()
        for function, code in self._pairs(module):
            function.__code__ = code

    def _pairs(self, module: CodeType) -> Iterator[tuple[FunctionType, CodeType]]:
        made = codes(module)
        for function in self.functions:
            old = function.__code__
            key = (old.co_qualname, old.co_firstlineno)
            if old.co_filename == module.co_filename and key in made:
                yield function, made[key]


def _left(
    modules: list[Module], known: dict[tuple[str, int], dict[str, Any]]
) -> Iterator[tuple[Module, Mutant]]:
    for module in modules:
        for mutant in module.chosen:
            if (module.name, mutant.number) not in known:
                yield module, mutant


def at_import(told: argparse.Namespace, modules: list[Module], results: Results) -> None:
    """Try what is made at import: for each mutant, a process that imports its module anew."""
    for name in _HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    by_name = {module.name: module for module in modules}
    pool, stop = Pool(told.jobs), time.monotonic() + told.minutes * 60
    waiting = [one for one in results.of(modules).values() if one["verdict"] == "waits"]
    for name in sorted({one["module"] for one in waiting}):
        those = [one for one in waiting if one["module"] == name]
        module, said = by_name[name], list[str]()
        right = functools.partial(_anew, module, None, those[0]["names"])
        pool.start(right, 120, lambda *ended, said=said: said.append(ended[0]))
        pool.finish()
        if said != ["survived"]:
            sys.exit(f"the tests of {name} fail in a process of their own, with nothing changed")
        for one in those:
            if time.monotonic() > stop:
                break
            mutant = next(m for m in module.every if m.number == one["number"])
            wrong = functools.partial(_anew, module, mutant.number, one["names"])
            counts = {"tests": one["tests"], "of": one["of"], "at_import": True}
            add = functools.partial(results.add, module, mutant, **counts)
            pool.start(wrong, 4 * told.budget + 40, lambda *ended, add=add: add(ended[0]))
    pool.finish()


def _anew(module: Module, number: int | None, tests: list[str]) -> str | None:
    path = str(module.path)
    if number is not None:
        wrong, usual = mutated(module.source, path, number), SourceFileLoader.get_code

        def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
            return wrong if self.path == path else usual(self, fullname)

        loader: Any = SourceFileLoader
        loader.get_code = get_code
    # Plain: where pytest rewrites asserts it compiles a plugin's package itself, and ours has one.
    return None if pytest.main([*_OPTIONS, "--assert=plain", "-x", *tests]) == 0 else "killed"


def report(modules: list[Module], results: Results, explained: list[dict[str, str]]) -> int:
    """Print the figures, and what survived without an explanation; give how many did."""
    known, left = results.of(modules), 0
    reasons = {(one["module"], one["line"], one["story"]) for one in explained}
    for module in modules:
        tried = [one for (name, _), one in known.items() if name == module.name]
        counts, lines = Counter(one["verdict"] for one in tried), module.source.splitlines()
        for one in sorted(tried, key=lambda one: one["line"]):
            if one["verdict"] in ("survived", "unreached"):
                text = lines[one["line"] - 1].strip()
                if (module.name, text, one["story"]) in reasons:
                    counts[one["verdict"]] -= 1
                    counts["explained"] += 1
                else:
                    left += 1
                    tests = f"{one['tests']} of {one['of']} tests"
                    print(f"{one['verdict']} {module.name}:{one['line']} ({tests}) {one['story']}")
        figures = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        print(f"# {module.name}: {len(module.every)} mutants, {len(tried)} tried: {figures}")
    return left


def read(path: Path, sample: int, seed: int) -> Module:
    """Read a module, and choose which of its mutants are tried."""
    source = path.read_text()
    every = list(mutants(source, str(path)))
    random.seed(seed)
    chosen = random.sample(every, min(sample, len(every)))
    return Module(path, source, every, sorted(chosen, key=lambda m: (m.line, m.number)))


def main() -> None:
    """Read the command line, and run."""
    known = tomllib.loads((ROOT / "tools" / "mutate.toml").read_text())
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument(
        "area", help=f"one of {', '.join(known['areas'])}, or a name for the results"
    )
    asked.add_argument("--module", nargs="+", help="instead of the area's modules")
    asked.add_argument("--tests", nargs="+", help="instead of the area's tests")
    asked.add_argument(
        "--sample", type=int, default=300, help="how many mutants of a module at most"
    )
    asked.add_argument("--seed", type=int, default=1, help="of the choice of a sample")
    asked.add_argument("--budget", type=float, default=6.0, help="seconds of tests for a mutant")
    asked.add_argument("--minutes", type=float, default=60.0, help="when to stop")
    asked.add_argument("--jobs", type=int, default=1, help="how many processes at a time")
    asked.add_argument("--servers", action="store_true", help="for what is made at import, too")
    asked.add_argument("--again", action="store_true", help="try again what survived")
    asked.add_argument("--report", action="store_true", help="run nothing, print what is known")
    told = asked.parse_args()
    area = known["areas"].get(told.area, {})
    paths = [Path(name).resolve() for name in told.module or area["modules"]]
    modules = [read(path, told.sample, told.seed) for path in paths]
    results = Results(ROOT / "build" / "mutants" / f"{told.area}.jsonl")
    results.path.parent.mkdir(parents=True, exist_ok=True)
    if not told.report:
        _run(told, modules, results, told.tests or area["tests"])
    sys.exit(1 if report(modules, results, known.get("explained", [])) else 0)


def _run(
    told: argparse.Namespace, modules: list[Module], results: Results, tests: list[str]
) -> None:
    sys.path.insert(0, str(ROOT))
    # A found mistake is enough: no smaller example of it is sought, and none is kept.
    quick = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile(
        "mutants", phases=quick, database=None, derandomize=True, deadline=None
    )
    hypothesis.settings.load_profile("mutants")
    # The tests run in a fork: this process imports nothing of the project until it tries imports.
    pid = os.fork()
    if not pid:
        sys.exit(pytest.main([*_OPTIONS, *tests], plugins=[Run(told, modules, results)]))
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit("the run ended early")
    at_import(told, modules, results)


if __name__ == "__main__":
    main()
