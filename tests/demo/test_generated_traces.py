import json
import tracemalloc
from collections import defaultdict
from itertools import pairwise

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from tracewall.demo import fill as fill_module
from tracewall.demo.fill import fill
from tracewall.demo.generate import generate, made_up_traces
from tracewall.demo.secrets import KINDS

KEYS = {
    "traces.runs": "run_id",
    "traces.steps": "step_id",
    "traces.messages": "message_id",
    "traces.tool_calls": "call_id",
}
TEXTS = (
    ("traces.steps", "content"),
    ("traces.messages", "parts"),
    ("traces.tool_calls", "arguments"),
    ("traces.tool_calls", "result"),
)


def rows(conninfo, query):
    """Give the rows that a query returns."""
    with psycopg.connect(conninfo) as conn:
        return conn.execute(query).fetchall()


def checksums(conninfo):
    """Give a checksum over every value of every row, for each table."""
    return {
        table: rows(
            conninfo,
            sql.SQL(
                "SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY {})) FROM {} t"
            ).format(sql.Identifier(key), sql.Identifier(*table.split("."))),
        )
        for table, key in KEYS.items()
    }


def empty_again(conninfo):
    """Take every row out of the store."""
    with psycopg.connect(conninfo) as conn:
        conn.execute("TRUNCATE traces.runs, traces.steps, traces.messages, traces.tool_calls")


