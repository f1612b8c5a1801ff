"""Pages that run: README.md and docs/**/*.md, taken apart and executed in order.

How a page is written, so that it can be run:

- A fence starts at the left margin. A `python` block runs in one namespace with those
  before it, in an empty directory.
- A `text` block right after it is what it prints, where ``...`` stands for anything. A
  block that prints has one.
- A `console` block holds commands after ``$ ``, each with its output. ``tracewall`` and
  ``pytest`` run, of ``pip install "pgtracewall[x]"`` the extras are checked; any other
  command is a fault.
- A `toml` block is a policy that loads; after ``<!-- fragment -->`` one without a version;
  titled ``*.tracewall.toml``, a file of policy tests.
- ``title="name"`` on a fence writes the block to that file; Python is not run then.
- ``<!-- setup: shop -->`` gives the tutorial's shop on the tests' server: its files in the
  directory, `wall`, `issuer`, and the tokens `ana` (analysts) and `sam` (support).
- After ``<!-- judged as: ana -->`` a table of statements and outcomes: each statement is
  executed with that token, and is `shown`, `masked`, `done` or `refused by` a rule.

README.md has no marks: it runs over the sample trace store with an analyst's `token`, its
commands are those of CI, its policies are fragments, and output that it leaves out is not
looked at.
"""

from __future__ import annotations

import contextlib
import doctest
import gc
import importlib.util
import io
import json
import os
import re
import secrets
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import tracewall
from tracewall import cli
from tracewall.policy.load import loads
from tracewall.testing import TokenIssuer
from tracewall.trials.load import loads as load_tests
from tracewall.trials.plugin import SUFFIX

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs/tutorial/first-guarded-query.md"
ROLE, PASSWORD = "shop_service", "for-the-tutorial-only"

_PARTS = re.compile(
    r'^```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<body>(?s:.*?))^```$'
    r"|^<!-- (?P<mark>.+?) -->$|(?P<table>(?:^\|.*\n)+)|^(?P<words>\S.*)$",
    re.MULTILINE,
)
_INSTALL = re.compile(r'(?:python3 -m )?pip install "?(?:pgtracewall|\.)(?:\[([a-z,]+)\])?"?')
# What a page uses beside tracewall, which the extra `test` brings.
_OTHERS = re.compile(r"pip install [a-z0-9 ]+")
# How an environment is made; the tests have theirs.
_MAKING = ("python3 -m venv .venv", ". .venv/bin/activate")
_CONNINFO = re.compile(r'^conninfo = ".*"$', re.MULTILINE)
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Block:
    """A fenced block, or a table (``language`` says which), with the comments before it."""

    language: str
    title: str
    text: str
    line: int
    marks: tuple[str, ...] = ()

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table below its head."""
        lines = self.text.splitlines()[2:]
        return [
            [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]] for line in lines
        ]


@dataclass(frozen=True)
class Page:
    """A page: its blocks in order, and the setup that it asks for."""

    path: Path
    text: str
    blocks: tuple[Block, ...]
    setup: str

    @property
    def name(self) -> str:
        """The path below the project's folder."""
        return self.path.relative_to(ROOT).as_posix()


def read_page(path: Path) -> Page:
    """Take a page apart."""
    text = path.read_text("utf-8")
    setups = re.findall(r"^<!-- setup: (\w+) -->$", text, re.MULTILINE)
    return Page(path, text, tuple(_blocks(text)), setups[0] if setups else "")


def _blocks(text: str) -> Iterator[Block]:
    marks: list[str] = []
    for part in _PARTS.finditer(text):
        if part["mark"]:
            marks.append(part["mark"])
            continue
        if not part["words"]:
            language = "table" if part["table"] else part["language"]
            body, line = part["table"] or part["body"], text.count("\n", 0, part.start()) + 1
            yield Block(language, part["title"] or "", body, line, tuple(marks))
        marks = []


PAGES = [read_page(path) for path in sorted([*ROOT.glob("README.md"), *ROOT.glob("docs/**/*.md")])]


