"""Make a module wrong in one place after another, and tell which mistakes no test notices.

The tests run once, for the lines that each of them reaches. Then each mutant's code is put
in place of the module's functions in a process forked from that one, which runs the tests
that reach its line, quickest first. What is printed is what survived, and what no test of
these reached. Take tests that need no server: a fork has none of its own.

    python tools/mutate.py tracewall/policy/decide.py tests/judge/test_decide.py
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import functools
import gc
import inspect
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol

_OTHERS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
}
_NAMES = {"any": "all", "all": "any", "min": "max", "max": "min"}


@dataclass(frozen=True)
class Mutant:
    """One mistake: the tree that has it, its line, and how it reads."""

    line: int
    story: str
    tree: ast.Module


def variants(node: ast.AST) -> Iterator[ast.AST | None]:
    """Give what could stand in a node's place by mistake; None removes it."""
    match node:
        case ast.Compare(ops=ops):
            for at, op in enumerate(ops):
                if type(op) in _OTHERS:
                    yield _with(node, ops=[*ops[:at], _OTHERS[type(op)](), *ops[at + 1 :]])
        case ast.BoolOp(op, values):
            yield _with(node, op=_OTHERS[type(op)]())
            for rest in _less(values):
                yield rest[0] if len(rest) == 1 else _with(node, values=rest)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.BinOp(_, op) if type(op) in _OTHERS:
            yield _with(node, op=_OTHERS[type(op)]())
        case ast.Constant(bool(said)):
            yield ast.Constant(not said)
        case ast.Constant(int(number)):
            yield ast.Constant(number + 1)
        case ast.Call(ast.Name(name)) if name in _NAMES:
            yield _with(node, func=ast.Name(_NAMES[name], ast.Load()))
        case ast.Set(elts) | ast.Tuple(elts, ast.Load()) if len(elts) > 1:
            yield from (_with(node, elts=rest) for rest in _less(elts))
        case ast.IfExp(_, body, orelse):
            yield from (body, orelse)
        case ast.comprehension(ifs=ifs):
            yield from (_with(node, ifs=rest) for rest in _less(ifs))
        case ast.If(test) | ast.While(test) if not isinstance(test, ast.Compare | ast.UnaryOp):
            yield _with(node, test=ast.UnaryOp(ast.Not(), test))
        case ast.Return(value) if value is not None and not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value) if not isinstance(value, ast.Constant):
            yield ast.Pass()
        case ast.Raise() | ast.AugAssign():
            yield ast.Pass()
        case ast.Break() | ast.Continue():
            yield _OTHERS[type(node)]()


def _with(node: ast.AST, **fields: Any) -> ast.AST:
    made = copy.copy(node)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def _less(held: list[Any]) -> Iterator[list[Any]]:
    for at in range(len(held)):
        yield held[:at] + held[at + 1 :]


