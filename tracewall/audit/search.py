"""Finding statements in the record: an intent joined with its outcome, and filters over them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from tracewall.audit.people import Person

_KINDS = ("intent", "statement", "incident")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for; what is empty is not asked.

    ``who`` is a subject, an actor or a pseudonym, ``table`` a relation, ``column`` one of its
    columns, ``rule`` the rule that decided or masked: ``*`` stands for any text in each.
    ``decision`` is ``allowed``, ``forbidden`` or ``asks``, ``status`` how it ended, ``session`` a
    session's id, ``kind`` an incident's (no statement is found then); ``since`` and
    ``until`` are Unix seconds, the second one excluded; ``statement`` is an exact text.
    """

    who: str = ""
    table: str = ""
    column: str = ""
    rule: str = ""
    decision: str = ""
    status: str = ""
    session: str = ""
    kind: str = ""
    statement: str = ""
    since: float | None = None
    until: float | None = None

    @property
    def of_statements(self) -> bool:
        """True where something is asked that only statements have."""
        said = (self.table, self.column, self.rule, self.decision, self.status, self.statement)
        return any(said)


def joined(records: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give statements and incidents as each file has them, statements with their ends.

    A statement without an outcome has no ``ended``. What can't be read is left out.
    """
    waiting: OrderedDict[tuple[str, object], dict[str, Any]] = OrderedDict()
    writer = ""
    for record in records:
        kind = record.get("kind")
        if kind == "opened":
            writer = str(record.get("writer"))
        elif kind == "outcome":
            found = waiting.get((str(record.get("of") or writer), _number(record, "intent")))
            if found is not None and "ended" not in found:
                found["ended"] = record.get("ended")
        elif kind in _KINDS:
            waiting[writer, _number(record, "n")] = {**record, "writer": writer}
        yield from _complete(waiting)
    yield from waiting.values()


def _number(record: Mapping[str, Any], name: str) -> object:
    # Whoever can write to a log must not keep others from searching the rest of it.
    number = record.get(name)
    return number if isinstance(number, int) else None


_MOST_WAITING = 100_000


def _complete(waiting: OrderedDict[tuple[str, object], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    while waiting:
        key, first = next(iter(waiting.items()))
        if first["kind"] == "intent" and "ended" not in first and len(waiting) < _MOST_WAITING:
            return
        del waiting[key]
        yield first


def found(
    records: Iterable[Mapping[str, Any]], asked: Asked, people: Mapping[str, Person]
) -> Iterator[dict[str, Any]]:
    """Give what is asked for, with names where pseudonyms are known.

    Args:
        records: as `tracewall.audit.verify.records` gives them.
        asked: the filters; all of them must fit.
        people: whom pseudonyms stand for.
    """
    for entry in joined(records):
        if _fits(entry, asked, people):
            yield _named(entry, people)


def _fits(entry: Mapping[str, Any], asked: Asked, people: Mapping[str, Person]) -> bool:
    at = entry.get("at")
    if not isinstance(at, float | int):
        return False
    if (asked.since is not None and at < asked.since) or (
        asked.until is not None and at >= asked.until
    ):
        return False
    if entry["kind"] == "incident":
        return not asked.of_statements and _fits_incident(entry, asked, people)
    return not asked.kind and _fits_statement(entry, asked, people)


def _fits_incident(entry: Mapping[str, Any], asked: Asked, people: Mapping[str, Person]) -> bool:
    incident = part(entry, "incident")
    return _like(asked.kind, (incident.get("kind"),)) and _by(part(incident, "who"), asked, people)


def _fits_statement(entry: Mapping[str, Any], asked: Asked, people: Mapping[str, Person]) -> bool:
    what, ended = part(entry, "what"), part(entry, "ended")
    rules = (what.get("rule"), *_each(part(what, "masked").values()))
    listed = (names for names in part(what, "columns").values() if isinstance(names, list))
    columns = (name for names in listed for name in names)
    return (
        _by(part(entry, "who"), asked, people)
        and _like(asked.decision, (what.get("decision"),))
        and _like(asked.status, (ended.get("status", "open"),))
        and _like(asked.rule, rules)
        and _like(asked.table, part(what, "relations"))
        and _like(asked.column, columns)
        and (not asked.statement or _says(entry, asked.statement.encode(), people))
    )


def _by(who: Mapping[str, Any], asked: Asked, people: Mapping[str, Person]) -> bool:
    if asked.session and who.get("session") != asked.session:
        return False
    pseudonyms = [str(who.get("subject", "")), *str(who.get("actor", "")).split(" < ")]
    known = [people[name].subject for name in pseudonyms if name in people]
    return _like(asked.who, (*pseudonyms, *known))


def _says(entry: Mapping[str, Any], statement: bytes, people: Mapping[str, Person]) -> bool:
    """Tell whether an exact text is what was sent, by its hash or by the commitment to it."""
    digest = part(entry, "what").get("sha256")
    if digest:
        return bool(digest == hashlib.sha256(statement).hexdigest())
    person = people.get(str(part(entry, "who").get("subject")))
    made = person.commitment("text", (statement,)) if person else None
    return made is not None and made == part(entry, "commitments").get("text")


def _named(entry: dict[str, Any], people: Mapping[str, Person]) -> dict[str, Any]:
    person = people.get(str(part(entry, "who").get("subject")))
    return entry if person is None else {**entry, "name": person.subject}


def _each(rules: Iterable[object]) -> Iterator[str]:
    for rule in rules:
        yield from str(rule).split(", ")


def _like(pattern: str, texts: Iterable[object]) -> bool:
    # Of the shell's signs only the star: a name may hold brackets.
    pattern = pattern.replace("[", "[[]").replace("?", "[?]")
    return not pattern or any(fnmatchcase(str(text), pattern) for text in texts)


def part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Give a part of a record that has members; empty where it is anything else."""
    found = record.get(name)
    return found if isinstance(found, dict) else {}
