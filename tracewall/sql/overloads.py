"""Whether a bare name means PostgreSQL's own function, operator or type, or may mean a user's.

PostgreSQL chooses among all that the search path offers, by the types of the arguments
("Function Type Resolution" in its manual). An overload of a user's is out of the question
where it

1. takes another number of arguments, or
2. takes, in a place whose argument is known to be of one of PostgreSQL's own types, a type
   that no value of those becomes by itself.

An argument is known so unless it is a parameter or a bare literal, or a column of another
type, or a whole row, flows into it. An overload that an extension brought, and that is not
out of the question, counts as PostgreSQL's own if its result is of the kind that the name
stands for: whoever administers the server has installed it as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracewall.sql.calls import look
from tracewall.sql.catalog import FIRST_OTHER_TYPE, Overload
from tracewall.sql.comparing import Side
from tracewall.sql.flow import Flow, How
from tracewall.sql.functions import COMPARISONS, EXTRACTIONS, FUNCTIONS
from tracewall.sql.grammar import Node
from tracewall.sql.reading import Reading
from tracewall.sql.scope import Unknowable
from tracewall.sql.system import LOOKING

_BOOLEAN = frozenset({16})
_NUMBERS = frozenset({20, 21, 23})


def check_operator(names: Sequence[str], sides: Sequence[Side], log: Reading) -> None:
    """Refuse an operator that may be a user's own.

    Args:
        names: its name, its schema before it if there is one.
        sides: its operands, in order.
        log: what was read so far.

    Raises:
        Unknowable: it may be.
    """
    kinds = _BOOLEAN if names[-1] in COMPARISONS else frozenset[int]()
    vouched = names[-1] not in COMPARISONS | EXTRACTIONS
    if _may_be_own(names, log.catalog.operators, sides, kinds, log, vouched=vouched):
        raise Unknowable("an operator of a user's own is used or may be meant")


def check_function(names: Sequence[str], sides: Sequence[Side] | None, log: Reading) -> None:
    """Refuse a function that may be a user's own.

    Args:
        names: its name, its schema before it if there is one.
        sides: its arguments, in order; None where they have no plain order.
        log: what was read so far.

    Raises:
        Unknowable: it may be.
    """
    measure = names[-1] == "count" or FUNCTIONS.get(names[-1]) is How.MEASURED
    kinds = _NUMBERS if measure else frozenset[int]()
    if _may_be_own(names, log.catalog.functions, sides, kinds, log):
        called = "is called" if len(names) > 1 else f"may be meant by {names[-1]}()"
        raise Unknowable(f"a function of a user's own {called}")


_UNUSED_TYPES = frozenset({"regconfig", "regdictionary", "xml"})
_NO_CAST = "a cast to the type {} is not allowed"


def type_names(body: Node, log: Reading) -> list[str]:
    """Give a TypeName's parts, a blank one for a type of a user's.

    Refused are types with functions of users' own; those that look things up need the right
    to what they look into.
    """
    names = [part.get("String", {}).get("sval", "") for part in body.get("names", [])]
    if not all(names) or not names or body.get("setof") or body.get("pct_type"):
        raise Unknowable("a type is not understood")
    if _of_user(names, log):
        return [""]
    if names[-1] in _UNUSED_TYPES:
        raise Unknowable(_NO_CAST.format(names[-1]))
    if names[-1] in LOOKING:
        look(names[-1], log)
    return names


def _of_user(names: list[str], log: Reading) -> bool:
    schema = names[0] if len(names) == 2 else None
    found = log.catalog.type_named(schema, names[-1]) if len(names) < 3 else None
    foreign = found is None and len(names) > 1 and names[:-1] != ["pg_catalog"]
    if foreign or (found and not found.plain) or names[-1] in log.catalog.casts:
        raise Unknowable(_NO_CAST.format(names[-1]))
    log.foreign = log.foreign or found is not None
    return found is not None


def _may_be_own(
    names: Sequence[str],
    known: Mapping[str, tuple[Overload, ...]],
    sides: Sequence[Side] | None,
    kinds: frozenset[int],
    log: Reading,
    *,
    vouched: bool = False,
) -> bool:
    def trusted(overload: Overload) -> bool:
        # What the policy vouches for counts as a computation, as PostgreSQL's own does.
        named = vouched and log.calls(f"{overload.schema}.{overload.name}")
        return named or _is_trusted(overload, kinds)

    found = known.get(names[-1])
    if found is None and len(names) == 1:
        return False
    found = found or ()
    if len(names) > 1:
        if list(names[:-1]) == ["pg_catalog"]:
            return False
        there = [overload for overload in found if [overload.schema] == list(names[:-1])]
        return not there or not all(map(trusted, there))
    return any(
        overload.visible
        and not trusted(overload)
        and (sides is None or _fits(overload, sides, log))
        for overload in found
    )


def _is_trusted(overload: Overload, kinds: frozenset[int]) -> bool:
    return overload.brought and (not kinds or overload.result in kinds)


def _fits(overload: Overload, sides: Sequence[Side], log: Reading) -> bool:
    most = len(sides) if overload.most is None else overload.most
    if not overload.least <= len(sides) <= most:
        return False
    pairs = zip(overload.apart, sides, strict=False)
    return not any(apart and _is_of_own_type(side, log) for apart, side in pairs)


def _is_of_own_type(side: Side, log: Reading) -> bool:
    """Tell whether a value is certainly of one of the types that PostgreSQL brings along."""
    if log.foreign or _is_untyped(side.expression):
        return False
    return not _is_foreign(side.flow, log)


def _is_foreign(flow: Flow, log: Reading) -> bool:
    # A value of another type can only come from a column of such a type, or from a row.
    for (oid, attnum), _ in flow:
        relation = log.catalog.relations[oid]
        column = next((c for c in relation.columns if c.attnum == attnum), None)
        if column is None or column.type >= FIRST_OTHER_TYPE:
            return True
    return False


def _is_untyped(node: Node | None) -> bool:
    if not node:
        return False
    ((kind, body),) = node.items()
    if kind == "A_Const":
        return "sval" in body or bool(body.get("isnull"))
    if kind == "List":
        return any(map(_is_untyped, body.get("items", [])))
    if kind == "CollateClause":
        return _is_untyped(body.get("arg"))
    return kind in ("ParamRef", "SetToDefault", "NamedArgExpr")
