"""The story the demo tells: one query by each of several people, and what became of it.

Every answer shown is an answer given: the statements run while the story is told, by the
front door of the package. Plain psycopg is used beside it, as the superuser, only to
show what the wall hides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

import tracewall
from tracewall.demo.approval import approved
from tracewall.demo.excerpts import excerpt, spelled
from tracewall.demo.figures import figures
from tracewall.demo.proof import recorded, spanned, tampered
from tracewall.demo.scenes import Asked, Cell, Grid, Note, Part, Refusal, Scene, Verdict
from tracewall.demo.stage import AUDIENCE, Stage
from tracewall.testing import SigningKey

THE_QUERY: LiteralString = (
    "SELECT r.tenant, r.user_email, r.client_ip, r.api_key, s.content"
    " FROM traces.runs r JOIN traces.steps s ON s.run_id = r.run_id WHERE s.step_id = %s"
)
"""What each of the people asks."""

_MESSAGE: LiteralString = "SELECT role, parts FROM traces.messages WHERE message_id = %s"
_MEND: LiteralString = (
    "UPDATE traces.runs SET status = 'error' WHERE run_id = %s"
    " RETURNING status, user_email, api_key"
)
_OVERREACH: LiteralString = "UPDATE traces.runs SET user_email = 'x'"
_ATTEMPTS: tuple[LiteralString, ...] = (
    "SELECT upper(api_key) FROM traces.runs",
    "SELECT run_id FROM traces.runs WHERE api_key LIKE 'sk-a%'",
    "SELECT tool_name, arguments FROM traces.tool_calls",
    "DELETE FROM traces.runs",
)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who acts, with their tokens, and the rows they ask for.

    ``step`` and ``message`` are keys of rows with a planted secret, where there is one.
    """

    ana: str
    omar: str
    step: int
    message: int


def tell(stage: Stage) -> Iterator[Scene | Verdict]:
    """Tell the story, scene after scene; the last thing told is the verdict."""
    cast = _cast(stage)
    yield _opening(stage)
    yield _compared(stage, cast)
    yield _document(stage, cast)
    yield _attempts(stage, cast)
    yield _mended(stage, cast)
    yield _strangers(stage, cast)
    yield _both_colours(stage, cast)
    yield from approved(stage)
    yield recorded(stage)
    tampering, proofs = tampered(stage)
    yield tampering
    yield spanned(stage)
    counting, verdict = figures(stage, proofs)
    yield counting
    yield verdict


def _cast(stage: Stage) -> Cast:
    with psycopg.connect(stage.admin) as conn:
        return Cast(
            stage.token("ana", "analysts"),
            stage.token("omar", "operators"),
            _shortest(conn, stage, "traces.steps"),
            _shortest(conn, stage, "traces.messages"),
        )


_SHORTEST: dict[str, LiteralString] = {
    "traces.steps": "SELECT step_id FROM traces.steps WHERE step_id = ANY(%s) OR %s"
    " ORDER BY abs(length(content) - 120), step_id LIMIT 1",
    "traces.messages": "SELECT message_id FROM traces.messages WHERE message_id = ANY(%s) OR %s"
    " ORDER BY abs(length(parts::text) - 160), message_id LIMIT 1",
}


def _shortest(conn: psycopg.Connection[Any], stage: Stage, table: str) -> int:
    """Give the key of a row that reads well and, where there is one, holds a secret."""
    keys = [each.key for each in stage.filled.planted if each.table == table]
    row = conn.execute(_SHORTEST[table], [keys, not keys]).fetchone()
    return int(row[0]) if row else 0


def _opening(stage: Stage) -> Scene:
    filled = stage.filled
    kinds = len({each.kind for each in filled.planted})
    sizes = (
        ("runs", f"{filled.runs:,}"),
        ("steps", f"{filled.steps:,}"),
        ("messages", f"{filled.messages:,}"),
        ("tool calls", f"{filled.tool_calls:,}"),
        ("planted secrets", f"{filled.planted_count:,} places, {kinds} kinds"),
    )
    return Scene(
        "The stage",
        "A PostgreSQL of its own holds traces of AI agents, with secrets planted in their texts. "
        "The wall has the policy and the database credential; people have only their tokens.",
        (
            Grid(
                tuple(Cell(name) for name, _ in sizes),
                (tuple(Cell(size) for _, size in sizes),),
            ),
            Note(f"keys of the issuer: {stage.keys_url}"),
            Note(f"policy: {stage.wall.policy.path} (hash {stage.wall.policy.hash[:12]})"),
        ),
    )


def _compared(stage: Stage, cast: Cast) -> Scene:
    with psycopg.connect(stage.admin) as plain:
        cursor = plain.execute(THE_QUERY, [cast.step])
        names = [column.name for column in cursor.description or ()]
        bare = cursor.fetchone() or ()
    ana, omar = (_row(stage, token, THE_QUERY, cast.step) for token in (cast.ana, cast.omar))
    rows = [
        (Cell(name), excerpt(raw, seen[0], "bare"), *(excerpt(one, raw, "masked") for one in seen))
        for name, raw, *seen in zip(names, map(spelled, bare), ana, omar, strict=True)
    ]
    head = ("", "plain psycopg, superuser", "ana, analyst", "omar, operator")
    mallory = _refused(stage, stage.token("mallory", "marketing"), THE_QUERY, cast.step)
    return Scene(
        "The same query by each",
        "Left, for comparison, what the server itself answers a superuser: no guard there.",
        (
            Asked("everybody", THE_QUERY),
            Grid(tuple(Cell(name, "bare" if "plain" in name else "plain") for name in head),
                 tuple(rows)),
            Asked("mallory, marketing", "the same"),
            mallory,
        ),
    )  # fmt: skip


