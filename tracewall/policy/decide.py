"""The judge: from what a statement does and what its caller may do to a decision.

1. What was not understood is forbidden. A right that it was seen to need is looked at
   first, so that no way of being unreadable tells whether a relation exists.
2. Each right that the statement needs must be granted; a denial wins over any grant.
   What is unknown and what is not granted get the same words.
3. A protected column is compared only as its ``predicates`` allow.
4. A protected column's value is written only into columns at least as protected, and as
   it is: a part of it, or what is computed from it, could show there what its mask hides.
5. A masked column shows in the output only as itself, and is masked there; any other
   flow is refused, or becomes a constant where ``expressions = "mask"`` and nothing on
   the way could fail (that would be a use). A generated column of it is a constant always.
   Where a mask is about what lies inside documents, a part that is taken out by literal
   keys shows too, unless the mask hides what is under one of them.
6. A scanned column shows as itself or as a whole part of it, and is scanned there; so is
   a slice of its text where ``slices = "allow"``;
   measures of it (its length) are clear; anything else computed from it is refused.
7. What can't be followed is allowed only where it, or ``anything``, is granted, and no
   mask, scan or denial protects anything from the caller: it could read all there is.
   Who may do ``anything`` so, may send whatever they like.
8. The first rule that refuses is the one that is told.
9. What is permitted may be asked for: the rules that ask are told with the decision.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product

from tracewall.masking.config import Method
from tracewall.policy.askings import asked
from tracewall.policy.model import Decision, Denial, Grant, Mask, OutputColumn, Scan
from tracewall.policy.refused import Refused, named, shows_more
from tracewall.policy.rights import Rights
from tracewall.policy.storing import check_moves, check_write
from tracewall.policy.uses import check_use
from tracewall.sql.flow import Access, Flow, How, Source
from tracewall.sql.statement import Misunderstood, Statement, Understanding


def decide(understood: Understanding, rights: Rights) -> Decision:
    """Decide on a statement for the members of some groups; total, it never raises."""
    return asked(_decided(understood, rights), understood, rights)


def _decided(understood: Understanding, rights: Rights) -> Decision:
    if rights.trusted is not None:
        return _unfollowed(understood, rights.trusted, rights)
    if isinstance(understood, Statement) and understood.kind in _ROWS_OF_OTHERS:
        # Whose rows these are is not said by the statement.
        reason = f"{understood.kind.upper()} is not among the statements that may be sent"
        understood = Misunderstood(reason, understood.summary, understood.text, action="prepare")
    try:
        if isinstance(understood, Statement):
            return _allowed(understood, rights)
        for at in range(len(understood.accesses)):
            _check_access(at, understood, rights)
    except Refused as refused:
        if isinstance(understood, Misunderstood):
            # Summed up as it would be if what it names were not there: that is understood.
            understood = replace(understood, summary=understood.verb)
        return _forbidden(understood, rights, refused.rule, refused.reason, refused.hint)
    return _misunderstood(understood, rights)


def _misunderstood(told: Misunderstood, rights: Rights) -> Decision:
    found, standing = rights.free(told.action), rights.standing
    if isinstance(found, Grant) and standing is None:
        return _unfollowed(told, found, rights)
    rule, reason, hint = "unreadable", told.reason, ""
    if isinstance(found, Denial) and found.reason:
        rule, reason = named(found), found.reason
    elif isinstance(found, Grant) and standing is not None:
        # A denial without a reason does not even tell that it is there.
        silent = isinstance(standing, Denial) and not standing.reason
        what = "a rule of the policy" if silent else named(standing)
        rule = "unreadable" if silent else what
        hint = (
            f'"{told.action}" is granted to you, but only those may use it from whom nothing '
            f"is protected, and {what} stands against that"
        )
    elif told.action != "anything":
        hint = f'this needs a grant of "{told.action}"'
    return _forbidden(told, rights, rule, reason, hint, unreadable=True)


def _unfollowed(told: Understanding, grant: Grant, rights: Rights) -> Decision:
    return Decision(
        "allowed",
        f"grants.{grant.name}",
        policy_hash=rights.policy.hash,
        summary=told.summary,
        text=told.text,
        relations=_relations(told, rights),
        row_limit=rights.policy.limits.rows,
        byte_limit=rights.policy.limits.bytes,
        unfollowed=True,
    )


_ROWS_OF_OTHERS = frozenset({"fetch", "move"})
"""Kinds of statement that give out or skip rows of a cursor which another one declared."""


def _allowed(statement: Statement, rights: Rights) -> Decision:
    grants = [_check_access(at, statement, rights) for at in range(len(statement.accesses))]
    grants += [_check_channel(action, name, rights) for action, name in statement.channels]
    for use in statement.uses:
        check_use(use, rights)
    for name, value in statement.settings:
        _check_setting(name, value, rights)
    for access in statement.accesses:
        if access.action == "update":
            check_moves(access, rights)
    for write in statement.writes:
        check_write(write, rights)
    columns = tuple([_output(name, flow, rights) for name, flow in statement.columns])
    first = next(filter(None, grants), None)
    return Decision(
        "allowed",
        f"grants.{first.name}" if first is not None else "no-relation",
        policy_hash=rights.policy.hash,
        summary=statement.summary,
        text=statement.text,
        columns=columns,
        relations=_relations(statement, rights),
        row_limit=rights.policy.limits.rows,
        byte_limit=rights.policy.limits.bytes,
    )


def _forbidden(
    told: Understanding,
    rights: Rights,
    rule: str,
    reason: str,
    hint: str = "",
    *,
    unreadable: bool = False,
) -> Decision:
    return Decision(
        "forbidden",
        rule,
        reason,
        hint,
        policy_hash=rights.policy.hash,
        summary=told.summary,
        text=told.text,
        relations=_relations(told, rights),
        unreadable=unreadable,
        # Also where all is known: looking for some names only would tell by its time which.
        unknown=bool(told.accesses),
    )


def _relations(statement: Understanding, rights: Rights) -> tuple[tuple[str, tuple[str, ...]], ...]:
    touched: dict[str, dict[str, None]] = {}
    known = rights.catalog.relations
    for action, oid in dict.fromkeys([access[:2] for access in statement.accesses]):
        if oid in known:
            touched.setdefault(known[oid].qualified, {})[action] = None
    return tuple([(name, tuple(actions)) for name, actions in touched.items()])


def _check_access(at: int, statement: Understanding, rights: Rights) -> Grant | None:
    access = statement.accesses[at]
    action, relation, attnum, _, via = access
    grant = rights.permitted(action, relation, attnum)
    if grant is not None:
        return grant
    verdict = rights.verdict(action, relation, attnum) if relation else None
    if isinstance(verdict, Grant):
        _check_rows(access, verdict, rights)
        return verdict
    if via and verdict is None:
        # The grant on the view is one on what it shows.
        return None
    if isinstance(verdict, Denial) and verdict.reason:
        raise Refused(f"denials.{verdict.name}", verdict.reason, _hint(at, statement, rights))
    # One wording for what is denied, what nothing grants and what is not there.
    if access.spelled == "*":
        what = "a column that * stands for"
    else:
        what = f'{"column" if access.attnum else "relation"} "{access.spelled}"'
    reason = f"{what} does not exist or is not granted to you for {access.action}"
    raise Refused("default", reason, _hint(at, statement, rights))


def _check_rows(access: Access, grant: Grant, rights: Rights) -> None:
    problem = rights.rows_problem(access.action, access.relation, access.attnum)
    if problem:
        raise Refused(
            f"grants.{grant.name}",
            f'"{access.spelled}": {problem}',
            "see row filters in the reference of policies; tracewall rls prints what the server "
            "needs to hold them",
        )


def _check_channel(action: str, name: str, rights: Rights) -> Grant:
    verdict = rights.channel(action, name)
    if isinstance(verdict, Grant):
        return verdict
    if isinstance(verdict, Denial) and verdict.reason:
        raise Refused(f"denials.{verdict.name}", verdict.reason)
    raise Refused("default", f'channel "{name}" is not granted to you for {action}')


def _hint(at: int, statement: Understanding, rights: Rights) -> str:
    # Each relation with each action, whether or not a column of it was found: a hint that
    # followed what was found would tell which columns there are. And none that comes after
    # what is refused: what was found there would tell whether that was known.
    needed = statement.accesses[: at + 1]
    relations = dict.fromkeys(a.relation for a in needed if a.relation and not a.via)
    actions = dict.fromkeys(access.action for access in needed)
    told = []
    for oid, action in product(relations, actions):
        columns = rights.readable(oid, action)
        if columns:
            name = rights.catalog.relations[oid].qualified
            told.append(f"columns of {name} for you to {action}: {', '.join(columns)}")
    return "; ".join(told)


_MILLISECONDS = {"": 1, "ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


_ORDERING = frozenset(
    "enable_seqscan enable_bitmapscan enable_hashjoin seq_page_cost random_page_cost "
    "effective_cache_size".split()
)
"""Parameters by which rows can be had in the order of an index on a protected column."""


def _check_setting(name: str, value: str | None, rights: Rights) -> None:
    if name in _ORDERING and rights.standing is not None:
        raise Refused(
            "default",
            f"{name} decides in which order rows are read, which would tell of protected columns",
            "leave it as it is",
        )
    # The policy's limit is a parameter of the session: the caller may only tighten it.
    limit = rights.policy.limits.statement_timeout * 1_000
    if name != "statement_timeout" or not limit:
        return
    found = re.fullmatch(r"([0-9]{1,12})\s*([a-z]*)", (value or "").strip())
    asked = int(found[1]) * _MILLISECONDS.get(found[2], 0) if found else 0
    if not 0 < asked <= limit:
        raise Refused(
            "limits.statement_timeout",
            "statement_timeout is limited by the policy and may not be lifted",
            f"set it to at most {limit:g} milliseconds",
        )


def _output(name: str, flow: Flow, rights: Rights) -> OutputColumn:
    ordered = sorted(flow) if len(flow) > 1 else tuple(flow)
    lineage = tuple([(rights.spelled(column), _TOLD[how]) for column, how in ordered])
    sources = frozenset([column for column, _ in ordered])
    if rights.clear(flow):
        return OutputColumn(name, sources, None, (), lineage)
    masks, scans = _protecting(ordered, flow, rights)
    if not masks:
        return OutputColumn(name, sources, None, tuple(scans), lineage)
    mask = masks[0]
    if len(masks) == 1 and (mask.inside or not scans):
        return OutputColumn(name, sources, mask, tuple(scans), lineage)
    # The value may come from either: only what hides both will do.
    rules: tuple[Mask | Scan, ...] = (*masks, *scans)
    mask = _constant("+".join(dict.fromkeys(rule.name for rule in rules)))
    return OutputColumn(name, sources, mask, (), lineage)


def _protecting(
    ordered: Sequence[Source], flow: Flow, rights: Rights
) -> tuple[list[Mask], list[Scan]]:
    """Give the masks and scans that are laid on a value of these sources; raises `Refused`."""
    # Few of them, that are nearly always the same objects: no set that has to hash them.
    masks: list[Mask] = []
    scans: list[Scan] = []
    row = any(not source.column[1] for source in ordered)
    for source in ordered:
        protection = rights.shown(source.column)
        if protection.masks and row:
            raise shows_more(protection.masks[0], rights.spelled(source.column))
        shown = (_shown_mask(mask, source, flow, rights) for mask in protection.masks)
        masks += [mask for mask in shown if mask is not None and mask not in masks]
        if not protection.scans or any(not mask.inside for mask in protection.masks):
            continue
        if source.how is How.INHERITED:
            hidden = _constant("+".join(scan.name for scan in protection.scans))
            masks += [hidden] if hidden not in masks else []
        elif source.how not in (How.MEASURED, How.COMPARED):
            for scan in protection.scans:
                _check_scanned(source, scan, rights)
            scans += [scan for scan in protection.scans if scan not in scans]
    return masks, scans


_TOLD = tuple(how.name.lower() for how in How)


def _shown_mask(mask: Mask, source: Source, flow: Flow, rights: Rights) -> Mask | None:
    if source.how in (How.EXACT, How.AMONG):
        return _constant(mask.name) if _converted(mask, flow, rights) else mask
    if mask.inside and source.how in (How.MEASURED, How.COMPARED):
        return None
    if mask.inside and source.how in (How.PART, How.TAKEN):
        return mask
    if source.how is How.INHERITED or mask.expressions == "mask":
        return _constant(mask.name)
    raise shows_more(mask, rights.spelled(source.column))


_TIMESTAMPTZ = 1184


def _converted(mask: Mask, flow: Flow, rights: Rights) -> bool:
    """Tell whether a date may come as a moment of the session's own time zone.

    So it does among other values (UNION), and a zone of the caller's choice would move it
    over the edge of what its mask cuts off.
    """
    if mask.method.name != "date":
        return False
    types = {rights.type_of(source.column) for source in flow}
    among = any(source.how is How.AMONG for source in flow)
    return types != {_TIMESTAMPTZ} and (among or len(types) > 1)


def _check_scanned(source: Source, scan: Scan, rights: Rights) -> None:
    if source.how is How.DERIVED or (source.how is How.SLICED and scan.slices == "refuse"):
        raise shows_more(scan, rights.spelled(source.column))


@lru_cache(maxsize=1_000)
def _constant(name: str) -> Mask:
    return Mask(name, (), Method("redact"))
