"""Views, followed to the columns that they are made of.

1. A view is read like a subquery that holds its definition, in the same words of the
   server, and shows and compares what that shows and compares. Reading it needs a grant on
   the view alone; what it reads beneath is recorded as read by way of it.
2. What decides which rows there are belongs to every statement that reads the view. What
   only one column is made of belongs to those that read this column.
3. A view that can't be followed is refused, unless the policy names the columns that are
   read, one by one: then they are its own.
4. What is written through a view is written into the columns beneath. Where the server does
   not map the one to the other by itself (rules, triggers; its own, or those of a relation
   beneath), it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tracewall.sql import grammar
from tracewall.sql.catalog import Relation
from tracewall.sql.flow import NOTHING, Access, Column, Flow, How, Use, Write
from tracewall.sql.grammar import Node
from tracewall.sql.reading import Reading
from tracewall.sql.scope import Named, Scope, Unknowable
from tracewall.sql.survey import survey
from tracewall.sql.system import OWN

_KINDS = frozenset({"v", "m"})
_BITS = {"update": 4, "insert": 8, "delete": 16}
_NULL: Node = {"ResTarget": {"val": {"A_Const": {"isnull": True}}}}


@dataclass(frozen=True, slots=True)
class Beneath:
    """What is read beneath a view, or one of its columns: which rights, uses, and flow."""

    accesses: frozenset[Access] = frozenset()
    uses: tuple[Use, ...] = ()
    flow: Flow = NOTHING


@dataclass(frozen=True, slots=True)
class Followed:
    """A view's definition as it was understood, or the ``problem`` why not.

    ``base`` is the relation that a view shows the rows of, where it is one (else 0);
    ``columns`` are by attribute number.
    """

    rows: Beneath = Beneath()
    columns: Mapping[int, Beneath] = field(default_factory=dict)
    base: int = 0
    problem: str = ""


def is_view(relation: Relation) -> bool:
    """Tell whether a relation is a view to follow; the server's own are taken as they are."""
    return relation.kind in _KINDS and relation.schema not in OWN


def follow(view: Relation, log: Reading) -> Followed:
    """Give what a view's definition reads; it is read once in a catalog."""
    key = (view.oid, log.hides)
    memory: dict[object, Followed] = log.catalog.followed
    found = memory.get(key)
    if found is None:
        found = memory[key] = _follow(view, log)
    return found


def flows(view: Relation, log: Reading) -> Mapping[int, Flow]:
    """Give what flows into each of a view's columns, by attribute number."""
    return {attnum: column.flow for attnum, column in follow(view, log).columns.items()}


def inherited(column: Column, log: Reading) -> frozenset[Column]:
    """Give the columns beneath whose values a view's column shows unchanged."""
    view = log.catalog.relations[column[0]]
    if not is_view(view):
        return frozenset()
    return _unchanged(follow(view, log).columns.get(column[1], Beneath()).flow)


def charge(log: Reading) -> None:
    """Add what is read and written beneath each view that was read and written."""
    views = [
        (access, view)
        for access in tuple(log.accesses)
        if (view := log.catalog.relations.get(access.relation)) and is_view(view)
    ]
    for access, view in views:
        _charge(access, view, log)
    for write in tuple(log.writes):
        view = log.catalog.relations[write.target[0]]
        if is_view(view):
            log.writes += (Write(to, write.flow) for to in sorted(inherited(write.target, log)))


def check_mapped(relation: Relation, action: str, log: Reading) -> None:
    """Refuse to write where the server does not map it plainly, here or anywhere beneath."""
    if action in relation.rules:
        log.refuse("it writes to a relation with rules, which make other statements of it")
    elif is_view(relation) and action in _BITS:
        definition = log.catalog.definitions.get(relation.oid)
        base = follow(relation, log).base
        if definition is None or not definition.writable & _BITS[action] or not base:
            log.refuse(
                "it writes to a view that has rules or triggers, or that no one can write to"
            )
        else:
            check_mapped(log.catalog.relations[base], action, log)


def _charge(access: Access, view: Relation, log: Reading) -> None:
    if access.via:
        return
    followed = follow(view, log)
    if followed.problem:
        _check_named(access, view, followed.problem, log)
        return
    part = followed.columns.get(access.attnum, Beneath()) if access.attnum else followed.rows
    if access.action == "select" or not access.attnum:
        log.accesses.update(dict.fromkeys(sorted(part.accesses)))
        log.uses.update(dict.fromkeys(part.uses))
    if access.action != "select":
        for right in _written(access, view, followed, log):
            log.accesses[right] = None


def _written(access: Access, view: Relation, followed: Followed, log: Reading) -> Iterator[Access]:
    if not access.attnum:
        oid: int = followed.base
        while oid:
            beneath = log.catalog.relations[oid]
            yield Access(access.action, oid, 0, beneath.qualified, view.oid)
            oid = follow(beneath, log).base if is_view(beneath) else 0
        return
    if access.action not in _BITS:
        # Columns are explained, but nothing is written into them.
        return
    if access.attnum not in log.catalog.definitions[view.oid].assignable:
        log.refuse("it writes to a column of a view that can't be written")
    for oid, attnum in sorted(_unchanged(followed.columns[access.attnum].flow)):
        yield Access(access.action, oid, attnum, _spell(oid, attnum, log), view.oid)


