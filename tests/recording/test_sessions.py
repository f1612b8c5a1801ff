"""What is recorded of a session: statements, decisions, rows as shown, ends, and nothing else."""

from __future__ import annotations

import os
import stat
from typing import Any

import psycopg
import pytest

import tracewall
from tracewall import AuditUnavailable, Forbidden
from tracewall.audit.people import People
from tracewall.recording.reader import Reading

MASKED = (
    "SELECT agent, api_key, user_email FROM traces.runs WHERE api_key IS NOT NULL ORDER BY run_id"
)


def test_a_session_is_recorded_from_its_header_to_its_end(recorded: Any) -> None:
    """A recording tells who, then each statement, its columns, rows and end, and is closed."""
    made = recorded()
    with made.connect() as conn:
        conn.execute(
            "SELECT run_id, 'literal', 1.5::float8, true FROM traces.runs LIMIT 1"
        ).fetchall()
    (entry,) = made.entries()
    lines, proof = made.read(entry)
    assert [line["kind"] for line in lines] == ["began", "statement", "outcome", "rows", "ended"]
    assert lines[0]["subject"] == "ann"
    assert lines[0]["groups"] == ["analysts"]
    assert lines[0]["policy"] == made.wall.policy.hash
    assert "literal" not in lines[1]["text"]
    assert lines[1]["decision"] == "allowed"
    assert lines[1]["relations"] == {"traces.runs": ["select"]}
    assert lines[2]["status"] == "ok"
    assert lines[3]["rows"][0][1:] == ["literal", 1.5, True]
    assert proof.ok


def test_rows_are_recorded_as_they_are_shown(recorded: Any, store: Any) -> None:
    """Masked columns stand in a recording as the caller got them, and are told to be masked."""
    made = recorded()
    with made.connect() as conn:
        shown = conn.execute(MASKED).fetchall()
    assert [tuple(row) for row in made.rows()] == shown
    (statement,) = made.of("statement")
    assert [column["rule"] for column in statement["columns"]] == ["", "masks.keys", "masks.mail"]
    with psycopg.connect(store.admin_dsn) as plain:
        raw = plain.execute(MASKED).fetchall()
    told = repr(made.lines())
    assert not any(str(value) in told for row in raw for value in row[1:])


def _one(conn: Any) -> None:
    cursor = conn.execute(MASKED)
    while cursor.fetchone():
        pass


def _many(conn: Any) -> None:
    cursor = conn.execute(MASKED)
    while cursor.fetchmany(3):
        pass


def _iterated(conn: Any) -> None:
    list(conn.execute(MASKED))


def _streamed(conn: Any) -> None:
    list(conn.cursor().stream(MASKED))


def _served(conn: Any) -> None:
    with conn.transaction(), conn.cursor("named") as cursor:
        cursor.execute(MASKED)
        while cursor.fetchmany(4):
            pass


def _piped(conn: Any) -> None:
    with conn.pipeline():
        cursor = conn.execute(MASKED)
    cursor.fetchall()


def _binary(conn: Any) -> None:
    conn.cursor(binary=True).execute(MASKED).fetchall()


def _twice(conn: Any) -> None:
    cursor = conn.cursor()
    for _ in range(2):
        cursor.execute(MASKED)
    cursor.fetchall()


@pytest.mark.parametrize(
    "way", [_one, _many, _iterated, _streamed, _served, _piped, _binary, _twice]
)
def test_every_way_to_rows_is_recorded(recorded: Any, way: Any) -> None:
    """Rows are recorded whatever way they are handed out, each once."""
    made = recorded()
    with made.connect() as conn:
        way(conn)
    with recorded("").connect() as conn:
        expected = conn.execute(MASKED).fetchall()
    assert [tuple(row) for row in made.rows()] == expected


def test_what_is_not_fetched_is_not_recorded(recorded: Any) -> None:
    """Only rows that were handed out are recorded."""
    made = recorded()
    with made.connect() as conn:
        first = conn.execute(MASKED).fetchone()
    assert [tuple(row) for row in made.rows()] == [first]


def test_copy_is_recorded_as_it_is_spelled(recorded: Any) -> None:
    """Rows of COPY TO are recorded as they were handed out, after masking."""
    made = recorded()
    with made.connect() as conn, conn.cursor().copy(f"COPY ({MASKED}) TO STDOUT") as copy:
        shown = [bytes(row).decode() for row in copy]
    assert [row for line in made.of("copy") for row in line["rows"]] == shown


