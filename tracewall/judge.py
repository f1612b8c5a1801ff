"""Judges statements for one set of groups in one catalog, and remembers what it said."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tracewall.events import What
from tracewall.policy.decide import decide
from tracewall.policy.model import Decision, Grant, OutputColumn, Policy, Scan
from tracewall.policy.rights import Rights
from tracewall.policy.touched import columns, kept, searched, writes
from tracewall.shield import Shield, Veil, Written, hides, written_back
from tracewall.sql.catalog import Catalog
from tracewall.sql.copying import CopyFormat, copied_query
from tracewall.sql.extent import UNKNOWN_EXTENT, Extent
from tracewall.sql.grammar import Text
from tracewall.sql.statement import Statement, Understanding, understand

Key = TypeVar("Key")
Value = TypeVar("Value")

_REMEMBERED_STATEMENTS = 10_000
_DOORS = {"copy_to": "copy", "copy_from": "copy", "declare": "declare"}


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A decision, with what is recorded of it and the veils over its masked columns.

    ``veils`` maps output positions (from 0) to what hides them; ``sources`` has for each
    position the base columns (table oid, attribute number) that it may come from.
    ``changes`` is true where data may be changed, ``writes`` where parameters are written
    that may hold a mask's mark, or one of the ``scans``; ``most``
    is how many bytes a value may have that is read to be masked (0: no limit). ``door``
    is ``copy`` or ``declare`` for statements that only that door may send; ``copy`` says how
    a COPY spells rows, ``copied`` is a query that gives the columns of a COPY TO; ``extent``
    is how far it reaches, and ``query`` what a planner can estimate of it, where people may
    be asked; ``rules`` are the rules that mask, each with how many positions it masks;
    ``texts`` are the oids of users' types that are spelled as texts are; ``right`` remembers
    origins of results (all table oids, then all attribute numbers) that
    were found to be among its sources.
    """

    decision: Decision
    what: What
    veils: Mapping[int, Veil]
    sources: tuple[frozenset[tuple[int, int]], ...] = ()
    writes: bool = False
    scans: tuple[Scan, ...] = ()
    most: int = 0
    door: str = ""
    copy: CopyFormat | None = None
    copied: str = ""
    extent: Extent = UNKNOWN_EXTENT
    query: str = ""
    rules: tuple[tuple[str, int], ...] = ()
    changes: bool = False
    texts: frozenset[int] = frozenset()
    right: set[tuple[int, ...]] = field(default_factory=set)

    def counts(self, rows: int) -> dict[str, int]:
        """Give how many values of so many rows each rule was laid on, NULLs among them."""
        return {rule: positions * rows for rule, positions in self.rules} if rows > 0 else {}