def _places(parent: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    for name, value in ast.iter_fields(parent):
        # What a type is said to be, and whether a class may be changed, decides nothing.
        if name in ("annotation", "returns", "decorator_list"):
            continue
        if isinstance(parent, ast.ClassDef) and name == "keywords":
            continue
        for at in range(len(value)) if isinstance(value, list) else (None,):
            node = value[at] if at is not None else value
            if isinstance(node, ast.AST):
                yield parent, name, at
                yield from _places(node)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def mutants(source: str) -> Iterator[Mutant]:
    """Give every mutant of a module, in the order of its text."""
    tree = ast.parse(source)
    for parent, name, at in list(_places(tree)):
        held = getattr(parent, name)
        node = held if at is None else held[at]
        for variant in variants(node):
            _put(parent, name, at, variant)
            made = ast.fix_missing_locations(copy.deepcopy(tree))
            _put(parent, name, at, node)
            inner = node.iter if isinstance(node, ast.comprehension) else node
            line = getattr(inner, "lineno", getattr(parent, "lineno", 0))
            yield Mutant(line, f"{_read(node)}  ->  {_read(variant)}", made)


def _put(parent: ast.AST, name: str, at: int | None, value: Any) -> None:
    if at is None:
        setattr(parent, name, value)
    else:
        getattr(parent, name)[at] = value


def _read(node: ast.AST | None) -> str:
    return ast.unparse(node).replace("\n", " ")[:110] if node is not None else ""


def functions(code: CodeType) -> Iterator[CodeType]:
    """Give the code of a module's functions and methods, not of those within them."""
    for const in code.co_consts:
        if isinstance(const, CodeType):
            # A class's body is no function: what it defines is one level further in.
            yield from [const] if const.co_flags & inspect.CO_NEWLOCALS else functions(const)


def install(tree: ast.Module, path: Path) -> bool:
    """Give the functions of an imported module other code; False where none differs.

    What was remembered of calls is forgotten.
    """
    made = {
        (code.co_qualname, code.co_firstlineno): code
        for code in functions(compile(tree, str(path), "exec"))
    }
    differs = False
    for found in gc.get_objects():
        if isinstance(found, functools._lru_cache_wrapper):
            found.cache_clear()
        elif isinstance(found, FunctionType) and found.__code__.co_filename == str(path):
            code = made.get((found.__code__.co_qualname, found.__code__.co_firstlineno))
            if code is not None and code != found.__code__:
                found.__code__ = code
                differs = True
    return differs


class Run:
    """A pytest session that runs its tests once, and then against each mutant."""

    def __init__(self, told: argparse.Namespace) -> None:
        self.told, self.path = told, told.module.resolve()
        self.seconds: dict[str, float] = {}
        self.counts: dict[str, int] = defaultdict(int)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests once for the lines they reach, then the mutants."""
        watch = coverage.Coverage(data_file=None, include=[str(self.path)], config_file=False)
        watch.start()
        for item in session.items:
            watch.switch_context(item.nodeid)
            start = time.perf_counter()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            self.seconds[item.nodeid] = time.perf_counter() - start
        watch.stop()
        if session.testsfailed:
            sys.exit("the tests fail as it is")
        lines = watch.get_data().contexts_by_lineno(str(self.path))
        every = [m for m in mutants(self.path.read_text()) if m.line]
        random.seed(self.told.seed)
        chosen = random.sample(every, min(self.told.sample, len(every)))
        self._say(f"# {len(every)} mutants, {len(session.items)} tests")
        if forked(lambda: _failing(session.items), _CONTROL) != "survived":
            sys.exit("the tests fail in a fork, with nothing changed")
        stop = time.monotonic() + self.told.minutes * 60
        for mutant in sorted(chosen, key=lambda m: m.line):
            if time.monotonic() > stop:
                self._say("# out of time")
                break
            self._try(mutant, lines, session)
        self._say(f"# {self.told.module} {dict(self.counts)}")
        return True

    def _say(self, text: str) -> None:
        os.write(self.told.out, text.encode() + b"\n")

    def _try(self, mutant: Mutant, lines: dict[int, list[str]], session: pytest.Session) -> None:
        near = set(lines.get(mutant.line, ()))
        items = [item for item in session.items if item.nodeid in near]
        taken = self._quickest(items)
        verdict = "unreached"
        if taken:
            verdict = forked(lambda: self._wrong(mutant, taken), int(3 * self.told.budget) + 20)
        self.counts[verdict] += 1
        if verdict != "killed":
            tests = f"{len(taken)} of {len(items)} tests"
            self._say(f"{verdict} {self.told.module}:{mutant.line} ({tests}) {mutant.story}")

    def _quickest(self, items: list[pytest.Item]) -> list[pytest.Item]:
        left, taken = self.told.budget, list[pytest.Item]()
        for item in sorted(items, key=lambda item: self.seconds[item.nodeid]):
            left -= self.seconds[item.nodeid]
            if left >= 0 or not taken:
                taken.append(item)
        return taken

    def _wrong(self, mutant: Mutant, items: list[pytest.Item]) -> int:
        return _failing(items) if install(mutant.tree, self.path) else _SAME


def _failing(items: list[pytest.Item]) -> int:
    for item, following in zip_longest(items, items[1:]):
        if any(report.failed for report in runtestprotocol(item, log=False, nextitem=following)):
            return 1
    return 0


_CONTROL = 120
_SAME = 3
_OPTIONS = ["-q", "-p", "no:cacheprovider", "--no-header", "--tb=no"]


def forked(work: Any, seconds: int) -> str:
    """Run `work` in a process of its own; give ``killed``, ``survived``, ``slow`` or ``same``."""
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        code = 1
        # Whatever the mutant does, this process ends here.
        with contextlib.suppress(BaseException):
            code = work()
        os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return {0: "survived", _SAME: "same"}.get(os.waitstatus_to_exitcode(status), "killed")
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "slow"


def main() -> None:
    """Read the command line, and run."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("module", type=Path)
    asked.add_argument("tests", nargs="+")
    asked.add_argument("--sample", type=int, default=400, help="how many mutants at most")
    asked.add_argument("--seed", type=int, default=1, help="of the choice of a sample")
    asked.add_argument("--budget", type=float, default=6.0, help="seconds of tests for a mutant")
    asked.add_argument("--minutes", type=float, default=10.0, help="when to stop")
    told = asked.parse_args()
    told.out = os.dup(1)
    sys.exit(pytest.main([*_OPTIONS, *told.tests], plugins=[Run(told)]))


if __name__ == "__main__":
    main()