@dataclass
class Run:
    """One run of a page: its namespace, and what stands in for a policy's connection string."""

    page: Page
    names: dict[str, Any]
    conninfo: str = ""

    @property
    def front(self) -> bool:
        """Whether it is README.md, which shows less and marks nothing."""
        return self.page.name == "README.md"

    def whole(self) -> None:
        """Run each block of the page in order."""
        for at, block in enumerate(self.page.blocks):
            following = self.page.blocks[at + 1] if at + 1 < len(self.page.blocks) else None
            shown = following.text if following and following.language == "text" else ""
            try:
                self.block(block, shown)
            except BaseException as error:
                error.add_note(f"in {self.page.name}:{block.line}")
                raise

    def block(self, block: Block, shown: str) -> None:
        """Run one block; `shown` is the output that the page shows after it."""
        if block.title:
            Path(block.title).write_text(logging_in(block.text, self.conninfo), "utf-8")
        match block.language:
            case "python" if not block.title:
                printed = self.python(block)
                if shown or not self.front:
                    check_output(shown, printed)
            case "console" if not self.front:
                self.console(block)
            case "toml" if block.title.endswith(SUFFIX):
                load_tests(block.text, block.title)
            case "toml":
                part = self.front or "fragment" in block.marks
                loads(f"version = 1\n{block.text}" if part else block.text)
            case "table":
                for mark in block.marks:
                    if mark.startswith("judged as: "):
                        self.judge(block, mark.removeprefix("judged as: "))

    def python(self, block: Block) -> str:
        """Execute Python in the page's namespace; give what it prints."""
        code = compile("\n" * block.line + block.text, self.page.name, "exec", dont_inherit=True)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, self.names)
        return out.getvalue()

    def console(self, block: Block) -> None:
        """Run each command, and compare what it prints."""
        for command in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            line, _, shown = command.partition("\n")
            check_output(shown, _command(line))

    def judge(self, block: Block, name: str) -> None:
        """Execute each statement of a table, and compare what becomes of it."""
        for statement, outcome, *_ in block.rows:
            found = self._outcome(statement.strip("`"), self.names[name])
            assert found == outcome.replace("`", ""), statement

    def _outcome(self, statement: str, token: str) -> str:
        wall = self.names["wall"]
        with tracewall.connect(wall=wall, token=token) as conn:
            try:
                cursor = conn.execute(statement)
            except tracewall.Unreadable:
                return "refused as unreadable"
            except tracewall.Forbidden as refused:
                assert refused.decision is not None
                return f"refused by {refused.decision.rule}"
            rows = cursor.fetchall() if cursor.description else None
            conn.rollback()
        if rows is None:
            return "done"
        with psycopg.connect(self.names["admin"]) as plain:
            raw = plain.execute(statement.encode()).fetchall()
            plain.rollback()
        return "shown" if rows == raw else "masked"


def check_output(shown: str, got: str) -> None:
    """Compare what a page shows with what was printed."""
    got = "".join(f"{line.rstrip()}\n" for line in got.splitlines())
    same = doctest.OutputChecker().check_output(shown, got, doctest.ELLIPSIS)
    assert same, f"the page shows\n{shown}\nbut it is\n{got}"


def _command(line: str) -> str:
    name, *arguments = shlex.split(os.path.expandvars(line))
    if name == "tracewall":
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            cli.main(arguments)
        return out.getvalue()
    if name == "pytest":
        return _pytest(arguments)
    if line in _MAKING:
        return ""
    if _OTHERS.fullmatch(line):
        packages = [each for each in arguments if each != "install"]
        missing = [each for each in packages if importlib.util.find_spec(each) is None]
        assert not missing, f"the tests' environment lacks {missing}"
        return ""
    install = _INSTALL.fullmatch(line)
    assert install, f"a command that the tests do not run: {line}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set((install[1] or "detect").split(",")) <= project["optional-dependencies"].keys()
    return ""


def _pytest(arguments: list[str]) -> str:
    place = Path(str(tracewall.__file__)).parents[1]
    line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"PYTHONPATH": str(place)}
    return subprocess.run(line, env=environment, capture_output=True, text=True).stdout


