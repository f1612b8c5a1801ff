"""A statement as it was understood, or why it was not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tracewall.sql import grammar, views
from tracewall.sql.catalog import Catalog
from tracewall.sql.commands import COMMANDS, Command
from tracewall.sql.copying import CopyFormat
from tracewall.sql.extent import UNKNOWN_EXTENT, Extent, extent
from tracewall.sql.flow import Access, Column, Flow, Use, Write
from tracewall.sql.grammar import Node
from tracewall.sql.lineage import select
from tracewall.sql.merging import merge
from tracewall.sql.modifying import delete, insert, update
from tracewall.sql.reading import Reading, never
from tracewall.sql.scope import Named, Scope, Unknowable
from tracewall.sql.second_opinion import second_opinion
from tracewall.sql.survey import survey
from tracewall.sql.unfollowed import action_of, spoken

SUMMARY_LENGTH = 255
"""The longest summary (characters), as OpenTelemetry's conventions have it."""


MAX_TREE_DEPTH = 400
"""How deep a tree may be for the second parser, which recurses in C, to be asked about it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a statement does.

    ``kind`` is ``select``, ``insert``, ``update``, ``delete``, ``merge``, ``explain``,
    ``copy_to``, ``copy_from``, ``declare``, ``fetch``, ``move``, ``close``, ``truncate``,
    ``lock``, ``listen``, ``unlisten``, ``notify``, ``set``, ``reset``, ``show``, ``begin``,
    ``commit``, ``rollback``, ``savepoint``, ``release``, ``rollback_to`` or ``empty``;
    ``accesses`` are the rights it needs, in order of appearance; ``uses`` what it
    compares, ``writes`` what it stores where; ``columns`` are its output positions, each a
    name and a flow. ``channels`` are the channels of notifications it uses, each with the
    action (``listen`` or ``notify``); ``settings`` the parameters it sets, each with its
    new value (None: its default, or not known); ``cursor`` is the cursor it names, ``copy``
    how COPY spells values; ``extent`` how far it reaches. ``summary`` (``SELECT
    traces.runs``) and ``text`` (literal-free) are fit for logs.
    """

    kind: str
    summary: str
    text: str
    accesses: tuple[Access, ...] = ()
    uses: tuple[Use, ...] = ()
    writes: tuple[Write, ...] = ()
    columns: tuple[tuple[str, Flow], ...] = ()
    channels: tuple[tuple[str, str], ...] = ()
    settings: tuple[tuple[str, str | None], ...] = ()
    cursor: str = ""
    copy: CopyFormat | None = None
    extent: Extent = UNKNOWN_EXTENT


@dataclass(frozen=True, slots=True)
class Misunderstood:
    """Why a statement can't be judged: ``reason`` is one sentence without literals.

    ``accesses`` are the rights it was seen to need before it was given up. ``action`` is
    what a policy must grant for it to be sent all the same: ``ddl``, ``do``, ``call``,
    ``temp``, ``prepare``, ``maintain``, or ``anything`` for what is not even sorted.
    ``verb`` is what its summary would begin with, were it understood.
    """

    reason: str
    summary: str = "unreadable"
    text: str = ""
    accesses: tuple[Access, ...] = ()
    action: str = "anything"
    verb: str = ""


Understanding: TypeAlias = Statement | Misunderstood


def nothing_hidden(column: Column, key: str) -> bool:
    """Say that no member of a document is hidden by its key."""
    return False


def understand(
    sql: bytes,
    catalog: Catalog,
    *,
    strict: bool = False,
    hides: Callable[[Column, str], bool] = nothing_hidden,
    opaque: Callable[[str], bool] = never,
    calls: Callable[[str], bool] = never,
    reaches: bool = True,
) -> Understanding:
    """Read a statement as PostgreSQL would, and say what it does.

    Args:
        sql: the exact bytes for the wire.
        catalog: what the server's catalog says.
        strict: refuse what the second parser can't read.
        hides: tells whether masking a column's documents hides what is under a key; what
            such a key takes out of a document counts as computed from it.
        opaque: tells whether a view's column (``schema.view.column``) may be read as it
            stands where the view can't be followed.
        calls: tells whether a function of a user's own (``schema.function``) may be called,
            for it reads nothing but its arguments.
        reaches: say how far it reaches, too; else that is not known.
    """
    if is_empty(sql):
        return Statement("empty", "", "")
    log = Reading(catalog, _query, hides, opaque, calls)
    try:
        return _understand(sql, log, strict, reaches)
    except grammar.Unparsable as ex:
        return Misunderstood(ex.reason)
    except Unknowable as ex:
        reason, action = ex.reason, ex.action
    except Exception:
        # The tree has a shape that the reader does not expect, which is a fault of ours.
        reason, action = "tracewall failed to follow it; please report this as a fault", "anything"
    needed = tuple(log.accesses)
    return Misunderstood(reason, text=_text(sql), accesses=needed, action=action, verb=log.verb)


