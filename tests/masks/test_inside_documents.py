"""Masks inside documents: paths, the messages of language models, what may be taken out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tracewall.errors import Forbidden, PolicyError

DOCUMENT = {
    "status": "zq-done",
    "credentials": {"user": "zqkjxvw1", "password": "zqkjxvw2"},
    "steps": [{"api_key": "zqkjxvw3", "ok": True}, {"args": json.dumps({"api_key": "zqkjxvw4"})}],
    "n": {"list": [{"pin": 7361529}, {"pin": 1529481}]},
}
RULES = """
[[masks]]
name = "inside"
columns = ["zoo.docs.body", "zoo.docs.raw"]
method = "redact"
paths = ["$.credentials.*", "$..api_key", "$.n.list[*].pin"]
"""
MESSAGES = [
    {"role": "system", "parts": [{"type": "text", "content": "zqkjxvw instructions"}]},
    {"role": "user", "parts": [{"type": "text", "content": "zqkjxvw question"}]},
    {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "zqkjxvw thought"},
            {"type": "text", "content": "zqkjxvw answer"},
            {"type": "tool_call", "id": "c1", "name": "sql", "arguments": {"q": "zqkjxvw call"}},
            {"type": "blob", "content": "zqkjxvw blob"},
        ],
        "finish_reason": "stop",
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "response": "zqkjxvw result"}]},
]
PRESET = """
[[masks]]
name = "gen_ai"
columns = ["zoo.talks.messages"]
method = "redact"
preset = "gen_ai"

[[grants]]
name = "answers"
groups = ["readers"]
actions = ["select"]
tables = ["zoo.talks"]
lifts = ["gen_ai.text"]

[[grants]]
name = "most"
groups = ["curators"]
actions = ["select"]
tables = ["zoo.talks"]
lifts = ["gen_ai.text", "gen_ai.arguments", "gen_ai.responses", "gen_ai.other"]
"""


@pytest.fixture(scope="module")
def docs(zoo: Any) -> Any:
    """A table of documents, as jsonb and as text, and a guarded connection."""
    zoo.plain.execute("CREATE TABLE zoo.docs (id int, body jsonb, raw text)")
    zoo.plain.execute("CREATE TABLE zoo.talks (id int, messages jsonb)")
    text = json.dumps(DOCUMENT)
    zoo.plain.execute("INSERT INTO zoo.docs VALUES (1, %s, %s)", (text, text))
    zoo.plain.execute("INSERT INTO zoo.docs VALUES (2, '[]', '{\"credentials\": {\"zqkjxvw')")
    zoo.plain.execute("INSERT INTO zoo.talks VALUES (1, %s)", (json.dumps(MESSAGES),))
    return zoo.guarded(RULES)


def test_only_what_paths_lead_to_is_masked(docs: Any) -> None:
    """The rest is clear, the shape is kept, and JSON inside a text is found."""
    body, raw = docs.execute("SELECT body, raw FROM zoo.docs WHERE id = 1").fetchone()
    assert body == json.loads(raw)
    assert "zqkjxvw" not in raw and body["status"] == "zq-done"
    assert body["credentials"] == {"user": "[redacted]", "password": "[redacted]"}
    assert body["steps"][0] == {"api_key": "[redacted]", "ok": True}
    assert json.loads(body["steps"][1]["args"]) == {"api_key": "[redacted]"}
    assert body["n"] == {"list": [{"pin": None}, {"pin": None}]}


def test_a_text_that_is_no_document_is_masked_whole(docs: Any) -> None:
    """A document that was cut short can't be followed, so nothing of it is shown."""
    for sql in ("SELECT raw FROM zoo.docs WHERE id = 2", "SELECT coalesce(raw, '') FROM zoo.docs"):
        assert "zqkjxvw" not in repr(docs.execute(sql).fetchall())


CLEAR = [
    ("body -> 'status'", "zq-done"),
    ("body ->> 'status'", "zq-done"),
    ("body #>> '{status}'", "zq-done"),
    ("jsonb_extract_path_text(body, 'status')", "zq-done"),
    ("body -> 'steps' -> 0 -> 'ok'", True),
]


@pytest.mark.parametrize(("expression", "shown"), CLEAR)
def test_a_part_that_no_path_is_about_is_clear(docs: Any, expression: str, shown: Any) -> None:
    """What a literal path takes out is judged by the path that it takes."""
    row = docs.execute(f"SELECT {expression} FROM zoo.docs WHERE id = 1").fetchone()
    assert row == (shown,)


PAST = """
body -> 'credentials'
body -> 'credentials' ->> 'password'
body #> '{credentials,password}'
body #>> '{n,list,0,pin}'
body -> 'steps' -> 0 ->> 'api_key'
body ['credentials']
jsonb_extract_path(body, 'credentials')
jsonb_path_query(body, '$.credentials')
body - 'status'
body ->> ('cred' || 'entials')
jsonb_pretty(body)
body || '{}'
raw::jsonb -> 'credentials'
left(raw, 60)
row_to_json(docs)
""".strip().splitlines()