def _document(stage: Stage, cast: Cast) -> Scene:
    with psycopg.connect(stage.admin) as plain:
        row = plain.execute(_MESSAGE, [cast.message]).fetchone() or ("", None)
    seen = _row(stage, cast.ana, _MESSAGE, cast.message)
    raw, shown = spelled(row[1]), seen[1]
    return Scene(
        "Inside JSON",
        "A document keeps its shape; what is secret in its texts does not come along.",
        (
            Asked("ana", _MESSAGE),
            Grid(
                (Cell("plain psycopg, superuser", "bare"), Cell("ana, analyst")),
                ((excerpt(raw, shown, "bare"), excerpt(shown, raw, "masked")),),
            ),
        ),
    )


def _attempts(stage: Stage, cast: Cast) -> Scene:
    parts: list[Part] = []
    with tracewall.connect(wall=stage.wall, token=cast.ana) as conn:
        for statement in _ATTEMPTS:
            parts += [Asked("ana", statement), _attempt(conn, statement)]
        count = conn.execute("SELECT count(*) FROM traces.runs").fetchone()
    rows = count[0] if count else 0
    parts.append(Note(f"Nothing was sent, so her transaction goes on: count(*) gives {rows:,}."))
    return Scene(
        "What ana may not do", "Each refusal says which rule, why, and what to do.", tuple(parts)
    )


def _mended(stage: Stage, cast: Cast) -> Scene:
    with psycopg.connect(stage.admin) as plain:
        run = plain.execute(
            "SELECT run_id FROM traces.steps WHERE step_id = %s", [cast.step]
        ).fetchone()
    key = run[0] if run else None
    row = _row(stage, cast.omar, _MEND, key)
    return Scene(
        "What omar may",
        "Operators may correct a run and see whom it concerns; its key stays hidden from them too.",
        (
            Asked("omar", _MEND),
            Grid(
                tuple(map(Cell, ("status", "user_email", "api_key"))),
                ((Cell(row[0]), Cell(row[1]), Cell(row[2], "masked")),),
            ),
            Asked("omar", _OVERREACH),
            _refused(stage, cast.omar, _OVERREACH),
        ),
    )


def _strangers(stage: Stage, cast: Cast) -> Scene:
    mint = stage.issuer.mint
    group = ["analysts"]
    tokens = {
        "signed by a key of their own": mint(
            "mallory", group, audience=AUDIENCE, key=SigningKey.make()
        ),
        "run out a minute ago": stage.token("ana", "analysts", lifetime=-60),
        "meant for another service": mint("ana", group, audience="billing"),
        "ana's, with one letter changed": _changed(cast.ana),
    }
    rows = []
    for told, token in tokens.items():
        try:
            tracewall.connect(wall=stage.wall, token=token).close()
        except tracewall.TokenRejected as error:
            rows.append((Cell(told), Cell(error.reason, "refused"), Cell(str(error))))
        else:
            rows.append((Cell(told), Cell("let in", "bare"), Cell("")))
    return Scene(
        "Strangers",
        "Whoever shows one of these gets no connection at all.",
        (Grid(tuple(map(Cell, ("token", "reason", "TokenRejected"))), tuple(rows)),),
    )


def _both_colours(stage: Stage, cast: Cast) -> Scene:
    # A loop of this kind is what psycopg can use on every system.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        rows = runner.run(_in_turn(stage, cast))
    return Scene(
        "Async, one connection, two people",
        "In a pool the connection is nobody's: `wall.acting_as(token)` says who acts.",
        (
            Asked("each in turn", "the same query"),
            Grid(tuple(map(Cell, ("acting as", "user_email", "client_ip", "api_key"))), rows),
        ),
    )


async def _in_turn(stage: Stage, cast: Cast) -> tuple[tuple[Cell, ...], ...]:
    rows = []
    connecting = tracewall.AsyncConnection.connect(wall=stage.wall, autocommit=True)
    async with await connecting as conn:
        for who, token in (("ana", cast.ana), ("omar", cast.omar)):
            with stage.wall.acting_as(token, purpose="demo"):
                row = await (await conn.execute(THE_QUERY, [cast.step])).fetchone()
            rows.append((Cell(who), *(Cell(spelled(value)) for value in (row or ())[1:4])))
        try:
            await conn.execute(THE_QUERY, [cast.step])
        except tracewall.TokenRejected as error:
            refused = Cell(f"TokenRejected: {error.reason}", "refused")
            rows.append((Cell("nobody"), refused, Cell(""), Cell("")))
    return tuple(rows)


def _row(stage: Stage, token: str, statement: LiteralString, key: object) -> list[str]:
    """Give one row of a statement's answer through the wall, as texts."""
    with tracewall.connect(wall=stage.wall, token=token) as conn:
        row = conn.execute(statement, [key]).fetchone()
    return [spelled(value) for value in row or ()]


def _refused(stage: Stage, token: str, statement: LiteralString, *keys: object) -> Part:
    with tracewall.connect(wall=stage.wall, token=token) as conn:
        return _attempt(conn, statement, list(keys))


def _attempt(
    conn: psycopg.Connection[Any], statement: LiteralString, keys: list[object] | None = None
) -> Part:
    try:
        conn.execute(statement, keys or None)
    except tracewall.Forbidden as error:
        decision = error.decision
        if decision is None:
            return Refusal(type(error).__name__, "", str(error))
        return Refusal(type(error).__name__, decision.rule, decision.reason, decision.hint)
    return Note("This was let through.", "bare")


def _changed(token: str) -> str:
    head, payload, signature = token.split(".")
    other = "A" if signature[4] != "A" else "B"
    return f"{head}.{payload}.{signature[:4]}{other}{signature[5:]}"