async def test_asynchronous_sessions_are_recorded(recorded: Any) -> None:
    """An asynchronous connection is recorded in the same way."""
    made = recorded()
    conn = await tracewall.AsyncConnection.connect(wall=made.wall, token=made.token())
    async with conn:
        cursor = await conn.execute(MASKED)
        shown = await cursor.fetchall()
    assert [tuple(row) for row in made.rows()] == shown


def test_refusals_and_errors_are_recorded(recorded: Any) -> None:
    """A refused statement stands there with its rule, a failed one with its SQLSTATE."""
    made = recorded()
    with made.connect() as conn:
        with pytest.raises(Forbidden):
            conn.execute("DELETE FROM traces.runs")
        with pytest.raises(psycopg.Error):
            conn.execute("SELECT 1 / (input_tokens - input_tokens) FROM traces.runs")
    assert [line["decision"] for line in made.of("statement")] == ["forbidden", "allowed"]
    assert [line["status"] for line in made.of("outcome")] == ["refused", "error"]
    assert made.of("outcome")[1]["sqlstate"] == "22012"


def test_caps_cut_a_recording_and_say_so(recorded: Any) -> None:
    """Past a rule's rows or bytes nothing more of a statement is recorded, which is told."""
    made = recorded('\n[[recordings]]\nname = "few"\nrows = 5\nbytes = 2000\n')
    with made.connect() as conn:
        assert len(conn.execute("SELECT run_id FROM traces.runs LIMIT 9").fetchall()) == 9
        conn.execute("SELECT repeat('x', 1500) FROM traces.runs LIMIT 3").fetchall()
    assert [(line["at"], line["by"]) for line in made.of("cut")] == [(5, "rows"), (1, "bytes")]
    assert len(made.rows()) == 6


def test_only_what_a_rule_names_is_recorded(recorded: Any) -> None:
    """A statement is recorded where a rule names its table, and its action."""
    rules = '\n[[recordings]]\nname = "steps"\ntables = ["traces.steps"]\nactions = ["select"]\n'
    made = recorded(rules)
    with made.connect() as conn:
        conn.execute("SELECT run_id FROM traces.runs LIMIT 1").fetchall()
        assert not made.entries()
        conn.execute("SELECT run_id FROM traces.steps LIMIT 1").fetchall()
    assert [line["relations"] for line in made.of("statement")] == [{"traces.steps": ["select"]}]


def test_groups_that_no_rule_names_are_not_recorded(recorded: Any) -> None:
    """Recording is for whom a rule names."""
    made = recorded('\n[[recordings]]\nname = "others"\ngroups = ["auditors"]\n')
    with made.connect() as conn:
        conn.execute("SELECT 1").fetchall()
    assert not made.entries()


def test_another_principal_begins_another_recording(recorded: Any) -> None:
    """A recording is of one principal on one connection."""
    made = recorded()
    with made.connect(token=None) as conn:
        for subject in ("ann", "bob"):
            with made.wall.acting_as(made.token(subject)):
                conn.execute("SELECT 1").fetchall()
    assert [line["subject"] for line in made.of("began")] == ["ann", "bob"]


def test_files_are_for_their_owner_alone(recorded: Any) -> None:
    """A recording has mode 0600 in directories of mode 0700."""
    made = recorded()
    with made.connect() as conn:
        conn.execute("SELECT 1").fetchall()
    (path,) = (made.folder / "recordings" / "all").iterdir()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700


def test_a_recording_is_readable_while_it_is_written(recorded: Any) -> None:
    """What happened so far can be read before the session ends, and is told to be open."""
    made = recorded()
    with made.connect() as conn:
        conn.execute("SELECT 1").fetchall()
        (entry,) = made.entries()
        lines, proof = made.read(entry)
        assert [line["kind"] for line in lines] == ["began", "statement", "outcome", "rows"]
        assert entry.open
        assert not proof.fault
        assert not proof.closed
    assert not made.entries()[0].open


def test_who_can_not_be_recorded_is_refused(recorded: Any) -> None:
    """Where a recording can't be written nothing is sent and nothing handed out."""
    made = recorded()
    with made.connect() as conn:
        cursor = conn.execute("SELECT run_id FROM traces.runs LIMIT 2")
        (made.folder / "recordings" / "all" / made.entries()[0].file).unlink()
        with pytest.raises(AuditUnavailable):
            cursor.fetchall()
        (made.folder / "recordings" / "all").rmdir()
        (made.folder / "recordings" / "all").write_text("")
        with pytest.raises(AuditUnavailable):
            conn.execute("SELECT 1")


