import gzip
import json
import uuid
from collections import Counter, defaultdict

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracewall.demo.real import LONGEST_LINE, load_traces, read_traces


def rows(conninfo, query):
    """Give the rows that a query returns."""
    with psycopg.connect(conninfo) as conn:
        return conn.execute(query).fetchall()


def trace(**changes):
    """Give a line of a trace file, as a dict."""
    return {
        "run_id": str(uuid.uuid4()),
        "source": "test",
        "model": "gpt-4",
        "system": None,
        "prompt": "What is 1 + 1?",
        "steps": [{"kind": "reasoning", "content": "That is 2."}],
        "answer": "2",
    } | changes


def step(kind, content):
    """Give a step of a trace file."""
    return {"kind": kind, "content": content}


def written(tmp_path, *lines):
    """Write a plain file of lines: dicts as JSON, bytes as they are."""
    path = tmp_path / "traces.jsonl"
    texts = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    path.write_bytes(b"\n".join(texts) + b"\n")
    return path


def refused(conninfo, path, match):
    """Check that a file is refused by line, and that nothing of it was stored."""
    with pytest.raises(ValueError, match=match) as caught:
        load_traces(conninfo, path)
    assert rows(conninfo, "SELECT count(*) FROM traces.runs") == [(0,)]
    return str(caught.value)


def test_real_traces_arrive_whole(empty_store, real_traces):
    """Every trace of the file is in the store, every step of it with its text unchanged."""
    filled = load_traces(empty_store, real_traces, secrets=0.0)
    with gzip.open(real_traces, "rt") as file:
        told = [json.loads(line) for line in file]
    assert filled.runs == len(told)
    kept = defaultdict(list)
    for run, kind, content in rows(
        empty_store, "SELECT run_id, kind, content FROM traces.steps ORDER BY run_id, seq"
    ):
        kept[str(run)].append({"kind": kind, "content": content})
    assert all(kept[line["run_id"]] == line["steps"] for line in told)
    assert filled.steps == sum(len(line["steps"]) for line in told)
    ends = rows(
        empty_store,
        "SELECT DISTINCT ON (run_id) run_id, first_value(parts) OVER w -> 0 ->> 'content',"
        " last_value(parts) OVER w -> -1 ->> 'content' FROM traces.messages"
        " WINDOW w AS (PARTITION BY run_id ORDER BY seq"
        " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
    )
    assert {(str(run), prompt, answer) for run, prompt, answer in ends} == {
        (line["run_id"], line["prompt"], line["answer"]) for line in told
    }
    runs = rows(
        empty_store,
        "SELECT run_id, agent, model, system_instructions, attributes -> 'correct'"
        " FROM traces.runs",
    )
    assert {(str(run), *rest) for run, *rest in runs} == {
        (line["run_id"], line["source"], line["model"], line["system"], line.get("correct"))
        for line in told
    }


def test_real_tool_calls_have_what_came_back(empty_store, real_traces):
    """Each command of the file is a tool call, named by its first word, with its output."""
    load_traces(empty_store, real_traces, secrets=0.0)
    with gzip.open(real_traces, "rt") as file:
        told = [step for line in file for step in json.loads(line)["steps"]]
    commands = [step["content"] for step in told if step["kind"] == "tool_call"]
    outputs = [step["content"] for step in told if step["kind"] == "tool_call_response"]
    kept = rows(
        empty_store,
        "SELECT tool_name, arguments ->> 'command', result ->> 'output', count(*) OVER ()"
        " FROM traces.tool_calls",
    )
    assert Counter(row[:3] for row in kept) == Counter(
        zip((command.split()[0] for command in commands), commands, outputs, strict=True)
    )


