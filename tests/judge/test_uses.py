"""What may be done with protected values, and where they may be stored: flows made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tracewall.masking.config import Method
from tracewall.policy.decide import decide
from tracewall.policy.model import Decision, Glob, Mask, Scan
from tracewall.policy.rights import Rights
from tracewall.policy.storing import escapes
from tracewall.sql.catalog import Catalog, Definition
from tracewall.sql.flow import NOTHING, Access, Flow, How, Source, Use, Write
from tracewall.sql.rowfilter import condition
from tracewall.sql.statement import Statement

TOKEN, SSN, OTHER, CLEAR = (
    "shop.people.token",
    "shop.people.ssn",
    "shop.accounts.token",
    "shop.people.id",
)
NOTES, DOC, LINE = "shop.people.notes", "shop.people.doc", "shop.notes.line"

Find = Callable[..., Any]


@pytest.fixture(scope="module")
def columns(catalog: Catalog) -> dict[str, tuple[int, int]]:
    """Each column of the catalog by its name."""
    return {
        f"{relation.qualified}.{column.name}": (relation.oid, column.attnum)
        for relation in catalog.relations.values()
        for column in relation.columns
    }


@pytest.fixture
def told(catalog: Catalog, words: Any) -> Callable[..., Decision]:
    """Give the decision on what a statement does, under some rules."""

    def decided(*rules: Any, catalog: Catalog = catalog, **does: Any) -> Decision:
        asked = Statement("select", "SELECT", "", **does)
        return decide(asked, Rights(words.policy(*rules), catalog, frozenset({"people"})))

    return decided


def flow(columns: dict[str, tuple[int, int]], *names: str, how: How = How.EXACT) -> Flow:
    """Give the flow of some columns."""
    return frozenset(Source(columns[name], how) for name in names)


USES = ("equality", "join", "sort", "group", "compare", "compute")


@pytest.mark.parametrize(
    ("predicates", "may"), [("none", ()), ("equality", ("equality",)), ("any", USES)]
)
@pytest.mark.parametrize("side", ["flow", "other"])
def test_predicates_say_what_may_be_done(
    told: Find, columns: Any, words: Any, predicates: str, may: tuple[str, ...], side: str
) -> None:
    """A protected value on either side of a use is used as its ``predicates`` allow."""
    hidden, clear = flow(columns, TOKEN), flow(columns, CLEAR)
    pair = (hidden, clear) if side == "flow" else (clear, hidden)
    for how in USES:
        decision = told(words.mask(TOKEN, predicates), uses=(Use(how, *pair),))
        assert decision.allowed == (how in may), how
        assert decision.allowed or decision.rule == "masks.mask"
        assert told(words.mask(SSN, predicates), uses=(Use(how, *pair),)).allowed


def test_a_join_is_of_columns_under_one_rule(told: Find, columns: Any, words: Any) -> None:
    """Both sides, and each column that may be on a side, lie under the same rule."""
    both, one = words.mask(f"{TOKEN} {OTHER}"), words.mask(TOKEN)
    token, other, clear = (flow(columns, name) for name in (TOKEN, OTHER, CLEAR))
    assert told(both, uses=(Use("join", token, other),)).allowed
    for refused in (
        told(one, uses=(Use("join", token, other),)),
        told(one, uses=(Use("join", other, token),)),
        told(both, uses=(Use("join", token | clear, other),)),
        told(both, uses=(Use("join", token, other | clear),)),
        told(both, uses=(Use("join", token, NOTHING | clear),)),
    ):
        assert refused.outcome == "forbidden" and "joined only" in refused.reason


@pytest.mark.parametrize(
    ("how", "more", "allowed"),
    [
        (How.MEASURED, (), True),
        (How.MEASURED, (How.EXACT,), False),
        (How.EXACT, (), False),
        (How.SLICED, (), False),
        (How.DERIVED, (), False),
    ],
)
def test_only_measures_of_scanned_text_are_computed_with(
    told: Find, columns: Any, words: Any, how: How, more: tuple[How, ...], allowed: bool
) -> None:
    """What can fail, or give more rows, is computed from measures alone, of this column."""
    scan = words.scan(NOTES, predicates="equality")
    seen = flow(columns, NOTES, how=how) | flow(columns, CLEAR)
    for each in more:
        seen |= flow(columns, NOTES, how=each)
    assert told(scan, uses=(Use("compute", seen),)).allowed == allowed
    masked = told(words.mask(NOTES), uses=(Use("compute", seen),))
    assert masked.outcome == "forbidden"


# --- what may be stored where -------------------------------------------------------


def inside(*names: str) -> Mask:
    """Give a mask on what lies inside documents."""
    globs = tuple(map(Glob, names))
    return Mask("paths", globs, Method("redact"), "any", paths=("$.a",))


@pytest.mark.parametrize(
    ("kind", "may"),
    [
        ("mask", {"EXACT", "AMONG", "PART", "COMPARED", "TAKEN"}),
        ("inside", {"EXACT", "AMONG", "PART", "COMPARED", "MEASURED"}),
        ("scan", {"EXACT", "AMONG", "PART", "COMPARED", "TAKEN", "MEASURED"}),
        ("sliced", {"EXACT", "AMONG", "PART", "COMPARED", "TAKEN", "MEASURED", "SLICED"}),
    ],
)
def test_what_keeps_its_rule_may_be_stored_under_it(
    told: Find, columns: Any, words: Any, kind: str, may: set[str]
) -> None:
    """A value is stored where the rule on it hides there as much as it did before."""
    both = f"{NOTES} {LINE}"
    rule = {
        "mask": words.mask(both),
        "inside": inside(NOTES, LINE),
        "scan": words.scan(both),
        "sliced": words.scan(both, slices="allow"),
    }[kind]
    target = columns[LINE]
    for how in How:
        write = Write(target, flow(columns, NOTES, how=how))
        assert told(rule, writes=(write,)).allowed == (how.name in may), how


def test_nothing_is_stored_where_less_protects_it(told: Find, columns: Any, words: Any) -> None:
    """A protected value is not written into a column without its rule; measures of text are."""
    for rule in (words.mask(NOTES), inside(NOTES), words.scan(NOTES)):
        for how in (How.EXACT, How.PART, How.DERIVED):
            refused = told(rule, writes=(Write(columns[LINE], flow(columns, NOTES, how=how)),))
            assert refused.outcome == "forbidden" and "less protected" in refused.reason
    for how in (How.MEASURED, How.COMPARED):
        write = Write(columns[LINE], flow(columns, NOTES, how=how))
        assert told(words.scan(NOTES), writes=(write,)).allowed
        assert not told(words.mask(NOTES), writes=(write,)).allowed
    assert told(words.mask(NOTES), writes=(Write(columns[NOTES], NOTHING),)).allowed


@pytest.mark.parametrize("method", ["date", "number"])
def test_what_is_cut_by_its_type_is_stored_in_its_type(
    told: Find, catalog: Catalog, columns: Any, method: str
) -> None:
    """A date or number is not written into a column of another type, converted on the way."""
    globs = (Glob("shop.logs.at"), Glob("shop.notes.line"))
    rule = Mask("cut", globs, Method(method))  # type: ignore[arg-type]
    write = Write(columns["shop.notes.line"], flow(columns, "shop.logs.at"))
    assert told(rule, writes=(write,)).allowed
    notes = catalog.relations[columns["shop.notes.line"][0]]
    typed = msgspec.structs.replace(
        notes, columns=tuple(msgspec.structs.replace(each, type=1184) for each in notes.columns)
    )
    other = replace(catalog, relations={**catalog.relations, notes.oid: typed})
    assert not told(rule, catalog=other, writes=(write,)).allowed
    scanned = Scan("scan", globs)
    assert told(scanned, catalog=other, writes=(write,)).allowed
    redacted = replace(rule, method=Method("redact"))
    assert told(redacted, catalog=other, writes=(write,)).allowed


# --- partitions ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def parted(catalog: Catalog) -> Catalog:
    """The catalog, its logs a partitioned table (of which one partition is one, too)."""
    known = dict(catalog.relations)
    for oid, relation in known.items():
        if relation.qualified in ("shop.logs", "shop.logs_2024"):
            known[oid] = msgspec.structs.replace(relation, kind="p")
    return replace(catalog, relations=known)


def test_what_is_written_lies_under_its_rule_in_each_partition(
    told: Find, parted: Catalog, columns: Any, words: Any
) -> None:
    """A value goes into a partitioned table where its rule lies on every partition."""
    write = Write(columns["shop.logs.line"], flow(columns, LINE))
    assert told(words.mask(f"{LINE} shop.logs*.line"), catalog=parted, writes=(write,)).allowed
    # A partition is protected as those above and beneath it are: it gives their rows.
    for some in ("shop.logs_2025.line", "shop.logs_2024*.line"):
        refused = told(words.mask(f"{LINE} {some}"), catalog=parted, writes=(write,))
        assert refused.outcome == "forbidden", some


def test_rows_are_moved_only_between_partitions_that_are_protected_alike(
    told: Find, parted: Catalog, columns: Any, words: Any
) -> None:
    """An update of a partitioned table is refused where a rule lies on some partitions only."""
    oid = columns["shop.logs.line"][0]
    may = words.grant(actions="all")
    access = (Access("update", oid, 1, "at"),)
    every = words.mask("shop.logs*.line")
    assert told(may, every, catalog=parted, accesses=access).allowed
    some = words.mask("shop.logs_2024*.line")
    refused = told(may, some, catalog=parted, accesses=access)
    assert refused.outcome == "forbidden" and "partitions only" in refused.reason
    for harmless in (Access("update", oid, 0, "logs"), Access("select", oid, 1, "at")):
        assert told(may, some, catalog=parted, accesses=(harmless,)).allowed


def test_partitions_of_partitions_are_partitions(
    told: Find, parted: Catalog, columns: Any, words: Any
) -> None:
    """A rule that lies on one of two partitions of a partition does not lie on all of the table."""
    known = dict(parted.relations)
    first = next(one for one in known.values() if one.qualified == "shop.logs_2024_01")
    known[300] = msgspec.structs.replace(first, oid=300, name="logs_2024_02")
    deeper = replace(parted, relations=known)
    access = (Access("update", columns["shop.logs.line"][0], 1, "at"),)
    write = Write(columns["shop.logs.line"], flow(columns, LINE))
    may, every = words.grant(actions="all"), "shop.logs_2025.line shop.logs_2024_01.line"
    for rule, allowed in ((every, False), (f"{every} shop.logs_2024_02.line", True)):
        some = words.mask(f"{LINE} {rule}")
        assert told(may, some, catalog=deeper, accesses=access).allowed is allowed
        assert told(may, some, catalog=deeper, writes=(write,)).allowed is allowed


@pytest.mark.parametrize("columns_of", ["shop.logs_2024*.line shop.logs_2025.line", "shop.l*.line"])
def test_rows_are_not_moved_to_where_somebody_sees_them(
    told: Find, parted: Catalog, columns: Any, words: Any, columns_of: str
) -> None:
    """A mask that grants lift on one partition wholly stands against moving rows into it."""
    access = (Access("update", columns["shop.logs.line"][0], 1, "at"),)
    every, may = words.mask(columns_of), words.grant(actions="all")

    def moved(*tables: str, **more: Any) -> Decision:
        lifts = [
            words.grant(each, lifts=frozenset({"mask"}), name=each, groups="lead", **more)
            for each in tables
        ]
        return told(may, every, *lifts, catalog=parted, accesses=access)

    assert moved().allowed
    assert moved("shop.logs*").allowed
    assert moved("shop.*").allowed
    assert not moved("shop.logs_2025", "shop.logs").allowed
    assert not moved("shop.logs_2025", "shop.logs", "shop.logs_2024").allowed
    assert moved("shop.logs_2025", "shop.logs", columns="at").allowed
    assert not moved("shop.logs_2024_01", "shop.logs_2024", "shop.logs").allowed
    # Alone it lifts nothing where the table above is masked, too.
    assert moved("shop.logs_2025").allowed == columns_of.startswith("shop.l*")


# --- who else sees it ---------------------------------------------------------------


def test_a_value_escapes_by_what_is_lifted_on_its_target_only(
    catalog: Catalog, columns: Any, words: Any
) -> None:
    """Only a lift of this rule, on the target and not on the source, shows more than before."""
    rule = words.mask("shop.people.* shop.accounts.*")

    def lift(tables: str, columns: str = "token", rule: str = "mask", **more: Any) -> Any:
        lifted = frozenset({rule})
        return words.grant(tables, columns=columns, groups="lead", lifts=lifted, **more)

    def escaped(*lifts: Any, group: str = "people") -> bool:
        policy = words.policy(words.grant(), rule, *lifts)
        found = Rights(policy, catalog, frozenset({group}))
        return escapes(rule, columns[TOKEN], columns[OTHER], found)

    assert escaped(lift("shop.accounts"))
    assert escaped(lift("shop.*"), lift("shop.accounts"))
    assert not escaped(lift("shop.accounts", rule="other"))
    assert not escaped(lift("shop.accounts", columns="ssn"))
    assert not escaped(lift("shop.notes"))
    assert not escaped(lift("shop.*"))
    assert not escaped()
    assert not escaped(lift("shop.accounts", actions="update"))
    # Who sees it already, may write it down.
    assert not escaped(lift("shop.*"), lift("shop.accounts"), group="lead")
    # What is lifted on some rows of the source leaves the others hidden.
    assert escaped(lift("shop.*", rows=condition("owner = claim('sub')")))


def test_what_escapes_is_not_written(told: Find, columns: Any, words: Any) -> None:
    """A value is not stored where somebody sees it from whom it was hidden."""
    rule = words.mask(f"{TOKEN} {OTHER}")
    lift = words.grant("shop.accounts", groups="lead", lifts=frozenset({"mask"}))
    write = Write(columns[OTHER], flow(columns, TOKEN))
    assert told(rule, writes=(write,)).allowed
    assert "less protected" in told(rule, lift, writes=(write,)).reason


def test_what_a_view_shows_escapes_by_lifts_beneath_it(
    catalog: Catalog, columns: Any, words: Any
) -> None:
    """A view's column is clear to whom its base column is."""
    view, base = columns["shop.faces.token"], columns[TOKEN]
    text = "SELECT id, name, email, token, ssn, salary, notes, doc FROM shop.people"
    seeing = replace(catalog, definitions={view[0]: Definition(view[0], text)}, followed={})
    rule = words.mask(f"{TOKEN} {OTHER}")
    for tables, source, target, gone in (
        ("shop.people", columns[OTHER], view, True),
        ("shop.people", columns[OTHER], base, True),
        ("shop.faces", columns[OTHER], view, False),
        ("shop.people", view, base, False),
        ("shop.accounts", view, columns[OTHER], True),
    ):
        lift = words.grant(tables, groups="lead", lifts=frozenset({"mask"}))
        policy = words.policy(words.grant(), rule, lift)
        found = Rights(policy, seeing, frozenset({"people"}))
        assert escapes(rule, source, target, found) == gone, (tables, source, target)
