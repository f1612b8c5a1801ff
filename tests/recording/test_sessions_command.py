"""``tracewall sessions`` as people use it: on recordings of a real guarded connection."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import StringIO
from typing import Any
from uuid import uuid4

import pyrage
import pytest
from click.testing import CliRunner
from rich.console import Console

from tracewall.cli.commands import tracewall as command
from tracewall.cli.replay import Player
from tracewall.errors import Forbidden
from tracewall.recording.scenes import Scene
from tracewall.trials.corpus import parametrized

RULE = '\n[[recordings]]\nname = "all"\nkeep_for = "1ms"\n'


@pytest.fixture
def run() -> Callable[..., Any]:
    """Runs a command; gives its exit code and what it printed."""

    def run(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(command, ["sessions", *map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return run


@pytest.fixture
def session(recorded: Any) -> Any:
    """A wall with one recorded session: a masked read, and a refusal."""
    made = recorded(RULE)
    with made.connect() as conn:
        conn.execute(
            "SELECT agent, api_key FROM traces.runs WHERE tenant <> 'x' LIMIT 2"
        ).fetchall()
        with pytest.raises(Forbidden):
            conn.execute("TRUNCATE traces.runs")
    made.wall.close()
    return made


def test_sessions_are_listed(session: Any, run: Any) -> None:
    """The list has each session with who, how many statements, and whether it is whole."""
    code, told = run("list", session.folder / "recordings")
    assert code == 0
    assert session.entries()[0].id in told
    assert "ann" in told and "closed" in told
    _, told = run("list", session.folder / "recordings", "--json")
    assert json.loads(told)["statements"] == 2
    assert run("list", session.folder / "recordings", "--who", "bob", "--json")[1] == ""


@pytest.mark.parametrize("terminal", ["xterm", "dumb"])
def test_a_list_stays_readable_on_a_narrow_terminal(
    session: Any, run: Any, monkeypatch: pytest.MonkeyPatch, terminal: str
) -> None:
    """A row is a line, which the terminal breaks: no column is squeezed to a letter's width."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    code, told = run("list", session.folder / "recordings")
    assert (code, len(told.splitlines())) == (0, 1 + len([*session.entries()]))


def test_a_session_is_shown(session: Any, run: Any) -> None:
    """What is shown has texts, decisions, masked columns and rows."""
    code, told = run("show", session.folder / "recordings", session.entries()[0].id[:12])
    assert code == 0
    assert "api_key (masked)" in told
    assert "[masked]" in told
    assert "forbidden by" in told
    assert "tenant <> ?" in told


def test_recordings_are_verified_against_the_audit_log(session: Any, run: Any) -> None:
    """A recording that was cut, or made up anew, is told by what the audit log keeps."""
    home, audit = session.folder / "recordings", session.folder / "audit"
    assert run("verify", home, "--audit", audit)[0] == 0
    (path,) = (home / "all").iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:-60])
    assert run("verify", home)[0] == 0
    code, told = run("verify", home, "--audit", audit)
    assert code == 1
    assert "its end was cut off" in told
    path.write_bytes(data[:100] + b"x" + data[101:])
    assert run("verify", home)[0] == 1


@pytest.mark.parametrize(("form", "has"), [("html", "<!DOCTYPE html>"), ("cast", '"version": 3')])
def test_a_session_is_exported(session: Any, run: Any, form: str, has: str) -> None:
    """An export is one file, a page or an asciicast."""
    out = session.folder / "out"
    home = session.folder / "recordings"
    code, _ = run("export", home, session.entries()[0].id, "--as", form, "--out", out)
    assert code == 0
    assert has in out.read_text("utf-8")
    assert "[masked]" in out.read_text("utf-8")


def test_lines_are_exported_as_they_are(session: Any, run: Any) -> None:
    """As JSON a recording's lines come out as they were written."""
    entry = session.entries()[0]
    _, told = run("export", session.folder / "recordings", entry.id, "--as", "json")
    assert [json.loads(line) for line in told.splitlines()] == session.read(entry)[0]


