"""``tracewall test``: what a policy decides, compared with what its tests expect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from rich.text import Text

from tracewall.cli.screen import Missing, Unanswered, answer, console, safe
from tracewall.errors import PolicyError
from tracewall.trials import SUFFIX
from tracewall.trials.catalogs import CatalogMissing, ServerSilent
from tracewall.trials.load import load
from tracewall.trials.run import Result, Trying
from tracewall.trials.shown import as_json, junit, lines

_SKIPPED = frozenset({"node_modules", "site-packages", "__pycache__"})


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("-k", "only", default="", help="Run only tests whose name contains this.")
@click.option("-q", "--quiet", is_flag=True, help="Print only what failed, and the sum.")
@click.option("--json", "as_objects", is_flag=True, help="Print one JSON object for each test.")
@click.option(
    "--junit", "report", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit's XML."
)
def test(
    files: tuple[Path, ...], only: str, quiet: bool, as_objects: bool, report: Path | None
) -> None:
    """Run tests of policies.

    They are in FILES, or in *.tracewall.toml here and below. Statements are judged as the
    wall judges them, and never sent anywhere. The exit code is 0 where all is as expected, 1
    where something is not, and 2 where a file, its policy or its catalog can't be used, or
    there is no test; 3 where a server gives no answer.
    """
    told: list[tuple[str, Result]] = []
    for file in _found(files):
        for result in _tried(file, only):
            told.append((str(file), result))
            if as_objects:
                answer(as_json(result, str(file)))
            elif not (quiet and result.passed):
                _tell(result, str(file))
    if not told:
        help = f"files of tests are called NAME{SUFFIX}; -k leaves only tests of that name"
        raise Missing("no test was found", help)
    if report is not None:
        _write(report, junit(told))
    failed = sum(not result.passed for _, result in told)
    if not as_objects:
        style = "bold red" if failed else "bold green"
        console().print(Text(f"{len(told) - failed} passed, {failed} failed", style))
    raise click.exceptions.Exit(1 if failed else 0)


def _found(given: tuple[Path, ...]) -> Iterator[Path]:
    for path in given or (Path(),):
        if not path.is_dir():
            yield path
            continue
        for file in sorted(path.rglob(f"*{SUFFIX}")):
            folders = file.relative_to(path).parts[:-1]
            if not any(name.startswith(".") or name in _SKIPPED for name in folders):
                yield file


def _tried(file: Path, only: str) -> Iterator[Result]:
    try:
        with Trying(load(file)) as trying:
            for number, party in trying.cases():
                if only in trying.sheet.trials.tests[number].name:
                    yield trying.run(number, party)
    except PolicyError as error:
        where = ":".join(str(part) for part in (error.path, error.line, error.column) if part)
        raise Missing(f"{where}: {error.message}", error.help) from None
    except ServerSilent as error:
        raise Unanswered(f"{file}: {error}") from None
    except CatalogMissing as error:
        raise Missing(f"{file}: {error}") from None


def _tell(result: Result, path: str) -> None:
    mark = ("ok    ", "green") if result.passed else ("FAILED", "bold red")
    name, who = safe(result.name), (f"  as {safe(result.who)}", "dim")
    console().print(Text.assemble(mark, f" {name}", who), soft_wrap=True)
    if not result.passed:
        for line in lines(result, path):
            console().print(Text(f"         {safe(line)}"), soft_wrap=True)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise Missing(f"{path} can't be written: {error.strerror}") from None
