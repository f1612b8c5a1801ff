"""Recordings arrive at a URL whole, once, and by themselves; and no statement waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner

from tracewall.audit.people import People
from tracewall.cli.commands import tracewall as command
from tracewall.errors import AuditUnavailable, PolicyError
from tracewall.policy.load import loads
from tracewall.recording.folder import Folder
from tracewall.recording.reader import Reading
from tracewall.recording.recorder import Recorder, Terms
from tracewall.recording.remote import Remote
from tracewall.recording.shipping import Shipper, ship
from tracewall.recording.store import Entry, prunable
from tracewall.recording.tape import Tape

TERMS = Terms("all", 100, 10_000, True)
SECRET = "hunter2-canary"


@pytest.fixture
def url() -> str:
    """A place of this test's own."""
    return f"memory://{uuid4().hex}/shop"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder that machines record to."""
    return Folder(tmp_path / "spool")


def taped(folder: Folder, rows: int = 1, *, recorder: Recorder | None = None) -> Entry:
    """Record a session."""
    before = {entry.id for entry in folder.entries()}
    reel = (recorder or Recorder(folder)).reel(TERMS, {"session": "s", "subject": "ann"})
    take = reel.take({"text": "select", "decision": "allowed", "rule": "r"})
    take.rows([(at,) for at in range(rows)])
    take.outcome("ok", rows=rows, seconds=0.0)
    reel.close()
    (made,) = [entry for entry in folder.entries() if entry.id not in before]
    return made


def shipper(folder: Folder, url: str, told: list[tuple[str, str]], **options: Any) -> Shipper:
    """Make what ships from a folder."""
    return Shipper(folder, url, tell=lambda kind, detail: told.append((kind, detail)), **options)


def eventually(holds: Callable[[], Any]) -> None:
    """Wait until something holds."""
    for _ in range(400):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never held")


def proved(store: Any, entry: Entry) -> bool:
    """Tell whether a recording in a store is whole."""
    with store.open(entry) as stream:
        reading = Reading(stream, entry.sealed, entry=entry)
        list(reading)
        return reading.proof.ok


RULES = """
[recording]
url = "{url}"
remove_shipped = true

[[recordings]]
name = "all"
"""


def test_a_wall_ships_what_it_has_recorded(recorded: Any, url: str) -> None:
    """What a policy's wall records is at its URL soon after, proved, on record, and not here."""
    made = recorded(RULES.format(url=url))
    with made.connect() as conn:
        conn.execute("SELECT 1").fetchall()
        assert not [*Remote(url).entries()], "it is written to still"
    made.wall.close()
    (entry,) = Remote(url).entries()
    assert proved(Remote(url), entry)
    assert not made.entries()
    log = "".join(path.read_text() for path in (made.folder / "audit").glob("*.jsonl"))
    assert f"all/{entry.id}: {entry.size} bytes, SHA-256" in log


def test_nobody_who_was_erased_is_named_at_a_url(recorded: Any, url: str) -> None:
    """What was shipped of an erasable record has pseudonyms; erasing somebody reaches it, too."""
    made = recorded("\n[audit]\nerasable = true\n" + RULES.format(url=url))
    with made.connect() as conn:
        conn.execute("SELECT 1").fetchall()
    made.wall.close()
    remote = Remote(url)
    (entry,) = remote.entries()
    with remote.open(entry) as stream:
        reading = Reading(stream, entry=entry)
        began = next(iter(reading))
    assert began["subject"].startswith("p-") and b'"ann"' not in reading.raw
    assert People(made.folder / "audit").erase("ann") == [began["subject"]]
    assert proved(remote, entry)


def test_every_command_takes_a_url(recorded: Any, tmp_path: Path, store: Any) -> None:
    """Whatever reads or keeps recordings of a folder does so at a URL."""
    url = (tmp_path / "far").as_uri()
    made = recorded(RULES.format(url=url).replace('"all"', '"all"\nkeep_for = "1ms"'))
    with made.connect() as conn:
        conn.execute("SELECT run_id FROM traces.runs LIMIT 1").fetchall()
    made.wall.close()
    policy, (entry,) = str(made.folder / "tracewall.toml"), Remote(url).entries()
    for asked, has in (
        (["list", url], entry.id),
        (["show", url, "2"], "traces.runs"),
        (["replay", url, "2"], "traces.runs"),
        (["verify", url, "--audit", str(made.folder / "audit")], "closed"),
        (["export", url, "2"], "<!DOCTYPE html>"),
        (["judge", url, "--policy", policy, "--dsn", store.admin_dsn], "0 would change"),
        (["hold", url, "2"], ""),
        (["prune", url, "--config", policy], ""),
        (["list", url], "on hold"),
        (["release", url, "2"], ""),
        (["prune", url, "--config", policy], entry.id),
        (["list", url], "statements"),
    ):
        result = CliRunner().invoke(command, ["sessions", *asked])
        assert result.exit_code == 0, (asked, result.output)
        assert has in result.output, asked
    assert not [*Remote(url).entries()]