def test_secrets_planted_in_real_traces_are_where_they_were_said_to_be(empty_store, real_traces):
    """Each place told holds its secret, in every text column, and only texts told changed."""
    filled = load_traces(empty_store, real_traces, secrets=0.05)
    texts = {
        ("traces.steps", "content"): "SELECT step_id, content FROM traces.steps",
        ("traces.messages", "parts"): "SELECT message_id, parts FROM traces.messages",
        ("traces.tool_calls", "arguments"): "SELECT call_id, arguments FROM traces.tool_calls",
        ("traces.tool_calls", "result"): "SELECT call_id, result FROM traces.tool_calls",
    }
    held = {place: dict(rows(empty_store, query)) for place, query in texts.items()}
    assert {(planted.table, planted.column) for planted in filled.planted} == set(texts)
    for planted in filled.planted:
        found = held[planted.table, planted.column][planted.key]
        value = planted.value
        if not isinstance(found, str):
            found, value = json.dumps(found), json.dumps(value)[1:-1]
        assert value in found
    clean = [
        step.content for trace in read_traces(real_traces, secrets=0.0) for step in trace.steps
    ]
    changed = {planted.key for planted in filled.planted if planted.table == "traces.steps"}
    told = held["traces.steps", "content"]
    assert {key for key, text in told.items() if text != clean[key - 1]} == changed


def test_the_same_file_and_seed_give_the_same_rows(empty_store, tmp_path):
    """Loaded again, every row is as before; another seed plants other secrets."""
    path = written(tmp_path, *(trace() for _ in range(30)))
    assert list(read_traces(path, seed=4)) == list(read_traces(path, seed=4))
    assert list(read_traces(path, seed=4, secrets=1.0)) != list(
        read_traces(path, seed=5, secrets=1.0)
    )


def test_plain_and_gzipped_files_are_the_same(tmp_path):
    """What a file is called does not matter; its first bytes tell whether it is gzipped."""
    plain = written(tmp_path, *(trace() for _ in range(5)))
    zipped = tmp_path / "also.jsonl"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    assert list(read_traces(plain)) == list(read_traces(zipped))
    assert len(list(read_traces(plain))) == 5


def test_only_so_many_are_read(tmp_path):
    """With a limit the rest of the file is not looked at."""
    path = written(tmp_path, trace(), trace(), b"no trace at all")
    assert len(list(read_traces(path, limit=2))) == 2
    assert list(read_traces(path, limit=0)) == []
    with pytest.raises(ValueError, match="negative"):
        load_traces("host=unused.invalid", path, limit=-1)


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        json.dumps(trace(run_id="run 7")).encode(),
        json.dumps(trace(prompt=None)).encode(),
        json.dumps(trace(steps={})).encode(),
        json.dumps(trace(steps=[{"kind": "thought", "content": ""}])).encode(),
        json.dumps(trace(steps=[{"kind": "reasoning"}])).encode(),
        json.dumps(trace(correct="yes")).encode(),
        json.dumps(trace(prompt="lone \ud800 surrogate")).encode(),
        json.dumps(trace(prompt="@")).encode().replace(b"@", b"\xff"),
        json.dumps(trace(prompt="@")).encode().replace(b"@", b"\x01"),
        b'{"x":' * 50_000 + b"1" + b"}" * 50_000,
        b"\xef\xbb\xbf" + json.dumps(trace()).encode(),
        json.dumps(trace()).encode() * 2,
        b"\x00",
    ],
)
def test_a_line_that_is_no_trace_is_named(empty_store, tmp_path, line):
    """A malformed line stops the load, the error says which one, and nothing is stored."""
    path = written(tmp_path, trace(), b"", trace(), line, trace())
    said = refused(empty_store, path, r"traces\.jsonl:4: not a trace: ")
    assert len(said) < 300


def test_a_run_that_comes_twice_is_named(empty_store, tmp_path):
    """A second trace with the same run_id is an error with its line."""
    once = trace()
    refused(empty_store, written(tmp_path, trace(), once, once), r":3: this run_id came before")


def test_a_run_that_is_in_the_store_is_refused(empty_store, tmp_path):
    """Loading a file again is an error, and the store stays as it was."""
    path = written(tmp_path, trace(), trace())
    load_traces(empty_store, path)
    with pytest.raises(ValueError, match="in the store already"):
        load_traces(empty_store, path)
    assert rows(empty_store, "SELECT count(*) FROM traces.runs") == [(2,)]


