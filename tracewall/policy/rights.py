"""What a set of groups may do in a catalog: a policy, joined with the relations there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from tracewall.policy.covering import (
    column_name,
    covers,
    covers_all,
    hits,
    is_on,
    lessened,
    may_hit,
    reaches,
    spells,
    with_sources,
)
from tracewall.policy.model import (
    FREE_ACTIONS,
    Approval,
    Denial,
    Grant,
    Mask,
    Policy,
    Scan,
    Trust,
)
from tracewall.policy.protection import BARE, Protection
from tracewall.policy.rows import UNFILTERED, Filters, held, narrowed
from tracewall.sql.catalog import Catalog, Relation
from tracewall.sql.flow import Column, Flow
from tracewall.sql.rowsecurity import Beneath
from tracewall.sql.statement import inherited

_MOST_CHANNELS = 1_000


@dataclass(frozen=True)
class Rights:
    """A policy seen by the members of `groups`, over the relations of `catalog`.

    `actors` has the groups of each who acts for them: only what every one of them may,
    too, is granted, and what stands against any of them stands. `revealed` names the masks
    and scans that people are asked to lift. Answers are remembered, so that a second look
    costs a dictionary look-up.
    """

    policy: Policy
    catalog: Catalog
    groups: frozenset[str]
    actors: tuple[frozenset[str], ...] = ()
    revealed: frozenset[str] = frozenset()
    _verdicts: dict[tuple[str, int, int], Grant | Denial | None] = field(default_factory=dict)
    _permitted: dict[tuple[str, int, int], Grant | None] = field(default_factory=dict)
    _channels: dict[tuple[str, str], Grant | Denial | None] = field(default_factory=dict)
    _shown: dict[Column, Protection] = field(default_factory=dict)
    _stored: dict[Column, Protection] = field(default_factory=dict)
    _spelled: dict[Column, str] = field(default_factory=dict)
    _on: dict[int, tuple[Grant, ...]] = field(default_factory=dict)
    _laid: dict[int, tuple[tuple[Mask, ...], tuple[Scan, ...]]] = field(default_factory=dict)
    _unheld: dict[tuple[str, int, int], str] = field(default_factory=dict)

    @property
    def sides(self) -> tuple[Rights, ...]:
        """These rights, and those of each who acts for them."""
        return (self, *self._others)

    def verdict(self, action: str, oid: int, attnum: int) -> Grant | Denial | None:
        """Give the rule that decides an access: a grant, a denial, or None (nothing grants it).

        `attnum` 0 asks for the relation as such: any grant on any of its columns will do,
        and only a denial of all its columns stands against it.
        """
        key = (action, oid, attnum)
        try:
            return self._verdicts[key]
        except KeyError:
            others = (other.verdict(action, oid, attnum) for other in self._others)
            found = self._verdicts[key] = _weakest(self._verdict(action, oid, attnum), *others)
            return found

    def permitted(self, action: str, oid: int, attnum: int) -> Grant | None:
        """Give the grant that permits an access, if nothing else is to be said of that."""
        key = (action, oid, attnum)
        try:
            return self._permitted[key]
        except KeyError:
            found = self.verdict(action, oid, attnum) if oid else None
            plain = isinstance(found, Grant) and not self.rows_problem(action, oid, attnum)
            grant = self._permitted[key] = found if plain and isinstance(found, Grant) else None
            return grant

    def channel(self, action: str, name: str) -> Grant | Denial | None:
        """Give the rule that decides on ``listen`` or ``notify`` of a channel, or None."""
        key = (action, name)
        if key not in self._channels:
            if len(self._channels) >= _MOST_CHANNELS:
                self._channels.clear()
            own = self._first(lambda rule: action in rule.actions and covers(rule.channels, name))
            others = (other.channel(action, name) for other in self._others)
            self._channels[key] = _weakest(own, *others)
        return self._channels[key]

    def free(self, action: str) -> Grant | Denial | None:
        """Give the rule that decides on what can't be followed; ``anything`` stands for all."""
        named = frozenset({action, "anything"})
        # Whatever else a statement does, it may do what is denied too.
        denied = named.union(FREE_ACTIONS if action == "anything" else ())
        own = self._first(
            lambda rule: not rule.actions.isdisjoint(denied if isinstance(rule, Denial) else named)
        )
        return _weakest(own, *(other.free(action) for other in self._others))

    def _first(self, applies: Callable[[Grant | Denial], bool]) -> Grant | Denial | None:
        denial = next(filter(applies, self._denials), None)
        return denial or next(filter(applies, self._grants), None)

    @cached_property
    def standing(self) -> Denial | Grant | Mask | Scan | None:
        """The first rule that protects anything of this catalog from these groups, if any does.

        Where one does, what can't be followed is not for them: it could read anything.
        """
        denials = (denial for denial in self._denials if denial.tables or denial.channels)
        filters = (grant for grant in self._grants if grant.rows is not None)
        columns = ((oid, c.attnum) for oid, r in self.catalog.relations.items() for c in r.columns)
        rules = (rule for column in columns for rule in self.shown(column).rules)
        others = (other.standing for other in self._others if other.standing)
        return next((rule for rule in chain(denials, filters, rules, others)), None)

    @cached_property
    def _others(self) -> tuple[Rights, ...]:
        return tuple(
            Rights(self.policy, self.catalog, groups, (), self.revealed) for groups in self.actors
        )

    @cached_property
    def trusted(self) -> Grant | None:
        """The grant by which these groups may do anything, where nothing stands against it."""
        found = self.free("anything")
        free = isinstance(found, Grant) and self.standing is None and not self.asking
        return found if free and isinstance(found, Grant) else None

    @cached_property
    def _grants(self) -> tuple[Grant, ...]:
        return tuple(grant for grant in self.policy.grants if self._concerns(grant))

    @cached_property
    def _denials(self) -> tuple[Denial, ...]:
        return tuple(denial for denial in self.policy.denials if self._concerns(denial))

    def calls(self, name: str) -> bool:
        """Tell whether these groups may use a function or operator of a user's own."""
        rules = (rule for rule in self.policy.functions if self._concerns(rule))
        own = any(covers(rule.functions, name) for rule in rules)
        return own and all(other.calls(name) for other in self._others)

    @cached_property
    def asking(self) -> tuple[Approval, ...]:
        """The rules that may ask for what these groups do, or who acts for them."""
        others = {rule for other in self._others for rule in other.asking}
        own = self.policy.approvals
        return tuple(rule for rule in own if rule in others or self._concerns(rule))

    @cached_property
    def strengthened(self) -> bool:
        """Whether any rule wants records to be kept more strongly than others."""
        rules: tuple[Grant | Mask, ...] = (*self.policy.grants, *self.policy.masks)
        return bool(self.policy.audit.writes) or any(rule.audit for rule in rules)

    def _concerns(self, rule: Grant | Denial | Trust | Approval) -> bool:
        return any(glob.matches(group) for glob in rule.groups for group in self.groups)

    def shown(self, column: Column) -> Protection:
        """Give what still protects a column from these groups, after grants lifted masks."""
        try:
            return self._shown[column]
        except KeyError:
            # Who acts for another inherits no lift: what protects it from either is on it.
            own = self._protection(column, lifting=True)
            found = _union(own, *(other.shown(column) for other in self._others))
            self._shown[column] = found
            return found

    def clear(self, flow: Flow) -> bool:
        """Tell whether nothing protects any column of a flow from these groups."""
        return all(self.shown(column) is BARE for column, _ in flow)

    def stored(self, column: Column) -> Protection:
        """Give what protects a column, whoever asks."""
        if column not in self._stored:
            self._stored[column] = self._protection(column, lifting=False)
        return self._stored[column]

    def opaque(self, name: str) -> bool:
        """Tell whether a grant names a column (``schema.view.column``) without any wildcard."""
        table, _, column = name.rpartition(".")
        return any(
            "select" in grant.actions
            and spells(grant.tables, table)
            and spells(grant.columns, column)
            for grant in self._grants
        )

    def spelled(self, column: Column) -> str:
        """Give a column's name as policies write it, ``schema.table.column``."""
        known = self._spelled.get(column)
        if known is None:
            relation = self.catalog.relations[column[0]]
            name = column_name(relation, column[1])
            whole = f"a whole row of {relation.qualified}"
            known = f"{relation.qualified}.{name}" if name else whole
            self._spelled[column] = known
        return known

    def type_of(self, column: Column) -> int:
        """Give the oid of a column's type; 0 for a whole row."""
        return self.catalog.type_of(column)

    def readable(self, oid: int, action: str) -> list[str]:
        """Give the names of a relation's columns on which these groups may do `action`."""
        return [
            column.name
            for column in self.catalog.relations[oid].columns
            if isinstance(self.verdict(action, oid, column.attnum), Grant)
        ]

    def filters(self, action: str, oid: int, name: str = "") -> Filters:
        """Give the row filters of the grants of an action on a table, or on a column of it."""
        relation = self.catalog.relations[oid]
        return frozenset(
            grant.rows
            for grant in self._granted(relation)
            if action in grant.actions and (not name or covers(grant.columns, name))
        )

    def rows_problem(self, action: str, oid: int, attnum: int) -> str:
        """Tell why an access that is granted can't be held to the caller's rows; empty: it can."""
        key = (action, oid, attnum)
        if key not in self._unheld:
            self._unheld[key] = self._rows_problem(action, oid, attnum)
        return self._unheld[key]

    def _rows_problem(self, action: str, oid: int, attnum: int) -> str:
        relation = self.catalog.relations[oid]
        beneath = self.catalog.around.get(oid)
        if beneath is not None:
            return self._view_problem(beneath, self.filters(action, oid))
        found = self.filters(action, oid)
        if self._others_see_less(action, oid, found):
            return "who acts for you is not granted the same rows"
        # Rows of a partition or heir are rows of its parent too.
        kin = (self.filters(action, each.oid) for each in self.catalog.family[oid])
        if any(not each <= UNFILTERED and each != found for each in kin):
            return "your rows of its partitions or heirs are filtered otherwise"
        if found <= UNFILTERED or relation.kind == "S":
            return ""
        if relation.kind not in ("r", "p") or not held(self.policy, self.catalog, relation):
            return "your rows of it are filtered, and the server does not hold that filter"
        name = column_name(relation, attnum)
        if name and narrowed(self.filters(action, oid, name), found):
            return "it is granted to you for some rows only, and other grants give more rows"
        return ""

    def _others_see_less(self, action: str, oid: int, found: Filters) -> bool:
        # A read by way of a view needs no grant on what is beneath.
        theirs = [other.filters(action, oid) for other in self._others] if found else []
        return any(None not in each and not found <= each for each in theirs)

    def _view_problem(self, view: Beneath, own: Filters) -> str:
        beneath = [
            self.filters("select", oid) for oid in view.beneath if oid in self.catalog.relations
        ]
        filtered = [each for each in beneath if not each <= UNFILTERED]
        if filtered and not view.asks:
            return "it is a view that reads past the filter of your rows"
        unheld = [each for each in beneath if not each or None in each]
        if not own <= UNFILTERED and (unheld or not beneath or not view.asks):
            return "your rows of it are filtered, and a view has no filter of its own"
        return ""

    def _verdict(self, action: str, oid: int, attnum: int) -> Grant | Denial | None:
        relation = self.catalog.relations[oid]
        for denial in self._denials:
            if self._denied(denial, action, relation, attnum):
                return denial
        name = column_name(relation, attnum)
        for grant in self._granted(relation):
            if action in grant.actions and (not attnum or covers(grant.columns, name)):
                return grant
        return None

    def _granted(self, relation: Relation) -> tuple[Grant, ...]:
        """Give the grants on a relation, in the order of the file; searched for once."""
        found = self._on.get(relation.oid)
        if found is None:
            found = tuple(grant for grant in self._grants if is_on(grant, relation))
            self._on[relation.oid] = found
        return found

    def _denied(self, denial: Denial, action: str, relation: Relation, attnum: int) -> bool:
        # Rows of a partition or heir are rows of its parent too: what is denied of the one
        # can't be had by way of the other. The same goes for what is computed from a column.
        if action not in denial.actions or not any(
            reaches(denial.tables, kin.schema, kin.name)
            for kin in self.catalog.family[relation.oid]
        ):
            return False
        if attnum:
            names = with_sources(relation, attnum)
            return any(reaches(denial.columns, name) for name in names)
        # Deleting a row deletes the denied column's value.
        return action in ("delete", "truncate") or covers_all(denial.columns)

    def _protection(self, column: Column, *, lifting: bool) -> Protection:
        oid, attnum = column
        relation = self.catalog.relations[oid]
        name = column_name(relation, attnum)
        masks: dict[Mask, None] = {}
        scans: dict[Scan, None] = {}
        for kin in self.catalog.family[oid]:
            lifted = self._lifted(kin, name) | self.revealed if lifting else frozenset()
            full = (kin.schema, kin.name, name)
            laid_masks, laid_scans = self._laid_on(kin)
            hit = (lessened(m, lifted) for m in laid_masks if hits(m, full, lifted))
            masks.update((mask, None) for mask in hit if mask is not None)
            scans.update((s, None) for s in laid_scans if hits(s, full, lifted))
        for beneath in inherited(column, self.catalog):
            protection = self._protection(beneath, lifting=lifting)
            masks.update(dict.fromkeys(protection.masks))
            scans.update(dict.fromkeys(protection.scans))
        return Protection(tuple(masks), tuple(scans)) if masks or scans else BARE

    def _laid_on(self, relation: Relation) -> tuple[tuple[Mask, ...], tuple[Scan, ...]]:
        """Give the masks and scans that may lie on columns of a relation; searched for once."""
        found = self._laid.get(relation.oid)
        if found is None:
            names = relation.schema, relation.name
            masks = tuple(mask for mask in self.policy.masks if may_hit(mask, *names))
            scans = tuple(scan for scan in self.policy.scans if may_hit(scan, *names))
            found = self._laid[relation.oid] = masks, scans
        return found

    def _lifted(self, relation: Relation, name: str) -> frozenset[str]:
        grants = [
            grant
            for grant in self._granted(relation)
            if grant.lifts and "select" in grant.actions and covers(grant.columns, name)
        ]
        every = self.filters("select", relation.oid)
        lifts = frozenset[str]().union(*(grant.lifts for grant in grants))
        # What is lifted for some rows would be lifted for all that other grants give.
        return frozenset(
            lift
            for lift in lifts
            if not narrowed(frozenset(g.rows for g in grants if lift in g.lifts), every)
        )


def _weakest(*verdicts: Grant | Denial | None) -> Grant | Denial | None:
    """Give the verdict on what each must be granted: a denial of any, else none if one has none."""
    denial = next((verdict for verdict in verdicts if isinstance(verdict, Denial)), None)
    return denial or (None if None in verdicts else verdicts[0])


def _union(*all: Protection) -> Protection:
    if len(all) == 1:
        return all[0]
    masks = dict.fromkeys(mask for one in all for mask in one.masks)
    scans = dict.fromkeys(scan for one in all for scan in one.scans)
    return Protection(tuple(masks), tuple(scans))
