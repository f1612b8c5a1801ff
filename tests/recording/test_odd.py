"""A recording by somebody with the right to write files: no reader falls over it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import pyrage
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracewall.cli.commands import tracewall as command
from tracewall.recording.folder import Folder
from tracewall.recording.sealing import Sealed, recipients
from tracewall.recording.tape import FIRST, Tape

ID = "20260101T000000.000000Z-session-00000000"
IDENTITY = pyrage.x25519.Identity.generate()
READERS = (
    ("list",),
    ("list", "--json"),
    ("show", ID),
    ("replay", ID),
    ("verify",),
    ("export", ID, "--as", "html"),
    ("export", ID, "--as", "cast"),
    ("export", ID, "--as", "json"),
    ("hold", ID),
    ("release", ID),
)
HEADER = {"kind": "began", "format": 1, "id": ID, "rule": "all", "subject": "ann", "time": 1.0}
STATEMENT = {
    "kind": "statement",
    "s": 1,
    "text": "select",
    "decision": "allowed",
    "rule": "r",
    "relations": {"a.b": ["select"]},
    "columns": [{"name": "a", "shows": "clear", "rule": ""}],
}
LINES: list[dict[str, Any]] = [
    {**HEADER, "groups": ["g"], "actors": [{"subject": "bot", "groups": []}], "t": 0},
    {**STATEMENT, "t": 0.1},
    {"kind": "rows", "t": 0.2, "s": 1, "at": 0, "rows": [[1, {"hex": "00"}], [{"json": {}}, None]]},
    {"kind": "copy", "t": 0.2, "s": 1, "rows": ["a"]},
    {"kind": "cut", "t": 0.2, "s": 1, "at": 2, "by": "rows"},
    {"kind": "notice", "t": 0.2, "s": 1, "severity": "NOTICE", "sqlstate": "00000"},
    {"kind": "approval", "t": 0.2, "s": 1, "request": "x"},
    {"kind": "outcome", "t": 0.2, "s": 1, "status": "ok", "rows": 2, "seconds": 0.1},
    {"kind": "ended", "t": 0.3, "why": "closed", "lines": 9},
]


def chained(lines: list[Any]) -> bytes:
    """Pack lines with a chain that holds, as whoever makes a recording up would."""
    raw, head = b"", FIRST
    for number, line in enumerate(lines):
        if isinstance(line, dict):
            line = json.dumps({"n": number, "prev": head, **line}).encode("utf-8", "surrogatepass")
        head = hashlib.sha256(line).hexdigest()
        raw += line + b"\n"
    return gzip.compress(raw)


def placed(home: Path, data: bytes, suffix: str = "") -> None:
    """Put a recording into a folder."""
    (home / "all").mkdir(parents=True, exist_ok=True)
    for path in (home / "all").iterdir():
        path.unlink()
    (home / "all" / f"{ID}.jsonl.gz{suffix}").write_bytes(data)


def read(home: Path, *options: str) -> dict[str, tuple[int, str]]:
    """Read what is in a folder by every command; give exit codes and what was printed."""
    found = {}
    for name, *asked in READERS:
        opening = options if name not in ("hold", "release") else ()
        result = CliRunner().invoke(command, ["sessions", name, str(home), *asked, *opening])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise AssertionError((name, asked)) from result.exception
        assert result.exit_code in (0, 1, 2), (name, asked, result.output)
        assert "Traceback" not in result.output
        assert all(char.isprintable() or char == "\n" for char in strip(result.output, asked))
        found[" ".join((name, *asked))] = (result.exit_code, result.output)
    return found


def strip(output: str, asked: list[str]) -> str:
    """Leave out what an asciicast writes as JSON's own escapes anyway."""
    return "" if "cast" in asked else output


