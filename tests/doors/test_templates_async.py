"""Template strings, by psycopg's own path for them: judged as they would be sent.

Before Python 3.14 there are none, but psycopg has classes that stand for theirs; a subclass of
them goes through the same code of psycopg's as a real one does. From 3.14 on they are real.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import _compat, sql

import tracewall
from tracewall import AsyncConnection

if not hasattr(_compat, "Template"):
    pytest.skip("this psycopg knows no template strings", allow_module_level=True)


REAL = sys.version_info >= (3, 14)

if REAL:
    from string.templatelib import Interpolation, Template

    def Part(value: object, format_spec: str = "") -> Any:
        """Give what stands in braces."""
        return Interpolation(value, "value", None, format_spec)

    Text: Any = Template
else:

    class Part(_compat.Interpolation):
        """What stands in braces."""

        def __init__(self, value: object, format_spec: str = "") -> None:
            self.value, self.format_spec = value, format_spec
            self.expression, self.conversion = "value", None

    class Text(_compat.Template):
        """A template string of some parts; it tells others later if it has `others`."""

        def __new__(cls, *parts: object, others: tuple[object, ...] = ()) -> Any:
            """Make it without the stand-in's own way, which has none."""
            return object.__new__(cls)

        def __init__(self, *parts: object, others: tuple[object, ...] = ()) -> None:
            self._turns = [parts, others or parts]

        def __iter__(self) -> Iterator[Any]:
            """Give the parts."""
            return iter(self._turns.pop(0) if len(self._turns) > 1 else self._turns[0])


@pytest.fixture
async def conn(guard: Any) -> AsyncIterator[Any]:
    """A guarded connection of an analyst."""
    made = await AsyncConnection.connect(wall=guard.wall, token=guard.analyst, autocommit=True)
    async with made:
        yield made


NAME = Part(sql.Identifier("traces", "runs"), "i")
KEYS = ("select run_id, api_key from ", NAME, " where api_key is not null limit ", Part(2))
HIDDEN = ("select client_ip from ", NAME, " limit 1")


def masked(rows: Any, guard: Any) -> None:
    """Hold rows to being two, and to hold no key."""
    keys = {key for (key,) in guard.raw("select distinct api_key from traces.runs")}
    assert len(rows) == 2
    assert not keys & {value for row in rows for value in row}


async def test_a_template_is_judged_as_it_is_sent(
    conn: Any, guard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By each door that takes one: masked where it reads a masked column."""
    # A DECLARE is put around one by psycopg, as a template that its stand-in can't make.
    if not REAL:
        monkeypatch.setattr("psycopg._server_cursor_base.Template", Text)
    masked(await (await conn.execute(Text(*KEYS))).fetchall(), guard)
    masked([row async for row in conn.cursor().stream(Text(*KEYS))], guard)
    bound = tracewall.AsyncClientCursor(conn)
    masked(await (await bound.execute(Text(*KEYS))).fetchall(), guard)
    async with conn.transaction(), conn.cursor("keys") as declared:
        masked(await (await declared.execute(Text(*KEYS))).fetchall(), guard)
    query = sql.SQL("select run_id, api_key from traces.runs where api_key is not null limit 2")
    async with conn.cursor().copy(Text("copy (", Part(query, "q"), ") to stdout")) as copy:
        masked([row async for row in copy.rows()], guard)


async def test_a_template_that_is_refused_is_never_sent(conn: Any) -> None:
    """By each door: nothing but the refusal comes."""
    cursor = conn.cursor()
    with pytest.raises(tracewall.Forbidden):
        await cursor.execute(Text(*HIDDEN))
    with pytest.raises(tracewall.Forbidden):
        await anext(cursor.stream(Text(*HIDDEN)))
    with pytest.raises(tracewall.Forbidden):
        async with cursor.copy(
            Text("copy (", Part(sql.SQL(HIDDEN[0] + "traces.runs"), "q"), ") to stdout")
        ):
            pass
    assert conn.explain(Text(*HIDDEN)).outcome != "allowed"


@pytest.mark.skipif(REAL, reason="a real template string can't be changed")
async def test_a_template_that_changes_its_mind_is_rendered_once(conn: Any, guard: Any) -> None:
    """What it tells the second time nobody asks."""
    masked(await (await conn.execute(Text(*KEYS, others=HIDDEN))).fetchall(), guard)


class Fickle(sql.SQL):
    """A part of a query that is a masked column first, and a hidden one from then on."""

    def __init__(self) -> None:
        super().__init__("api_key")
        self.asked = 0

    def as_bytes(self, context: Any = None) -> bytes:
        """Tell what was asked for, another thing each time."""
        self.asked += 1
        return b"api_key" if self.asked == 1 else b"client_ip"


async def test_a_part_that_changes_its_mind_is_rendered_once(conn: Any, guard: Any) -> None:
    """What a Composable in braces tells the second time nobody asks."""
    fickle = Fickle()
    text = Text("select run_id, ", Part(fickle, "q"), " from ", NAME, KEYS[-2], Part(2))
    rows = await (await conn.execute(text)).fetchall()
    masked(rows, guard)
    assert fickle.asked == 1


@pytest.mark.skipif(not REAL, reason="the syntax came with Python 3.14")
async def test_the_syntax_of_template_strings(conn: Any, guard: Any) -> None:
    """What a program writes as t"…" is judged, masked, and its values are parameters."""
    names = {
        "table": sql.Identifier("traces", "runs"),
        "none": None,
        "canary": "canary' or true --",
    }
    text = 't"select run_id, api_key from {table:i} where api_key is not null limit 2"'
    masked(await (await conn.execute(eval(text, names))).fetchall(), guard)
    with pytest.raises(tracewall.Forbidden):
        await conn.execute(eval('t"select client_ip from {table:i}"', names))
    nested = 't"select run_id from {table:i} where {t"agent = {canary}":q}"'
    assert await (await conn.execute(eval(nested, names))).fetchall() == []
    assert "canary" not in guard.recorded()


async def test_a_value_in_a_template_is_a_parameter(conn: Any, guard: Any) -> None:
    """A value leaves beside the statement, and no trace of it is in the record."""
    found = await conn.execute(
        Text("select run_id from traces.runs where agent = ", Part("canary' or true --"))
    )
    assert await found.fetchall() == []
    assert "canary" not in guard.recorded()


async def test_parameters_beside_a_template_are_psycopgs_error(conn: Any) -> None:
    """As with psycopg."""
    with pytest.raises((TypeError, psycopg.Error)):
        await conn.execute(Text(*KEYS), [1])