def strings(value):
    """Give every string inside a JSON value, or the text itself."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)


def places(conninfo, values):
    """Find, the slow way, each place of the store that holds one of `values`."""
    found = defaultdict(set)
    for table, column in TEXTS:
        for key, text in rows(conninfo, f"SELECT {KEYS[table]}, {column} FROM {table}"):
            for string in strings(text):
                for value in values:
                    if value in string:
                        found[value].add((table, key, column))
    return found


def test_the_same_seed_gives_the_same_store(empty_store):
    """Filled twice from one seed, every value of every row is the same, run ids too."""
    first = generate(empty_store, 60, seed=5), checksums(empty_store)
    empty_again(empty_store)
    second = generate(empty_store, 60, seed=5), checksums(empty_store)
    assert first == second


def test_another_seed_gives_another_store(empty_store):
    """No run of one seed comes again with another."""
    generate(empty_store, 60, seed=5)
    generate(empty_store, 60, seed=6)
    assert rows(empty_store, "SELECT count(*) FROM traces.runs") == [(120,)]


def test_fewer_runs_are_the_first_of_more():
    """The number of runs says where to stop and changes nothing else."""
    many = list(made_up_traces(50, seed=3))
    assert list(made_up_traces(20, seed=3)) == many[:20]


def test_what_was_filled_is_told(store):
    """The counts told are the counts of rows, about eight steps a run."""
    counts = {table: total for table, [(total, _)] in checksums(store.admin_dsn).items()}
    assert list(counts.values()) == [
        store.filled.runs,
        store.filled.steps,
        store.filled.messages,
        store.filled.tool_calls,
    ]
    assert 7 < store.filled.steps / store.filled.runs < 9


def test_every_planted_secret_is_where_it_was_said_to_be_and_nowhere_else(store):
    """The places told are exactly the places found by searching every text of the store."""
    told = defaultdict(set)
    for planted in store.planted:
        told[planted.value].add((planted.table, planted.key, planted.column))
    assert told == places(store.admin_dsn, set(told))


def test_secrets_of_every_kind_are_in_every_column_of_free_text(store):
    """Two hundred runs hold each kind of secret, and each text column holds some."""
    assert {planted.kind for planted in store.planted} == set(KINDS)
    assert {(planted.table, planted.column) for planted in store.planted} == set(TEXTS)


def test_the_share_of_secrets_is_as_asked(empty_store):
    """None at 0; in every prompt, step and answer at 1; about the share in between."""
    assert generate(empty_store, 20, secrets=0.0).planted_count == 0
    empty_again(empty_store)
    full = generate(empty_store, 20, secrets=1.0)
    steps = [planted for planted in full.planted if planted.table == "traces.steps"]
    assert len(steps) == full.steps
    empty_again(empty_store)
    some = generate(empty_store, 400, secrets=0.1)
    steps = [planted for planted in some.planted if planted.table == "traces.steps"]
    assert 0.08 < len(steps) / some.steps < 0.12


def test_the_list_of_planted_secrets_is_bounded_and_their_count_is_not(empty_store, monkeypatch):
    """Beyond the bound places are counted, not listed; those listed are the first."""
    whole = generate(empty_store, 30, secrets=0.5)
    empty_again(empty_store)
    monkeypatch.setattr(fill_module, "KEPT", 10)
    short = generate(empty_store, 30, secrets=0.5)
    assert short.planted == whole.planted[:10]
    assert short.planted_count == whole.planted_count == len(whole.planted)


def test_a_seed_that_is_in_the_store_is_refused_whole(empty_store):
    """Filling twice from one seed is an error that names no row and adds none."""
    generate(empty_store, 20)
    before = checksums(empty_store)
    with pytest.raises(ValueError, match="in the store already") as caught:
        generate(empty_store, 3000)
    assert caught.value.__cause__ is None
    assert checksums(empty_store) == before


def test_ids_go_on_where_they_stopped(empty_store):
    """A second fill and then the server itself give ids that follow."""
    first = generate(empty_store, 10, seed=1)
    second = generate(empty_store, 10, seed=2)
    with psycopg.connect(empty_store) as conn:
        (step,) = conn.execute(
            "INSERT INTO traces.steps (run_id, seq, kind, content, started_at, duration_ms, tokens)"
            " SELECT run_id, 999, 'reasoning', '', now(), 0, 0 FROM traces.runs LIMIT 1"
            " RETURNING step_id"
        ).fetchone()
    assert step == first.steps + second.steps + 1


def test_an_error_on_the_way_leaves_the_store_as_it_was(empty_store):
    """When the traces end with an exception, none of them is stored."""

    def breaking():
        yield from made_up_traces(3000)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fill(empty_store, breaking())
    assert rows(empty_store, "SELECT count(*) FROM traces.runs") == [(0,)]


def test_memory_stays_bounded(empty_store, monkeypatch):
    """Five times as many runs need no more memory, when a batch is smaller than either."""
    monkeypatch.setattr(fill_module, "_BATCH_STEPS", 1000)

    def peak(runs, seed):
        tracemalloc.start()
        try:
            generate(empty_store, runs, seed=seed, secrets=0.0)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(1500, 2) < 1.3 * peak(300, 1)


@pytest.mark.parametrize(("runs", "secrets"), [(-1, 0.1), (1, -0.1), (1, 1.1), (1, float("nan"))])
def test_impossible_numbers_are_refused(runs, secrets):
    """A negative number of runs and a share that is none are errors before anything is done."""
    with pytest.raises(ValueError, match="must"):
        generate("host=unused.invalid", runs, secrets=secrets)


def test_texts_are_varied(store):
    """Hardly a thought comes twice, and all four kinds of work are there."""
    ((thoughts, distinct),) = rows(
        store.admin_dsn,
        "SELECT count(*), count(DISTINCT content) FROM traces.steps WHERE kind = 'reasoning'",
    )
    assert distinct > 0.9 * thoughts
    ((agents,),) = rows(store.admin_dsn, "SELECT count(DISTINCT agent) FROM traces.runs")
    assert agents == 4


def test_there_are_tenants_with_users_of_their_own(store):
    """Each user belongs to one tenant and has one address, and a key for each provider."""
    ((tenants,),) = rows(store.admin_dsn, "SELECT count(DISTINCT tenant) FROM traces.runs")
    assert tenants >= 5
    crossed = rows(
        store.admin_dsn,
        "SELECT user_id FROM traces.runs GROUP BY user_id, provider"
        " HAVING count(DISTINCT (tenant, user_email, api_key)) > 1",
    )
    assert crossed == []


def test_messages_follow_the_conventions(store):
    """Each run's messages go from the user to an end, parts have their type's fields, and each
    tool response answers a call made before it.
    """
    by_run = defaultdict(list)
    for run, role, parts, finish in rows(
        store.admin_dsn,
        "SELECT run_id, role, parts, finish_reason FROM traces.messages ORDER BY run_id, seq",
    ):
        by_run[run].append((role, parts, finish))
    fields = {
        "text": {"type", "content"},
        "reasoning": {"type", "content"},
        "tool_call": {"type", "id", "name", "arguments"},
        "tool_call_response": {"type", "id", "response"},
    }
    for messages in by_run.values():
        assert messages[0][0] == "user"
        assert messages[-1][0] == "assistant"
        assert messages[-1][2] in {"stop", "error"}
        for (role, _, finish), (following, _, _) in pairwise(messages):
            assert (finish == "tool_call") == (following == "tool") == (role == "assistant")
        asked: set[str] = set()
        for _, parts, _ in messages:
            for part in parts:
                assert set(part) == fields[part["type"]]
                if part["type"] == "tool_call":
                    asked.add(part["id"])
                elif part["type"] == "tool_call_response":
                    asked.remove(part["id"])
        assert not asked


def test_tool_calls_agree_with_messages_and_steps(store):
    """A tool call's row, its parts in the messages and its step tell the same."""
    told = {}
    for (parts,) in rows(store.admin_dsn, "SELECT parts FROM traces.messages ORDER BY message_id"):
        for part in parts:
            if part["type"] == "tool_call":
                told[part["id"]] = [part["name"], part["arguments"]]
            elif part["type"] == "tool_call_response":
                told[part["id"]].append(part["response"])
    kept = rows(
        store.admin_dsn,
        "SELECT call_id, tool_name, arguments, result, kind, content"
        " FROM traces.tool_calls c JOIN traces.steps s ON (s.run_id, s.seq) = (c.run_id, step_seq)",
    )
    assert {row[0]: list(row[1:4]) for row in kept} == told
    for _, name, arguments, _, kind, content in kept:
        assert kind == "tool_call"
        assert content.startswith(name)
        assert all(value in content for value in strings(json.loads(json.dumps(arguments))))


@settings(max_examples=25, deadline=None)
@given(st.integers(min_value=-(2**70), max_value=2**70), st.floats(min_value=0, max_value=1))
def test_any_seed_tells_sound_traces(seed, secrets):
    """Whatever the seed, each secret that a text is said to hold is in it, and nothing in it is
    left of its template.
    """
    for trace in made_up_traces(5, seed=seed, secrets=secrets):
        texts = [
            (trace.prompt, trace.prompt_secrets),
            (trace.answer, trace.answer_secrets),
            *((step.content, step.secrets) for step in trace.steps),
        ]
        for text, held in texts:
            assert all(secret.value in text for secret in held)
            assert "%(" not in text
            assert "{}" not in text