class Judge:
    """Judges statements for one set of groups, and of those who act for it, in one catalog.

    ``said`` remembers the judgement of each statement, by its bytes.
    """

    __slots__ = ("_rights", "_shield", "said")

    def __init__(
        self,
        policy: Policy,
        catalog: Catalog,
        groups: frozenset[str],
        shield: Shield,
        actors: tuple[frozenset[str], ...] = (),
        revealed: frozenset[str] = frozenset(),
    ) -> None:
        self._rights = Rights(policy, catalog, groups, actors, revealed)
        self._shield = shield
        self.said: dict[bytes, Judged] = {}

    @property
    def trusts(self) -> bool:
        """True where these groups may do anything and nothing is protected from them."""
        return self._rights.trusted is not None

    def strictly(self, sql: bytes) -> Decision:
        """Give the decision on a statement by all rules, those in shadow among them."""
        return self.judge(sql).decision

    def judge(self, sql: bytes) -> Judged:
        """Give the judgement of a statement (the exact bytes for the wire)."""
        judged = self.said.get(sql)
        if judged is None:
            judged = self._judge(sql)
            remember(self.said, sql, judged, _REMEMBERED_STATEMENTS)
        return judged

    def hear(self, channel: str, payload: str) -> str | None:
        """Give what may be heard of a notification, searched by every scan; None: nothing."""
        if self.trusts:
            return payload
        if not isinstance(self._rights.channel("listen", channel), Grant):
            return None
        return self._shield.searched(payload)

    def _judge(self, sql: bytes) -> Judged:
        understood, decision = _decided(sql, self._rights)
        scans = searched(understood, self._rights) if decision.outcome != "forbidden" else ()
        marked = bool(scans) or self._shield.marks_matter(decision)
        if marked and (rule := self._shield.written_back(decision, scans, (sql,))):
            decision = written_back(decision, rule)
        masked: dict[int, OutputColumn] = {}
        rules: dict[str, str] = {}
        for at, column in enumerate(decision.columns):
            if rule := column.rule:
                masked[at], rules[str(at)] = column, rule
        return Judged(
            decision,
            self._told(sql, understood, decision, rules),
            self._shield.veils(masked) if masked else {},
            tuple([column.sources for column in decision.columns]),
            writes=marked,
            scans=scans,
            changes=writes(understood),
            most=self._rights.policy.limits.masked_value,
            rules=_counted(rules.values()) if rules else (),
            texts=self._rights.catalog.texts if masked else frozenset(),
            **self._door(sql, understood, decision),
        )

    def _told(
        self,
        sql: bytes,
        understood: Understanding,
        decision: Decision,
        rules: Mapping[str, str],
    ) -> What:
        # The hash of a short text is soon guessed, and can't be erased.
        digest = "" if self._rights.policy.audit.erasable else hashlib.sha256(sql).hexdigest()
        touched = columns(understood, self._rights.catalog)
        return _what(digest, decision, rules, touched, kept(understood, self._rights))

    def _door(self, sql: bytes, understood: Understanding, decision: Decision) -> dict[str, Any]:
        if not isinstance(understood, Statement) or decision.outcome == "forbidden":
            return {}
        copied = ""
        if understood.kind == "copy_to" and not decision.unfollowed:
            copied = copied_query(sql, self._rights.catalog)
        door = _DOORS.get(understood.kind, "")
        found: dict[str, Any] = {"door": door, "copy": understood.copy, "copied": copied}
        if decision.approvals:
            inner = _inner(sql) if not decision.unfollowed else None
            found |= {"extent": understood.extent, "query": copied or (inner[0] if inner else "")}
        return found

    def writing_back(self, sql: bytes, judged: Judged, data: Written) -> Judged:
        """Give the judgement of a statement that writes `data`: no mark may be written back."""
        rule = self._shield.written_back(judged.decision, judged.scans, data)
        if not rule:
            return judged
        decision = written_back(judged.decision, rule)
        told = judged.what
        what = _what(told.sha256, decision, {}, told.columns, told.kept)
        return Judged(decision, what, {}, judged.sources)


def decision_on(sql: bytes, policy: Policy, catalog: Catalog, groups: frozenset[str]) -> Decision:
    """Give the decision on a statement for the members of some groups, unremembered."""
    return decision_by(sql, Rights(policy, catalog, groups))


def decision_by(sql: bytes, rights: Rights) -> Decision:
    """Give the decision on a statement by what its caller may do, unremembered."""
    return _decided(sql, rights)[1]


def _decided(sql: bytes, rights: Rights) -> tuple[Understanding, Decision]:
    policy = rights.policy
    understood = understand(
        sql,
        rights.catalog,
        strict=policy.strict,
        hides=hides(rights),
        opaque=rights.opaque,
        calls=rights.calls,
        reaches=bool(rights.asking),
    )
    return understood, decide(understood, rights)


def _inner(sql: bytes) -> tuple[str, str] | None:
    text = Text(sql)
    return text.query_within(text.parse())


def _counted(rules: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(Counter(rule for each in rules for rule in each.split(", ")).items())


def _what(
    digest: str,
    decision: Decision,
    rules: Mapping[str, str],
    touched: dict[str, list[str]],
    strength: str,
) -> What:
    return What(
        summary=decision.summary,
        text=decision.text,
        sha256=digest,
        decision=decision.outcome,
        rule=decision.rule,
        policy=decision.policy_hash,
        reason=decision.reason,
        relations={name: list(actions) for name, actions in decision.relations},
        columns=touched,
        masked=dict(rules),
        kept=strength,
    )


def remember(memory: dict[Key, Value], key: Key, value: Value, most: int) -> None:
    """Keep a value by its key in a memory of at most so many."""
    while len(memory) >= most:
        # The oldest goes first; another thread may have been quicker to take it.
        memory.pop(next(iter(memory)), None)
    memory[key] = value
