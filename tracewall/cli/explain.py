"""``tracewall explain``: what a policy says of a statement, and why; nothing is executed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text
from rich.tree import Tree

from tracewall.cli.live import estimated
from tracewall.cli.options import CONFIG, DSN, JSON
from tracewall.cli.reading import against, reached, read
from tracewall.cli.screen import answer, console, safe, several
from tracewall.judge import decision_by
from tracewall.policy.approvals import told
from tracewall.policy.model import Decision, OutputColumn
from tracewall.policy.rights import Rights

_UNWRAPPED = 10_000
_COLOURS = {"allowed": "bold green", "asks": "bold yellow", "forbidden": "bold red"}


@click.command(short_help="Say what a policy says of a statement, and why.")
@click.argument("sql")
@CONFIG
@DSN
@click.option("--groups", default="", help="The caller's groups, separated by commas.")
@click.option("--actor", "actors", multiple=True, metavar="GROUPS",
              help="The groups of who acts for the caller; may be repeated.")  # fmt: skip
@click.option("--estimate", is_flag=True,
              help="Have the server plan the statement, for how many rows it expects.")  # fmt: skip
@JSON
def explain(
    sql: str,
    policy: Path,
    dsn: str | None,
    groups: str,
    actors: Sequence[str],
    estimate: bool,
    as_json: bool,
) -> None:
    """Say what a policy says of the statement SQL, and why.

    The database is asked for its catalog only: the statement is never run. With --estimate
    the server plans it, unless it is forbidden. (Planning calls functions that stand in
    indexes, whoever wrote them: log in as the wall's role for it.) Bare names are
    looked up on the search path of --dsn's role. The exit code is 0 where the statement is
    allowed, 1 where it is not.
    """
    found = read(policy)
    place = reached(found, dsn)
    known = against(found, place)
    rights = Rights(found, known, _members(groups), tuple(map(_members, actors)))
    text = sql.encode("utf-8", "surrogateescape")
    decision = decision_by(text, rights)
    rows = None
    if estimate and decision.outcome != "forbidden" and not decision.unfollowed:
        rows = estimated(place, text)
    if as_json:
        answer(_as_json(decision) | {"rows_estimate": rows})
    else:
        out = console()
        if not out.is_terminal:
            out.width = _UNWRAPPED
        tree = _tree(decision)
        if rows is not None:
            tree.add(Text(f"about {several(rows, 'row')}, by the server's planner"))
        elif estimate:
            tree.add(Text("no estimate: the server does not plan it", "dim"))
        out.print(tree)
    raise click.exceptions.Exit(0 if decision.allowed else 1)


def _members(groups: str) -> frozenset[str]:
    return frozenset(filter(None, (name.strip() for name in groups.split(","))))


def _tree(decision: Decision) -> Tree:
    head = (decision.outcome, _COLOURS[decision.outcome]), f" by {safe(decision.rule)}"
    tree = Tree(Text.assemble(*head), guide_style="dim")
    for name, text in (("reason", decision.reason), ("hint", decision.hint)):
        if text:
            tree.add(Text.assemble((f"{name}: ", "bold"), safe(text)))
    for rule in decision.approvals:
        tree.add(Text.assemble((f"approvals.{rule.name}: ", "bold yellow"), safe(told(rule))))
    for relation, actions in decision.relations:
        tree.add(Text.assemble((safe(relation), "bold"), f": {', '.join(actions)}"))
    if decision.unfollowed:
        tree.add(Text("not followed: nothing of the result is checked or masked", "yellow"))
    for at, column in enumerate(decision.columns, start=1):
        tree.add(_branch(at, column))
    if decision.row_limit:
        tree.add(Text(f"at most {several(decision.row_limit, 'row')}"))
    if decision.byte_limit:
        tree.add(Text(f"at most {several(decision.byte_limit, 'byte')}"))
    return tree


def _branch(at: int, column: OutputColumn) -> Tree:
    shown = f"{column.shows} by {column.rule}" if column.rule else column.shows
    style = "yellow" if column.rule else "green"
    branch = Tree(Text.assemble(f"column {at} ", (safe(column.name), "bold"), ": ", (shown, style)))
    for name, how in column.lineage:
        branch.add(Text.assemble(safe(name), (f" ({how})", "dim")))
    return branch


def _as_json(decision: Decision) -> dict[str, object]:
    return {
        "outcome": decision.outcome,
        "rule": decision.rule,
        "reason": decision.reason,
        "hint": decision.hint,
        "policy": decision.policy_hash,
        "summary": decision.summary,
        "text": decision.text,
        "relations": {name: list(actions) for name, actions in decision.relations},
        "columns": [
            {
                "name": column.name,
                "shows": column.shows,
                "rule": column.rule,
                "lineage": [{"column": name, "how": how} for name, how in column.lineage],
            }
            for column in decision.columns
        ],
        "approvals": [f"approvals.{rule.name}" for rule in decision.approvals],
        "row_limit": decision.row_limit,
        "byte_limit": decision.byte_limit,
        "unreadable": decision.unreadable,
        "unfollowed": decision.unfollowed,
    }
