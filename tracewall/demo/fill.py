"""Traces into the store: laid out in rows, sent by COPY, in batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import LiteralString, TypeAlias

import msgspec
import psycopg
from psycopg import errors

from tracewall.demo.secrets import Planted, Secret
from tracewall.demo.trace import Step, Trace

KEPT = 100_000
"""How many records of planted secrets `Filled.planted` holds at most."""

_BATCH_STEPS = 10_000
_INPUT_PRICE, _OUTPUT_PRICE = 2.5e-6, 1.0e-5

_Row: TypeAlias = list[str | int | float | None]
_Part: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class Filled:
    """What a fill put into the store: rows of each table, and where the secrets are.

    ``planted`` lists each place that holds a planted secret, the first `KEPT` of them;
    ``planted_count`` counts them all.
    """

    runs: int
    steps: int
    messages: int
    tool_calls: int
    planted: tuple[Planted, ...]
    planted_count: int


def fill(admin_conninfo: str, traces: Iterable[Trace]) -> Filled:
    """Store `traces`, all of them or, when anything fails, none.

    Memory stays bounded however many there are. Raises ValueError when a run is in the
    store already.
    """
    with psycopg.connect(admin_conninfo) as conn:
        layout = _Layout(*_last_ids(conn))
        filled = Filled(0, 0, 0, 0, (), 0)
        for batch in _batches(layout, traces):
            _send(conn, batch)
            filled = _with(filled, batch)
        _settle(conn, layout)
    return filled


@dataclass(slots=True)
class _Batch:
    """Rows that wait to be sent, by table."""

    runs: list[_Row] = field(default_factory=list)
    steps: list[_Row] = field(default_factory=list)
    messages: list[_Row] = field(default_factory=list)
    tool_calls: list[_Row] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)


def _with(filled: Filled, batch: _Batch) -> Filled:
    """Add what a batch has put into the store."""
    return Filled(
        filled.runs + len(batch.runs),
        filled.steps + len(batch.steps),
        filled.messages + len(batch.messages),
        filled.tool_calls + len(batch.tool_calls),
        (*filled.planted, *batch.planted[: KEPT - len(filled.planted)]),
        filled.planted_count + len(batch.planted),
    )


@dataclass(slots=True)
class _Layout:
    """The last ids given out, on which the next rows follow."""

    step_id: int
    message_id: int


class _Telling:
    """One trace on its way into rows: the message being gathered, the calls still open."""

    __slots__ = ("batch", "layout", "open_calls", "parts", "run", "secrets", "seq")

    def __init__(self, layout: _Layout, batch: _Batch, run: str) -> None:
        self.layout, self.batch, self.run = layout, batch, run
        self.seq = 0
        self.parts: list[_Part] = []
        self.secrets: tuple[Secret, ...] = ()
        self.open_calls: list[_Row] = []

    def step(self, step: Step, seq: int, at: datetime) -> None:
        self.layout.step_id += 1
        key = self.layout.step_id
        row: _Row = [key, self.run, seq, step.kind, step.content, at.isoformat()]
        self.batch.steps.append([*row, step.duration_ms, len(step.content) // 4 + 1])
        self.record(step.secrets, "traces.steps", key, "content")
        if step.kind == "reasoning":
            self.think(step)
        elif step.kind == "tool_call":
            self.act(step, seq)
        else:
            self.hear(step)

    def say(
        self,
        role: str,
        parts: list[_Part],
        secrets: tuple[Secret, ...],
        finish_reason: str | None = None,
    ) -> None:
        self.layout.message_id += 1
        key = self.layout.message_id
        self.batch.messages.append([key, self.run, self.seq, role, _json(parts), finish_reason])
        self.seq += 1
        self.record(secrets, "traces.messages", key, "parts")

    def record(self, secrets: tuple[Secret, ...], table: str, key: int | str, column: str) -> None:
        if secrets:
            self.batch.planted += (Planted(s.kind, s.value, table, key, column) for s in secrets)

    def hand_over(self, finish_reason: str) -> None:
        """Close the assistant's message, if one is open."""
        if self.parts:
            self.say("assistant", self.parts, self.secrets, finish_reason)
            self.parts, self.secrets = [], ()

    def think(self, step: Step) -> None:
        if self.parts and self.parts[-1]["type"] == "tool_call":
            self.hand_over("tool_call")
        self.parts.append({"type": "reasoning", "content": step.content})
        self.secrets += step.secrets

    def act(self, step: Step, seq: int) -> None:
        call_id = f"call_{self.run.replace('-', '')}{seq:04x}"
        arguments = step.arguments
        call: _Row = [call_id, self.run, seq, step.tool, _json(arguments), None, None]
        call.append(step.duration_ms)
        self.batch.tool_calls.append(call)
        self.open_calls.append(call)
        self.parts.append(
            {"type": "tool_call", "id": call_id, "name": step.tool, "arguments": arguments}
        )
        self.secrets += step.secrets
        self.record(step.secrets, "traces.tool_calls", call_id, "arguments")

    def hear(self, step: Step) -> None:
        self.hand_over("tool_call")
        call_id = None
        # Calls made together are answered in the order they were made.
        if self.open_calls:
            call = self.open_calls.pop(0)
            call_id = str(call[0])
            call[5:] = [_json(step.result), step.error, step.duration_ms]
            self.record(step.secrets, "traces.tool_calls", call_id, "result")
        part = {"type": "tool_call_response", "id": call_id, "response": step.result}
        self.say("tool", [part], step.secrets)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _lay_out(layout: _Layout, batch: _Batch, trace: Trace) -> None:
    telling = _Telling(layout, batch, str(trace.run_id))
    telling.say("user", [{"type": "text", "content": trace.prompt}], trace.prompt_secrets)
    at = trace.started_at
    for seq, step in enumerate(trace.steps):
        telling.step(step, seq, at)
        at += timedelta(milliseconds=step.duration_ms)
    if trace.answer:
        telling.parts.append({"type": "text", "content": trace.answer})
        telling.secrets += trace.answer_secrets
    telling.hand_over("error" if trace.status == "error" else "stop")
    batch.runs.append(_run_row(trace, telling.run, at.isoformat(), _tokens(trace)))