GENUINE = chained(LINES)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from([10**400, -(2**63), 1e308, "\ud800", "\x1b[2J", "</script>", "\u202e"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
_often = settings(
    max_examples=int(os.environ.get("TRACEWALL_ODD", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@_often
@given(data=st.data())
def test_values_of_any_type_break_no_reader(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever a key of a line holds, the chain being whole, every reader ends in words."""
    lines = [dict(line) for line in LINES]
    for _ in range(data.draw(st.integers(1, 3))):
        line = data.draw(st.sampled_from(lines))
        line[data.draw(st.sampled_from(sorted(line)))] = data.draw(_values)
    placed(tmp_path, chained(lines))
    read(tmp_path)


@_often
@given(data=st.data(), sealed=st.booleans())
def test_changed_bytes_break_no_reader(tmp_path: Path, data: st.DataObject, sealed: bool) -> None:
    """Bytes that were changed, left out or added, packed or unpacked, end in words as well."""
    genuine, options = GENUINE, ()
    if sealed:
        genuine, options = _sealed(), ("--identity", str(_key(tmp_path)))
    elif data.draw(st.booleans()):
        genuine = zlib.decompress(genuine, 31)
    at = data.draw(st.integers(0, 2000)) % (len(genuine) + 1)
    gone = data.draw(st.integers(0, 40))
    changed = genuine[:at] + data.draw(st.binary(max_size=40)) + genuine[at + gone :]
    if not sealed and not changed.startswith(b"\x1f\x8b"):
        changed = gzip.compress(changed)
    placed(tmp_path / "store", changed, ".sealed" if sealed else "")
    read(tmp_path / "store", *options)


def _key(folder: Path) -> Path:
    path = folder / "key.txt"
    path.write_text(str(IDENTITY))
    return path


@cache
def _sealed() -> bytes:
    class Kept:
        data = b""

        def write(self, data: bytes) -> None:
            self.data += data

        def close(self) -> None:
            return

    kept = Kept()
    tape = Tape(Sealed(kept, recipients([str(IDENTITY.to_public())])), {"id": ID, "rule": "all"})
    for line in LINES[1:-1]:
        told = {key: value for key, value in line.items() if key not in ("kind", "t")}
        tape.write(str(line["kind"]), told)
    tape.close()
    return kept.data


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"kind":"rows","s":1,"rows":[[' + b"[" * 900 + b"]" * 900 + b"]]}",
        b'{"a":' * 50_000,
        b"\xff\xfe{}",
        b"",
        b"null",
        {**HEADER, "format": 10**4000},
        {**HEADER, "time": 1e300},
        {**HEADER, "time": float("nan")},
        {**HEADER, "time": -1},
        {**HEADER, "actors": [{}]},
        {**HEADER, "groups": "ann"},
        {**STATEMENT, "s": 2**70},
        {**STATEMENT, "columns": [{"name": None}]},
        {**STATEMENT, "relations": [1]},
        {"kind": "rows", "s": 1},
        {"kind": "rows", "s": 1, "rows": {"a": 1}},
        {"kind": "rows", "s": 1, "rows": [1]},
        {"kind": "copy", "s": 1, "rows": [None]},
        {"kind": "outcome", "s": 1, "rows": "many", "seconds": []},
        {"kind": "outcome", "s": 1, "seconds": float("inf")},
        {"kind": ["rows"]},
    ],
)
def test_an_odd_line_is_told_by_every_reader(tmp_path: Path, line: Any) -> None:
    """A line that no recorder writes is told as that, with exit code 1."""
    first = [LINES[0], LINES[1]]
    if isinstance(line, dict) and line.get("kind") == "began":
        first = []
    elif isinstance(line, bytes) and b"rows" in line:
        # The one that can be read as JSON has to follow on what is before it.
        head = json.loads(gzip.decompress(chained([*first, {"kind": "x"}])).splitlines()[2])["prev"]
        line = line[:-1] + f',"n":2,"prev":"{head}"}}'.encode()
        placed(tmp_path, chained([*first, line]))
        read(tmp_path)
        return
    placed(tmp_path, chained([*first, line]))
    for asked, (code, told) in read(tmp_path).items():
        if asked.startswith(("list", "hold", "release")):
            assert code == 0, asked
        else:
            assert code == 1, asked
            assert "no line of a recording" in told or "no recording of a format" in told, asked


def test_bombs_end_in_words_and_little_memory(tmp_path: Path) -> None:
    """A line without an end is given up after 16 MiB, whatever it unpacks to."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(300)) + packer.flush()
    assert len(bomb) < 1 << 20
    placed(tmp_path, bomb)
    for asked, (code, told) in read(tmp_path).items():
        if asked.startswith(("show", "export", "replay", "verify")):
            assert code == 1 and "a line has no end" in told, asked


def test_one_odd_recording_spoils_no_list(tmp_path: Path) -> None:
    """Next to odd files the others are listed and proved; what is not named so is no recording."""
    placed(tmp_path, GENUINE)
    odd = tmp_path / "all" / ID.replace("00000000", "11111111")
    odd.with_name(f"{odd.name}.jsonl.gz").write_bytes(b"nonsense")
    (tmp_path / "all" / "a\x1b[2Jb.jsonl.gz").write_bytes(GENUINE)
    (tmp_path / "all" / os.fsdecode(b"\xff.jsonl.gz")).write_bytes(GENUINE)
    listed = read(tmp_path)["list --json"][1]
    told = [json.loads(line) for line in listed.splitlines()]
    assert [each["fault"] for each in told] == ["", "the file is damaged"]


# --- ten ways to have a recording say something else, or something else deleted --------------


def test_a_recording_under_another_name_is_told(tmp_path: Path) -> None:
    """Two recordings that were exchanged, and one moved to another rule, are not what they say."""
    folder, ids = Folder(tmp_path), []
    for _ in range(2):
        id, sink = folder.create("all", "s", sealed=False)
        Tape(sink, {"id": id, "rule": "all"}).close()
        ids.append(id)
    one, other = (tmp_path / "all" / f"{id}.jsonl.gz" for id in ids)
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    result = CliRunner().invoke(command, ["sessions", "verify", str(tmp_path)])
    assert result.exit_code == 1
    assert result.output.count("another recording than its name says") == 2
    (tmp_path / "short").mkdir()
    other.rename(tmp_path / "short" / one.name)
    result = CliRunner().invoke(command, ["sessions", "verify", str(tmp_path), ids[0]])
    assert result.exit_code == 1


def test_nothing_outside_is_read_written_or_deleted(tmp_path: Path) -> None:
    """Links, in place of a recording or of a rule's folder, lead nowhere."""
    outside, home = tmp_path / "outside", tmp_path / "store"
    placed(outside, GENUINE)
    placed(home, GENUINE)
    (home / "linked").symlink_to(outside / "all")
    (home / "all" / "x.jsonl.gz").symlink_to(outside / "all" / f"{ID}.jsonl.gz")
    folder = Folder(home)
    (entry,) = folder.entries()
    with pytest.raises(OSError, match="link"):
        folder.create("linked", "s", sealed=False)
    stolen = [
        entry._replace(rule="linked"),
        entry._replace(file="x.jsonl.gz"),
        entry._replace(rule="../outside/all"),
        entry._replace(rule=".."),
        entry._replace(file="../../outside/all/x.jsonl.gz"),
    ]
    for each in stolen:
        with pytest.raises(OSError):
            folder.open(each)
    for each in (stolen[0], *stolen[2:]):
        with pytest.raises(OSError):
            folder.remove(each)
        with pytest.raises(OSError):
            folder.hold(each, "x")
    assert [*(outside / "all").iterdir()] == [outside / "all" / f"{ID}.jsonl.gz"]


@pytest.mark.parametrize("id", ["../../etc/passwd", "..", "%2e%2e", "*", "-", "\x00", "a/b"])
def test_an_id_is_no_path(tmp_path: Path, id: str) -> None:
    """What is asked for is looked for among the recordings there are."""
    placed(tmp_path, GENUINE)
    for asked in ("show", "hold", "release", "replay", "export"):
        result = CliRunner().invoke(command, ["sessions", asked, str(tmp_path), "--", id])
        assert result.exit_code == 2, asked
        assert result.exception is None or isinstance(result.exception, SystemExit)


def test_a_hold_can_not_be_talked_around(tmp_path: Path) -> None:
    """A hold counts whatever stands in for its file, and at the moment of deletion."""
    placed(tmp_path, GENUINE)
    folder = Folder(tmp_path)
    (entry,) = folder.entries()
    hold = tmp_path / "all" / f"{ID}.hold"
    hold.symlink_to(tmp_path / "nowhere")
    (held,) = folder.entries()
    assert held.held and not entry.held
    with pytest.raises(PermissionError):
        folder.remove(entry)
    folder.hold(entry, "again")
    assert not (tmp_path / "nowhere").exists()
    folder.release(entry)
    folder.remove(entry)


def test_a_recording_is_locked_before_it_has_its_name(tmp_path: Path) -> None:
    """Nobody who looks while a recording begins can take it for closed."""
    folder = Folder(tmp_path)
    probing: list[bool] = []
    rename = Path.rename

    def renamed(self: Path, target: Path) -> Path:
        probing.extend(entry.open for entry in folder.entries())
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", renamed)
        _, sink = folder.create("all", "s", sealed=False)
    assert probing == []
    assert [entry.open for entry in folder.entries()] == [True]
    sink.close()