def test_a_store_that_fails_is_told_without_its_words(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """What a store says in its errors, keys and addresses among it, is printed by no command."""
    from fsspec.implementations.memory import MemoryFileSystem

    def failing(*arguments: object, **options: object) -> None:
        raise RuntimeError(f"{SECRET} at https://user:{SECRET}@host")

    monkeypatch.setattr(MemoryFileSystem, "find", failing)
    for asked in (["list", url], ["show", url, "2"], ["verify", url], ["hold", url, "2"]):
        result = CliRunner().invoke(command, ["sessions", *asked])
        assert result.exit_code == 3, result.output
        assert SECRET not in result.output and "RuntimeError" in result.output


def test_recordings_go_while_the_process_lives(folder: Folder, url: str) -> None:
    """A closed recording goes at once, one that goes on does not; what is shipped is told once."""
    told: list[tuple[str, str]] = []
    carrier = shipper(folder, url, told)
    recorder = Recorder(folder, carrier=carrier)
    open_one = Tape(folder.create("all", "s", sealed=False)[1], {})
    entry = taped(folder, recorder=recorder)
    eventually(lambda: told)
    assert [each.id for each in Remote(url).entries()] == [entry.id]
    assert told[0][0] == "recording_shipped" and entry.id in told[0][1]
    open_one.close()
    recorder.close()
    assert len(told) == 2 == len([*Remote(url).entries()])


def test_what_a_dead_process_left_goes_at_the_next_start(folder: Folder, url: str) -> None:
    """A torn recording of a killed process is shipped as it is by whoever starts next."""
    killed = (
        "import sys, os\nfrom tracewall.recording.folder import Folder\n"
        "from tracewall.recording.tape import Tape\n"
        "id, sink = Folder(sys.argv[1]).create('all', 's', sealed=False)\n"
        "Tape(sink, {'id': id, 'rule': 'all'}).write('rows', {}, ['[1]'])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", killed, folder.directory], check=False)
    assert done.returncode == -signal.SIGKILL
    starting = shipper(folder, url, [])
    starting.start()
    starting.close(60)
    (entry,) = Remote(url).entries()
    with Remote(url).open(entry) as stream:
        reading = Reading(stream, entry=entry)
        assert [line["kind"] for line in reading] == ["began", "rows"]
    assert not reading.proof.fault and not reading.proof.closed


class Broken(Remote):
    """A place that does something else than asked."""

    def __init__(self, url: str, fault: str) -> None:
        super().__init__(url)
        self.fault, broken = fault, self
        files = self._files

        class Files:
            def __getattr__(self, name: str) -> Any:
                if broken.fault == "away" and name == "exists":
                    raise RuntimeError(f"key {SECRET} is not known at https://{SECRET}@host")
                return getattr(files, name)

            def mv(self, one: str, other: str) -> None:
                if broken.fault == "dies":
                    raise ConnectionResetError(104, f"reset by {SECRET}")
                files.mv(one, other)

            def open(self, path: str, mode: str) -> Any:
                if broken.fault == "lies" and mode == "rb":
                    files.pipe_file(path, files.cat_file(path)[:-1] + b"x")
                return files.open(path, mode)

        self._files = Files()


@pytest.mark.parametrize("fault", ["away", "dies", "lies"])
def test_what_does_not_arrive_whole_has_no_name_there(folder: Folder, url: str, fault: str) -> None:
    """Whatever goes wrong: no part is seen there, it stays here, it is told, and tried again."""
    told: list[tuple[str, str]] = []
    place = Broken(url, fault)
    entry = taped(folder)
    carrier = shipper(folder, url, told, remove=True, opened=lambda url: place)
    assert not carrier.run_once() and not carrier.run_once()
    assert not [*Remote(url).entries()]
    assert [each.id for each in folder.entries()] == [entry.id]
    assert [kind for kind, _ in told] == ["recording_unshipped"]
    assert SECRET not in str(told) and "://" not in str(told)
    place.fault = ""
    assert carrier.run_once()
    assert proved(Remote(url), next(Remote(url).entries()))
    assert not [*folder.entries()]
    assert told[-1][0] == "recording_shipped"


