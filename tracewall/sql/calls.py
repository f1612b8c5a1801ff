"""What a call of a built-in function does to the flows of its arguments, and what it needs.

1. Only listed functions are called, and none that a user's own could be meant by.
2. What looks into the catalog needs ``select`` on the relation it looks into.
3. A sequence is advanced by whoever may update it, and is named by a literal.
4. Advisory locks need ``lock`` on ``pg_catalog.pg_locks``, where they show.
5. A setting or a channel is named by a literal, and nothing that was read goes into it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tracewall.sql.catalog import FIRST_OTHER_TYPE, Overload
from tracewall.sql.comparing import is_constant
from tracewall.sql.flow import NOTHING, Flow, How, Source, Write, merged, through
from tracewall.sql.functions import (
    ADVISORY,
    FUNCTIONS,
    ORDERING_AGGREGATES,
    PATHS,
    SINGLE,
    TELLING,
    UNFAILING,
)
from tracewall.sql.grammar import Node
from tracewall.sql.paths import taken
from tracewall.sql.reading import Reading
from tracewall.sql.scope import Unknowable
from tracewall.sql.settings import literal, may_be_shown, setting
from tracewall.sql.system import LOOKING, SCHEMA


def string(node: Node) -> str:
    """Give the text of a String node, refusing any other."""
    if "String" not in node:
        raise Unknowable("a name is not understood")
    text: str = node["String"].get("sval", "")
    return text


def computed(parts: list[Flow], log: Reading) -> Flow:
    """Give the flow of what is computed from some flows, recording that it is."""
    flow = merged(parts, How.DERIVED)
    log.use("compute", NOTHING.union(*parts))
    return flow


def gathered(flow: Flow, log: Reading) -> Flow:
    """Give the flow of an array of values, recording those that make none of just any size."""
    log.use("compute", frozenset(source for source in flow if not _is_single(source, log)))
    return through(flow, How.TAKEN)


def _is_single(source: Source, log: Reading) -> bool:
    kind = log.catalog.type_of(source.column)
    return kind in SINGLE or kind in log.catalog.texts


def function_name(parts: list[Node]) -> str:
    """Give the name of a built-in function, refusing any that is not listed."""
    name = [string(part) for part in parts][-1]
    if name not in CALLED:
        raise Unknowable(
            f"the function {name}() is not on the list of those that may be called; one of your "
            "own that reads nothing but its arguments can be put there by [[functions]]"
        )
    return name


def is_granted(parts: list[Node], own: Mapping[str, tuple[Overload, ...]], log: Reading) -> bool:
    """Tell whether a name can only mean users' own that the policy lets be called.

    Args:
        parts: the name of a function or an operator.
        own: those of the kind that users have made.
        log: what was read so far.
    """
    *schema, name = [string(part) for part in parts]
    known = own.get(name, ())
    if schema:
        meant = [each for each in known if [each.schema] == schema]
    else:
        # Where PostgreSQL has one of that name, it may be that one.
        meant = [each for each in known if each.visible]
        meant = [] if any(each.shared for each in meant) else meant
    granted = bool(meant) and all(log.calls(f"{each.schema}.{each.name}") for each in meant)
    if granted and any(each.result >= FIRST_OTHER_TYPE for each in meant):
        log.foreign = True
    return granted


def result(
    name: str, nodes: list[Node], arguments: list[Flow], within: list[Flow], log: Reading
) -> Flow:
    """Give the flow of a call's result.

    Args:
        name: the function.
        nodes: its arguments.
        arguments: their flows.
        within: the flows that an ordered-set aggregate orders by.
        log: what the statement is known to do.
    """
    if name in _EFFECTS:
        return _EFFECTS[name](name, nodes, arguments, log)
    if name == "count":
        return _counted(arguments, log)
    if name in ORDERING_AGGREGATES:
        log.use("sort", merged(arguments, How.EXACT))
        return merged(arguments, How.PART)
    if name in PATHS:
        part = taken(merged(arguments[:1], How.EXACT), nodes[1:], log.hides)
        return part | computed(arguments[1:], log)
    how = FUNCTIONS[name]
    if how in (How.DERIVED, How.SLICED):
        if name not in UNFAILING:
            log.use("compute", merged(arguments + within, How.EXACT))
        return merged(arguments[:1], how) | merged(arguments[1:] + within, How.DERIVED)
    if name in TELLING:
        log.use("compute", merged(arguments, How.EXACT))
    if name == "array_agg":
        return gathered(merged(arguments, How.EXACT), log)
    # The other arguments choose what part it is: a path, an offset, a dimension.
    return merged(arguments[:1], how) | computed(arguments[1:] + within, log)


def _counted(arguments: list[Flow], log: Reading) -> Flow:
    flow = merged(arguments, How.EXACT)
    known = frozenset(source for source in flow if source.how is not How.EXACT)
    log.use("compare", known)
    return through(known, How.COMPARED)


def look(name: str, log: Reading) -> None:
    """Record that a relation of the catalog is looked into by a function or a cast."""
    relation = LOOKING[name]
    known = log.catalog.find(SCHEMA, relation)
    log.need("select", known.oid if known else 0, 0, f"{SCHEMA}.{relation}")


def _looking(name: str, nodes: list[Node], arguments: list[Flow], log: Reading) -> Flow:
    look(name, log)
    return computed(arguments, log)


def _only_literals(nodes: list[Node]) -> None:
    if not all(is_constant(node) for node in nodes):
        raise Unknowable("set_config() and current_setting() take literals only")


def _set_config(name: str, nodes: list[Node], arguments: list[Flow], log: Reading) -> Flow:
    _only_literals(nodes)
    parameter = literal(nodes[0])
    if parameter is None:
        raise Unknowable("the parameter of set_config() is not named by a literal")
    log.settings.append(setting(parameter, nodes[1:2]))
    return NOTHING


def is_setting(node: Node | None, log: Reading) -> bool:
    """Tell whether an expression is a setting that a parameter names, and note it as read."""
    body = node.get("FuncCall") if node else None
    if body is None:
        return False
    names = [string(part) for part in body.get("funcname", [])]
    if names[-1:] != ["current_setting"] or names[:-1] not in ([], [SCHEMA]):
        return False
    given = body.get("args", [{}])
    inner = given[0].get("TypeCast", {}).get("arg", given[0])
    if len(given) != 1 or "ParamRef" not in inner or log.catalog.functions.get(names[-1]):
        return False
    log.see(body)
    log.see(given[0].get("TypeCast", inner))
    return True


def _current_setting(name: str, nodes: list[Node], arguments: list[Flow], log: Reading) -> Flow:
    _only_literals(nodes)
    parameter = literal(nodes[0])
    if parameter is None or not may_be_shown(parameter):
        raise Unknowable("a parameter is not on the list of those that may be shown")
    return NOTHING


def _sequence(name: str, nodes: list[Node], arguments: list[Flow], log: Reading) -> Flow:
    text = literal(nodes[0])
    if text is None:
        raise Unknowable("a sequence is not named by a literal")
    oid = _sequence_oid(text, log)
    log.need("select" if name == "currval" else "update", oid, 0, text)
    if oid and arguments[1:]:
        # What it is set to can be read again by whoever may use it.
        log.writes.append(Write((oid, 1), NOTHING.union(*arguments[1:])))
    return computed(arguments[1:], log)


def _sequence_oid(text: str, log: Reading) -> int:
    # A name in a literal is folded and quoted as it would be in a statement.
    parts = [_folded(part) for part in text.strip().split(".")]
    schema, bare = (parts[0], parts[1]) if len(parts) == 2 else (None, parts[0])
    if len(parts) > 2 or any('"' in part for part in parts):
        raise Unknowable("a sequence's name is not understood")
    found = log.catalog.find(schema, bare)
    return found.oid if found is not None and found.kind == "S" else 0


def _folded(part: str) -> str:
    quoted = len(part) > 1 and part[0] == part[-1] == '"'
    return part[1:-1] if quoted else part.strip().lower()


def _advisory(name: str, nodes: list[Node], arguments: list[Flow], log: Reading) -> Flow:
    known = log.catalog.find(SCHEMA, "pg_locks")
    log.need("lock", known.oid if known else 0, 0, f"{SCHEMA}.pg_locks")
    if any(arguments):
        # Other sessions can see which keys are locked.
        raise Unknowable("an advisory lock's key is no literal or parameter")
    return NOTHING


def _notify(name: str, nodes: list[Node], arguments: list[Flow], log: Reading) -> Flow:
    channel = literal(nodes[0])
    if channel is None:
        raise Unknowable("a channel is not named by a literal")
    if any(arguments):
        raise Unknowable("what was read may not be sent to a channel")
    log.channels["notify", channel] = None
    return NOTHING


_EFFECTS: dict[str, Callable[[str, list[Node], list[Flow], Reading], Flow]] = {
    **dict.fromkeys(LOOKING, _looking),
    **dict.fromkeys(ADVISORY, _advisory),
    **dict.fromkeys(("nextval", "currval", "setval"), _sequence),
    "set_config": _set_config,
    "current_setting": _current_setting,
    "pg_notify": _notify,
}
CALLED = FUNCTIONS.keys() | _EFFECTS.keys() | ORDERING_AGGREGATES | {"count"}
"""Every function that may be called."""
