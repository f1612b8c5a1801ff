"""The file log: what a record holds, when it is written, and who may write it."""

from __future__ import annotations

import gc
import hashlib
import json
import re
import stat
import threading
import traceback
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracewall.audit.log import FileLog
from tracewall.audit.record import Head
from tracewall.audit.verify import records, verify
from tracewall.errors import AuditUnavailable
from tracewall.events import Ended, Incident, What, Who

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def only_file(directory: Path) -> Path:
    (path,) = directory.iterdir()
    return path


def on_disk(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in only_file(directory).read_bytes().splitlines()]


def kinds(directory: Path) -> list[str]:
    return [record["kind"] for record in on_disk(directory)]


def test_each_record_holds_the_hash_of_the_line_before(
    tmp_path: Path, who: Who, what: What, ended: Ended
) -> None:
    """`prev` is the SHA-256 of the line before, zeros for the first; `n` counts from 0."""
    with FileLog(tmp_path) as log:
        for _ in range(5):
            log.outcome(log.intent(who, what), ended)
        log.incident(Incident(kind="policy_loaded", detail="version 2", policy="1" * 64))
    prev = "0" * 64
    lines = only_file(tmp_path).read_bytes().split(b"\n")
    assert lines.pop() == b""
    for n, line in enumerate(lines):
        record = json.loads(line)
        assert (record["n"], record["prev"]) == (n, prev)
        prev = hashlib.sha256(line).hexdigest()
    assert kinds(tmp_path) == ["opened"] + ["intent", "outcome"] * 5 + ["incident", "closed"]


def test_a_record_says_who_what_and_how_it_ended(
    tmp_path: Path, who: Who, what: What, ended: Ended
) -> None:
    """Everything in the events is in the record, and the outcome names its intent."""
    clock = Clock()
    with FileLog(tmp_path, clock=clock) as log:
        clock.now += 0.123456
        number = log.intent(who, what)
        log.outcome(number, ended)
        log.incident(Incident(kind="connected", who=who))
    opened, intent, outcome, incident, _ = on_disk(tmp_path)
    assert opened["format"] == 1
    assert opened["writer"] + ".jsonl" == only_file(tmp_path).name
    assert number == intent["n"] == outcome["intent"] == 1
    assert intent["at"] == 1_700_000_000.123456
    assert msgspec.convert(intent["who"], Who).subject == who.subject
    assert msgspec.convert(intent["what"], What).relations == what.relations
    assert msgspec.convert(outcome["ended"], Ended) == ended
    assert incident["incident"] == {"kind": "connected", "who": intent["who"]}


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """The directory has mode 0700, the file 0600, and its name tells time and process."""
    directory = tmp_path / "below" / "audit"
    FileLog(directory, clock=Clock()).close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    path = only_file(directory)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.fullmatch(r"20231114T221320\.000000Z-\d+-[0-9a-f]{8}\.jsonl", path.name)


def test_a_directory_that_everybody_may_change_is_refused(tmp_path: Path) -> None:
    """Whoever may remove a file could remove the record, so such a directory is not used."""
    tmp_path.chmod(0o777)
    with pytest.raises(AuditUnavailable, match="everybody may change"):
        FileLog(tmp_path)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A log that can't open its first file is no log: it says so at once, without the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditUnavailable) as caught:
        FileLog(tmp_path / "file" / "audit")
    assert str(tmp_path) not in str(caught.value)


def test_a_misspelt_durability_is_refused(tmp_path: Path) -> None:
    """No spelling mistake makes the log weaker than was meant."""
    with pytest.raises(ValueError, match="durability"):
        FileLog(tmp_path, durability="sync")  # type: ignore[arg-type]


def test_a_written_intent_is_in_the_file_before_it_returns(
    tmp_path: Path, who: Who, what: What, ended: Ended
) -> None:
    """With `written` the intent is there at once, and the outcome comes with the next intent."""
    with FileLog(tmp_path) as log:
        number = log.intent(who, what)
        assert kinds(tmp_path) == ["opened", "intent"]
        log.outcome(number, ended)
        assert kinds(tmp_path) == ["opened", "intent"]
        log.intent(who, what)
        assert kinds(tmp_path) == ["opened", "intent", "outcome", "intent"]


