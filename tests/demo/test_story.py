import os
import re
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from tracewall import PolicyError, Wall
from tracewall.demo.figures import figures
from tracewall.demo.proof import recorded, spanned, tampered
from tracewall.demo.scenes import Cell, Document, Grid, Note, Refusal, Verdict
from tracewall.demo.server import running_server
from tracewall.demo.stage import PASSWORD_VARIABLE, fitted, leave, staged, strike
from tracewall.demo.story import tell

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Unix sockets are the way in")
RUNS = 40


@pytest.fixture(scope="module")
def stage():
    """A stage with a few runs, many of them with secrets."""
    with staged(runs=RUNS, share=0.3) as made:
        yield made


@pytest.fixture(scope="module")
def told(stage):
    """The story, told to its end."""
    return list(tell(stage))


def titled(told, title):
    """Give the scene of that title."""
    (scene,) = [scene for scene in told[:-1] if scene.title == title]
    return scene


def parts(scene, kind):
    """Give the parts of one kind."""
    return [part for part in scene.parts if isinstance(part, kind)]


def texts(told) -> Iterator[Cell]:
    """Give every text of the scenes, as cells."""
    for scene in told[:-1]:
        yield from (Cell(scene.title), Cell(scene.told))
        for part in scene.parts:
            match part:
                case Grid(head, rows):
                    yield from head
                    yield from (cell for row in rows for cell in row)
                case Note(text, tone):
                    yield Cell(text, tone)
                case _:
                    yield Cell(repr(part))


def secrets_of(stage):
    """Give every value that must not be seen: planted ones, keys of the store, credentials."""
    with psycopg.connect(stage.admin) as conn:
        keys = {key for (key,) in conn.execute("SELECT api_key FROM traces.runs").fetchall()}
    return keys | {each.value for each in stage.filled.planted} | {stage.password}


def test_the_story_is_told_to_a_good_end(told):
    """Every scene is told, and the verdict is: all read, nothing seen, the log intact."""
    *scenes, verdict = told
    assert [scene.title for scene in scenes] == [
        "The stage",
        "The same query by each",
        "Inside JSON",
        "What ana may not do",
        "What omar may",
        "Strangers",
        "Async, one connection, two people",
        "An export waits for a person",
        "The session, played again",
        "The record",
        "The proof",
        "The span",
        "Did anything come through?",
    ]
    assert verdict.ok
    assert (verdict.missed, verdict.unread, verdict.intact) == ({}, 0, True)


def test_the_verdict_counts_what_was_planted(stage, told):
    """Plain psycopg sees every place, so that seeing none through the wall means something."""
    verdict = told[-1]
    assert verdict.planted == verdict.unguarded == stage.filled.planted_count > 50
    assert verdict.secrets == len({each.value for each in stage.filled.planted})
    assert verdict.caught == verdict.tampered == 3


def test_no_scene_shows_a_secret_but_the_unguarded_column(stage, told):
    """No key, planted secret, password or token is shown but where it says "plain psycopg"."""
    secrets = secrets_of(stage)
    bare, shown = [], []
    for cell in texts(told):
        (bare if cell.tone == "bare" else shown).append(cell.text)
    assert not [secret for secret in secrets if any(secret in text for text in shown)]
    assert not [text for text in shown if re.search(r"eyJ[\w-]+\.eyJ", text)]
    assert [secret for secret in secrets if any(secret in text for text in bare)]


def test_each_sees_what_they_may(told):
    """One query: ana's address and e-mail are masked, omar's are not, the key is for both."""
    grid = parts(titled(told, "The same query by each"), Grid)[0]
    rows = {row[0].text: row[1:] for row in grid.rows}
    tones = {name: [cell.tone for cell in row] for name, row in rows.items()}
    assert tones == {
        "tenant": ["plain", "plain", "plain"],
        "user_email": ["bare", "masked", "plain"],
        "client_ip": ["bare", "masked", "plain"],
        "api_key": ["bare", "masked", "masked"],
        "content": ["bare", "masked", "masked"],
    }
    assert rows["api_key"][1].text.startswith("[masked]")


def test_a_document_keeps_its_shape(told):
    """The masked document differs from the stored one, and both begin alike."""
    (grid,) = parts(titled(told, "Inside JSON"), Grid)
    ((bare, masked),) = grid.rows
    assert (bare.tone, masked.tone) == ("bare", "masked")
    assert bare.text != masked.text
    assert bare.text[: bare.part[0]] == masked.text[: masked.part[0]]


