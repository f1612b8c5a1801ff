import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracewall.cli.entries import entry
from tracewall.cli.screen import safe

RECORDS = 24
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KINDS = st.sampled_from("opened intent outcome statement incident closed unreadable ?".split())


def lines(log):
    """Give the log's only file and its lines."""
    (file,) = log.glob("*.jsonl")
    return file, file.read_bytes().splitlines(keepends=True)


def test_a_log_in_order_verifies(run, log):
    """A log nobody touched: exit code 0, and how many records hold together."""
    result = run("audit", "verify", log)
    assert result.exit_code == 0
    assert f"{RECORDS} records hold together" in result.stdout


@pytest.mark.parametrize("at", [0, 5, RECORDS - 1])
def test_a_changed_record_is_found_with_its_line(run, log, at):
    """Whatever record is changed: exit code 1, and the first faulty line is named."""
    file, told = lines(log)
    told[at] = told[at].replace(b'"at":1', b'"at":2')
    file.write_bytes(b"".join(told))
    result = run("audit", "verify", log)
    assert result.exit_code == 1
    assert f"{file.name}:{at + 1}: " in result.stderr


def test_a_record_taken_out_is_found(run, log):
    """A record less: exit code 1, also when a program asks."""
    file, told = lines(log)
    file.write_bytes(b"".join(told[:7] + told[8:]))
    assert run("audit", "verify", log).exit_code == 1
    result = run("audit", "verify", log, "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert (answer["ok"], answer["files"][0]["fault"]["line"]) == (False, 8)


def test_a_cut_end_is_found_by_what_was_remembered(run, log, tmp_path):
    """What `verify --json` printed once shows later that the end is missing."""
    remembered = tmp_path / "heads.json"
    remembered.write_text(run("audit", "verify", log, "--json").stdout)
    assert run("audit", "verify", log, "--heads", remembered).exit_code == 0
    file, told = lines(log)
    file.write_bytes(b"".join(told[:-1]))
    assert run("audit", "verify", log).exit_code == 0
    assert run("audit", "verify", log, "--heads", remembered).exit_code == 1


def test_a_log_taken_away_is_found(run, log):
    """A directory without a log is no proof of anything: exit code 1, also for programs."""
    lines(log)[0].unlink()
    assert run("audit", "verify", log).exit_code == 1
    result = run("audit", "verify", log, "--json")
    assert (result.exit_code, json.loads(result.stdout)["ok"]) == (1, False)


@pytest.mark.parametrize("text", ["", "{}", '{"heads": 1}', "[" * 5000, '{"heads": [{"n": 1}]}'])
def test_heads_that_are_none_are_refused(run, log, tmp_path, text):
    """What is no print of `verify --json` is bad usage, not a log that verifies."""
    heads = tmp_path / "heads.json"
    heads.write_text(text)
    result = run("audit", "verify", log, "--heads", heads)
    assert result.exit_code == 2
    assert "verify --json" in result.stderr


@pytest.mark.parametrize("command", ["verify", "tail"])
def test_a_path_that_is_not_there_is_bad_usage(run, log, command):
    """A missing path: exit code 2, no traceback."""
    shutil.rmtree(log)
    assert run("audit", command, log).exit_code == 2


@pytest.mark.parametrize("count", [1, 3, 100])
def test_tail_gives_the_last_records(run, log, count):
    """As many as asked for, oldest first, one line each."""
    told = run("audit", "tail", log, "-n", count).stdout.splitlines()
    assert len(told) == min(count, RECORDS)
    assert "closed" in told[-1]


def test_tail_says_who_what_and_how(run, log):
    """A line has the subject, the summary, the decision with its rule, and the outcome."""
    told = run("audit", "tail", log, "-n", 100).stdout
    assert "ann  SELECT traces.runs  allowed by grants.all  masked: masks.keys" in told
    assert "ok  8 rows  1.2 ms" in told


def test_tail_tells_a_statement_and_its_end_in_one_line(run, buffered_log):
    """Where intent and outcome are one record, one line has the decision and how it ended."""
    _, first, second, _ = run("audit", "tail", buffered_log).stdout.splitlines()
    assert "statement ann  SELECT traces.runs  allowed by grants.all  masked: masks.keys" in first
    assert first.endswith("  ended: ok  8 rows  1.2 ms")
    assert "DELETE traces.runs  forbidden by grants.all" in second
    assert second.endswith("  ended: refused  0.1 ms")


def test_tail_gives_programs_the_records_themselves(run, log):
    """With --json each line is the record as it was written."""
    told = run("audit", "tail", log, "-n", 100, "--json").stdout.splitlines()
    assert [json.loads(line) for line in told] == [json.loads(line) for line in lines(log)[1]]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_nothing_in_a_log_steers_the_terminal(run, log, options):
    """Escape sequences, newlines and direction marks in a log come out as escapes."""
    told = run("audit", "tail", log, "-n", 100, *options).stdout
    assert all(line.isprintable() for line in told.split("\n"))
    assert len(told.splitlines()) == RECORDS


def test_a_damaged_line_is_shown_as_a_gap(run, log):
    """A line that is no record is told as unreadable, and the rest is still shown."""
    file, told = lines(log)
    told[3] = b"\x1b[2J not a record\n"
    file.write_bytes(b"".join(told))
    shown = run("audit", "tail", log, "-n", 100)
    assert shown.exit_code == 0
    assert "unreadable" in shown.stdout.splitlines()[3]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(KINDS, st.dictionaries(st.sampled_from("n at who what ended incident pid".split()), JSON))
def test_any_record_has_a_harmless_line(kind, record):
    """Whatever a record holds, it is one printable line and never an error."""
    assert entry({**record, "kind": kind}).plain.isprintable()


def test_a_huge_number_has_a_harmless_line():
    """A number that Python refuses to spell is no error."""
    for name in ("rows", "seconds", "status"):
        ended = {name: 10**5000}
        assert entry({"kind": "outcome", "n": 10**5000, "at": 10**400, "ended": ended}).plain


@given(st.text())
def test_a_safe_text_is_printable(text):
    """No character that could steer a terminal is left, and what was harmless stays."""
    told = safe(text)
    assert told.isprintable()
    assert told == text or not text.isprintable()
    assert safe(text, lines=True).replace("\n", "").isprintable()