def test_buffered_records_are_written_in_batches(
    tmp_path: Path, who: Who, what: What, ended: Ended
) -> None:
    """With `buffered` one record tells a whole statement, and never more than 63 wait."""
    with FileLog(tmp_path, durability="buffered", clock=Clock()) as log:
        for done in range(1, 200):
            log.outcome(log.intent(who, what), ended)
            waiting = 1 + done - len(on_disk(tmp_path))
            assert waiting == done % 64
    assert kinds(tmp_path) == ["opened"] + ["statement"] * 199 + ["closed"]


def test_buffered_intents_without_an_outcome_are_written_in_batches(
    tmp_path: Path, who: Who, what: What, ended: Ended
) -> None:
    """Intents that wait for their outcomes count as well: never more than 64 of them wait."""
    with FileLog(tmp_path, durability="buffered", clock=Clock()) as log:
        numbers = []
        for done in range(1, 200):
            numbers.append(log.intent(who, what))
            waiting = 1 + done - len(on_disk(tmp_path))
            assert waiting == (done - 1) % 64 + 1
        for done, number in enumerate(numbers, 1):
            log.outcome(number, ended)
            # The last 7 intents still wait, and fill the batch with the first 57 outcomes.
            assert 200 + done - len(on_disk(tmp_path)) == (done + 7) % 64
    assert kinds(tmp_path) == ["opened"] + ["intent"] * 199 + ["outcome"] * 199 + ["closed"]


def test_a_buffered_statement_is_one_record(
    tmp_path: Path, who: Who, what: What, ended: Ended
) -> None:
    """It says who, what and how it ended, at the time and under the number of its intent."""
    clock = Clock()
    with FileLog(tmp_path, durability="buffered", clock=clock) as log:
        number = log.intent(who, what)
        clock.now += 0.5
        log.outcome(number, ended)
    _, told, _ = records(tmp_path)
    assert {*told} == {"n", "prev", "at", "kind", "who", "what", "ended", "crc"}
    assert (told["n"], told["kind"], told["at"]) == (number, "statement", 1_700_000_000.0)
    assert msgspec.convert(told["who"], Who).subject == who.subject
    assert msgspec.convert(told["what"], What).relations == what.relations
    assert msgspec.convert(told["ended"], Ended) == ended


def test_a_second_outcome_does_not_touch_the_first(tmp_path: Path, who: Who, what: What) -> None:
    """An outcome told again, before or after the write, is a record of its own."""
    with FileLog(tmp_path, durability="buffered") as log:
        number = log.intent(who, what)
        for rows in (1, 2):
            log.outcome(number, Ended(status="ok", rows=rows))
        log.flush()
        log.outcome(number, Ended(status="ok", rows=3))
    _, statement, second, third, _ = on_disk(tmp_path)
    assert (statement["kind"], statement["ended"]["rows"]) == ("statement", 1)
    for told, rows in ((second, 2), (third, 3)):
        assert (told["kind"], told["intent"], told["ended"]["rows"]) == ("outcome", number, rows)
    assert verify(tmp_path).files[0].open_intents == ()


@pytest.mark.parametrize("ahead", [-100, -2, -1, 1, 2, 100])
def test_an_outcome_of_no_intent_does_not_end_another(
    tmp_path: Path, who: Who, what: What, ended: Ended, ahead: int
) -> None:
    """A number that was not given out, or not yet, leaves the intents that wait as they are."""
    with FileLog(tmp_path, durability="buffered") as log:
        log.outcome(log.intent(who, what) + ahead, ended)
        for _ in range(3):
            log.intent(who, what)
    assert len(verify(tmp_path).files[0].open_intents) >= 3
    assert "statement" not in kinds(tmp_path)


