"""How two policies differ in themselves: in rights on columns, and in settings.

1. Rights are compared as they work out on each column of the catalog, for each group by
   itself and for the principals asked about: what a glob, a denial or a lift comes to.
2. Rights that several groups have only together show for principals asked about.
3. Settings are compared section by section; of those that can't be ranked, a change counts
   as loosening where less of them could let somebody have more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, get_args

from tracewall.policy.meaning import meaning
from tracewall.policy.model import FREE_ACTIONS, TABLE_ACTIONS, Durability, Grant, Policy
from tracewall.policy.rights import Rights
from tracewall.policy.settings import Audit, Enforcement, Limits
from tracewall.sql.catalog import Relation
from tracewall.trials.differences import Difference, Side, masking, spelled
from tracewall.trials.format import Party

_STRENGTHS = get_args(Durability)
_JUDGED = frozenset({"grants", "denials", "masks", "scans", "version", "hash", "path", "name"})
_MORE_IS_LOOSER = frozenset({"issuers", "actors", "functions"})
"""Lists of rules of which a new or a changed one may let somebody have more."""
_LESS_IS_LOOSER = frozenset({"approvals", "recordings"})
"""Lists of rules of which one less, or a changed one, guards less."""
_HARMLESS = frozenset({"database", "recording", "detect", "keys"})


def rights(parties: Sequence[Party], old: Side, new: Side) -> Iterator[Difference]:
    """Give how two policies differ in what principals may do, and in what they see."""
    for party in parties:
        before, now = old.rights(party), new.rights(party)
        yield from _free(party, before, now)
        for relation in old.catalog.relations.values():
            found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
            for column in relation.columns:
                for told in _column(relation, column.attnum, before, now):
                    found[told].append(column.name)
            for (kind, was, becomes), columns in found.items():
                whole = len(columns) == len(relation.columns)
                what = f"{relation.qualified}: {'all columns' if whole else ', '.join(columns)}"
                yield Difference(kind, party.name, what, was, becomes)


def _column(
    relation: Relation, attnum: int, old: Rights, new: Rights
) -> Iterator[tuple[str, str, str]]:
    oid = relation.oid
    before, now = ({a for a in TABLE_ACTIONS if _may(r, a, oid, attnum)} for r in (old, new))
    if more := _listed(now - before):
        yield "newly allowed", "", more
    if less := _listed(before - now):
        yield "newly refused", less, ""
    if before & now:
        yield from _rows(relation, attnum, before & now, old, new)
    if before & now & {"select", "insert", "update"}:
        column = (oid, attnum)
        lies = [r.shown(column).rules for r in (old, new)]
        kind = masking(lies[0], lies[1])
        if kind:
            told = [spelled(rules, exactly=kind == "masked otherwise") for rules in lies]
            yield kind, told[0], told[1]


def _rows(
    relation: Relation, attnum: int, actions: Iterable[str], old: Rights, new: Rights
) -> Iterator[tuple[str, str, str]]:
    name = next(c.name for c in relation.columns if c.attnum == attnum)
    for action in sorted(actions):
        before, now = (r.filters(action, relation.oid, name) for r in (old, new))
        if before == now:
            continue
        tighter = None in before and None not in now
        told = [
            " or ".join(sorted(c.sql if c else "all rows" for c in each)) for each in (before, now)
        ]
        kind = "fewer rows" if tighter else "more rows"
        yield kind, f"{action}: {told[0]}", f"{action}: {told[1]}"


def _may(rights: Rights, action: str, oid: int, attnum: int) -> bool:
    return isinstance(rights.verdict(action, oid, attnum), Grant)


def _free(party: Party, old: Rights, new: Rights) -> Iterator[Difference]:
    before, now = (
        {a for a in FREE_ACTIONS if isinstance(r.free(a), Grant) and r.standing is None}
        for r in (old, new)
    )
    what = "statements that can't be followed"
    if more := _listed(now - before):
        yield Difference("newly allowed", party.name, what, "", more)
    if less := _listed(before - now):
        yield Difference("newly refused", party.name, what, less, "")


def settings(old: Policy, new: Policy) -> Iterator[Difference]:
    """Give how two policies differ in all that is no right."""
    for field in fields(Policy):
        name = field.name
        before, now = getattr(old, name), getattr(new, name)
        if name in _JUDGED or meaning(before) == meaning(now):
            continue
        if isinstance(before, tuple):
            yield from _list(name, _named(before), _named(now))
        else:
            yield from _section(name, before, now)


def _named(rules: Sequence[Any]) -> Mapping[str, Any]:
    return {getattr(rule, "name", "") or getattr(rule, "id", ""): meaning(rule) for rule in rules}


def _list(section: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) == new.get(name):
            continue
        told = ["there" if name in rules else "" for rules in (old, new)]
        now = "changed" if all(told) else told[1]
        looser = (
            (section in _MORE_IS_LOOSER and name in new)
            or (section in _LESS_IS_LOOSER and name in old)
        )  # fmt: skip
        yield _setting(f"{section}.{name}", told[0], now, looser)


def _section(section: str, old: Any, new: Any) -> Iterator[Difference]:
    if not hasattr(old, "__dataclass_fields__"):
        looser = section == "strict" and not new
        yield _setting(section, _told(old), _told(new), looser)
        return
    for field in fields(old):
        before, now = getattr(old, field.name), getattr(new, field.name)
        if before == now:
            continue
        looser = section not in _HARMLESS
        if isinstance(old, Limits):
            looser = not now or 0 < before < now
        elif isinstance(new, Enforcement):
            looser = new.mode == "observe"
        elif isinstance(old, Audit):
            looser = _less_kept(field.name, before, now)
        yield _setting(f"{section}.{field.name}", _told(before), _told(now), looser)


def _less_kept(name: str, before: Any, now: Any) -> bool:
    if name in ("durability", "writes"):
        return _STRENGTHS.index(now or "buffered") < _STRENGTHS.index(before or "buffered")
    if name in ("keep_for", "keep_size"):
        return bool(now and (not before or now < before))
    if name in ("signing_key_env", "signing_key_file", "anchor_file", "anchor_url"):
        return bool(before and not now)
    return False


def _setting(what: str, before: str, now: str, looser: bool) -> Difference:
    return Difference("settings loosened" if looser else "settings", "", what, before, now)


def _listed(actions: Iterable[str]) -> str:
    return ", ".join(sorted(actions))


def _told(value: Any) -> str:
    plain = isinstance(value, bool | int | float | str)
    return str(value) if plain else "changed"