def _check_named(access: Access, view: Relation, problem: str, log: Reading) -> None:
    names = [c.name for c in view.columns if access.attnum in (0, c.attnum)]
    if access.action != "select" or not any(
        log.opaque(f"{view.qualified}.{name}") for name in names
    ):
        log.refuse(
            f"the view {view.qualified} can't be followed to its base columns ({problem}); it "
            "may be read as it stands where a grant names it and its columns one by one"
        )


def _follow(view: Relation, log: Reading) -> Followed:
    definition = log.catalog.definitions.get(view.oid)
    if definition is None or definition.text is None:
        return Followed(problem="its definition is not known")
    try:
        tree = grammar.parse(definition.text.encode())
        return _read(view, tree, log)
    except (grammar.Unparsable, Unknowable) as ex:
        return Followed(problem=ex.reason)
    except Exception:
        # The tree has a shape that the reader does not expect, which is a fault of ours.
        return Followed(problem="tracewall failed to follow it; please report this as a fault")


def _read(view: Relation, tree: Node, log: Reading) -> Followed:
    whole, columns = _beneath(tree, view, log)
    if len(columns) != len(view.columns):
        raise Unknowable("it has other columns than the catalog says")
    body = tree["SelectStmt"]
    shown = {a.attnum: c.flow for a, c in zip(view.columns, columns, strict=True)}
    united = body.get("op", "SETOP_NONE") != "SETOP_NONE"
    if united or body.keys() & {"valuesLists", "distinctClause"}:
        return Followed(whole, {at: Beneath(flow=flow) for at, flow in shown.items()})
    targets = body["targetList"]
    kept = [target if _gives_rows(target, log) else _NULL for target in targets]
    rows, _ = _beneath(_with_targets(body, kept), view, log)
    parts = {}
    for at, attribute in enumerate(view.columns):
        flow = shown[attribute.attnum]
        made = _of_one_column(targets[at], flow, view, log)
        if made is None:
            alone = [*kept[:at], targets[at], *kept[at + 1 :]]
            made, _ = _beneath(_with_targets(body, alone), view, log)
        uses = tuple(use for use in made.uses if use not in rows.uses)
        parts[attribute.attnum] = Beneath(made.accesses - rows.accesses, uses, flow)
    return Followed(rows, parts, _base(body, log))


def _beneath(tree: Node, view: Relation, log: Reading) -> tuple[Beneath, tuple[Named, ...]]:
    inner = Reading(log.catalog.bare, log.query, log.hides)
    columns = log.query(tree, Scope(), inner)
    survey(tree, inner.seen)
    charge(inner)
    if inner.problem:
        raise Unknowable(inner.problem)
    if inner.writes or not all(a.relation and a.action == "select" for a in inner.accesses):
        raise Unknowable("it does more than reading")
    accesses = frozenset(
        Access(a.action, a.relation, a.attnum, _spell(a.relation, a.attnum, log), view.oid)
        for a in inner.accesses
    )
    return Beneath(accesses, tuple(inner.uses)), columns


def _of_one_column(target: Node, flow: Flow, view: Relation, log: Reading) -> Beneath | None:
    """Give what an output that is a relation's column reads; None for any other output."""
    columns = sorted(_unchanged(flow))
    plain = "ColumnRef" in target["ResTarget"].get("val", {})
    if not plain or not columns or not all(attnum for _, attnum in columns):
        return None
    read = dict.fromkeys(columns)
    uses: dict[Use, None] = {}
    for oid, attnum in columns:
        beneath = log.catalog.relations[oid]
        if is_view(beneath):
            part = follow(beneath, log).columns[attnum]
            read.update(((access.relation, access.attnum), None) for access in part.accesses)
            uses.update(dict.fromkeys(part.uses))
    rights = (
        Access("select", oid, attnum, _spell(oid, attnum, log), view.oid) for oid, attnum in read
    )
    return Beneath(frozenset(rights), tuple(uses))


def _with_targets(body: Node, targets: list[Node]) -> Node:
    return {"SelectStmt": {**body, "targetList": targets}}


def _gives_rows(target: Node, log: Reading) -> bool:
    """Tell whether an output decides how many rows there are, whoever looks at it."""
    return not log.catalog.sets.isdisjoint(survey(target).functions)


def _base(body: Node, log: Reading) -> int:
    """Give the one relation in FROM, 0 where there is another number of them."""
    items = body.get("fromClause", [])
    named = items[0].get("RangeVar", {}) if len(items) == 1 else {}
    found = log.catalog.bare.find(named.get("schemaname"), named.get("relname", ""))
    return found.oid if found else 0


def _unchanged(flow: Flow) -> frozenset[Column]:
    return frozenset(source.column for source in flow if source.how in (How.EXACT, How.AMONG))


def _spell(oid: int, attnum: int, log: Reading) -> str:
    relation = log.catalog.relations[oid]
    name = next((c.name for c in relation.columns if c.attnum == attnum), "")
    return f"{relation.qualified}.{name}" if name else relation.qualified
