"""Statements that are not followed: which action a policy must grant for each kind.

What such a statement reads or changes is not looked into, so that only whoever nothing is
hidden from may send it.
"""

from __future__ import annotations

from typing import Any

from tracewall.sql.grammar import Node

_ACTIONS = {
    "DoStmt": "do",
    "CallStmt": "call",
    "PrepareStmt": "prepare",
    "ExecuteStmt": "prepare",
    "DeallocateStmt": "prepare",
    "VacuumStmt": "maintain",
    "ReindexStmt": "maintain",
    "ClusterStmt": "maintain",
    "RepackStmt": "maintain",
    "RefreshMatViewStmt": "maintain",
    "CheckPointStmt": "maintain",
}
_DDL = ("Create", "Alter", "Drop", "Define", "Grant", "Comment", "Rename", "Rule", "View")
_DDL_NAMES = frozenset(
    "IndexStmt CompositeTypeStmt SecLabelStmt ReassignOwnedStmt ImportForeignSchemaStmt".split()
)
_ROLES = frozenset(
    "CreateRoleStmt AlterRoleStmt AlterRoleSetStmt DropRoleStmt GrantRoleStmt AlterSystemStmt "
    "CreatedbStmt DropdbStmt AlterDatabaseStmt AlterDatabaseSetStmt CreateTableSpaceStmt "
    "DropTableSpaceStmt AlterTableSpaceOptionsStmt CreateSubscriptionStmt AlterSubscriptionStmt "
    "DropSubscriptionStmt".split()
)
"""Statements about the whole server, which are more than the definition of data."""

_SPOKEN = {
    "VariableSet": "SET",
    "VariableShow": "SHOW",
    "Transaction": "two-phase commit",
    "CreateTableAs": "CREATE TABLE AS",
    "RefreshMatView": "REFRESH MATERIALIZED VIEW",
    "CheckPoint": "CHECKPOINT",
}


def action_of(kind: str, body: Node) -> str:
    """Give the action that a policy must grant for an unfollowed kind of statement."""
    if kind in _ACTIONS:
        return _ACTIONS[kind]
    if _makes_temporary(body):
        return "temp"
    ddl = kind not in _ROLES and (kind.startswith(_DDL) or kind in _DDL_NAMES)
    return "ddl" if ddl else "anything"


def _makes_temporary(body: Node) -> bool:
    into: Any = body.get("into") or body.get("intoClause") or {}
    made = [into.get("rel"), *(body.get(key) for key in ("relation", "view", "sequence"))]
    return any(type(rel) is dict and rel.get("relpersistence") == "t" for rel in made)


def spoken(kind: str) -> str:
    """Give a statement node's name as SQL spells it: ``DropStmt`` is ``DROP``."""
    bare = kind.removesuffix("Stmt")
    words = "".join(f" {letter}" if letter.isupper() else letter for letter in bare).split()
    return _SPOKEN.get(bare, " ".join(words).upper())
