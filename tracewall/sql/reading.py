"""What reading one statement finds: the rights it needs, what it uses, what it writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tracewall.sql.catalog import Catalog
from tracewall.sql.flow import NOTHING, Access, Column, Flow, Use, Write, uncompared
from tracewall.sql.grammar import Node
from tracewall.sql.scope import Named, Scope, Unknowable

MOST_QUERIES = 500
"""How many queries, subqueries and rounds of recursion are read in one statement."""

MOST_ITEMS = 1_000
"""How many FROM items are read in one statement."""


def never(name: str) -> bool:
    """Say no to any name."""
    return False


@dataclass
class Reading:
    """What reading one statement has found so far.

    ``query`` reads a nested query, ``hides`` tells which keys hide members of documents,
    ``opaque`` which columns of views that can't be followed may be read all the same,
    ``calls`` which functions and operators of users' own (``schema.name``) may be called.
    ``verb`` is what the statement's summary begins with, empty until it is parsed.
    ``seen`` has the identity of each node of the tree that was read, ``titles`` the name of
    each subquery's first column by the identity of its node. ``foreign`` is true once a value
    of a type that is not PostgreSQL's own was made.
    """

    catalog: Catalog
    query: Callable[[Node, Scope, Reading], tuple[Named, ...]]
    hides: Callable[[Column, str], bool]
    opaque: Callable[[str], bool] = never
    calls: Callable[[str], bool] = never
    accesses: dict[Access, None] = field(default_factory=dict)
    uses: dict[Use, None] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    channels: dict[tuple[str, str], None] = field(default_factory=dict)
    settings: list[tuple[str, str | None]] = field(default_factory=list)
    problem: str = ""
    verb: str = ""
    foreign: bool = False
    queries: int = 0
    items: int = 0
    seen: set[int] = field(default_factory=set)
    titles: dict[int, str] = field(default_factory=dict)

    def need(self, action: str, relation: int, attnum: int, spelled: str) -> None:
        """Record a right that the statement needs."""
        self.accesses[Access(action, relation, attnum, spelled)] = None

    def use(self, how: str, flow: Flow, other: Flow = NOTHING) -> None:
        """Record a use of what `flow` carries, unless it carries nothing new."""
        fresh, beside = uncompared(flow), uncompared(other)
        if fresh or beside:
            self.uses[Use(how, fresh, beside)] = None

    def refuse(self, reason: str) -> None:
        """Note why the statement can't be judged; the first reason stays."""
        self.problem = self.problem or reason

    def see(self, body: Node) -> None:
        """Note that a node was read; what nobody reads refuses the statement in the end."""
        self.seen.add(id(body))

    def enter_query(self) -> None:
        """Count a query; Unknowable is raised where there are too many."""
        self.queries += 1
        if self.queries > MOST_QUERIES:
            raise Unknowable(f"it has more than {MOST_QUERIES} queries in it; send it in parts")

    def enter_item(self) -> None:
        """Count a FROM item; Unknowable is raised where there are too many."""
        self.items += 1
        if self.items > MOST_ITEMS:
            raise Unknowable(f"it has more than {MOST_ITEMS} FROM items; send it in parts")