def test_a_rule_may_let_callers_go_on_unrecorded(recorded: Any) -> None:
    """With on_failure go_on the caller notices nothing, and the audit tells of it once."""
    made = recorded('\n[[recordings]]\nname = "all"\non_failure = "go_on"\n')
    (made.folder / "recordings").write_text("")
    with made.connect() as conn:
        assert conn.execute("SELECT 1").fetchall() == [(1,)]
        assert conn.execute("SELECT 2").fetchall() == [(2,)]
    made.wall.audit.flush()
    log = "".join(path.read_text() for path in (made.folder / "audit").glob("*.jsonl"))
    assert log.count("recording_failed") == 1


def test_rows_fetched_after_the_connection_closed_are_recorded(recorded: Any) -> None:
    """A cursor outlives its connection; what it still hands out goes on a second tape."""
    made = recorded()
    with made.connect() as conn:
        cursor = conn.execute("SELECT run_id FROM traces.runs ORDER BY run_id LIMIT 2")
    assert len(cursor.fetchall()) == 2
    made.wall.close()
    assert len(made.rows()) == 2
    first, second = made.of("began")
    assert second["continues"] == first["id"]
    assert all(made.read(entry)[1].ok for entry in made.entries())


def test_the_caller_can_not_change_what_is_recorded(recorded: Any) -> None:
    """Loaders and row factories of the caller's own change nothing of what is recorded."""
    made = recorded()

    class Nothing(psycopg.adapt.Loader):
        def load(self, data: Any) -> str:
            return "nothing"

    with made.connect(row_factory=lambda cursor: lambda values: None) as conn:
        conn.adapters.register_loader("text", Nothing)
        conn.execute("SELECT 'something' FROM traces.runs LIMIT 1").fetchall()
    assert made.rows() == [["something"]]


def test_a_recorded_result_shows_no_values_but_by_fetching(recorded: Any) -> None:
    """The raw result of a recorded statement tells nobody a value that is not recorded."""
    made = recorded()
    with made.connect() as conn:
        cursor = conn.execute("SELECT run_id FROM traces.runs LIMIT 1")
        assert cursor.pgresult.ntuples == 1
        with pytest.raises(Forbidden):
            cursor.pgresult.get_value(0, 0)


def test_a_value_that_psycopg_can_not_load_is_recorded_as_it_is_spelled(recorded: Any) -> None:
    """An infinite date does not keep a row from the caller whose loader knows it."""
    made = recorded()

    class Spelled(psycopg.adapt.Loader):
        def load(self, data: Any) -> str:
            return bytes(data).decode()

    with made.connect() as conn:
        conn.adapters.register_loader("date", Spelled)
        conn.execute("SELECT 'infinity'::date, api_key FROM traces.runs LIMIT 1").fetchall()
    assert made.rows() == [["infinity", "(masked)"]]


def test_the_audit_keeps_where_a_recording_ended(recorded: Any) -> None:
    """The end of each recording is in the audit log, so that it can't be cut unnoticed."""
    made = recorded()
    with made.connect() as conn:
        conn.execute("SELECT 1").fetchall()
    made.wall.audit.flush()
    log = "".join(path.read_text() for path in (made.folder / "audit").glob("*.jsonl"))
    (entry,) = made.entries()
    assert made.read(entry)[1].head in log


def test_parameters_and_written_values_are_not_recorded(recorded: Any) -> None:
    """Neither literals nor parameters of a statement stand in a recording."""
    made = recorded()
    with made.connect() as conn:
        conn.execute("UPDATE traces.runs SET status = %s WHERE agent = $$nobody$$", ("canary-one",))
        conn.execute("SELECT count(*) FROM traces.runs WHERE status = 'canary-two'").fetchall()
    assert "canary" not in repr(made.lines())


def test_without_rules_nothing_is_recorded(recorded: Any) -> None:
    """Recording is opt-in: without a rule there is neither a recorder nor a folder."""
    made = recorded("")
    with made.connect() as conn:
        conn.execute("SELECT 1").fetchall()
        assert conn._session.taping is None
    assert not (made.folder / "recordings").exists()


def test_an_erasable_record_has_recordings_without_names(recorded: Any) -> None:
    """With audit.erasable a recording has pseudonyms, of actors too, which can be erased."""
    made = recorded('\n[audit]\nerasable = true\n[[recordings]]\nname = "all"\n')
    with made.connect() as conn:
        conn.execute("SELECT agent FROM traces.runs LIMIT 1").fetchall()
    made.wall.close()
    began = made.lines()[0]
    assert began["subject"].startswith("p-")
    (entry,) = made.entries()
    with made.store.open(entry) as stream:
        assert "ann" not in {v for line in Reading(stream) for v in line.values() if type(v) is str}
    assert People(made.folder / "audit").erase("ann") == [began["subject"]]
