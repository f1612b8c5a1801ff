"""psycopg's own suite, plainly and with tracewall's classes in psycopg's place.

Runs where ``--psycopg-checkout=FOLDER`` (with the equals sign, or pytest takes the folder for
tests of ours) names a checkout of psycopg, by the tag of the version that is installed.
"""

from __future__ import annotations

import hashlib
import re
import runpy
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tracewall.audit.verify import records
from tracewall.connection_base import _COMMANDS
from tracewall.sql.catalog import FINGERPRINT, QUERIES

# Test folders are not on sys.path.
DIFFERENT: dict[str, str] = runpy.run_path(str(Path(__file__).parent / "psycopg_differences.py"))[
    "DIFFERENT"
]
OPTIONS = (
    # In the same order each time; a cursor that a failed test leaves behind fails no other.
    "-p no:randomly -W ignore::pytest.PytestUnraisableExceptionWarning"
).split()

LINE = re.compile(r".*?\[(\d+)\].*?LOG:  (?:statement|execute [^:]*): (.*)", re.DOTALL)
PINS = "SELECT pg_catalog.set_config($1, $2, false)"
# What the wall sends in its own name, and psycopg for a cursor that was judged.
OWN = re.compile(
    r"SELECT (?:(?:, )?pg_catalog\.set_config\(\$\d+, \$\d+, false\))+|DISCARD ALL"
    r"|(?:FETCH FORWARD|MOVE)[ \w-]* FROM \"(?:[^\"]|\"\")+\""
)


@pytest.fixture
def checkout(request: pytest.FixtureRequest) -> Path:
    """The folder of psycopg's checkout."""
    folder = request.config.getoption("--psycopg-checkout", default=None)
    if not folder:
        pytest.skip("--psycopg-checkout names no checkout of psycopg")
    return Path(folder).resolve()


def test_the_server_was_sent_what_was_admitted(
    run: Any,
    scratch_dsn: str,
    server: Any,
    tmp_path: Path,
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every statement in the server's log of a guarded connection is one that was admitted."""
    if not server.embedded:
        pytest.skip("the log of a server that is not ours is out of reach")
    monkeypatch.setenv("TRACEWALL_COMPAT_AUDIT", str(tmp_path / "audit"))
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        told = conn.execute("SHOW data_directory").fetchone()
    assert told is not None
    log = Path(told[0]) / "log"
    since = log.stat().st_size
    begin = partial(_begin, run, scratch_dsn, tmp_path, checkout)
    begin("guarded", "tests", "-p", "swap", witnessed=True)
    sent = _sent(log.read_bytes()[since:])
    admitted = _admitted(tmp_path / "audit")
    own = sum(map(_is_own, sent))
    print(f"sent: {len(sent)}, {own} of them the wall's own or psycopg's; texts: {len({*sent})}")
    unseen = {text for text in sent if not (_is_own(text) or _digest(text) in admitted)}
    assert unseen == set()
    assert len(sent) > 10_000


def _sent(said: bytes) -> list[str]:
    """Give what guarded connections sent: those that began with the wall's own settings."""
    entries = [
        LINE.fullmatch(each) for each in re.split(r"\n(?!\t)", said.decode("utf-8", "replace"))
    ]
    told = [(each[1], each[2].replace("\n\t", "\n")) for each in entries if each]
    guarded = {pid for pid, text in told if text.startswith(PINS)}
    return [text for pid, text in told if pid in guarded]


def _admitted(directory: Path) -> set[str]:
    """Give the hashes of the statements that the record has, but for the refused."""
    kept = [[*records(path)] for path in directory.glob("*.jsonl")]
    refused = [
        {
            each["intent"]
            for each in file
            if each.get("ended", {}).get("status") == "refused" and each["kind"] == "outcome"
        }
        for file in kept
    ]
    return {
        each["what"]["sha256"]
        for file, gone in zip(kept, refused, strict=True)
        for each in file
        if "what" in each
        and each["n"] not in gone
        and each.get("ended", {}).get("status") != "refused"
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_own(text: str) -> bool:
    sent = text.encode()
    asked = any(sent.split() == question.split() for question in (FINGERPRINT, *QUERIES))
    return bool(asked or _COMMANDS.fullmatch(sent) or OWN.fullmatch(text))


def test_every_difference_is_explained(
    run: Any, lost: Any, scratch_dsn: str, tmp_path: Path, checkout: Path
) -> None:
    """What passes plainly passes guarded, but for what is listed with its reason."""
    begin = partial(_begin, run, scratch_dsn, tmp_path, checkout)
    plain, guarded = begin("plain", "tests"), begin("guarded", "tests", "-p", "swap")
    print(f"plain: {_told(plain)}\nguarded: {_told(guarded)}")
    print(f"listed and lost: {len(lost(plain, guarded))}, gained: {len(lost(guarded, plain))}")
    suspects = {case for case in lost(plain, guarded) if case.split("[")[0] not in DIFFERENT}
    if suspects:
        # On a busy machine some of them fail by chance, with psycopg too.
        places = sorted({_place(case) for case in suspects})
        suspects &= lost(plain, begin("guarded", *places, "-p", "swap"))
    assert suspects == set()
    assert sum(outcome == "passed" for outcome in guarded.values()) > 4_500


def _told(outcomes: Mapping[str, str]) -> str:
    counted = Counter(outcomes.values())
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(counted.items()))


def _begin(
    run: Any,
    scratch_dsn: str,
    tmp_path: Path,
    checkout: Path,
    name: str,
    *arguments: str,
    witnessed: bool = False,
) -> Any:
    """Run tests of the checkout in a database of their own, and give what came of them."""
    database = sql.Identifier(f"{name}_of_suite")
    with psycopg.connect(scratch_dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(database))
        conn.execute(sql.SQL("CREATE DATABASE {}").format(database))
        if witnessed:
            conn.execute(sql.SQL("ALTER DATABASE {} SET log_statement = 'all'").format(database))
    dsn = make_conninfo(scratch_dsn, dbname=f"{name}_of_suite")
    line = [*OPTIONS, "-m", "not slow", "--test-dsn", dsn, "-o", f"cache_dir={tmp_path / name}"]
    return run(checkout, *line, *arguments, paths=(checkout,)).outcomes()


def _place(case: str) -> str:
    """Give the address of a test, without its parameters, by its name in a report."""
    module, _, test = case.partition("::")
    return f"{module.replace('.', '/')}.py::{test.split('[')[0]}"


def test_no_reason_is_empty() -> None:
    """Each difference says why it is one."""
    assert all(len(reason) > 30 for reason in DIFFERENT.values())
