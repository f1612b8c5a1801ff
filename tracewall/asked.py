"""What a caller says when people may have to approve, and what they are asked then.

1. What a caller says holds for the statements of its block, in its task or thread.
2. A rule asks when everything it is about holds; the clock is looked at here.
3. A permit is for one act, and only for the rules that were asked about.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import NamedTuple

from tracewall.approval.desk import Permit
from tracewall.approval.request import Act, Parameter, Person, Requirement, Shown
from tracewall.errors import ApprovalRequired, Forbidden
from tracewall.identity.principal import Principal
from tracewall.judge import Judged
from tracewall.policy.askings import outright
from tracewall.policy.hours import within
from tracewall.policy.model import Approval, Decision
from tracewall.sql.extent import Extent
from tracewall.sql.keys import WHOLE, Keyed, elements


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller says of a statement that people may have to approve.

    ``approval`` is the id of a request to go on with; ``reason`` and ``ticket`` say why;
    ``reveal`` names masks and scans to be lifted; ``wait`` is how long (seconds) to wait for
    a decision; ``rows`` how many rows are wanted at most (0: no word on that);
    ``break_glass`` goes on alone where the policy lets the caller.
    """

    approval: str = ""
    reason: str = ""
    ticket: str = ""
    reveal: frozenset[str] = frozenset()
    wait: float = 0.0
    rows: int = 0
    break_glass: bool = False


LONGEST_TICKET = 200
"""How long (characters) a ticket's name may be."""

UNASKABLE_BATCH = "people can't be asked about a batch: use execute() (rule approvals.{})"

NOTHING = Asked()
ASKED: ContextVar[Asked] = ContextVar("tracewall_asked", default=NOTHING)


def asked() -> Asked:
    """Give what the caller of this context says."""
    return ASKED.get()


@contextmanager
def asking(
    *,
    approval: str | None = None,
    reason: str | None = None,
    ticket: str | None = None,
    reveal: Iterable[str] | None = None,
    wait: float | None = None,
    rows: int | None = None,
    break_glass: bool | None = None,
) -> Iterator[None]:
    """Say for the statements of a block what people may have to be told, or asked.

    Use it where ``execute`` is called by somebody else's code. What is left out stays as an
    outer block says. It holds for the current task or thread, as context variables do.

    Args:
        approval: the id of a request to go on with; the statement must be the very same.
        reason: why, in a sentence; the approvers see it.
        ticket: a ticket's name, where the policy wants one.
        reveal: names of masks and scans to be lifted, once; that is always asked for.
        wait: how long (seconds) to wait for a decision, instead of raising at once; never
            in a transaction.
        rows: how many rows are wanted at most.
        break_glass: go on alone, where the policy lets the caller; it will be reviewed.

    Example:
        with tracewall.asking(reason="quarterly export", ticket="OPS-12"):
            report(conn)
    """
    given = {
        "approval": approval,
        "reason": reason,
        "ticket": ticket,
        "reveal": None if reveal is None else _names(reveal),
        "wait": wait,
        "rows": rows,
        "break_glass": break_glass,
    }
    said = {name: value for name, value in given.items() if value is not None}
    token = ASKED.set(replace(ASKED.get(), **said))  # type: ignore[arg-type]  # by name
    try:
        yield
    finally:
        ASKED.reset(token)


def _names(reveal: Iterable[str]) -> frozenset[str]:
    if isinstance(reveal, str):
        raise TypeError("reveal takes a list of names")
    return frozenset(reveal)


class Place(NamedTuple):
    """Where a statement would be done, by the server's own word."""

    server: str
    database: str
    role: str
    login: str
    search_path: str


class Pending(ApprovalRequired):
    """Raised inside the doors where a rule asks: nobody was asked yet, nothing was sent.

    ``act`` is what would be done, ``rules`` ask; ``late`` is true where rows came already, of
    which the rest is withheld: there is no going on.
    """

    act: Act
    rules: tuple[Approval, ...]
    statement: str
    shown: Shown
    said: Asked
    late: bool


def pending(
    decision: Decision,
    act: Act,
    rules: tuple[Approval, ...],
    sql: bytes,
    shown: Shown,
    said: Asked,
    *,
    late: bool = False,
) -> Pending:
    """Make the error that has people asked."""
    made = Pending("people have to approve of this first", decision=decision.for_caller())
    made.act, made.rules, made.statement = act, rules, sql.decode()
    made.shown, made.said, made.late = shown, said, late
    return made


def due(judged: Judged, now: float) -> tuple[Approval, ...]:
    """Give the rules that ask for a statement now, whatever number of rows it has."""
    uncounted = judged.decision.unfollowed or judged.extent.uncounted
    return tuple(
        rule
        for rule in judged.decision.approvals
        if outright(rule, uncounted=uncounted) and _is_time(rule, now)
    )


def counting(judged: Judged, now: float) -> tuple[Approval, ...]:
    """Give the rules that ask where a statement has more rows than they say."""
    return tuple(rule for rule in judged.decision.approvals if rule.counts and _is_time(rule, now))


def _is_time(rule: Approval, now: float) -> bool:
    return not rule.hours or not within(rule.hours, rule.timezone, now)


def most_rows(rules: Iterable[Approval]) -> int:
    """Give how many rows may come before a rule asks (0: any number)."""
    return min((rule.rows for rule in rules if rule.rows and not rule.per), default=0)


def bounded(judged: Judged, parameters: Sequence[Parameter]) -> int:
    """Give how many rows a statement can have at most; -1: nobody knows."""
    found = _limited(judged.extent, parameters), by_keys(judged.extent.keyed, parameters)
    return min((most for most in found if most >= 0), default=-1)