def test_outcomes_in_the_middle_of_a_close_start_no_new_file(
    tmp_path: Path, who: Who, what: What, ended: Ended
) -> None:
    """However many outcomes come while the log closes, nothing is written after its end."""
    log: FileLog | None = None
    numbers: list[int] = []
    open_ones: list[int] = []

    def clock() -> float:
        # Each outcome is interrupted by the next one, and the last of them by the close.
        if open_ones and log:
            number = open_ones.pop()
            log.outcome(number, ended)
            if number == numbers[0]:
                log.close()
        return 1_700_000_000.0

    log = FileLog(tmp_path, durability="buffered", clock=clock)
    for _ in range(150):
        numbers.append(log.intent(who, what))
    open_ones += numbers
    clock()
    log.flush()
    report = verify(tmp_path)
    assert [file.closed for file in report.files] == [True]
    assert log.head() == report.files[0].head


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_the_order_each_statement_is_told_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Each intent is in one record, each outcome is told once and for its own intent.

    What is told of a number no second time is open exactly if nothing was told.
    """
    directory = tmp_path_factory.mktemp("audit")
    who = Who(issuer="i", subject="ana", session="s", database="d", role="r")
    what = What(summary="s", text="t", sha256="0", decision="allowed", rule="g", policy="p")
    clock = Clock()
    numbers: list[int] = []
    told: list[tuple[int, int]] = []
    steps = st.lists(st.sampled_from("iiiiooooofxw"), max_size=200)
    with FileLog(directory, durability="buffered", clock=clock) as log:
        for turn, step in enumerate(data.draw(steps)):
            if step == "i":
                numbers.append(log.intent(who, what))
            elif step == "o" and numbers:
                told.append((data.draw(st.sampled_from(numbers[-70:])), turn))
                log.outcome(told[-1][0], Ended(status="ok", rows=turn))
            elif step == "f":
                log.flush()
            elif step == "x":
                log.incident(Incident(kind="mismatch"))
            elif step == "w":
                clock.now += 0.6
    (file,) = verify(directory).files
    assert file.ok
    kept = list(records(directory))
    assert [r["n"] for r in kept if "who" in r] == numbers
    ends = [(r.get("intent", r["n"]), r["ended"]["rows"]) for r in kept if "ended" in r]
    assert sorted(ends) == sorted(told)
    assert set(file.open_intents) == set(numbers) - {number for number, _ in told}


@pytest.mark.parametrize("moved", [1.0, -5.0])
def test_a_pending_record_does_not_wait_for_long(
    tmp_path: Path, who: Who, what: What, ended: Ended, moved: float
) -> None:
    """The first call after a second writes what waits, also when the clock was set back."""
    clock = Clock()
    with FileLog(tmp_path, durability="buffered", clock=clock) as log:
        number = log.intent(who, what)
        assert kinds(tmp_path) == ["opened"]
        clock.now += moved
        log.outcome(number, ended)
        assert kinds(tmp_path) == ["opened", "statement"]


@pytest.mark.parametrize("moved", [1.0, -5.0])
def test_an_intent_writes_what_waited_for_long(
    tmp_path: Path, who: Who, what: What, ended: Ended, moved: float
) -> None:
    """It is written before the new intent, whose own second begins."""
    clock = Clock()
    with FileLog(tmp_path, durability="buffered", clock=clock) as log:
        log.intent(who, what)
        clock.now += moved
        number = log.intent(who, what)
        assert kinds(tmp_path) == ["opened", "intent"]
        clock.now += 1.0
        log.outcome(number, ended)
        assert kinds(tmp_path) == ["opened", "intent", "statement"]


@pytest.mark.parametrize(
    ("durability", "told"),
    [
        ("buffered", ["statement"]),
        ("written", ["intent", "outcome"]),
        ("synced", ["intent", "outcome"]),
    ],
)
def test_flush_writes_what_is_pending(
    tmp_path: Path, who: Who, what: What, ended: Ended, durability: Any, told: list[str]
) -> None:
    """After `flush` nothing waits."""
    with FileLog(tmp_path, durability=durability) as log:
        log.outcome(log.intent(who, what), ended)
        log.flush()
        assert kinds(tmp_path) == ["opened", *told]


def test_an_incident_is_written_at_once(tmp_path: Path, who: Who, what: What) -> None:
    """An incident does not wait, not even with `buffered`, and keeps the order."""
    with FileLog(tmp_path, durability="buffered") as log:
        log.intent(who, what)
        log.incident(Incident(kind="mismatch", detail="a column was not expected"))
        assert kinds(tmp_path) == ["opened", "intent", "incident"]


def test_a_closed_log_refuses_intents(tmp_path: Path, who: Who, what: What, ended: Ended) -> None:
    """After `close` nothing can be sent; a late outcome or a second `close` does no harm."""
    log = FileLog(tmp_path)
    number = log.intent(who, what)
    log.close()
    before = only_file(tmp_path).read_bytes()
    with pytest.raises(AuditUnavailable, match="closed"):
        log.intent(who, what)
    with pytest.raises(AuditUnavailable, match="closed"):
        log.incident(Incident(kind="connected"))
    log.outcome(number, ended)
    log.flush()
    log.close()
    assert only_file(tmp_path).read_bytes() == before
    assert log.head() == verify(only_file(tmp_path)).files[0].head


def test_the_head_is_the_last_record_written(tmp_path: Path, who: Who, what: What) -> None:
    """`head` names the file, the number and the hash of the last line that is in the file."""
    with FileLog(tmp_path) as log:
        log.intent(who, what)
        path = only_file(tmp_path)
        last = path.read_bytes().splitlines()[-1]
        assert log.head() == Head(file=path.name, n=1, sha256=hashlib.sha256(last).hexdigest())


@settings(max_examples=200, deadline=None)
@given(subject=_TEXT, text=_TEXT, rule=_TEXT, sqlstate=_TEXT, detail=_TEXT, table=_TEXT)
def test_no_text_breaks_a_line_or_a_terminal(
    tmp_path_factory: pytest.TempPathFactory,
    subject: str,
    text: str,
    rule: str,
    sqlstate: str,
    detail: str,
    table: str,
) -> None:
    """Whatever the text, a record is one line of printable ASCII and reads back as it was."""
    directory = tmp_path_factory.mktemp("audit")
    who = Who(issuer="i", subject=subject, session="s", database="d", role="r")
    what = What(
        summary="s",
        text=text,
        sha256="0" * 64,
        decision="allowed",
        rule=rule,
        policy="p",
        relations={table: ["select"]},
    )
    with FileLog(directory) as log:
        log.outcome(log.intent(who, what), Ended(status="ok", sqlstate=sqlstate))
        log.incident(Incident(kind="mismatch", detail=detail))
    raw = only_file(directory).read_bytes()
    assert re.fullmatch(rb"(?:[\x20-\x7e]+\n){5}", raw)
    _, intent, outcome, incident, _ = records(directory)
    assert intent["who"]["subject"] == subject
    assert (intent["what"]["text"], intent["what"]["rule"]) == (text, rule)
    assert list(intent["what"]["relations"]) == [table]
    assert outcome["ended"].get("sqlstate", "") == sqlstate
    assert incident["incident"].get("detail", "") == detail
    assert verify(directory).ok


@pytest.mark.parametrize(
    "attack",
    [
        'x"}\n{"n":2,"prev":"","at":0,"kind":"closed"}',
        "\x1b[2J\x1b[31mall is well\x07\r",
        "\u202eevil\u2066\u2028\u2029\x85\x9b31m\x7f",
        "</script>\0\U0001f600\ufeff",
    ],
)
def test_known_log_injections_stay_inside_their_field(
    tmp_path: Path, who: Who, what: What, attack: str
) -> None:
    """Newlines, forged records, ANSI and bidirectional controls don't leave their string."""
    with FileLog(tmp_path) as log:
        log.intent(msgspec.structs.replace(who, subject=attack), what)
    assert kinds(tmp_path) == ["opened", "intent", "closed"]
    assert re.fullmatch(rb"[\x20-\x7e\n]+", only_file(tmp_path).read_bytes())
    assert on_disk(tmp_path)[1]["who"]["subject"] == attack


