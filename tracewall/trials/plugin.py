"""pytest collects files of policy tests: ``*.tracewall.toml``, and what ``tracewall_tests`` names.

Found by itself where tracewall is installed; without such files it does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tracewall.trials import SUFFIX

# Imported when there is a file of tests: whoever has none pays nothing.
if TYPE_CHECKING:
    from tracewall.trials.format import Party
    from tracewall.trials.run import Result, Trying


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option ``tracewall_tests``."""
    parser.addini(
        "tracewall_tests",
        f"globs of more files of policy tests, besides *{SUFFIX}",
        type="args",
        default=[],
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> PolicyFile | None:
    """Collect a file of policy tests."""
    globs = parent.config.getini("tracewall_tests")
    if file_path.name.endswith(SUFFIX) or any(file_path.match(glob) for glob in globs):
        return PolicyFile.from_parent(parent, path=file_path)
    return None


class PolicyFile(pytest.File):
    """A file of policy tests."""

    trying: Trying

    def collect(self) -> Iterator[PolicyItem]:
        """Give each test with each of its principals."""
        from tracewall.errors import PolicyError
        from tracewall.trials.catalogs import CatalogMissing
        from tracewall.trials.load import load
        from tracewall.trials.run import Trying

        try:
            sheet = load(self.path)
            self.trying = Trying(sheet)
        except (PolicyError, CatalogMissing) as error:
            raise self.CollectError(str(error)) from None
        for number, party in self.trying.cases():
            trial = sheet.trials.tests[number]
            name = f"{trial.name} [{party.name}]" if len(trial.who) > 1 else trial.name
            yield PolicyItem.from_parent(self, name=name, number=number, party=party)

    def teardown(self) -> None:
        """Close what the tests opened."""
        self.trying.close()


class PolicyItem(pytest.Item):
    """One policy test for one principal."""

    def __init__(self, *, number: int, party: Party, **options: Any) -> None:
        super().__init__(**options)
        self._number, self._party = number, party

    def runtest(self) -> None:
        """Judge the statement, and compare."""
        assert isinstance(self.parent, PolicyFile)
        result = self.parent.trying.run(self._number, self._party)
        if not result.passed:
            raise Unexpected(result, str(self.path))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Say what was expected and what came, without a traceback."""
        if isinstance(excinfo.value, Unexpected):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say where the test stands."""
        assert isinstance(self.parent, PolicyFile)
        trial = self.parent.trying.sheet.trials.tests[self._number]
        return self.path, trial.line - 1, self.name


class Unexpected(Exception):
    """A policy decides otherwise than a test expects."""

    def __init__(self, result: Result, path: str) -> None:
        from tracewall.trials.shown import lines

        super().__init__("\n".join(lines(result, path)))
