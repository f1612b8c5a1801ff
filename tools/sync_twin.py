"""Turns async Python into its sync twin by changing tokens, so that the layout stays.

What cannot be said by renaming goes into a block of which the twin keeps the second
half::

    if True:  # ASYNC
        await asyncio.wait_for(event.wait(), timeout)
    else:
        event.wait(timeout)
"""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

MARK = "# ASYNC"

NAMES = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
    "aclosing": "closing",
    "aconn": "conn",
    "acur": "cur",
    "aiter": "iter",
    "anext": "next",
    "asend": "send",
    "asynccontextmanager": "contextmanager",
    "athrow": "throw",
    "pytest_asyncio": "pytest",
}
# Members of asyncio whose blocking counterpart is called in the same way.
MODULES = {
    "Event": "threading",
    "Lock": "threading",
    "Semaphore": "threading",
    "sleep": "time",
}
# Types that stand for what awaiting them gives: their last argument.
WRAPPERS = ("Awaitable", "Coroutine")

_CAMEL = re.compile(r"Async(?=[A-Z])")
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_ARTICLE = re.compile(r"\b([Aa])n(?= `{0,2}Async[B-DF-HJ-NP-TV-Z])")
_KEYWORD = re.compile(r"\basync (?=(?:def|with|for)\b)|\bawait (?=[\w.\[\]]+\(|\w+\.\w)")


class Untwinnable(Exception):
    """A source that has no sync twin as it stands; ``line`` (from 1) is where, 0: unknown."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}" if line else why)
        self.line = line


def rename(name: str) -> str:
    """Return the sync name of the identifier `name`, itself when it has none."""
    if name in NAMES:
        return NAMES[name]
    parts = _CAMEL.sub("", name).split("_")
    renamed = "_".join(part for part in parts if part != "async")
    return renamed if renamed.strip("_") and not keyword.iskeyword(renamed) else name


def rename_in_text(text: str) -> str:
    """Return a comment's or string's text with its names and code made sync, its prose kept."""
    text = _ARTICLE.sub(r"\1", _KEYWORD.sub("", text))
    return _WORD.sub(lambda word: rename(word[0]), text)


def twin(source: str) -> str:
    """Return the sync twin of the Python text `source`, without a header.

    Raises:
        Untwinnable: something in it has no sync counterpart.
        SyntaxError: it is not Python.
    """
    source = source if source.endswith("\n") else source + "\n"
    ast.parse(source)
    try:
        code = Code(_second_halves(source))
        code.rewrite()
        text = code.text()
        _verify(ast.parse(text))
    except SyntaxError as error:
        raise Untwinnable(0, f"the twin would not be Python: {error}") from None
    return text


@dataclass(slots=True)
class _Piece:
    """A token: its text, and the blanks between it and the token before."""

    kind: int
    gap: str
    text: str

    def drop(self) -> None:
        self.gap = self.text = ""


class _Lines:
    """Turns the positions of `ast` and `tokenize` into offsets of one text."""

    def __init__(self, text: str) -> None:
        self.lines = list(io.StringIO(text))
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def offset(self, row: int, column: int) -> int:
        """The offset of a row (from 1) and column (in characters)."""
        return min(self.starts[min(row, len(self.starts)) - 1] + column, self.starts[-1])

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """The offsets of a node's start and end; `ast` counts columns in UTF-8 bytes."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        return (
            self._from_bytes(node.lineno, node.col_offset),
            self._from_bytes(node.end_lineno, node.end_col_offset),
        )

    def _from_bytes(self, row: int, column: int) -> int:
        return self.offset(row, len(self.lines[row - 1].encode()[:column].decode()))


def _tokens(text: str) -> Iterator[tuple[int, int, int]]:
    """Give (kind, start, end) of each token; an f-string is one STRING, as before Python 3.12."""
    lines = _Lines(text)
    opens = {getattr(tokenize, name, -1) for name in ("FSTRING_START", "TSTRING_START")}
    closes = {getattr(tokenize, name, -1) for name in ("FSTRING_END", "TSTRING_END")}
    depth = begun = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        start, end = lines.offset(*token.start), lines.offset(*token.end)
        if token.type in opens:
            begun = begun if depth else start
            depth += 1
        elif token.type in closes:
            depth -= 1
            if not depth:
                yield tokenize.STRING, begun, end
        elif not depth:
            yield token.type, start, end


def _second_halves(text: str) -> str:
    """Return `text` with every marked block replaced by its second half."""
    marks = {
        text.count("\n", 0, start) + 1
        for kind, start, end in _tokens(text)
        if kind == tokenize.COMMENT and text[start:end] == MARK
    }
    if not marks:
        return text
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.If) and node.lineno in marks:
            if not (isinstance(node.test, ast.Constant) and node.test.value is True):
                raise Untwinnable(node.lineno, f"a block marked {MARK} begins with `if True:`")
            return _second_halves(_without_first_half(text, node))
    raise Untwinnable(min(marks), f"{MARK} marks no `if True:` here")


