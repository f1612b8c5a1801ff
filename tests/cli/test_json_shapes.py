"""What commands print with --json has the keys that the reference tells of, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import tracewall
from tracewall.approval.request import Act, Request, Requirement, Shown
from tracewall.approval.sqlite import SqliteStore
from tracewall.audit.migration import migration
from tracewall.audit.postgres import PostgresLog
from tracewall.cli.commands import tracewall as command
from tracewall.demo.scenes import Verdict
from tracewall.events import Incident
from tracewall.recording.folder import Folder
from tracewall.signing import Signer
from tracewall.testing import TokenIssuer

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/cli.md"
POLICY = """
version = 1
[database]
conninfo = "{conninfo}"
[approval]
keys = ["{key}"]
[[issuers]]
name = "test"
issuer = "https://idp.test"
audience = "traces"
keys = "jwks.json"
algorithms = ["ES256"]
[[grants]]
name = "read"
groups = ["analysts"]
actions = ["select"]
tables = ["traces.*"]
[[approvals]]
name = "export"
rows = 1000
approvers = ["boss"]
[[recordings]]
name = "all"
keep_for = "1ms"
"""
NOW = 2_000_000_000


def told() -> dict[str, set[str]]:
    """Give the keys of each command by the page's table."""
    section = PAGE.read_text("utf-8").partition("### JSON of the other commands\n")[2]
    found: dict[str, set[str]] = {}
    for line in section.partition("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if not line.startswith("| `"):
            continue
        keys = cells[2] if len(cells) > 2 else ""
        # What stands in brackets explains the key before it.
        names = set(re.findall(r"`(\w+)`", re.sub(r"\([^()]*\)", "", keys)))
        if keys.startswith("as of"):
            names = found.get("approvals show", {"as of"})
        for name in re.findall(r"`([\w ]+)`", cells[0]):
            found[name] = names
    shown = found["approvals show"]
    return {name: shown if names == {"as of"} else names for name, names in found.items()}


TOLD = told()


def run(*line: object) -> list[dict[str, Any]]:
    """Run a command; give the objects that it prints."""
    result = CliRunner().invoke(command, [*map(str, line), "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.stdout.isascii() and "\x7f" not in result.stdout
    objects = [json.loads(each) for each in result.stdout.splitlines()]
    assert objects, result.stderr
    return objects[0] if isinstance(objects[0], list) else objects


@pytest.fixture
def policy(store: Any, tmp_path: Path, monkeypatch: Any) -> Path:
    """A policy with a request that waits, its keys in the environment."""
    issuer, signer = TokenIssuer("https://idp.test"), Signer.make("desk")
    issuer.write_jwks(tmp_path / "jwks.json")
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(conninfo=store.dsn, key=signer.public), "utf-8")
    monkeypatch.setenv("TRACEWALL_APPROVAL_KEY", signer.secret())
    monkeypatch.setenv("TRACEWALL_CONFIG", str(path))
    monkeypatch.setenv("TRACEWALL_TOKEN", issuer.mint("zoe", ["boss"], audience="traces"))
    act = Act(
        text="select 1", parameters=(), door="execute", issuer="https://idp.test", subject="ann",
        actors=(), purpose="", policy="p", server="1", database="d", role="r", login="r",
        search_path="public",
    )  # fmt: skip
    shown = Shown("SELECT note", (("public.note", ("select",)),))
    asked = Request("apr_1", act, (Requirement("export", ("boss",)),), act.text, shown, 1, NOW, "")
    SqliteStore(tmp_path / "approvals.db").add("apr_1", "a", asked.encoded(), NOW, used=False)
    return path


@pytest.fixture
def session(policy: Path, store: Any) -> tuple[Path, str]:
    """The directory of recordings, and the id of a recorded session in it."""
    issuer = TokenIssuer("https://idp.test")
    issuer.write_jwks(policy.parent / "jwks.json")
    with tracewall.Wall.load(policy, password=lambda: store.password) as wall:
        token = issuer.mint("ann", ["analysts"], audience="traces")
        with tracewall.connect(wall=wall, token=token, autocommit=True) as conn:
            conn.execute("SELECT run_id FROM traces.runs LIMIT 1").fetchall()
    home = policy.parent / "recordings"
    (entry,) = Folder(str(home)).entries()
    return home, entry.id


def test_every_command_has_its_keys_in_the_reference() -> None:
    """In the table, or under a heading of its own."""
    import cli_reference

    page = PAGE.read_text("utf-8")
    for name, each in cli_reference.commands():
        short = name.removeprefix("tracewall ")
        if any("--json" in option.opts for option in each.params):
            assert short in TOLD or f"### JSON of {short}\n" in page, name


@pytest.mark.parametrize(
    "name", ["list", "show", "watch", "approve", "deny", "revoke", "review", "prune", "migration"]
)
def test_the_json_of_approvals_is_as_told(policy: Path, name: str) -> None:
    """Key for key."""
    more: dict[str, list[str]] = {
        "list": [], "watch": ["--timeout", "0.1"], "prune": [], "migration": ["--asking", "r"],
    }  # fmt: skip
    if name == "review":
        # Nothing waits for review here: what is printed is what is printed of a verdict.
        assert TOLD["approvals review"] == TOLD["approvals deny"]
        return
    (found,) = run("approvals", name, *more.get(name, ["apr_1"]))
    assert found.keys() == TOLD[f"approvals {name}"]


def test_the_json_of_files_of_the_record_is_as_told(log: Path, tmp_path: Path) -> None:
    """Key for key; of records and statements, that they are what the record says."""
    (found,) = run("audit", "verify", log)
    assert found.keys() == TOLD["audit verify"]
    (found,) = run("audit", "keygen", "audit.test")
    assert found.keys() == TOLD["audit keygen"]
    (found,) = run("audit", "migration", "--role", "r")
    assert found.keys() == TOLD["audit migration"]
    assert all("kind" in each for each in run("audit", "tail", log))
    assert all("ended" in each or "incident" in each for each in run("audit", "search", log))
    out = tmp_path / "export.jsonl"
    CliRunner().invoke(command, ["audit", "export", str(log), "--json", "--out", str(out)])
    assert json.loads(out.read_text().splitlines()[0])["kind"] in ("statement", "incident")


def test_the_json_of_forgetting_somebody_is_as_told(tmp_path: Path) -> None:
    """Key for key."""
    from tracewall.audit.people import People

    People(tmp_path).of("https://i.test", "ann")
    (found,) = run("audit", "erase", tmp_path, "--subject", "ann")
    assert found.keys() == TOLD["audit erase"]


@pytest.fixture
def kept(module_dsn: str, tmp_path: Path, monkeypatch: Any) -> Iterator[tuple[str, Path]]:
    """A record in PostgreSQL with one incident, and a policy that keeps it a day."""
    with psycopg.connect(module_dsn, autocommit=True) as conn:
        conn.execute("CREATE ROLE shapes_keeper LOGIN PASSWORD 'x'")
        conn.execute(migration("shapes_keeper", "shapes").encode())
    parts = conninfo_to_dict(module_dsn) | {"user": "shapes_keeper", "password": "x"}
    own = make_conninfo(**{name: value for name, value in parts.items() if value is not None})
    log = PostgresLog(own, schema="shapes")
    log.incident(Incident(kind="policy_loaded", detail="a policy"))
    log.close()
    path = tmp_path / "kept.toml"
    monkeypatch.setenv("KEEPER_PASSWORD", "x")
    bare = make_conninfo(**{k: v for k, v in parts.items() if v is not None and k != "password"})
    path.write_text(
        f"version = 1\n[audit]\nconninfo = '''{bare}'''\nschema = \"shapes\"\nkeep_for = \"1d\"\n"
        'password_env = "KEEPER_PASSWORD"\n'
    )
    yield module_dsn, path
    with psycopg.connect(module_dsn, autocommit=True) as conn:
        conn.execute("DROP SCHEMA shapes CASCADE")
        conn.execute("DROP OWNED BY shapes_keeper CASCADE")
        conn.execute("DROP ROLE shapes_keeper")


def test_the_json_of_a_record_in_postgresql_is_as_told(kept: Any, tmp_path: Path) -> None:
    """Key for key, of what is fetched and of what is pruned."""
    dsn, policy = kept
    (found,) = run("audit", "fetch", tmp_path / "new", "--conninfo", dsn, "--schema", "shapes")
    assert found.keys() == TOLD["audit fetch"]
    (found,) = run("audit", "prune", "--config", policy, "--conninfo", dsn)
    assert found.keys() == TOLD["audit prune"]


def test_the_json_of_sessions_is_as_told(session: Any, policy: Path, store: Any) -> None:
    """Key for key, in the order of a recording's life."""
    home, id = session
    lines: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "list": lambda: run("sessions", "list", home),
        "verify": lambda: run("sessions", "verify", home),
        "hold": lambda: run("sessions", "hold", home, id),
        "release": lambda: run("sessions", "release", home, id),
        "ship": lambda: run("sessions", "ship", home, f"file://{home.parent}/away"),
        "judge": lambda: run("sessions", "judge", home, "--config", policy.parent / "none.toml",
                             "--dsn", store.admin_dsn),
        "prune": lambda: run("sessions", "prune", home),
    }  # fmt: skip
    (policy.parent / "none.toml").write_text("version = 1", "utf-8")
    shown = run("sessions", "show", home, id)
    assert shown == run("sessions", "export", home, id) == run("sessions", "replay", home, id)
    for name, ask in lines.items():
        assert ask()[0].keys() == TOLD[f"sessions {name}"], name


def test_the_json_of_what_a_database_tells_is_as_told(
    policy: Path, store: Any, tmp_path: Path
) -> None:
    """Key for key: catalog, scan, rls."""
    (found,) = run("catalog", store.admin_dsn, "-o", tmp_path / "catalog.json")
    assert found.keys() == TOLD["catalog"]
    (found,) = run("scan", store.admin_dsn, "--rows", "1")
    assert found.keys() == TOLD["scan"]
    (found,) = run("rls", "--dsn", store.admin_dsn, "--role", "somebody")
    assert found.keys() == TOLD["rls"]


def test_the_json_of_the_rest_is_as_told() -> None:
    """version, schema; of the demo the figures that it ends with."""
    (found,) = run("version")
    assert found.keys() == TOLD["version"]
    assert "properties" in run("schema")[0]
    assert TOLD["demo"] == {field.name for field in fields(Verdict)} | {"ok", "seconds", "kept"}
    assert TOLD["console"] == {"url"}