@pytest.mark.parametrize("damage", ["cut", "flipped", "checksum"])
def test_a_damaged_archive_is_named(empty_store, tmp_path, damage):
    """An archive that ends early or was changed is an error with a line, and nothing is stored."""
    noise = [trace(prompt=uuid.uuid4().hex * 20) for _ in range(200)]
    whole = bytearray(gzip.compress(written(tmp_path, *noise).read_bytes()))
    if damage == "cut":
        del whole[len(whole) // 2 :]
    elif damage == "flipped":
        whole[len(whole) // 2 : len(whole) // 2 + 64] = b"\xff" * 64
    else:
        whole[-8] ^= 1
    path = tmp_path / "damaged.jsonl.gz"
    path.write_bytes(whole)
    refused(empty_store, path, r"damaged\.jsonl\.gz:\d+: (the archive is damaged|not a trace)")


def test_a_line_too_long_is_named(empty_store, tmp_path):
    """A small archive that unpacks to one huge line is refused before it fills memory."""
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"\n" + b" " * (LONGEST_LINE + 1), compresslevel=1))
    refused(empty_store, path, r"bomb\.gz:2: longer than")


def test_a_missing_file_is_said_to_be_missing(empty_store, tmp_path):
    """A path without a file gives the system's own error."""
    with pytest.raises(FileNotFoundError):
        load_traces(empty_store, tmp_path / "none.jsonl")


def test_fields_nobody_knows_are_passed_over(tmp_path):
    """A line may say more than is read here; blank lines say nothing."""
    path = written(
        tmp_path, trace(score=0.5), b"", b"  ", trace(steps=[{**step("reasoning", "hm"), "n": 1}])
    )
    assert len(list(read_traces(path))) == 2


TEXT = st.text(max_size=40) | st.sampled_from(
    [
        "\\.",
        "\\N",
        "\\",
        "a\tb\nc\\n\r",
        "\0",
        "\x01\x7f",
        "'; DROP SCHEMA traces; --",
        "\U0001f512",
        "",
    ]
)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(st.sampled_from(["reasoning", "tool_call", "tool_call_response"]), TEXT)),
    TEXT,
    TEXT,
)
def test_any_text_in_any_order_arrives_as_it_is(empty_store, tmp_path, steps, prompt, answer):
    """Whatever the texts and the order of steps, they come back unchanged, NUL replaced."""
    told = trace(
        prompt=prompt, answer=answer, system=prompt, source=answer, model=prompt,
        steps=[step(kind, content) for kind, content in steps],
    )  # fmt: skip
    # The fixture empties the store once for all examples.
    with psycopg.connect(empty_store) as conn:
        conn.execute("TRUNCATE traces.runs, traces.steps, traces.messages, traces.tool_calls")
    load_traces(empty_store, written(tmp_path, told), secrets=0.0)
    held = [(kind, content.replace("\0", "\ufffd")) for kind, content in steps]
    assert rows(empty_store, "SELECT kind, content FROM traces.steps ORDER BY seq") == held
    parts = [
        part
        for (parts,) in rows(empty_store, "SELECT parts FROM traces.messages ORDER BY seq")
        for part in parts
    ]
    texts = [part["content"] for part in parts if part["type"] in ("text", "reasoning")]
    thoughts = [content for kind, content in held if kind == "reasoning"]
    ends = [text.replace("\0", "\ufffd") for text in (prompt, answer)]
    assert texts == [ends[0], *thoughts, *ends[1:][: bool(answer)]]


def test_calls_made_together_are_answered_in_order(empty_store, tmp_path):
    """Two calls followed by two responses: the first response belongs to the first call; a
    response without a call, and a call without a response, are kept as they are.
    """
    told = trace(
        steps=[
            step("tool_call_response", "stray"),
            step("tool_call", "first a"),
            step("tool_call", "second b"),
            step("tool_call_response", "one"),
            step("tool_call_response", "two"),
            step("tool_call", "third"),
        ]
    )
    load_traces(empty_store, written(tmp_path, told), secrets=0.0)
    assert rows(
        empty_store,
        "SELECT tool_name, step_seq, arguments, result FROM traces.tool_calls ORDER BY step_seq",
    ) == [
        ("first", 1, {"command": "first a"}, {"output": "one"}),
        ("second", 2, {"command": "second b"}, {"output": "two"}),
        ("third", 5, {"command": "third"}, None),
    ]
    spoken = rows(
        empty_store,
        "SELECT role, jsonb_path_query_array(parts, '$[*].type') FROM traces.messages ORDER BY seq",
    )
    assert spoken == [
        ("user", ["text"]),
        ("tool", ["tool_call_response"]),
        ("assistant", ["tool_call", "tool_call"]),
        ("tool", ["tool_call_response"]),
        ("tool", ["tool_call_response"]),
        ("assistant", ["tool_call", "text"]),
    ]
