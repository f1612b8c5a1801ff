"""Marks: nobody makes one, and none is written over the value that it stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg.types.json import Jsonb

import tracewall
from tracewall.errors import Forbidden, PolicyError

KEY = b"a key that only this test knows!"
RULES = """
[[masks]]
name = "name"
columns = ["zoo.people.name"]
method = "redact"

[[masks]]
name = "mail"
columns = ["zoo.people.mail"]
method = "email"

[[masks]]
name = "card"
columns = ["zoo.people.card"]
method = "partial"
keep_last = 4

[[masks]]
name = "nick"
columns = ["zoo.people.nick"]
method = "hash"

[[masks]]
name = "doc"
columns = ["zoo.people.doc"]
method = "redact"
paths = ["$.secret"]
"""


@pytest.fixture(scope="module")
def people(zoo: Any) -> Any:
    """A table of people, all masked, and a guarded connection."""
    zoo.plain.execute(
        "CREATE TABLE zoo.people (id int PRIMARY KEY, name text, mail text, card text, nick text,"
        " doc jsonb, notes text, tags text[], raw bytea)"
    )
    zoo.plain.execute(
        "INSERT INTO zoo.people VALUES (1, 'Ada Lovelace', 'ada@example.com',"
        " '4111 1111 1111 1111', 'ada', '{\"secret\": \"zqkjxvw\"}', 'n', '{a}', 'r')"
    )
    return zoo.guarded(RULES, mask_key=KEY)


@pytest.fixture
def marks(people: Any) -> dict[str, str]:
    """What a caller sees of the first person."""
    row = people.execute(
        "SELECT name, mail, card, nick, doc ->> 'x', doc FROM zoo.people"
    ).fetchone()
    shown = dict(zip(("name", "mail", "card", "nick"), row, strict=False))
    return shown | {"doc": row[5]["secret"]}


def test_marks_say_which_mask_and_keep_their_form(marks: dict[str, str]) -> None:
    """They are short, an address stays one, and the kept digits stay."""
    assert re.fullmatch(r"\[masked:name:[0-9a-f]{12}\]", marks["name"])
    assert re.fullmatch(r"a\*\*\*[0-9a-f]{12}@example\.com", marks["mail"])
    assert re.fullmatch(r"\[masked:card:[0-9a-f]{12}\]1111", marks["card"])
    assert re.fullmatch(r"h_[0-9a-f]{32}", marks["nick"])
    assert re.fullmatch(r"\[masked:doc:[0-9a-f]{12}\]", marks["doc"])


@pytest.mark.parametrize("which", ["name", "mail", "card", "nick", "doc"])
@pytest.mark.parametrize("binary", ["%s", "%b"], ids=["text", "binary"])
def test_a_mark_is_not_written_back_as_a_parameter(
    people: Any, marks: dict[str, str], which: str, binary: str
) -> None:
    """In text, in a list, in JSON, in bytes; by UPDATE and by INSERT; nothing is sent."""
    mark = marks[which]
    values = [("notes", mark), ("tags", ["a", mark]), ("doc", Jsonb({"k": [mark]}))]
    values += [("raw", mark.encode()), ("notes", f"see {mark}.")]
    for column, value in values:
        with pytest.raises(Forbidden, match="masked value") as caught:
            people.execute(f"UPDATE zoo.people SET {column} = {binary} WHERE id = 1", (value,))
        assert "leave the masked columns out" in str(caught.value)
        assert mark not in str(caught.value)
    with pytest.raises(Forbidden):
        people.execute(f"INSERT INTO zoo.people (id, notes) VALUES (9, {binary})", (mark,))


def test_a_mark_is_not_written_back_as_a_literal(people: Any, marks: dict[str, str]) -> None:
    """The statement's own text is looked at too, also within a batch."""
    for mark in marks.values():
        with pytest.raises(Forbidden, match="masked value"):
            people.execute(f"UPDATE zoo.people SET notes = '{mark}' WHERE id = 1")
    for at in (0, 1, 2, 17, 39):
        sets = [("x", 1)] * at + [(marks["name"], 1)] + [("x", 1)] * (39 - at)
        with pytest.raises(Forbidden, match="masked value"):
            people.cursor().executemany("UPDATE zoo.people SET notes = %s WHERE id = %s", sets)


def test_a_refused_write_is_recorded_and_the_row_is_whole(
    zoo: Any, people: Any, marks: Any
) -> None:
    """The record has the rule and no value."""
    with pytest.raises(Forbidden):
        people.execute("UPDATE zoo.people SET name = %s WHERE id = 1", (marks["name"],))
    people._session.wall.audit.flush()
    assert "masks.name" in zoo.recorded() and marks["name"] not in zoo.recorded()
    assert zoo.plain.execute("SELECT name FROM zoo.people").fetchone() == ("Ada Lovelace",)


def test_what_only_looks_like_a_mark_is_written(people: Any, marks: dict[str, str]) -> None:
    """Users may write brackets, stars and hashes; only what the key has made is refused."""
    alike = [
        "[masked:name:0123456789ab]", "[redacted]", "a***@example.com", "***0123456789ab@x.org",
        "h_0123456789abcdef0123456789abcdef", marks["name"].replace("name", "mail"),
    ]  # fmt: skip
    for text in alike:
        people.execute("UPDATE zoo.people SET notes = %s WHERE id = 1", (text,))
    people.execute("SELECT id FROM zoo.people WHERE name = %s", (marks["name"],))