def _without_first_half(text: str, block: ast.If) -> str:
    lines = list(io.StringIO(text))
    first, last = block.lineno - 1, block.end_lineno or 0
    kept = ""
    if block.orelse:
        # Comments stand outside the tree: all lines behind `else:` belong to the second half.
        opening = block.body[-1].end_lineno or 0
        while opening < last and not lines[opening].strip().startswith("else:"):
            opening += 1
        if opening == last:
            raise Untwinnable(block.lineno, f"a block marked {MARK} ends with a plain `else:`")
        width = block.orelse[0].col_offset - block.col_offset
        kept = _dedent("".join(lines[opening + 1 : last]), width)
    return "".join(lines[:first]) + kept + "".join(lines[last:])


def _dedent(body: str, width: int) -> str:
    """Take `width` blanks off each line, but off none that begins inside a string."""
    wrapped = "if 1:\n" + body
    inside: set[int] = set()
    for kind, start, end in _tokens(wrapped):
        if kind == tokenize.STRING:
            first = wrapped.count("\n", 0, start) + 1
            inside.update(range(first, first + wrapped.count("\n", start, end)))
    lines = list(io.StringIO(body))
    return "".join(
        line if number in inside or not line[:width].isspace() else line[width:] or "\n"
        for number, line in enumerate(lines, 1)
    )