def _tokens(trace: Trace) -> tuple[int, int]:
    """Estimate what went to the model and what came from it, at four characters a token."""
    heard = sum(len(step.content) for step in trace.steps if step.kind == "tool_call_response")
    spoken = sum(len(step.content) for step in trace.steps) - heard
    asked = len(trace.system or "") + len(trace.prompt)
    return (asked + heard) // 4 + 1, (spoken + len(trace.answer)) // 4 + 1


def _run_row(trace: Trace, run: str, ended: str, tokens: tuple[int, int]) -> _Row:
    cost = f"{tokens[0] * _INPUT_PRICE + tokens[1] * _OUTPUT_PRICE:.6f}"
    caller = trace.caller
    return [
        run, caller.tenant, trace.conversation_id, caller.user_id, caller.email,
        trace.client_ip, caller.api_key, trace.agent, trace.provider, trace.model,
        trace.operation, trace.system, trace.started_at.isoformat(), ended,
        *tokens, cost, trace.status, _json(trace.attributes),
    ]  # fmt: skip


def _batches(layout: _Layout, traces: Iterable[Trace]) -> Iterator[_Batch]:
    batch = _Batch()
    for trace in traces:
        _lay_out(layout, batch, trace)
        if len(batch.steps) + len(batch.messages) >= _BATCH_STEPS:
            yield batch
            batch = _Batch()
    if batch.runs:
        yield batch


def _last_ids(conn: psycopg.Connection) -> tuple[int, int]:
    # The ids of this fill are counted here, so nobody else may add rows meanwhile.
    conn.execute("LOCK TABLE traces.steps, traces.messages IN SHARE ROW EXCLUSIVE MODE")
    row = conn.execute(
        "SELECT (SELECT coalesce(max(step_id), 0) FROM traces.steps),"
        " (SELECT coalesce(max(message_id), 0) FROM traces.messages)"
    ).fetchone()
    return row if row is not None else (0, 0)


def _send(conn: psycopg.Connection, batch: _Batch) -> None:
    try:
        _copy(conn, "COPY traces.runs FROM STDIN", batch.runs)
    except errors.UniqueViolation:
        raise ValueError("a run to be stored is in the store already: nothing was added") from None
    _copy(conn, "COPY traces.steps FROM STDIN", batch.steps)
    _copy(conn, "COPY traces.messages FROM STDIN", batch.messages)
    _copy(conn, "COPY traces.tool_calls FROM STDIN", batch.tool_calls)


def _copy(conn: psycopg.Connection, statement: LiteralString, rows: list[_Row]) -> None:
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _settle(conn: psycopg.Connection, layout: _Layout) -> None:
    """Let the server's own counters follow, and its planner know what came."""
    for table, column, last in (
        ("traces.steps", "step_id", layout.step_id),
        ("traces.messages", "message_id", layout.message_id),
    ):
        if last:
            conn.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", [table, column, last])
    conn.execute("ANALYZE traces.runs, traces.steps, traces.messages, traces.tool_calls")
