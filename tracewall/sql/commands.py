"""Statements that are no queries: transactions, settings, channels, locks, cursors, EXPLAIN.

1. Transactions and savepoints need no right; two-phase commit is not followed.
2. LISTEN and NOTIFY need their action on the channel.
3. LOCK and TRUNCATE need theirs on each relation; what reaches relations that are not
   named (CASCADE) is not followed.
4. EXPLAIN shows constants and estimates from statistics: it needs ``explain`` on each
   relation, and what the statement compares counts as computed. VERBOSE names columns
   that the statement does not, so it needs ``explain`` on all of them; COSTS, which is on
   by default, measures every column that is read.
5. DECLARE is judged as its query; FETCH, MOVE and CLOSE name their cursor only: whoever
   knows the cursor knows what comes out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tracewall.sql import views
from tracewall.sql.copying import CopyFormat, copy
from tracewall.sql.flow import NOTHING, Access, How, Source, Use
from tracewall.sql.grammar import Node
from tracewall.sql.reading import Reading
from tracewall.sql.relations import base_relation
from tracewall.sql.scope import Named, Scope, Unknowable
from tracewall.sql.settings import MULTIPLE, may_be_shown, setting, spelled


class Command(NamedTuple):
    """What a command is: its kind, what it gives out, the cursor it names, how it copies."""

    kind: str
    columns: tuple[Named, ...] = ()
    cursor: str = ""
    copy: CopyFormat | None = None


_TRANSACTIONS = {
    "TRANS_STMT_BEGIN": "begin",
    "TRANS_STMT_START": "begin",
    "TRANS_STMT_COMMIT": "commit",
    "TRANS_STMT_ROLLBACK": "rollback",
    "TRANS_STMT_SAVEPOINT": "savepoint",
    "TRANS_STMT_RELEASE": "release",
    "TRANS_STMT_ROLLBACK_TO": "rollback_to",
}


def _transaction(body: Node, log: Reading) -> Command:
    kind = _TRANSACTIONS.get(body["kind"])
    if kind is None:
        raise Unknowable("two-phase commit is not among the statements that may be sent")
    return Command(kind)


def _set(body: Node, log: Reading) -> Command:
    kind, name = body["kind"], body.get("name", "")
    called = f"the parameter {name}"
    if kind == "VAR_SET_MULTI" and name in MULTIPLE:
        return Command("set")
    if kind == "VAR_SET_VALUE":
        for value in body.get("args", []):
            log.see(next(iter(value.values())))
        log.settings.append(setting(name, body.get("args", []), called))
        return Command("set")
    if kind in ("VAR_SET_DEFAULT", "VAR_RESET"):
        log.settings.append(setting(name, None, called))
        return Command("set" if kind == "VAR_SET_DEFAULT" else "reset")
    raise Unknowable("this form of SET or RESET is not understood; name one parameter")


def _set_constraints(body: Node, log: Reading) -> Command:
    if body.get("constraints"):
        raise Unknowable(
            "SET CONSTRAINTS is understood for all constraints only; write SET CONSTRAINTS ALL"
        )
    return Command("set")


def _show(body: Node, log: Reading) -> Command:
    if not may_be_shown(body["name"]):
        raise Unknowable(
            f"the parameter {body['name']} is not on the list of those that may be shown"
        )
    return Command("show", (Named(spelled(body["name"]), NOTHING),))


def _listen(body: Node, log: Reading) -> Command:
    log.channels["listen", body["conditionname"]] = None
    return Command("listen")


def _unlisten(body: Node, log: Reading) -> Command:
    return Command("unlisten")


def _notify(body: Node, log: Reading) -> Command:
    log.channels["notify", body["conditionname"]] = None
    return Command("notify")


def _lock(body: Node, log: Reading) -> Command:
    _each(body, "lock", log)
    return Command("lock")


def _truncate(body: Node, log: Reading) -> Command:
    if body.get("behavior") == "DROP_CASCADE":
        raise Unknowable(
            "TRUNCATE CASCADE reaches tables that it does not name; name them and leave CASCADE out"
        )
    _each(body, "truncate", log)
    return Command("truncate")


def _each(body: Node, action: str, log: Reading) -> None:
    for entry in body["relations"]:
        log.see(entry["RangeVar"])
        base_relation(entry["RangeVar"], action, log)


def _copy(body: Node, log: Reading) -> Command:
    kind, columns, spelling = copy(body, Scope(), log)
    return Command(kind, columns, copy=spelling)


_BINARY_CURSOR = 1


def _declare(body: Node, log: Reading) -> Command:
    if body.get("options", 0) & _BINARY_CURSOR:
        raise Unknowable("a BINARY cursor is not understood; ask the cursor for binary results")
    columns = log.query(body["query"], Scope(), log)
    return Command("declare", columns, body["portalname"])


def _fetch(body: Node, log: Reading) -> Command:
    return Command("move" if body.get("ismove") else "fetch", cursor=body["portalname"])


def _close(body: Node, log: Reading) -> Command:
    # Without a name it closes all of them.
    return Command("close", cursor=body.get("portalname", ""))


_EXPLAINED = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_EXPLAIN_OPTIONS = frozenset(
    "verbose costs format settings summary generic_plan buffers memory analyze".split()
)


def _explain(body: Node, log: Reading) -> Command:
    if not _EXPLAINED & body["query"].keys():
        raise Unknowable("EXPLAIN is followed for SELECT, INSERT, UPDATE, DELETE and MERGE only")
    options = {}
    for entry in body.get("options", []):
        option = entry["DefElem"]
        options[option["defname"].lower()] = _word(option.get("arg"))
    if not options.keys() <= _EXPLAIN_OPTIONS or len(options) < len(body.get("options", [])):
        raise Unknowable(
            "EXPLAIN has an option twice, or one that is not understood; leave out what is none of "
            + ", ".join(sorted(_EXPLAIN_OPTIONS - {"analyze"}))
        )
    if options.get("analyze", "off") not in _OFF:
        raise Unknowable("EXPLAIN ANALYZE runs its statement; leave ANALYZE out")
    log.query(body["query"], Scope(), log)
    # A plan shows what views are made of, the constants in their conditions among it.
    views.charge(log)
    if options.get("costs", "on") not in _OFF:
        _widths(log)
    _as_explained(log, verbose=options.get("verbose", "off") not in _OFF)
    return Command("explain", (Named("QUERY PLAN", NOTHING),))


def _widths(log: Reading) -> None:
    # A plan tells how wide the values of each column are on average.
    for access in list(log.accesses):
        if access.attnum > 0 and access.action == "select":
            known = log.catalog.relations[access.relation]
            beneath = views.flows(known, log) if views.is_view(known) else {}
            own = frozenset({Source((access.relation, access.attnum), How.MEASURED)})
            log.use("compute", own | beneath.get(access.attnum, NOTHING))


def _as_explained(log: Reading, *, verbose: bool) -> None:
    # A plan shows the statistics of what is compared: how many rows have a value.
    log.uses = {Use("compute", use.flow | use.other): None for use in log.uses}
    for access in list(log.accesses):
        if not access.attnum:
            log.accesses[access._replace(action="explain")] = None
            known = log.catalog.relations.get(access.relation) if verbose else None
            for column in known.columns if known else ():
                shown = Access("explain", access.relation, column.attnum, "*", access.via)
                log.accesses[shown] = None


_OFF = frozenset({"off", "false", "0", "no"})


def _word(value: Node | None) -> str:
    if not value:
        return "on"
    ((_, body),) = value.items()
    found = next(iter(body.values()), 0)
    return str(found).lower()


COMMANDS: Mapping[str, Callable[[Any, Reading], Command]] = {
    "TransactionStmt": _transaction,
    "VariableSetStmt": _set,
    "VariableShowStmt": _show,
    "ConstraintsSetStmt": _set_constraints,
    "ListenStmt": _listen,
    "UnlistenStmt": _unlisten,
    "NotifyStmt": _notify,
    "LockStmt": _lock,
    "TruncateStmt": _truncate,
    "CopyStmt": _copy,
    "DeclareCursorStmt": _declare,
    "FetchStmt": _fetch,
    "ClosePortalStmt": _close,
    "ExplainStmt": _explain,
}
"""Readers of statements that are no queries."""
