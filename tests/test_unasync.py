"""The sync twins: what async source becomes, and how stale twins are told."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest
import sync_twin
import unasync
from hypothesis import given
from hypothesis import strategies as st
from sync_twin import Untwinnable, rename, rename_in_text, twin

PAIRS = {
    "functions": (
        "async def f(self):\n    return await g(await h)\n",
        "def f(self):\n    return g(h)\n",
    ),
    "blocks": (
        "async def f():\n    async with a as b:\n        async for c in b:\n            pass\n",
        "def f():\n    with a as b:\n        for c in b:\n            pass\n",
    ),
    "comprehensions": (
        "async def f():\n    return [x async for x in y if await x]\n",
        "def f():\n    return [x for x in y if x]\n",
    ),
    "psycopg's names": (
        "from psycopg import AsyncConnection, AsyncCursor, AsyncServerCursor\n",
        "from psycopg import Connection, Cursor, ServerCursor\n",
    ),
    "names within names": (
        "class GuardedAsyncCursor(_AsyncBase): pass\n",
        "class GuardedCursor(_Base): pass\n",
    ),
    "modules": (
        "from tracewall.cursor_async import AsyncCursor\nfrom ._copy_async import f\n",
        "from tracewall.cursor import Cursor\nfrom ._copy import f\n",
    ),
    "protocols": (
        "class A:\n    async def __aenter__(self): return await anext(aiter(self))\n",
        "class A:\n    def __enter__(self): return next(iter(self))\n",
    ),
    "the end of iteration": ("raise StopAsyncIteration\n", "raise StopIteration\n"),
    "contextlib": (
        "from contextlib import aclosing, asynccontextmanager\n",
        "from contextlib import closing, contextmanager\n",
    ),
    "names imported twice by now": (
        "from abc import AsyncIterator, Iterator, X as Y\n",
        "from abc import Iterator, X as Y\n",
    ),
    "generators of one argument": (
        "async def f() -> AsyncGenerator[int]: yield 1\n",
        "def f() -> Generator[int, None, None]: yield 1\n",
    ),
    "generators of two arguments": (
        "async def f() -> AsyncGenerator[a[b], str]: yield 1\n",
        "def f() -> Generator[a[b], str, None]: yield 1\n",
    ),
    "awaitables": (
        "from abc import Awaitable, Callable\nx: Callable[[], Awaitable[list[int]]] = y\n",
        "from abc import Callable\nx: Callable[[], list[int]] = y\n",
    ),
    "nothing but awaitables": (
        "from abc import Awaitable, Coroutine\nx: Coroutine[A, B, C]\ny: Awaitable[int]\n",
        "x: C\ny: int\n",
    ),
    "threads": (
        "import asyncio\n\nasync def f():\n    x = await asyncio.to_thread(a.b, 'é', c=1)\n",
        "\ndef f():\n    x = a.b('é', c=1)\n",
    ),
    "threads without arguments": (
        "import asyncio\nasync def f():\n    await asyncio.to_thread(load)\n",
        "def f():\n    load()\n",
    ),
    "threads of made functions": (
        "import asyncio\nasync def f():\n    await asyncio.to_thread(lambda: 1)\n",
        "def f():\n    (lambda: 1)()\n",
    ),
    "threads over lines": (
        "import asyncio\nasync def f():\n  await asyncio.to_thread(\n    a,\n    b\n  )\n",
        "def f():\n  a(\n    b\n  )\n",
    ),
    "sleep": (
        "import asyncio\nimport time\nasync def f(): await asyncio.sleep(time.time())\n",
        "import time\ndef f(): time.sleep(time.time())\n",
    ),
    "locks": (
        "import asyncio\nlock = asyncio.Lock()\n",
        "import threading\nlock = threading.Lock()\n",
    ),
    "fixtures": (
        "import pytest\nimport pytest_asyncio\n\n@pytest_asyncio.fixture\nasync def aconn(): ...\n",
        "import pytest\n\n@pytest.fixture\ndef conn(): ...\n",
    ),
    "parentheses around await alone": (
        "async def f():\n    x = (await g()).y[(await h())[0]]\n    return (await x)\n",
        "def f():\n    x = g().y[h()[0]]\n    return x\n",
    ),
    "parentheses that stay": (
        "async def f():\n    print(await x, (await y, 1)); yield(await z)\n    g()(await x)\n",
        "def f():\n    print(x, (y, 1)); yield(z)\n    g()(x)\n",
    ),
    "text": (
        '"""See `AsyncCursor`: ``await cur.fetchone()``. Do await the result."""\n# async with x\n',
        '"""See `Cursor`: ``cur.fetchone()``. Do await the result."""\n# with x\n',
    ),
    "articles": (
        "# An AsyncCursor of an `AsyncConnection`, an AsyncIterator\n",
        "# A Cursor of a `Connection`, an Iterator\n",
    ),
    "f-strings": (
        'async def f(): return f"{await g(x)!r} {AsyncCursor} {{{y:{z}}}}"\n',
        'def f(): return f"{g(x)!r} {Cursor} {{{y:{z}}}}"\n',
    ),
    "quoted types": ('def f(x: "AsyncCursor[Row]"): ...\n', 'def f(x: "Cursor[Row]"): ...\n'),
    "a missing last line end": ("await_ = 1", "await_ = 1\n"),
    "two halves": (
        "def f():\n  if True:  # ASYNC\n    a()\n  else:\n    # why\n    h()\n\n  i()\n",
        "def f():\n  # why\n  h()\n\n  i()\n",
    ),
    "one half": (
        "if True:  # ASYNC\n    import asyncio\n\nx = 1\n",
        "\nx = 1\n",
    ),
    "halves in halves": (
        "if True:  # ASYNC\n    if True:  # ASYNC\n        a()\n"
        "else:\n    if True:  # ASYNC\n        b()\n    else:\n        c()\n",
        "c()\n",
    ),
    "long strings in a second half": (
        'if True:  # ASYNC\n    a()\nelse:\n    b = """\n    x\n  y\n"""\n    c()\n',
        'b = """\n    x\n  y\n"""\nc()\n',
    ),
}
ODD = {
    "other members of asyncio": (
        "import asyncio\nx = asyncio.gather(y)\n",
        "line 2: asyncio.gather",
    ),
    "names out of asyncio": ("from asyncio import gather\n", "import gather"),
    "asyncio by another name": ("import asyncio as aio\n", "import asyncio"),
    "asyncio in an f-string": ("import asyncio\nf'{asyncio.run(x)}'\n", "asyncio"),
    "the mark of pytest": (
        "import pytest\npytestmark = pytest.mark.asyncio\n",
        "pytest.mark.asyncio",
    ),
    "a thread of nothing": ("import asyncio\nasyncio.to_thread(*a)\n", "line 2: to_thread"),
    "a mark elsewhere": ("x = 1  # ASYNC\n", "line 1: # ASYNC marks no"),
    "a mark on a condition": ("\nif x:  # ASYNC\n    y()\n", "line 2: a block marked"),
    "a chain": ("if True:  # ASYNC\n    a()\nelif b:\n    c()\n", "line 1: a block marked"),
    "an emptied function": (
        "def f():\n    if True:  # ASYNC\n        a()\n",
        "would not be Python",
    ),
}


@pytest.mark.parametrize(("source", "wanted"), PAIRS.values(), ids=PAIRS)
def test_twin(source: str, wanted: str) -> None:
    """Each async form becomes its sync counterpart, with the layout around it kept."""
    assert twin(source) == wanted


@pytest.mark.parametrize(("source", "wanted"), PAIRS.values(), ids=PAIRS)
def test_twin_is_its_own_twin(source: str, wanted: str) -> None:
    """Sync code is left as it is."""
    assert twin(twin(source)) == twin(source)


@pytest.mark.parametrize(("source", "why"), ODD.values(), ids=ODD)
def test_what_has_no_twin_is_told(source: str, why: str) -> None:
    """What cannot become sync by renaming is an error that says what and where, never odd code."""
    with pytest.raises(Untwinnable) as caught:
        twin(source)
    assert why in str(caught.value)


@pytest.mark.parametrize("name", ["connection", "cursor", "_server_cursor", "_pipeline"])
def test_psycopg_agrees(name: str) -> None:
    """Made from psycopg's async sources, a twin has the functions that psycopg's own twin has."""

    def functions(text: str) -> set[tuple[str, str]]:
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        return {(node.name, ast.unparse(node.args)) for node in nodes}

    folder = Path(psycopg.__file__).parent
    ours = functions(twin((folder / f"{name}_async.py").read_text("utf-8")))
    assert ours == functions((folder / f"{name}.py").read_text("utf-8"))


@pytest.mark.parametrize("module", sorted(Path(psycopg.__file__).parent.glob("[a-z]*.py")))
def test_tokens_give_back_their_text(module: Path) -> None:
    """Taken apart and put together again, a file has not changed by a character."""
    text = module.read_text("utf-8")
    assert sync_twin.Code(text).text() == text


@given(st.from_regex(r"[A-Za-z_][A-Za-z_0-9]{0,20}", fullmatch=True))
def test_a_name_stays_a_name(name: str) -> None:
    """Whatever an identifier is, its sync name is an identifier that is renamed no further."""
    renamed = rename(name)
    assert renamed.isidentifier()
    assert keyword.iskeyword(renamed) <= keyword.iskeyword(name)


@pytest.mark.parametrize("name", ["is_async", "async_", "_async", "Async", "asyncio", "unasync"])
def test_names_that_stay(name: str) -> None:
    """A name that would become nothing, or a keyword, or is none of ours, is kept."""
    assert rename(name) == name


@pytest.mark.parametrize("prose", ["await the end.", "you await it", "asynchronous, async code"])
def test_prose_stays(prose: str) -> None:
    """Words about waiting are kept where they are no code."""
    assert rename_in_text(prose) == prose


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one async source in the package and one among its tests."""
    for name in ("tracewall/door_async.py", "tests/deep/test_door_async.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("async def f(): ...\n")
    return tmp_path


Told: TypeAlias = Callable[..., tuple[int, str]]


@pytest.fixture
def told(project: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs the command line on the project; gives its exit code and what it says."""

    def run(*options: str) -> tuple[int, str]:
        code = unasync.main(["--root", str(project), *options])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_twins_are_written(project: Path, told: Told) -> None:
    """Each twin lies beside its source and says where it comes from."""
    code, _ = told()
    text = (project / "tests/deep/test_door.py").read_text()
    assert code == 0
    assert text.startswith("# Generated by tools/unasync.py from tests/deep/test_door_async.py. Do")
    assert text.endswith("\ndef f(): ...\n")
    assert told("--check") == (0, "2 twins up to date\n")


def test_missing_twins_are_told(told: Told) -> None:
    """A twin that is not there is out of date."""
    out_of_date = "tests/deep/test_door.py is out of date\ntracewall/door.py is out of date\n"
    assert told("--check") == (1, "".join(sorted(out_of_date.splitlines(True))))


def test_stale_twins_are_told(project: Path, told: Told) -> None:
    """A twin that was edited is told, and only that one; nothing is written by the check."""
    told()
    twin_file = project / "tracewall/door.py"
    twin_file.write_text(twin_file.read_text() + "# mine\n")
    assert told("--check") == (1, "tracewall/door.py is out of date\n")
    assert twin_file.read_text().endswith("# mine\n")


def test_twins_without_a_source_are_told(project: Path, told: Told) -> None:
    """A twin whose source was renamed or removed is told."""
    told()
    (project / "tracewall/door_async.py").unlink()
    assert told("--check") == (1, "tracewall/door.py has no source\n")


def test_files_written_by_hand_are_kept(project: Path, told: Told) -> None:
    """A file that was not generated is never written over."""
    (project / "tracewall/door.py").write_text("mine = 1\n")
    code, words = told()
    assert code == 1
    assert "tracewall/door_async.py: door.py is there already, written by hand" in words
    assert (project / "tracewall/door.py").read_text() == "mine = 1\n"


def test_the_file_of_an_error_is_told(project: Path, told: Told) -> None:
    """The message about a source without a twin names file and line."""
    (project / "tracewall/door_async.py").write_text("import asyncio\nasyncio.run(f())\n")
    code, words = told("--check")
    assert (code, words.split(": ")[:2]) == (1, ["tracewall/door_async.py", "line 2"])