def is_empty(sql: bytes) -> bool:
    """Tell whether a statement is none, as pools send to see whether the server is there."""
    return not sql.strip(b"; \t\n\r\f\v")


def inherited(column: Column, catalog: Catalog) -> frozenset[Column]:
    """Give the columns beneath a view's column whose values it shows unchanged."""
    return views.inherited(column, Reading(catalog, _query, nothing_hidden))


def _understand(sql: bytes, log: Reading, strict: bool, reaches: bool) -> Statement:
    text = grammar.Text(sql)
    tree = text.parse()
    log.verb = _verb(next(iter(tree)))
    command = _command(tree, log)
    views.charge(log)
    if log.problem:
        raise Unknowable(log.problem)
    held = survey(tree, log.seen)
    query = text.query_within(tree)
    if query is not None:
        deep = held.depth > MAX_TREE_DEPTH
        names = held.relations | held.functions
        opinion = "silent" if deep else second_opinion(*query, names)
        if opinion == "contradicts":
            raise Unknowable(
                "two parsers read it differently, so neither is believed; spell it more plainly"
            )
        if strict and opinion == "silent":
            raise Unknowable("the second parser can't read it, which the policy wants (strict)")
    return Statement(
        command.kind,
        _summary(command.kind, log),
        text.without_literals(),
        tuple(log.accesses),
        tuple(log.uses),
        tuple(log.writes),
        tuple((column.name, column.flow) for column in command.columns),
        tuple(log.channels),
        tuple(log.settings),
        command.cursor,
        command.copy,
        _reach(tree, log) if reaches else UNKNOWN_EXTENT,
    )


def _reach(tree: Node, log: Reading) -> Extent:
    return extent(tree, log.catalog, {access.relation for access in log.accesses})


def _command(tree: Node, log: Reading) -> Command:
    ((kind, body),) = tree.items()
    reader = COMMANDS.get(kind)
    if reader is None:
        return Command(kind.removesuffix("Stmt").lower(), _query(tree, Scope(), log))
    log.see(body)
    return reader(body, log)


def _query(tree: Node, scope: Scope, log: Reading) -> tuple[Named, ...]:
    ((kind, body),) = tree.items()
    reader = _STATEMENTS.get(kind)
    if reader is None:
        raise Unknowable(
            f"{spoken(kind)} is not among the statements that may be sent", action_of(kind, body)
        )
    log.see(body)
    return reader(body, scope, log)


def _summary(kind: str, log: Reading) -> str:
    relations = {
        log.catalog.relations[access.relation].qualified: None
        for access in log.accesses
        if access.relation
    }
    verb = _VERBS.get(kind, kind.upper())
    return " ".join([verb, *relations])[:SUMMARY_LENGTH]


def _verb(kind: str) -> str:
    return _VERBS_OF_NODES.get(kind, kind.removesuffix("Stmt").upper())


def _text(sql: bytes) -> str:
    try:
        return grammar.without_literals(sql)
    except grammar.Unparsable:
        return ""


_VERBS_OF_NODES = {"DeclareCursorStmt": "DECLARE"}
_VERBS = {"copy_to": "COPY", "copy_from": "COPY", "rollback_to": "ROLLBACK TO"}
_STATEMENTS: Mapping[str, Callable[[Any, Scope, Reading], tuple[Named, ...]]] = {
    "SelectStmt": select,
    "InsertStmt": insert,
    "UpdateStmt": update,
    "DeleteStmt": delete,
    "MergeStmt": merge,
}