@pytest.mark.parametrize("link", [False, True])
def test_an_export_takes_no_file_that_is_there(
    session: Any, run: Any, tmp_path: Any, link: bool
) -> None:
    """What a caller was shown goes to a new file of its owner alone, or nowhere."""
    id, there, out = session.entries()[0].id, tmp_path / "there", tmp_path / "out"
    there.write_text("mine")
    there.chmod(0o644)
    place = out if link else there
    if link:
        out.symlink_to(there)
    code, told = run("export", session.folder / "recordings", id, "--out", place)
    assert code == 2 and "exists" in told and there.read_text() == "mine"
    place.unlink()
    assert run("export", session.folder / "recordings", id, "--out", place)[0] == 0
    assert place.stat().st_mode & 0o777 == 0o600


def test_pruning_spares_what_is_held(session: Any, run: Any) -> None:
    """What is on legal hold stays until it is released."""
    home, policy = session.folder / "recordings", session.folder / "tracewall.toml"
    id = session.entries()[0].id
    assert run("hold", home, id, "--why", "a case")[0] == 0
    assert "on hold" in run("list", home)[1]
    assert run("prune", home, "--config", policy) == (0, "")
    assert run("release", home, id)[0] == 0
    assert id in run("prune", home, "--config", policy, "--dry-run")[1]
    assert session.entries()
    assert id in run("prune", home, "--config", policy)[1]
    assert not session.entries()


def test_an_encrypted_session_needs_its_identity(recorded: Any, run: Any) -> None:
    """A policy's recipients, and nobody else, read what it records."""
    identity = pyrage.x25519.Identity.generate()
    sealed = f'\n[recording]\nrecipients = ["{identity.to_public()}"]\n'
    made = recorded(sealed + RULE)
    with made.connect() as conn:
        conn.execute("SELECT agent FROM traces.runs LIMIT 1").fetchall()
    home, key = made.folder / "recordings", made.folder / "key.txt"
    key.write_text(str(identity))
    assert "it is encrypted, and no identity is given" in run("list", home)[1]
    id = made.entries()[0].id
    assert run("show", home, id)[0] == 1
    code, told = run("show", home, id, "--identity", key)
    assert code == 0
    assert "traces.runs" in told


def test_recordings_are_shipped_and_read_from_a_url(session: Any, run: Any) -> None:
    """A URL holds recordings as a folder does: shipped once, listed, held and proved."""
    home, url = session.folder / "recordings", "memory://recordings-of-a-test"
    id = session.entries()[0].id
    assert id in run("ship", home, url)[1]
    assert run("ship", home, url) == (0, "")
    assert run("hold", url, id)[0] == 0
    assert "on hold" in run("list", url)[1]
    assert run("verify", url, "--audit", session.folder / "audit")[0] == 0
    assert run("ship", home, url, "--remove")[0] == 0
    assert not session.entries()


@pytest.mark.parametrize("line", ["show {} {}", "list {}", "verify {}", "export {} {}"])
@pytest.mark.parametrize("failure", [OSError("CANARY"), RuntimeError("CANARY")])
def test_a_store_that_fails_in_the_middle_of_a_read_is_no_verdict(
    session: Any, run: Any, monkeypatch: Any, line: str, failure: Exception
) -> None:
    """Exit code 3: nobody knows what the recording holds, and no word of the store is printed."""
    from fsspec.implementations.memory import MemoryFile

    url, id = f"memory://{uuid4().hex}", session.entries()[0].id
    assert run("ship", session.folder / "recordings", url)[0] == 0

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(MemoryFile, "read", fail, raising=False)
    code, told = run(*line.format(url, id).split())
    assert code == 3 and "CANARY" not in told


def test_another_policy_judges_recorded_sessions(session: Any, run: Any, store: Any) -> None:
    """What another policy would say otherwise is told; the same one changes nothing."""
    home, policy = session.folder / "recordings", session.folder / "tracewall.toml"
    asked = ("judge", home, "--dsn", store.admin_dsn, "--policy")
    code, told = run(*asked, policy)
    assert (code, told) == (0, "2 statements judged, 0 would change\n")
    other = policy.with_name("other.toml")
    text = policy.read_text().replace('"select", "insert", "update"', '"select", "truncate"')
    other.write_text(
        re.sub(r'\[\[masks\]\]\nname = "keys".*?keep_last = 4\n', "", text, flags=re.S)
    )
    code, told = run(*asked, other)
    assert code == 1
    assert "- allowed, masks api_key by masks.keys" in told
    assert "+ allowed, masks nothing" in told
    assert "2 statements judged, 2 would change" in told