def test_each_attempt_is_refused_by_its_rule(told):
    """Four attempts, four refusals, each with the rule that decided and a reason."""
    scene = titled(told, "What ana may not do")
    refusals = parts(scene, Refusal)
    assert [(each.error, each.rule) for each in refusals] == [
        ("Forbidden", "masks.api-keys"),
        ("Forbidden", "masks.api-keys"),
        ("Forbidden", "denials.tool-calls"),
        ("Forbidden", "default"),
    ]
    assert all(each.reason for each in refusals)
    assert refusals[0].hint
    assert not [
        note for note in parts(titled(told, "What ana may not do"), Note) if note.tone == "bare"
    ]


def test_an_operator_mends_a_run_and_no_more(stage, told):
    """The status changes in the store, the key comes back masked, another column is refused."""
    scene = titled(told, "What omar may")
    (grid,), (refusal,) = parts(scene, Grid), parts(scene, Refusal)
    status, email, key = grid.rows[0]
    assert (status.text, refusal.rule) == ("error", "default")
    assert "***" not in email.text
    assert key.text.startswith("[masked]")
    with psycopg.connect(stage.admin) as conn:
        mended = conn.execute(
            "SELECT count(*) FROM traces.runs WHERE status = 'error' AND user_email = %s",
            [email.text],
        ).fetchone()
    assert mended[0] >= 1


def test_every_stranger_is_turned_away(told):
    """Four tokens that are not in order, four reasons."""
    (grid,) = parts(titled(told, "Strangers"), Grid)
    assert [row[1].text for row in grid.rows] == [
        "unknown_key",
        "expired",
        "wrong_audience",
        "bad_signature",
    ]


def test_one_async_connection_serves_two_people(told):
    """Who acts decides what shows, and without anybody nothing does."""
    (grid,) = parts(titled(told, "Async, one connection, two people"), Grid)
    ana, omar, nobody = grid.rows
    assert ana[1].text.startswith(omar[1].text[0] + "***@")
    assert ana[3].text == omar[3].text
    assert nobody[1].text == "TokenRejected: missing"


def test_the_record_is_of_the_first_statement(told):
    """The intent names who asked and what is masked; the outcome belongs to it."""
    intent, outcome = parts(titled(told, "The record"), Document)
    assert intent.content["who"]["subject"] == "ana"
    assert set(intent.content["what"]["masked"].values()) >= {"masks.emails", "scans.free-text"}
    assert outcome.content["intent"] == intent.content["n"]


def test_the_span_is_of_the_first_statement(told):
    """The span has the decision and the summary."""
    (span,) = parts(titled(told, "The span"), Document)
    assert span.title == span.content["db.query.summary"]
    assert span.content["tracewall.decision"] == "allowed"


def test_without_the_sdk_the_story_says_so(stage):
    """Where the OpenTelemetry SDK is missing a sentence stands in for the span."""
    (note,) = spanned(replace(stage, spans=None)).parts
    assert "not installed" in note.text


def weakened(stage, directory, before, after):
    """Give the stage with another wall: the policy with one thing changed."""
    policy = directory / "policy.toml"
    text = (stage.home / "policy.toml").read_text("utf-8")
    assert before in text
    policy.write_text(text.replace(before, after, 1), "utf-8")
    return Wall.load(policy)


@pytest.mark.parametrize(
    ("before", "after", "missed"),
    [
        ('    "traces.steps.content",\n', "", "aws"),
        ('    "traces.messages.parts",\n', "", "pem"),
        ('name = "free-text"\n', 'name = "free-text"\ndetectors = ["email"]\n', "card"),
        ('lifts = ["emails", "addresses"]', 'lifts = ["free-text"]', "jwt"),
        ('lifts = ["emails", "addresses"]', 'lifts = ["api-keys"]', "api_key"),
    ],
)
def test_what_comes_through_is_counted_by_kind(stage, told, tmp_path, before, after, missed):
    """With a hole in the policy the verdict is bad, and says which kinds came through."""
    with weakened(stage, tmp_path, before, after) as wall:
        open_stage = replace(stage, wall=wall)
        proofs = tampered(stage)[1]
        scene, verdict = figures(open_stage, proofs)
    assert not verdict.ok
    assert verdict.missed[missed] > 0
    assert any(missed in note.text for note in parts(scene, Note))