@contextlib.contextmanager
def _shop(run: Run, admin: str) -> Iterator[None]:
    """Give the tutorial's shop, made of what the tutorial itself says."""
    files = {block.title: block.text for block in read_page(TUTORIAL).blocks if block.title}
    role = f"shop_service_{secrets.token_hex(4)}"
    try:
        with psycopg.connect(admin, autocommit=True) as conn:
            conn.execute(files["shop.sql"].replace(ROLE, role).encode())
        run.conninfo = login_of(admin, role)
        policy = logging_in(files["tracewall.toml"], run.conninfo)
        Path("tracewall.toml").write_text(policy, "utf-8")
        issuer = TokenIssuer("https://issuer.test")
        issuer.write_jwks("jwks.json")
        os.environ |= {"SHOP_PASSWORD": PASSWORD, "SHOP_DSN": admin}
        with tracewall.Wall.load("tracewall.toml") as wall:
            run.names |= {"wall": wall, "issuer": issuer, "admin": admin}
            run.names["ana"] = issuer.mint("ana", ["analysts"], audience="shop")
            run.names["sam"] = issuer.mint("sam", ["support"], audience="shop")
            _register_dialect()
            yield
    finally:
        with psycopg.connect(admin, autocommit=True) as conn:
            conn.execute(sql.SQL("drop owned by {}").format(sql.Identifier(role)))
            conn.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def _register_dialect() -> None:
    """Let SQLAlchemy find the dialect where the package is not installed, but on the path."""
    with contextlib.suppress(ImportError):
        from sqlalchemy.dialects import registry

        for name, dialect in (("", "TracewallDialect"), ("_async", "AsyncTracewallDialect")):
            registry.register(f"postgresql.tracewall{name}", "tracewall.sqlalchemy", dialect)


def logging_in(policy: str, conninfo: str) -> str:
    """Give a policy that logs in by another connection string; an empty one leaves it."""
    written = f"conninfo = {json.dumps(conninfo)}"
    return _CONNINFO.sub(lambda found: written, policy) if conninfo else policy


def login_of(admin: str, role: str) -> str:
    """Give the connection string of a role on the same database, without a password."""
    parts: dict[str, Any] = conninfo_to_dict(admin)
    parts.pop("password", None)
    return make_conninfo(**{**parts, "user": role})


@contextlib.contextmanager
def _traces(run: Run, store: Any) -> Iterator[None]:
    """Give the sample trace store, guarded by the demo's policy."""
    from importlib.resources import files

    policy = files("tracewall").joinpath("demo/policy.toml").read_text("utf-8")
    policy = logging_in(policy, store.dsn)
    policy = policy.replace("https://login.example/jwks.json", "jwks.json")
    Path("policy.toml").write_text(policy, "utf-8")
    issuer = TokenIssuer("https://login.example")
    issuer.write_jwks("jwks.json")
    token = issuer.mint("ana", ["analysts"], audience="trace-store")
    variables = {"TRACEWALL_CONFIG": "policy.toml", "TRACEWALL_DEMO_PASSWORD": store.password}
    os.environ |= {**variables, "TOKEN": token}
    run.names |= {"token": token, "issuer": issuer}
    yield


@pytest.fixture
def run_page(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Give the function that runs a page in a directory of its own, and then puts things back."""
    before, here, places = dict(os.environ), Path.cwd(), sys.path[:]
    modules = set(sys.modules)

    def run(page: Page) -> None:
        os.chdir(tmp_path)
        # As for somebody who pastes the page into `python3`.
        sys.path.insert(0, str(tmp_path))
        with contextlib.ExitStack() as stack:
            made = Run(page, {"__name__": "__main__"})
            if page.setup == "shop":
                stack.enter_context(_shop(made, request.getfixturevalue("scratch_dsn")))
            elif made.front:
                stack.enter_context(_traces(made, request.getfixturevalue("store")))
            made.whole()
            made.names.clear()
            # What a page leaves open is its own fault, not that of the next test.
            gc.collect()

    try:
        yield run
    finally:
        os.chdir(here)
        sys.path[:] = places
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
                del sys.modules[name]
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def pages() -> Mapping[str, Page]:
    """Every page by its name."""
    return {page.name: page for page in PAGES}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test that asks for a `page` every one of them."""
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", PAGES, ids=lambda page: page.name)