_READ = "SELECT agent, api_key FROM traces.runs WHERE tenant <> $1 LIMIT $2"
_CHANGES = {
    "nothing": ('name = "recorded"', 'name = "other"', {}),
    "mask": ('columns = ["traces.runs.api_key"]', 'columns = ["traces.runs.status"]',
             {_READ: "masked less"}),
    "grant": ('"insert", "update"', '"truncate"', {"TRUNCATE traces.runs": "newly allowed"}),
    "table": ('["traces.*"]', '["traces.steps"]', {_READ: "newly refused"}),
}  # fmt: skip


@pytest.mark.parametrize("name", _CHANGES)
def test_two_policies_are_compared_on_recorded_sessions(
    session: Any, store: Any, name: str
) -> None:
    """``diff --sessions`` judges each recorded statement by both policies, as its principal's."""
    before, now, expected = _CHANGES[name]
    policy = session.folder / "tracewall.toml"
    other = policy.with_name("other.toml")
    assert before in policy.read_text()
    other.write_text(policy.read_text().replace(before, now))
    asked = ["diff", policy, other, "--dsn", store.admin_dsn, "--sessions"]
    asked += [session.folder / "recordings", "--json"]
    result = CliRunner().invoke(command, list(map(str, asked)))
    found = [json.loads(line) for line in result.stdout.splitlines()]
    told = {each["what"]: each["kind"] for each in found if each["who"] == "ann"}
    assert told == expected
    assert result.exit_code == any(each["loosens"] for each in found)


def test_literals_become_parameters_that_are_free() -> None:
    """Each literal of a recorded text is judged as a parameter of its own."""
    assert parametrized("SELECT ? WHERE a = $2 AND b = ?") == "SELECT $3 WHERE a = $2 AND b = $4"


def test_what_is_not_there_is_told(session: Any, run: Any) -> None:
    """A wrong path, id or policy is an error with exit code 2, and no traceback."""
    home = session.folder / "recordings"
    for asked in (
        ("list", home / "none"),
        ("show", home, "none"),
        ("list", "nowhere://x"),
        ("prune", home, "--config", home / "none"),
    ):
        assert run(*asked)[0] == 2, asked


def played(keys: str, **options: Any) -> tuple[str, float]:
    """Give the scenes that were shown while keys were pressed, and how long it took."""
    now, left = [0.0], list(keys)

    def wait(seconds: float) -> str:
        if left:
            return left.pop(0)
        now[0] += seconds
        return ""

    out = Console(file=StringIO(), width=80)
    every = [Scene(2.0 * at, at, (((f"{at}", ""),),)) for at in range(5)]
    settings = {"speed": 1.0, "idle": 60.0, **options}
    Player(out, lambda: iter(every), wait, clock=lambda: now[0], **settings).play()
    shown: Any = out.file
    return shown.getvalue().replace("\n", ""), now[0]


@pytest.mark.parametrize(
    ("keys", "shown", "seconds"),
    [("", "01234", 8.0), ("q", "0", 0.0), ("nnq", "012", 0.0), ("+", "01234", 4.0)],
)
def test_a_replay_obeys_keys(keys: str, shown: str, seconds: float) -> None:
    """A replay takes the time that it took; keys end it, jump, and change its speed."""
    assert played(keys) == (shown, seconds)


def test_a_replay_pauses_and_jumps_back() -> None:
    """A pause lasts until it is ended; going back shows a statement again."""
    assert played("  ")[0] == "01234"
    assert played("  ")[1] >= 8.0
    assert played("np")[0] == "011234"


def test_a_replay_is_as_fast_as_wanted() -> None:
    """Speed divides the time, and long pauses are shortened."""
    assert played("", speed=4.0)[1] == 2.0
    assert played("", idle=0.5)[1] == 2.0


def test_a_replay_without_a_terminal_is_printed(session: Any, run: Any) -> None:
    """Without a terminal the whole session comes at once."""
    code, told = run("replay", session.folder / "recordings", session.entries()[0].id)
    assert code == 0
    assert "ended: closed" in told


def test_a_directory_without_recordings_proves_nothing(run: Any, tmp_path: Any) -> None:
    """`verify` of a wrong directory is asked wrongly; it does not go well."""
    code, told = run("verify", tmp_path)
    assert (code, "there is no recording in" in told) == (2, True)
