"""Row filters: which rows of a table a set of groups gets, and whether the server sees to it.

1. PostgreSQL's row-level security holds a filter, so it holds wherever rows are read or
   written. The server is told who acts by a setting that only the wall sends.
2. A table that a filter is about has one server policy for each grant on it, those without
   a filter too: rows are the union of what the caller's grants give.
3. The server's policies must be exactly those of the policy file. Else, or where the role
   is exempt from them, the filtered are refused.
4. A column, or the lifting of a mask, that is granted for some of those rows only would be
   had for all of them: it is refused, or not lifted.
5. Who acts for another must be granted at least the same rows.
6. A view that does not ask for its reader's rights reads past the filter: it is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from tracewall.policy.covering import covers
from tracewall.policy.model import Grant, Policy
from tracewall.sql.catalog import Catalog, Relation
from tracewall.sql.rowfilter import Condition
from tracewall.sql.system import OWN

Filters: TypeAlias = frozenset[Condition | None]
"""The conditions of several grants; None is that of one that is about all rows."""

FILTERED_ACTIONS = ("select", "insert", "update", "delete", "lock", "explain")
"""The actions that can be held to some rows of a table."""

PREFIX = "tracewall_"
"""How the names of the server's policies begin that a migration of ours made."""

COMMANDS = {
    "select": ("SELECT", True, False),
    "insert": ("INSERT", False, True),
    "update": ("UPDATE", True, True),
    "delete": ("DELETE", True, False),
    # FOR UPDATE and FOR SHARE ask the policies of UPDATE which rows may be locked.
    "lock": ("UPDATE", True, False),
}
"""The command that a server policy is for, and whether it has USING and WITH CHECK."""

UNFILTERED: Filters = frozenset({None})
"""The filters of grants that are all about all rows."""


class Expected(NamedTuple):
    """A policy that the server must have: its name, the grant and the action it is for."""

    name: str
    grant: Grant
    action: str


def claims_of(policy: Policy) -> tuple[str, ...]:
    """Give the names of the claims that row filters need, besides iss and sub."""
    named = (name for grant in policy.grants if grant.rows for name in grant.rows.claims)
    return tuple(dict.fromkeys(name for name in named if name not in ("iss", "sub")))


def is_about(grant: Grant, relation: Relation) -> bool:
    """Tell whether a grant is about a table of the database."""
    return relation.schema not in OWN and covers(grant.tables, relation.qualified)


def is_filtered(policy: Policy, relation: Relation) -> bool:
    """Tell whether some grant gives only some rows of a table."""
    return relation.kind in ("r", "p") and any(
        grant.rows is not None and is_about(grant, relation) for grant in policy.grants
    )


def expected(policy: Policy, relation: Relation) -> Iterator[Expected]:
    """Yield the policies that the server must have on a table that is filtered."""
    for grant in policy.grants:
        if is_about(grant, relation):
            for action in COMMANDS:
                if action in grant.actions:
                    yield Expected(_name(grant, action), grant, action)


def _name(grant: Grant, action: str) -> str:
    meant = "\0".join((grant.name, action, grant.rows.sql if grant.rows else "true"))
    return f"{PREFIX}{action}_{hashlib.sha256(meant.encode()).hexdigest()[:24]}"


def others_name(role: str) -> str:
    """Give the name of the policy by which every role but the wall's sees what it always saw."""
    return f"{PREFIX}others_{hashlib.sha256(role.encode()).hexdigest()[:24]}"


def held(policy: Policy, catalog: Catalog, relation: Relation) -> bool:
    """Tell whether the server holds a table's filters as the policy says."""
    found = catalog.row_security.get(relation.oid)
    if found is None or not (found.enabled and found.forced) or found.exempt:
        return False
    wanted = {one.name for one in expected(policy, relation)}
    intact = {one.name for one in found.policies if one.permissive and one.intact}
    concerning = {one.name for one in found.policies if one.permissive and one.concerns}
    harmless = {others_name(catalog.role)} & intact
    return wanted <= intact & concerning and concerning <= wanted | harmless


def narrowed(some: Filters, all: Filters) -> bool:
    """Tell whether what some grants give could show on rows that only others give."""
    return None not in some and some != all