def test_text_that_is_no_unicode_is_refused_without_showing_it(
    tmp_path: Path, who: Who, what: What
) -> None:
    """A lone surrogate can't be recorded: it is refused, without its text in the error."""
    bad = msgspec.structs.replace(who, subject="canary-7f3a\ud800")
    with FileLog(tmp_path) as log:
        with pytest.raises(AuditUnavailable) as caught:
            log.intent(bad, what)
        assert "canary" not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__context__ is None
        with pytest.raises(AuditUnavailable):
            log.incident(Incident(kind="token_rejected", who=bad))
        log.intent(who, what)
    assert kinds(tmp_path) == ["opened", "intent", "closed"]


@pytest.mark.parametrize("durability", ["buffered", "written"])
@pytest.mark.parametrize(
    "ended",
    [
        Ended(status="error", sqlstate="\ud800"),
        Ended(status="error", sqlstate="x" * 2_000_000),
        Ended(status="ok", rows=10**5000),
        Ended(status="ok", rows=object()),  # type: ignore[arg-type]
    ],
    ids=["no unicode", "too long", "too large", "no number"],
)
def test_an_outcome_that_cannot_be_told_does_not_block_the_log(
    tmp_path: Path, who: Who, what: What, durability: Any, ended: Ended
) -> None:
    """What can't be encoded in an outcome is kept as `unknown`, and the log goes on."""
    with FileLog(tmp_path, durability=durability) as log:
        log.outcome(log.intent(who, what), ended)
        log.intent(who, what)
    (told,) = [record for record in on_disk(tmp_path) if "ended" in record]
    assert told["ended"] == {"status": "unknown"}
    assert verify(tmp_path).ok