def by_keys(keyed: Keyed | None, parameters: Sequence[Parameter]) -> int:
    """Give how many rows a statement can have at most by unique keys; -1: nobody knows."""
    if keyed is None:
        return -1
    most, count = keyed.most, len(parameters)
    for number, types in keyed.typed:
        if not 0 < number <= count or parameters[number - 1].type not in types:
            return -1
    for number in keyed.arrays:
        each = parameters[number - 1] if 0 < number <= count else None
        value = each.bytes if each is not None else None
        size = elements(value, each.type, each.format) if each and value is not None else -1
        if size < 0:
            return -1
        most *= max(size, 1)
    return most


def _limited(extent: Extent, parameters: Sequence[Parameter]) -> int:
    if not 0 < extent.parameter <= len(parameters):
        return extent.most
    sent = parameters[extent.parameter - 1]
    value = sent.bytes
    if value is None or sent.type not in extent.typed:
        return -1
    if sent.format:
        return int.from_bytes(value, signed=True) if sent.type in WHOLE else -1
    return int(value) if re.fullmatch(rb"[0-9]{1,18}", bytes(value)) else -1


class Tally:
    """How many rows the sets of a batch can have that have left: none that a rule asks about.

    Args:
        judged: the statement.
        rules: those that ask where there are more rows than they say.
    """

    __slots__ = ("_judged", "_left", "_next", "_promised", "_rule")

    def __init__(self, judged: Judged, rules: tuple[Approval, ...]) -> None:
        self._judged, self._left = judged, most_rows(rules)
        self._rule = rules[0].name
        self._next = self._promised = 0

    def take(self, number: int, parameters: Sequence[Parameter]) -> int:
        """Count a set; give how many rows unique keys let through so far (-1: nobody knows).

        Args:
            number: how many have left; a set is counted once.
            parameters: as they will leave.

        Raises:
            Forbidden: people would have to be asked.
        """
        if number >= self._next:
            most, keyed = bounded(self._judged, parameters), self._judged.extent.keyed
            if most < 0 or most > self._left:
                raise Forbidden(UNASKABLE_BATCH.format(self._rule))
            promised = by_keys(keyed, parameters)
            unknown = promised < 0 or self._promised < 0
            self._promised = -1 if unknown else self._promised + promised
            self._left, self._next = self._left - most, number + 1
        return self._promised


def digest_of_run(sql: bytes, parameters: Iterable[Parameter]) -> str:
    """Give what a statement with its parameters is known by in a budget of runs."""
    made = hashlib.sha256(sql)
    for each in parameters:
        # A dash is no base64: no bytes are spelled as NULL is.
        value = each.value if each.value is not None else "-"
        made.update(f"\0{each.type} {each.format} {value}".encode())
    return made.hexdigest()[:32]


def requirements(rules: Iterable[Approval]) -> tuple[Requirement, ...]:
    """Give what rules want, as requests have it."""
    return tuple(
        Requirement(
            rule.name,
            tuple(glob.text for glob in rule.approvers),
            rule.people,
            rule.expires,
            rule.valid,
            rule.mode,
        )
        for rule in rules
    )


def act_of(
    judged: Judged,
    principal: Principal,
    place: Place,
    parameters: Sequence[Parameter],
    statement: str,
    door: str,
    said: Asked,
) -> Act:
    """Give what would be done, by whom and where."""
    decision = judged.decision
    shape = bool(decision.approvals) and all(rule.mode == "shape" for rule in decision.approvals)
    return Act(
        text=decision.text if shape else statement,
        parameters=() if shape else tuple(parameters),
        door=door,
        issuer=principal.issuer,
        subject=principal.subject,
        actors=tuple(Person(actor.issuer, actor.subject) for actor in principal.actors),
        purpose=principal.purpose or "",
        policy=decision.policy_hash,
        server=place.server,
        database=place.database,
        role=place.role,
        login=place.login,
        search_path=place.search_path,
        rows=said.rows or decision.row_limit,
        reveal=tuple(sorted(said.reveal)),
        shape=shape,
    )


def shown_of(decision: Decision, why: str, estimate: int) -> Shown:
    """Give what approvers are shown besides the statement."""
    masked = tuple((column.name, column.rule) for column in decision.columns if column.rule)
    return Shown(decision.summary, decision.relations, masked, why, estimate)


def check_words(rules: Iterable[Approval], said: Asked) -> None:
    """Return where the caller says what the rules that ask want to be told.

    Raises:
        Forbidden: a reason or a ticket is missing, or no ticket is called so.
    """
    if len(said.ticket) > LONGEST_TICKET:
        raise Forbidden(f"a ticket has at most {LONGEST_TICKET} characters")
    for rule in rules:
        if rule.reason == "required" and not said.reason.strip():
            raise Forbidden(f"a reason is needed: pass reason= (rule approvals.{rule.name})")
        if rule.ticket and re.fullmatch(rule.ticket, said.ticket) is None:
            raise Forbidden(f"a ticket is needed: pass ticket= (rule approvals.{rule.name})")


def may_break_glass(rules: Iterable[Approval], principal: Principal) -> bool:
    """Tell whether a caller may go on alone: in person, and where every rule lets them."""
    return not principal.actors and all(
        any(glob.matches(group) for glob in rule.break_glass for group in principal.groups)
        for rule in rules
    )


def satisfies(permit: Permit, act: Act, rules: Iterable[Approval]) -> bool:
    """Tell whether a permit is for an act, and for all the rules that ask."""
    return permit.act == act and {rule.name for rule in rules} <= permit.rules