@pytest.mark.parametrize("expression", PAST)
def test_a_path_past_the_mask_is_refused(docs: Any, expression: str) -> None:
    """Whoever takes out what a mask would hide is refused, however it is spelled."""
    with pytest.raises(Forbidden):
        docs.execute(f"SELECT {expression} FROM zoo.docs")


AROUND = """
body -> 'steps'
body -> 'steps' -> 0
jsonb_agg(body)
array_agg(body)
jsonb_agg(body -> 'steps')
coalesce(body, '{}')
coalesce(body -> 'steps', body)
body::text
raw::jsonb
raw::jsonb -> 'steps'
to_jsonb(raw)
CASE WHEN id = 1 THEN body END
jsonb_array_elements(body -> 'steps')
max(raw)
(SELECT body)
body['steps']
""".strip().splitlines()


@pytest.mark.parametrize("expression", AROUND)
def test_a_part_around_what_is_masked_is_masked_too(docs: Any, expression: str) -> None:
    """Gathered, cast, chosen among others: the members that paths lead to stay hidden."""
    try:
        rows = docs.execute(f"SELECT {expression} FROM zoo.docs").fetchall()
    except Forbidden:
        return
    assert "zqkjxvw" not in repr(rows) and "7361529" not in repr(rows)


def told(conn: Any) -> set[str]:
    """Give the last words of what is shown of the messages."""
    shown = json.dumps(conn.execute("SELECT messages FROM zoo.talks").fetchone()[0])
    return {part.split('"')[0].strip() for part in shown.split("zqkjxvw")[1:]}


def test_each_class_of_a_conversation_is_lifted_by_itself(zoo: Any, docs: Any) -> None:
    """One group reads answers and not what the model thought, another neither."""
    wall = zoo.load(PRESET)
    assert told(zoo.connect(wall, "others")) == set()
    assert told(zoo.connect(wall, "readers")) == {"question", "answer"}
    assert told(zoo.connect(wall, "curators")) == {"question", "answer", "call", "blob", "result"}


def test_how_a_conversation_is_built_stays(zoo: Any, docs: Any) -> None:
    """Roles, types, names of tools and reasons to stop tell nothing that was said."""
    shown = zoo.guarded(PRESET).execute("SELECT messages FROM zoo.talks").fetchone()[0]
    assert [message["role"] for message in shown] == ["system", "user", "assistant", "tool"]
    assert [part["type"] for part in shown[2]["parts"]] == [
        "reasoning", "text", "tool_call", "blob",
    ]  # fmt: skip
    assert shown[2]["parts"][2]["name"] == "sql" and shown[2]["finish_reason"] == "stop"


def test_only_whole_messages_can_be_taken_out(zoo: Any, docs: Any) -> None:
    """A part taken out would not tell any more what it is part of."""
    conn = zoo.guarded(PRESET, "readers")
    with pytest.raises(Forbidden):
        conn.execute("SELECT messages -> 0 -> 'parts' FROM zoo.talks")
    first = conn.execute("SELECT messages -> 0 FROM zoo.talks").fetchone()[0]
    assert first["role"] == "system" and "zqkjxvw" not in repr(first)


def test_a_class_that_there_is_not_can_not_be_lifted(zoo: Any) -> None:
    """A slip in the name of a class is a complaint, and so are classes without a preset."""
    for wrong, right in (("gen_ai.text", "gen_ai.thought"), ('preset = "gen_ai"', "classes = []")):
        with pytest.raises(PolicyError):
            zoo.load(PRESET.replace(wrong, right))


def test_a_cursor_tells_what_was_masked(docs: Any) -> None:
    """Position, name, rules and how many values there were; the record counts by rule."""
    cursor = docs.execute("SELECT id, body AS b, raw FROM zoo.docs UNION ALL SELECT 3, NULL, NULL")
    assert [tuple(column) for column in cursor.masking] == [
        (1, "b", ("masks.inside",), 2),
        (2, "raw", ("masks.inside",), 2),
    ]
    assert cursor.fetchall() and docs.execute("SELECT id FROM zoo.docs").masking == ()
    assert docs.cursor().masking == ()


def test_the_record_counts_by_rule(zoo: Any, docs: Any) -> None:
    """Rows times columns, for each rule that lies on any."""
    docs.execute("SELECT body, raw FROM zoo.docs")
    docs._session.wall.audit.flush()
    assert '"counts":{"masks.inside":4}' in zoo.recorded().replace(" ", "")


def test_a_document_under_a_mask_and_a_scan_is_under_both(zoo: Any, docs: Any) -> None:
    """Paths hide what they lead to, detectors what they find in the rest."""
    scan = '\n[[scans]]\nname = "s"\ncolumns = ["zoo.docs.body"]\n[[scans.patterns]]\n'
    conn = zoo.guarded(RULES + scan + 'name = "state"\nregex = "zq-[a-z]+"\n')
    body = conn.execute("SELECT body FROM zoo.docs WHERE id = 1").fetchone()[0]
    assert body["status"] == "[state]" and "zqkjxvw" not in repr(body)
    part = conn.execute("SELECT body ->> 'status' FROM zoo.docs WHERE id = 1").fetchone()
    assert part == ("[state]",)