def test_a_place_out_of_reach_holds_up_no_statement(folder: Folder, url: str) -> None:
    """Recording goes on while nothing can be shipped; closing waits no longer than it may."""
    gate = [True]

    def hanging(url: str) -> Remote:
        while gate[0]:
            time.sleep(0.01)
        return Remote(url)

    carrier = shipper(folder, url, [], opened=hanging)
    recorder = Recorder(folder, carrier=carrier)
    for _ in range(3):
        taped(folder, recorder=recorder)
    began = time.monotonic()
    carrier.close(0.2)
    assert time.monotonic() - began < 10
    gate[0] = False
    assert len([*folder.entries()]) == 3


def test_a_policy_may_refuse_where_too_much_waits(folder: Folder, url: str) -> None:
    """Past max_unshipped nothing more is begun, by the rule's own terms, until it has gone."""
    place = Broken(url, "away")
    carrier = shipper(folder, url, [], most=1, opened=lambda url: place)
    taped(folder)
    assert not carrier.run_once()
    recorder = Recorder(folder, carrier=carrier)
    with pytest.raises(AuditUnavailable):
        recorder.reel(TERMS, {"session": "s"}).take({})
    lenient = Terms("all", 1, 1, False)
    recorder.reel(lenient, {"session": "s"}).take({})
    place.fault = ""
    assert carrier.run_once()
    recorder.reel(TERMS, {"session": "s"}).take({"text": "select"})


def test_another_recording_of_that_name_is_not_overwritten(folder: Folder, url: str) -> None:
    """What is there already stays, whoever put it there; the same one counts as arrived."""
    entry, told = taped(folder), []
    remote = Remote(url)
    remote.take(folder, entry)
    path = remote._path(entry, entry.file)
    genuine = remote._files.cat_file(path)
    remote._files.pipe_file(path, b"another")
    carrier = shipper(folder, url, told, remove=True)
    assert not carrier.run_once()
    assert remote._files.cat_file(path) == b"another" and [*folder.entries()]
    assert "another recording of that name" in told[0][1]
    remote._files.pipe_file(path, genuine)
    assert carrier.run_once() and not [*folder.entries()]


def test_holds_go_along_and_keep_both_copies(folder: Folder, url: str) -> None:
    """A hold is at the URL before the recording, also one set later; neither copy is deleted."""
    first, second = taped(folder), taped(folder)
    folder.hold(first, "a case")
    carrier = shipper(folder, url, [], remove=False)
    carrier.run_once()
    remote = Remote(url)
    assert [entry.held for entry in remote.entries()] == [True, False]
    folder.hold(second, "another case")
    shipper(folder, url, [], remove=True).run_once()
    assert [entry.held for entry in remote.entries()] == [True, True]
    assert len([*folder.entries()]) == 2
    assert not [*prunable(remote, {"all": 1e-9}, time.time() + 9)]
    for store in (folder, remote):
        for entry in (first, second):
            with pytest.raises(PermissionError, match="on hold"):
                store.remove(entry._replace(held=False))
    remote.release(first)
    remote.remove(first)
    assert [entry.id for entry in remote.entries()] == [second.id]


def test_no_bucket_is_made(folder: Folder, url: str) -> None:
    """In an object store nothing is made but objects: a bucket that is not there is a mistake."""
    place = Broken(url, "")
    made: list[str] = []
    place._files.makedirs = lambda path, exist_ok: made.append(path)
    place.take(folder, taped(folder))
    assert not made and len([*place.entries()]) == 1


def test_retention_is_by_rule_at_a_url_too(folder: Folder, url: str) -> None:
    """What is past its time at a URL goes, with what was left half done there."""
    entry = taped(folder)
    remote = Remote(url)
    ship(folder, remote, url, entry, remove=False)
    remote._files.pipe_file(f"{remote._root}/all/{entry.file}.0.part", b"half")
    assert not [*prunable(remote, {"all": 60.0}, time.time())]
    (due,) = prunable(remote, {"all": 60.0}, time.time() + 61)
    remote.remove(due)
    remote.sweep(time.time() + 9)
    assert not remote._files.find(remote._root)


def test_files_at_a_url_of_this_machine_are_for_their_owner_alone(
    folder: Folder, tmp_path: Path
) -> None:
    """At file:// a recording has mode 0600, in directories of mode 0700."""
    entry = taped(folder)
    remote = Remote((tmp_path / "far").as_uri())
    remote.take(folder, entry)
    home = tmp_path / "far" / "all"
    assert home.stat().st_mode & 0o777 == 0o700
    assert [(path.name, path.stat().st_mode & 0o777) for path in home.iterdir()] == [
        (entry.file, 0o600)
    ]
    assert proved(remote, next(remote.entries()))


