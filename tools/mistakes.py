"""The mistakes that tools/mutate.py makes: which there are, and a module that has one."""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake: its number in the module, its line, and how it reads.

    ``at_import`` says that no function's code has it, but a default, a table or a class; or that
    a function within another captures other names, so that the one already made can't take it.
    """

    number: int
    line: int
    story: str
    at_import: bool


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
        case ast.Dict(keys, values) if len(keys) > 1:
            for names, held in zip(_less(keys), _less(values), strict=True):
                yield _with(node, keys=names, values=held)
        case ast.IfExp(_, body, orelse):
            yield from (body, orelse)
        case ast.comprehension(ifs=ifs):
            yield from (_with(node, ifs=rest) for rest in _less(ifs))
        case _:
            yield from _statements(node)


def _statements(node: ast.AST) -> Iterator[ast.AST | None]:
    match node:
        case ast.If(test) | ast.While(test) if not isinstance(test, ast.Compare | ast.UnaryOp):
            yield _with(node, test=ast.UnaryOp(ast.Not(), test))
        case ast.Match(cases=cases) if len(cases) > 1:
            yield from (_with(node, cases=rest) for rest in _less(cases))
        case ast.match_case(guard=guard) if guard is not None:
            yield _with(node, guard=None)
        case ast.MatchOr(patterns=patterns):
            yield from (_with(node, patterns=rest) for rest in _less(patterns))
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


def _places(parent: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, int]]:
    for name, value in ast.iter_fields(parent):
        # What a type is said to be, and whether a class may be changed, decides nothing.
        if name in ("annotation", "returns", "decorator_list"):
            continue
        if isinstance(parent, ast.ClassDef) and name == "keywords":
            continue
        for at in range(len(value)) if isinstance(value, list) else (None,):
            node = value[at] if at is not None else value
            if isinstance(node, ast.AST):
                yield parent, name, at, _line(node) or _line(parent)
                yield from _places(node)


def _line(node: ast.AST) -> int:
    match node:
        case ast.comprehension(iter=inner) | ast.match_case(pattern=inner):
            node = inner
        case ast.If(test=inner) | ast.While(test=inner):
            # The line that runs: a condition of several lines begins below its `if`.
            node = inner
    return int(getattr(node, "lineno", 0))


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _wrong(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Make the tree wrong in each place, and give its line and story while it is."""
    for parent, name, at, line in list(_places(tree)):
        held = getattr(parent, name)
        node = held if at is None else held[at]
        for variant in variants(node):
            if at is None:
                setattr(parent, name, variant)
            else:
                held[at] = variant
            if line:
                yield line, f"{_read(node)}  ->  {_read(variant)}"
            if at is None:
                setattr(parent, name, node)
            else:
                held[at] = node


def _read(node: ast.AST | None) -> str:
    if isinstance(node, ast.comprehension):
        return ast.unparse(node).strip()[:110]
    if isinstance(node, ast.match_case):
        return ast.unparse(node).strip().partition("\n")[0][:110]
    return " ".join(ast.unparse(node).split())[:110] if node is not None else ""


def mutants(source: str, path: str) -> Iterator[Mutant]:
    """Give every mutant of a module that compiles, in the order of its tree."""
    tree = ast.parse(source)
    right = codes(compile(tree, path, "exec"))
    for number, (line, story) in enumerate(_wrong(tree)):
        try:
            code = compile(ast.fix_missing_locations(copy.deepcopy(tree)), path, "exec")
        except SyntaxError:
            continue
        made = codes(code)
        yield Mutant(number, line, story, made == right or _captures(made) != _captures(right))


def _captures(found: dict[tuple[str, int], CodeType]) -> dict[tuple[str, int], tuple[str, ...]]:
    # A function that captures something else can't be put in the place of one that is made.
    return {key: code.co_freevars for key, code in found.items()}


def mutated(source: str, path: str, number: int) -> CodeType:
    """Give the code of the module that has the mistake of this number."""
    tree = ast.parse(source)
    for at, _ in enumerate(_wrong(tree)):
        if at == number:
            return compile(ast.fix_missing_locations(copy.deepcopy(tree)), path, "exec")
    raise IndexError(number)


def codes(code: CodeType) -> dict[tuple[str, int], CodeType]:
    """Give the code of each function within, by its name and first line."""
    found = {}
    for const in code.co_consts:
        if isinstance(const, CodeType):
            # A class's body is no function, but what it defines are.
            if const.co_flags & inspect.CO_NEWLOCALS:
                found[const.co_qualname, const.co_firstlineno] = const
            found.update(codes(const))
    return found