class Code:
    """A source's tokens beside its tree, so that a change keeps the layout around it."""

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)
        self.lines = _Lines(text)
        self.pieces: list[_Piece] = []
        self.starting: dict[int, int] = {}
        self.ending: dict[int, int] = {}
        end = 0
        for kind, start, stop in _tokens(text):
            if stop > start:
                self.starting[start] = self.ending[stop] = len(self.pieces)
                self.pieces.append(_Piece(kind, text[end:start], text[start:stop]))
                end = stop
        self.rest = text[end:]

    def text(self) -> str:
        """The code as it stands."""
        return "".join(piece.gap + piece.text for piece in self.pieces) + self.rest

    def rewrite(self) -> None:
        """Change every token that has a sync counterpart."""
        self._blocking_modules()
        for node in _walk(self.tree):
            if isinstance(node, ast.Await):
                self._bare(node)
            elif isinstance(node, ast.Call) and _is_asyncio(node.func, "to_thread"):
                self._direct_call(node)
            elif isinstance(node, ast.Subscript):
                self._type_arguments(node)
        self._words()
        self._imports()

    def _range(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """The indexes of a node's first and last token."""
        start, end = self.lines.span(node)
        return self.starting[start], self.ending[end]

    def _words(self) -> None:
        """Drop `async` and `await`, and rename identifiers, also in strings and comments."""
        kept = [piece for piece in self.pieces if piece.text]
        for piece, after in pairwise(kept):
            if piece.kind in (tokenize.STRING, tokenize.COMMENT):
                piece.text = rename_in_text(piece.text)
            elif piece.kind == tokenize.NAME and piece.text in ("async", "await"):
                after.gap = piece.gap
                piece.drop()
            elif piece.kind == tokenize.NAME:
                piece.text = rename(piece.text)

    def _bare(self, node: ast.Await) -> None:
        """Drop the parentheses of ``(await x)``: without `await` they hold nothing together."""
        first, last = self._range(node)
        before, after = self.pieces[first - 1], self.pieces[last + 1]
        if (before.text, after.text) != ("(", ")"):
            return
        callee = self.pieces[first - 2] if first > 1 else before
        is_call = callee.text in (")", "]", "}") or callee.kind in (tokenize.NAME, tokenize.STRING)
        if not is_call or (keyword.iskeyword(callee.text) and before.gap):
            self.pieces[first].gap = before.gap
            before.drop()
            after.drop()

    def _direct_call(self, node: ast.Call) -> None:
        """Turn ``asyncio.to_thread(f, x)`` into ``f(x)``."""
        if not node.args or isinstance(node.args[0], ast.Starred):
            raise Untwinnable(node.lineno, "to_thread needs the function as its first argument")
        begin, _ = self._range(node)
        first, last = self._range(node.args[0])
        self.pieces[first].gap = self.pieces[begin].gap
        for piece in self.pieces[begin:first]:
            piece.drop()
        if not isinstance(node.args[0], (ast.Name, ast.Attribute)):
            self.pieces[first].text = "(" + self.pieces[first].text
            self.pieces[last].text += ")"
        comma = self.pieces[last + 1]
        if comma.text == ",":
            comma.text = "("
            self.pieces[last + 2].gap = self.pieces[last + 2].gap.lstrip(" ")
        else:
            self.pieces[last].text += "("

    def _type_arguments(self, node: ast.Subscript) -> None:
        """Unwrap ``Awaitable[X]``; give ``Generator`` the three arguments it has."""
        name = getattr(node.value, "id", getattr(node.value, "attr", ""))
        if name not in (*WRAPPERS, "AsyncGenerator"):
            return
        arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        begin, end = self._range(node)
        first, last = self._range(arguments[-1])
        if name == "AsyncGenerator":
            self.pieces[last].text += ", None" * (3 - len(arguments))
            return
        self.pieces[first].gap = self.pieces[begin].gap
        for piece in self.pieces[begin:first] + self.pieces[last + 1 : end + 1]:
            piece.drop()

    def _blocking_modules(self) -> None:
        """Turn ``asyncio.sleep`` into ``time.sleep`` and the like, and import what that needs."""
        imported = {name for node in self.tree.body for name in _plainly_imported(node)}
        needed: set[str] = set()
        for node in _walk(self.tree):
            if not _is_asyncio(node) or not isinstance(node, ast.Attribute):
                continue
            if node.attr in MODULES:
                self.pieces[self._range(node)[0]].text = MODULES[node.attr]
                needed.add(MODULES[node.attr])
            elif node.attr != "to_thread":
                why = f"asyncio.{node.attr} has no sync twin: put it in a block marked {MARK}"
                raise Untwinnable(node.lineno, why)
        replacements = {"asyncio": sorted(needed - imported), "pytest_asyncio": ["pytest"]}
        for statement in self.tree.body:
            for name, modules in replacements.items():
                if _plainly_imported(statement) == [name]:
                    missing = [module for module in modules if module not in imported]
                    self._replace(statement, "\n".join(f"import {module}" for module in missing))

    def _imports(self) -> None:
        """Drop names that a statement imports twice by now, or that only wrapped types used."""
        words = Counter(piece.text for piece in self.pieces if piece.kind == tokenize.NAME)
        spent = {name for name in WRAPPERS if words[name] == 1}
        for node in _walk(self.tree):
            if not isinstance(node, ast.ImportFrom):
                continue
            names = [(rename(alias.name), rename(alias.asname or "")) for alias in node.names]
            kept = list(dict.fromkeys(name for name in names if name[0] not in spent))
            if kept != names:
                module = ".".join(map(rename, (node.module or "").split(".")))
                self._replace(node, _import_line("." * node.level + module, kept))

    def _replace(self, node: ast.stmt, text: str) -> None:
        """Put `text` in the place of a statement, and nothing of its line when it is empty."""
        first, last = self._range(node)
        for piece in self.pieces[first + 1 : last + 1]:
            piece.drop()
        self.pieces[first].text = text
        self.pieces[first].kind = tokenize.OP
        following = self.pieces[last + 1]
        if not text and following.kind == tokenize.NEWLINE:
            self.pieces[first].gap = ""
            following.drop()


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Give the nodes under `tree`, outer ones first, without what is inside f-strings.

    The positions in there are wrong before Python 3.12; their text is renamed as a string.
    """
    waiting = [tree]
    for node in waiting:
        yield node
        if not isinstance(node, ast.JoinedStr):
            waiting.extend(ast.iter_child_nodes(node))


def _import_line(module: str, names: list[tuple[str, str]]) -> str:
    if not names:
        return ""
    listed = [f"{name} as {other}" if other else name for name, other in names]
    line = f"from {module} import {', '.join(listed)}"
    if len(line) <= 100:
        return line
    return f"from {module} import (\n    " + ",\n    ".join(listed) + ",\n)"


def _is_asyncio(node: ast.AST, member: str = "") -> bool:
    """Tell whether `node` is ``asyncio.<something>``, or ``asyncio.<member>`` where given."""
    if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
        return False
    return node.value.id == "asyncio" and member in ("", node.attr)


def _plainly_imported(node: ast.stmt) -> list[str]:
    """The modules of an ``import a, b`` statement; none of another statement."""
    if not isinstance(node, ast.Import):
        return []
    return [alias.name for alias in node.names if not alias.asname]


def _verify(tree: ast.Module) -> None:
    """Raise when anything async is left in `tree`."""
    left = (ast.AsyncFunctionDef, ast.AsyncWith, ast.AsyncFor, ast.Await)
    for node in ast.walk(tree):
        if isinstance(node, ast.comprehension):
            stays = bool(node.is_async)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            stays = any(module.split(".")[0] == "asyncio" for module in modules)
        else:
            named = getattr(node, "id", getattr(node, "attr", ""))
            stays = isinstance(node, left) or named == "asyncio"
        if stays:
            raise Untwinnable(0, f"async code is left: {ast.unparse(node)[:80]}")