def test_a_record_that_is_too_long_is_refused(tmp_path: Path, who: Who, what: What) -> None:
    """A record longer than the verifier reads is never written."""
    with FileLog(tmp_path) as log:
        with pytest.raises(AuditUnavailable, match="too long"):
            log.intent(who, msgspec.structs.replace(what, text="x" * 300_000))
        # The longest statement that is judged, in the worst spelling it is likely to have.
        log.intent(who, msgspec.structs.replace(what, text="\U0001f600" * 16_384))
    assert verify(tmp_path).ok


def test_many_different_statements_do_not_fill_the_memory(
    tmp_path: Path, who: Who, what: What
) -> None:
    """The kept encodings are bounded: 40 MB of different statements leave under 12 MB behind."""
    with FileLog(tmp_path, durability="buffered") as log:
        tracemalloc.start()
        try:
            for n in range(4000):
                log.intent(who, msgspec.structs.replace(what, text=f"{n}" + "x" * 10_000))
            log.flush()
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] < 12 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("durability", "told"), [("buffered", "statement"), ("written", "outcome")]
)
def test_an_outcome_reported_in_the_middle_of_an_intent_does_not_hang(
    tmp_path: Path, who: Who, what: What, ended: Ended, durability: Any, told: str
) -> None:
    """A finaliser may report an outcome while its own thread is inside `intent`."""
    log: FileLog | None = None
    pending: list[int] = []

    def clock() -> float:
        # The log reads the clock with its lock held: as good a moment as any for a collection.
        while log and pending:
            log.outcome(pending.pop(), ended)
        return 1_700_000_000.0

    log = FileLog(tmp_path, durability=durability, clock=clock)
    for _ in range(300):
        pending.append(log.intent(who, what))
    clock()
    log.close()
    report = verify(tmp_path)
    assert report.ok
    assert report.files[0].open_intents == ()
    assert kinds(tmp_path).count(told) == 300


@pytest.mark.parametrize("durability", ["buffered", "written", "synced"])
def test_threads_share_one_chain(tmp_path: Path, what: What, ended: Ended, durability: Any) -> None:
    """Many threads at once leave one whole chain, in which each number is its own intent's."""
    threads, each = 8, 25 if durability == "synced" else 300
    numbers: dict[tuple[int, int], int] = {}

    def work(name: int) -> None:
        for turn in range(each):
            who = Who(issuer="i", subject=f"{name}/{turn}", session="s", database="d", role="r")
            numbers[name, turn] = number = log.intent(who, what)
            log.outcome(number, ended)

    with FileLog(tmp_path, durability=durability) as log:
        workers = [threading.Thread(target=work, args=(name,)) for name in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    report = verify(tmp_path)
    assert report.ok
    assert report.files[0].closed
    assert report.files[0].open_intents == ()
    kept = [r for r in records(tmp_path) if r["kind"] in ("intent", "statement")]
    assert len(kept) == len(numbers)
    assert sum("ended" in r for r in records(tmp_path)) == len(numbers)
    written = {r["who"]["subject"]: r["n"] for r in kept}
    assert written == {f"{name}/{turn}": number for (name, turn), number in numbers.items()}


def test_the_record_has_no_place_for_values() -> None:
    """No event has a field for parameters, rows, messages or tokens: a canary has nowhere to go."""
    fields = {
        name
        for kind in (Who, What, Ended, Incident)
        for name in msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    }
    forbidden = {"token", "password", "parameters", "params", "values", "row", "message", "query"}
    assert not fields & forbidden
    with pytest.raises(TypeError):
        Ended(status="error", message="canary")  # type: ignore[call-arg]