def test_a_key_that_was_rotated_is_still_known(zoo: Any, people: Any, marks: Any) -> None:
    """Masks name the key in use; marks of the others are refused as well."""
    rules = RULES.replace('method = "hash"', 'method = "hash"\nkey = "new"')
    keys = '\n[[keys]]\nid = "new"\nenv = "ZOO_KEY"\n[[keys]]\nid = "old"\nfile = "old.key"\n'
    (zoo.folder / "old.key").write_bytes(KEY + b"\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRACEWALL_MASK_KEY", raising=False)
        patch.setenv("ZOO_KEY", "another key of sufficient length")
        conn = zoo.guarded(rules + keys)
    nick = conn.execute("SELECT nick FROM zoo.people").fetchone()[0]
    assert nick != marks["nick"]
    for mark in (nick, *marks.values()):
        with pytest.raises(Forbidden, match="masked value"):
            conn.execute("UPDATE zoo.people SET notes = %s WHERE id = 1", (mark,))


def test_a_key_that_is_missing_is_told_at_once(zoo: Any, people: Any) -> None:
    """An id that nothing bears, a variable that is empty, a file that is short: no wall."""
    for keys in ("", 'env = "ZOO_NONE"', 'file = "none.key"'):
        text = f'\n[[keys]]\nid = "new"\n{keys}\n' if keys else ""
        with pytest.raises(PolicyError):
            zoo.load(RULES.replace('method = "hash"', 'method = "hash"\nkey = "new"') + text)
    given = zoo.guarded(
        RULES.replace('method = "hash"', 'method = "hash"\nkey = "new"')
        + '\n[[keys]]\nid = "new"\n',
        mask_key=lambda id: (id or "own").encode() * 16,
    )
    assert given.execute("SELECT nick FROM zoo.people").fetchone()[0].startswith("h_")


def test_without_a_key_marks_are_plain_words(zoo: Any, people: Any) -> None:
    """Then they can be anybody's words, and are not looked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRACEWALL_MASK_KEY", raising=False)
        conn = zoo.guarded(RULES.replace('method = "hash"', 'method = "null"'))
    name, mail = conn.execute("SELECT name, mail FROM zoo.people").fetchone()
    assert (name, mail) == ("[redacted]", "a***@example.com")
    conn.execute("UPDATE zoo.people SET notes = %s WHERE id = 1", (name,))


def test_a_value_beyond_the_limit_is_withheld_in_clear_words(zoo: Any, people: Any) -> None:
    """Only values that have to be read count; a constant hides any size at no cost."""
    rules = RULES + "\n[limits]\nmasked_value = 1000\n"
    conn = zoo.guarded(rules, mask_key=KEY)
    big = json.dumps({"k": "x" * 2000, "secret": "s"})
    zoo.plain.execute("INSERT INTO zoo.people (id, name, card, doc) VALUES (5, %s, %s, %s)",
                      ("x" * 2000, "x" * 2000, big))  # fmt: skip
    try:
        for column in ("card", "doc"):
            with pytest.raises(Forbidden, match="more than 1000 bytes") as caught:
                conn.execute(f"SELECT {column} FROM zoo.people WHERE id = 5").fetchall()
            assert "limits.masked_value" in str(caught.value)
        shown = conn.execute("SELECT name FROM zoo.people WHERE id = 5").fetchone()[0]
        assert shown.startswith("[masked:name:")
    finally:
        zoo.plain.execute("DELETE FROM zoo.people WHERE id = 5")


def test_a_mark_is_not_written_back_by_copy(zoo: Any, people: Any, marks: dict[str, str]) -> None:
    """Rows that are copied in are looked at as they leave; none of them is stored."""
    conn = zoo.guarded(RULES, mask_key=KEY)
    with (
        pytest.raises(Forbidden, match="masked value"),
        conn.cursor().copy("COPY zoo.people (id, notes) FROM STDIN") as copy,
    ):
        copy.write_row((77, marks["name"]))
    conn.close()
    assert zoo.plain.execute("SELECT id FROM zoo.people WHERE id = 77").fetchone() is None


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("kind", [tracewall.Cursor, tracewall.RawCursor, tracewall.ClientCursor])
def test_a_batch_within_a_batch_writes_no_mark(
    zoo: Any, marks: dict[str, str], kind: Any, same: bool
) -> None:
    """Sets that let go of the connection's lock, and use it meanwhile, are looked at as ever."""
    conn = zoo.guarded(RULES, mask_key=KEY)
    query = "UPDATE zoo.people SET name = {} WHERE id = {}"
    query = query.format(*(["$1", "$2"] if kind is tracewall.RawCursor else ["%s", "%s"]))
    cursor = kind(conn)

    def sets() -> Iterator[Any]:
        yield from [("harmless", 100)] * 3
        conn.lock.release()
        try:
            (cursor if same else kind(conn)).execute(query, ("harmless", 100))
        finally:
            conn.lock.acquire()
        yield (marks["name"], "1")
        yield (marks["name"], 1)

    with pytest.raises(Forbidden):
        cursor.executemany(query, sets())
    if not conn.closed:
        conn.commit()
    conn.close()
    assert zoo.plain.execute("SELECT name FROM zoo.people").fetchone() == ("Ada Lovelace",)