def test_processes_share_a_folder_and_a_url(tmp_path: Path) -> None:
    """Processes that record to one folder and ship at the same time lose and double nothing."""
    writer = (
        "import sys\nfrom tracewall.recording.folder import Folder\n"
        "from tracewall.recording.recorder import Recorder, Terms\n"
        "from tracewall.recording.shipping import Shipper\n"
        "folder = Folder(sys.argv[1])\n"
        "carrier = Shipper(folder, sys.argv[2], remove=True, tell=print)\n"
        "recorder = Recorder(folder, carrier=carrier)\n"
        "for at in range(10):\n"
        "    reel = recorder.reel(Terms('all', 9, 999, True), {'session': 'same'})\n"
        "    reel.take({'text': 'select'})\n    reel.close()\n"
        "recorder.close()\n"
    )
    spool, far = tmp_path / "spool", tmp_path / "far"
    command = [sys.executable, "-c", writer, spool, far.as_uri()]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    last = shipper(Folder(spool), far.as_uri(), [], remove=True)
    assert last.run_once()
    found = [*Remote(far.as_uri()).entries()]
    assert len(found) == len({entry.id for entry in found}) == 30
    assert all(proved(Remote(far.as_uri()), entry) for entry in found)
    assert not [*Folder(spool).entries()]


def test_a_killed_shipper_leaves_no_part_of_a_recording(tmp_path: Path) -> None:
    """Killed at any moment: what is seen there is whole, and all of it arrives in the end."""
    code = (
        "import sys\nfrom tracewall.recording.folder import Folder\n"
        "from tracewall.recording.shipping import Shipper\n"
        "print('begun', flush=True)\n"
        "Shipper(Folder(sys.argv[1]), sys.argv[2], remove=True, tell=print).run_once()\n"
    )
    spool, far = Folder(tmp_path / "spool"), (tmp_path / "far").as_uri()
    ids = {taped(spool, 200).id for _ in range(40)}
    known: set[str] = set()
    rounds = int(os.environ.get("TRACEWALL_KILLS", "4"))
    for at in range(rounds):
        command = [sys.executable, "-c", code, spool.directory, far]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.005 + 0.003 * (at % 60))
            process.send_signal(signal.SIGKILL)
        there = [*Remote(far).entries()]
        assert all(proved(Remote(far), entry) for entry in there if entry.id not in known)
        known = {entry.id for entry in there}
        assert ids == {entry.id for entry in (*there, *spool.entries())}
        if ids == known:
            ids |= {taped(spool, 200).id for _ in range(20)}
    shipper(spool, far, [], remove=True).run_once()
    assert ids == {entry.id for entry in Remote(far).entries()}


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ('url = "/srv/recordings"', "this is no URL"),
        (f'url = "s3://key:{SECRET}@bucket"', "a credential can't be in the policy"),
        (f'url = "s3://bucket?secret={SECRET}"', "a credential can't be in the policy"),
        ("remove_shipped = true", "nothing is shipped"),
        ("max_unshipped = 5", "nothing is shipped"),
    ],
)
def test_a_policy_that_ships_wrongly_is_refused(written: str, complaint: str) -> None:
    """What can't be shipped by is told with its place, and quotes no credential."""
    rules = f'version = 1\n[recording]\n{written}\n[[recordings]]\nname = "a"\n'
    with pytest.raises(PolicyError, match=complaint) as caught:
        loads(rules)
    assert caught.value.line == 3
    assert SECRET not in str(caught.value)


def test_a_url_that_nobody_knows_is_refused_at_load(recorded: Any) -> None:
    """What a URL needs is looked for when the wall is made, and not when something is lost."""
    with pytest.raises(PolicyError, match="nowhere"):
        recorded(RULES.format(url="nowhere://x"))


def test_a_child_ships_by_itself(folder: Folder, tmp_path: Path) -> None:
    """A process that was forked from one that ships has a thread of its own."""
    code = (
        "import os, sys\nfrom tracewall.recording.folder import Folder\n"
        "from tracewall.recording.shipping import Shipper\n"
        "carrier = Shipper(Folder(sys.argv[1]), sys.argv[2], tell=print)\n"
        "carrier.start()\ncarrier._thread.join(0.2)\n"
        "child = os.fork()\n"
        "if child:\n    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "os.rename(sys.argv[1] + '/all/later', sys.argv[1] + '/all/later.jsonl.gz')\n"
        "carrier.wake()\ncarrier.close(60)\nos._exit(0)\n"
    )
    far = (tmp_path / "far").as_uri()
    entry = taped(folder)
    home = folder.directory / "all"
    (home / entry.file).rename(home / "later")
    subprocess.run([sys.executable, "-c", code, folder.directory, far], check=True)
    assert [each.id for each in Remote(far).entries()] == ["later"]