def test_what_was_not_read_is_no_success(told):
    """A place that was not read, or a log that does not verify, makes the verdict bad."""
    good = told[-1]
    assert good.ok
    for change in ({"unread": 1}, {"unguarded": 0}, {"intact": False}, {"caught": 2}):
        assert not replace(good, **change).ok


def test_an_export_waits_for_somebody_else(told):
    """Too many rows wait, who asks can't approve, another person can, and it is done once."""
    scene = titled(told, "An export waits for a person")
    asked, own = parts(scene, Refusal)
    assert (asked.error, asked.rule) == ("ApprovalRequired", "approvals.export")
    assert (own.error, "somebody else has to decide" in own.reason) == ("NotGranted", True)
    (decided,) = parts(scene, Document)
    assert decided.content["approved by"] == "lea"
    done, again = parts(scene, Note)
    assert int(re.search(r"([0-9,]+) rows", done.text)[1].replace(",", "")) > 0
    assert "used already" in again.text


def test_the_session_is_played_again_as_it_was_shown(told):
    """What was recorded is what was shown: each statement, its end, and nothing unmasked."""
    (grid,) = parts(titled(told, "The session, played again"), Grid)
    ends = [row[1].text for row in grid.rows]
    assert ends[0] == "ok" and ends.count("ok") == 2 and "ApprovalRequired" in ends
    assert "[masked]" in grid.rows[0][2].text


def test_nothing_is_left_of_a_stage():
    """Neither directory, nor server, nor password in the environment outlives the block."""
    before = os.environ.get(PASSWORD_VARIABLE)
    with staged(runs=2, share=0.0) as made:
        assert os.environ[PASSWORD_VARIABLE] == made.password
        assert made.password not in repr(made)
        verdict = list(tell(made))[-1]
    assert isinstance(verdict, Verdict)
    assert (verdict.planted, verdict.ok) == (0, True)
    assert not made.home.exists()
    assert os.environ.get(PASSWORD_VARIABLE) == before
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(made.admin)


def test_a_kept_stage_can_be_used_and_struck(monkeypatch):
    """With keep the server goes on, whoever has what `leave` gives connects, `strike` ends it."""
    with staged(runs=3, keep=True) as made:
        left = leave(made)
    try:
        assert left.token not in repr(left)
        assert running_server(left.home / "pg") is not None
        monkeypatch.setenv(PASSWORD_VARIABLE, left.password)
        with Wall.load(left.policy) as wall:
            from tracewall import connect

            with connect(wall=wall, token=left.token) as conn:
                ((key,),) = conn.execute("SELECT api_key FROM traces.runs LIMIT 1").fetchall()
        assert key.startswith("[masked]")
        (left.home / "mine.txt").write_text("not the demo's")
    finally:
        rest = strike(left.home)
    assert rest == ["mine.txt"]
    assert running_server(left.home / "pg") is None
    with pytest.raises(ValueError, match="not the directory of a demo"):
        strike(left.home)
    (left.home / "mine.txt").unlink()
    left.home.rmdir()


def test_an_error_ends_even_a_kept_stage():
    """When the story breaks off nothing is kept."""
    with pytest.raises(ZeroDivisionError), staged(runs=2, keep=True) as made:
        raise ZeroDivisionError
    assert not made.home.exists()


def test_a_policy_without_the_lines_to_change_is_refused(tmp_path):
    """A policy of one's own is looked at before a server is started for it."""
    with pytest.raises(ValueError, match="has this line, once: conninfo"):
        fitted("version = 1", "", "")
    path = tmp_path / "policy.toml"
    path.write_text("version = 2")
    with pytest.raises(PolicyError, match=re.escape(str(path))), staged(policy=path):
        pytest.fail("a stage was set")


def test_real_traces_hold_no_secret_either(real_traces):
    """The story on real traces comes to the same good end."""
    with staged(traces=real_traces, runs=200) as made:
        verdict = list(tell(made))[-1]
    assert verdict.planted > 50
    assert verdict.ok


def test_the_story_can_be_told_again(stage, told):
    """Telling it twice on one stage comes to the same verdict, but for the longer log."""
    again = list(tell(stage))[-1]
    assert again.records > told[-1].records
    assert replace(again, records=0) == replace(told[-1], records=0)
    assert parts(recorded(stage), Document)
