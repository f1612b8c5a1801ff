"""What a set of groups may do: rows, views, lifts, dates and settings, without a server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tracewall.masking.config import Method
from tracewall.policy.decide import decide
from tracewall.policy.model import Audit, Denial, Glob, Grant, Mask, Policy
from tracewall.policy.rights import Rights
from tracewall.policy.rows import expected
from tracewall.policy.storing import escapes
from tracewall.policy.touched import kept
from tracewall.sql.catalog import Attribute, Catalog, Relation, read
from tracewall.sql.rowfilter import condition
from tracewall.sql.rowsecurity import Beneath, RowSecurity, ServerPolicy
from tracewall.sql.statement import understand

INT, TEXT, DATE, MOMENT, ZONED, JSONB = 23, 25, 1082, 1114, 1184, 3802
TYPES = {"id": INT, "day": DATE, "at": MOMENT, "since": ZONED, "doc": JSONB, "owner": TEXT}
EVENTS, HEIR, PLAIN, CLEAR, ASKING, EMPTY, MATERIAL, PARTED, PART, LATER = range(10, 20)
MINE = condition("owner = claim('sub')")
OTHERS = condition("owner <> claim('sub')")


@pytest.fixture(scope="module")
def lab() -> Catalog:
    """A table with an heir, one beside them, views of every kind, and one in partitions."""
    columns = tuple(
        Attribute(number, name, type) for number, (name, type) in enumerate(TYPES.items(), start=1)
    )
    relations = [
        Relation(EVENTS, "lab", "events", columns=columns),
        Relation(HEIR, "lab", "heir", columns=columns, parents=(EVENTS,)),
        Relation(PLAIN, "lab", "plain", columns=columns),
        Relation(CLEAR, "lab", "past", "v", columns=columns),
        Relation(ASKING, "lab", "asking", "v", columns=columns),
        Relation(EMPTY, "lab", "nothing", "v", columns=columns),
        Relation(MATERIAL, "lab", "gone", "v", columns=columns),
        Relation(PARTED, "lab", "parted", "p", columns=columns),
        Relation(PART, "lab", "part", columns=columns, parents=(PARTED,)),
        Relation(LATER, "lab", "later", columns=columns, parents=(PARTED,)),
    ]
    beneath = [
        Beneath(CLEAR, False, frozenset({PLAIN})),
        Beneath(ASKING, True, frozenset({PLAIN})),
        Beneath(EMPTY, True, frozenset()),
        # What is beneath is not there for the role.
        Beneath(MATERIAL, True, frozenset({999})),
    ]
    settings = {"database": "lab", "role": "service", "path": ["pg_catalog", "lab"]}
    answers: Any = (settings, relations, [], [], [], [], [], [], [], beneath)
    return read([msgspec.json.encode(answer) for answer in answers])


def grant(tables: str = "lab.*", actions: str = "select", **more: Any) -> Grant:
    """Give a grant to the group ``g``."""
    name = more.pop("name", "grant")
    groups = (Glob(more.pop("group", "g")),)
    columns = tuple(map(Glob, more.pop("columns", "*").split()))
    listed: Any = frozenset(actions.split())
    return Grant(name, groups, listed, tuple(map(Glob, tables.split())), columns, **more)


def of(*rules: Any, **more: Any) -> Policy:
    """Give a policy of grants, denials and masks."""
    grants = tuple(rule for rule in rules if isinstance(rule, Grant))
    masks = tuple(rule for rule in rules if isinstance(rule, Mask))
    denials = tuple(rule for rule in rules if isinstance(rule, Denial))
    return Policy(version=1, hash="h", grants=grants, denials=denials, masks=masks, **more)


def rights(catalog: Catalog, policy: Policy, *actors: str) -> Rights:
    """Give the rights of group ``g``, for whom some groups act."""
    return Rights(policy, catalog, frozenset({"g"}), tuple(frozenset({one}) for one in actors))


def judged(catalog: Catalog, sql: str, policy: Policy) -> Any:
    """Decide on a statement for group ``g``."""
    return decide(understand(sql.encode(), catalog), rights(catalog, policy))


def holding(catalog: Catalog, policy: Policy, *oids: int) -> Catalog:
    """Give the catalog of a server that holds the row filters of some tables."""
    secured = {}
    for oid in oids:
        names = [one.name for one in expected(policy, catalog.relations[oid])]
        policies = tuple(ServerPolicy(name, intact=True) for name in names)
        secured[oid] = RowSecurity(oid, enabled=True, forced=True, policies=policies)
    return replace(catalog, row_security=secured)


# --- dates, documents, settings -----------------------------------------------------


def dated(unit: str = "month") -> Mask:
    names = ("day", "at", "since")
    columns = tuple(Glob(f"lab.events.{name}") for name in names)
    return Mask("dates", columns, Method("date", unit=unit))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sql", "method"),
    [
        ("SELECT day FROM events", "date"),
        ("SELECT at FROM events", "date"),
        ("SELECT since FROM events", "date"),
        ("SELECT since FROM events UNION ALL SELECT since FROM events", "date"),
        ("SELECT day FROM events UNION ALL SELECT day FROM events", "date"),
        ("SELECT day FROM events UNION ALL SELECT since FROM events", "redact"),
        ("SELECT at FROM events UNION ALL SELECT since FROM events", "redact"),
        ("SELECT day FROM events UNION ALL SELECT at FROM events", "redact"),
        ("SELECT at FROM events UNION ALL SELECT now()", "redact"),
        ("SELECT since FROM events UNION ALL SELECT now()", "date"),
        ("SELECT at FROM events UNION ALL SELECT now() UNION ALL SELECT at FROM plain", "redact"),
    ],
)
def test_a_date_that_the_session_may_move_is_hidden_whole(
    lab: Catalog, sql: str, method: str
) -> None:
    """A date that may come as a moment of the session's own zone shows nothing of itself."""
    decision = judged(lab, sql, of(grant(), dated()))
    assert decision.allowed, decision.reason
    assert [column.mask.method.name for column in decision.columns] == [method]


def test_a_part_of_a_document_is_masked_as_the_document_is(lab: Catalog) -> None:
    """A part taken by literal keys keeps the mask on it; a measure of the document has none."""
    inside = Mask("paths", (Glob("lab.events.doc"),), Method("redact"), "any", paths=("$.a",))
    policy = of(grant(), inside)
    for sql in ("SELECT doc FROM events", "SELECT doc -> 'b' FROM events"):
        decision = judged(lab, sql, policy)
        assert decision.allowed, decision.reason
        assert [column.mask for column in decision.columns] == [inside]
    computed = judged(lab, "SELECT doc || '{}' FROM events", policy)
    assert computed.outcome == "forbidden"


@pytest.mark.parametrize("name", ["enable_seqscan", "enable_hashjoin", "seq_page_cost"])
def test_the_order_of_rows_is_not_chosen_where_something_is_hidden(lab: Catalog, name: str) -> None:
    """A parameter that brings rows in an index's order is refused to whom anything is hidden."""
    refused = judged(lab, f"SET {name} = 0", of(grant(), dated()))
    assert refused.outcome == "forbidden" and refused.rule == "default"
    assert name in refused.reason
    assert judged(lab, f"SET {name} = 0", of(grant())).allowed


def test_a_row_is_not_moved_from_under_its_mask(lab: Catalog) -> None:
    """A partitioned table of which only a part is masked is updated by its parts alone."""
    one = Mask("owners", (Glob("lab.part.owner"),), Method("redact"), "any")
    every = replace(one, columns=(Glob("lab.part.owner"), Glob("lab.later.owner")))
    all = grant(actions="select update")
    sql = "UPDATE parted SET id = 1"
    refused = judged(lab, sql, of(all, one))
    assert refused.outcome == "forbidden" and refused.rule == "masks.owners"
    assert "partitions" in refused.reason
    assert judged(lab, sql, of(all, every)).allowed
    assert judged(lab, "UPDATE part SET id = 1", of(all, one)).allowed
    assert judged(lab, "SELECT id FROM parted", of(all, one)).allowed


def test_a_silent_denial_of_what_can_not_be_followed_is_not_told(lab: Catalog) -> None:
    """Without a reason a denial looks like no grant at all; with one, it is told."""
    denial = Denial("quiet", (Glob("*"),), frozenset({"ddl"}))
    sql = "CREATE TABLE t (a int)"
    nothing = judged(lab, sql, of(grant()))
    silent = judged(lab, sql, of(grant(), denial))
    assert (silent.rule, silent.reason) == (nothing.rule, nothing.reason)
    told = judged(lab, sql, of(grant(), replace(denial, reason="not by hand")))
    assert (told.rule, told.reason) == ("denials.quiet", "not by hand")


def test_what_is_remembered_is_of_one_action_on_one_column(lab: Catalog) -> None:
    """A right once looked up gives nothing else away: another action, column or relation."""
    only = grant("lab.plain", columns="id")
    for first in ("permitted", "verdict"):
        found = rights(lab, of(only))
        for _ in range(2):
            assert getattr(found, first)("select", PLAIN, 1) == only
            assert getattr(found, first)("select", PLAIN, 2) is None
            assert getattr(found, first)("delete", PLAIN, 1) is None
            assert getattr(found, first)("select", EVENTS, 1) is None
    assert rights(lab, of(grant("*"))).permitted("select", 0, 1) is None


def test_what_may_be_heard_is_not_what_may_be_said(lab: Catalog) -> None:
    """Rights on channels are remembered by action and name, and not for ever."""
    listen = grant("", "listen", channels=(Glob("jobs"),), name="hear")
    found = rights(lab, of(listen))
    for _ in range(2):
        assert found.channel("listen", "jobs") == listen
        assert found.channel("notify", "jobs") is None
        assert found.channel("listen", "other") is None
    for number in range(5_000):
        found.channel("listen", f"c{number}")
    assert len(found._channels) <= 1_000
    assert found.channel("listen", "jobs") == listen


# --- rows ---------------------------------------------------------------------------


def test_a_filter_that_the_server_does_not_hold_refuses(lab: Catalog) -> None:
    """Whose rows are filtered reads a table only where the server holds exactly that filter."""
    policy = of(grant("lab.plain", rows=MINE))
    refused = judged(lab, "SELECT id FROM plain", policy)
    assert refused.outcome == "forbidden" and refused.rule == "grants.grant"
    assert "does not hold" in refused.reason and "tracewall rls" in refused.hint
    assert judged(holding(lab, policy, PLAIN), "SELECT id FROM plain", policy).allowed


@pytest.mark.parametrize("spoiled", ["enabled", "forced", "exempt", "gone", "more", "touched"])
def test_whatever_the_server_holds_otherwise_refuses(lab: Catalog, spoiled: str) -> None:
    """Security that is off, not forced, evaded, or of other policies, is none."""
    policy = of(grant("lab.plain", rows=MINE))
    good = holding(lab, policy, PLAIN).row_security[PLAIN]
    mended = {
        "enabled": {"enabled": False},
        "forced": {"forced": False},
        "exempt": {"exempt": True},
        "gone": {"policies": ()},
        "more": {"policies": (*good.policies, ServerPolicy("theirs"))},
        "touched": {"policies": tuple(ServerPolicy(one.name) for one in good.policies)},
    }[spoiled]
    secured = {PLAIN: msgspec.structs.replace(good, **mended)}  # type: ignore[arg-type]
    found = rights(replace(lab, row_security=secured), policy)
    assert "does not hold" in found.rows_problem("select", PLAIN, 1)


def test_a_view_that_reads_past_the_filter_is_refused(lab: Catalog) -> None:
    """A view must ask for its reader's rights where rows beneath it are filtered."""
    policy = of(grant("lab.plain", rows=MINE), grant("lab.past lab.asking", name="views"))
    held = rights(holding(lab, policy, PLAIN), policy)
    assert "reads past" in held.rows_problem("select", CLEAR, 1)
    assert held.rows_problem("select", ASKING, 1) == ""
    free = rights(lab, of(grant()))
    assert free.rows_problem("select", CLEAR, 1) == ""
    assert free.rows_problem("select", ASKING, 1) == ""


@pytest.mark.parametrize("view", [CLEAR, ASKING, EMPTY, MATERIAL])
def test_a_view_has_no_filter_of_its_own(lab: Catalog, view: int) -> None:
    """A filter on a view holds only where all that is beneath is filtered, too."""
    name = lab.relations[view].qualified
    alone = of(grant(name, rows=MINE))
    assert rights(lab, alone).rows_problem("select", view, 1)
    whole = of(grant(name, rows=MINE), grant("lab.plain", name="whole"))
    assert rights(lab, whole).rows_problem("select", view, 1)
    both = of(grant(f"{name} lab.plain", rows=MINE))
    problem = rights(holding(lab, both, PLAIN), both).rows_problem("select", view, 1)
    assert bool(problem) == (view != ASKING)


def test_heirs_are_filtered_alike(lab: Catalog) -> None:
    """Rows of an heir are rows of its parent: other filters on either refuse both."""
    apart = of(grant("lab.events", rows=MINE), grant("lab.heir", rows=OTHERS, name="heir"))
    held = rights(holding(lab, apart, EVENTS, HEIR), apart)
    for oid in (EVENTS, HEIR):
        assert "otherwise" in held.rows_problem("select", oid, 1)
    one = of(grant("lab.heir", rows=MINE), grant("lab.events", name="parent"))
    assert "otherwise" in rights(holding(lab, one, HEIR), one).rows_problem("select", EVENTS, 1)
    alike = of(grant("lab.events lab.heir", rows=MINE))
    assert rights(holding(lab, alike, EVENTS, HEIR), alike).rows_problem("select", EVENTS, 1) == ""


def test_a_partitioned_table_is_filtered_as_any_other(lab: Catalog) -> None:
    """Where the server holds the filter on it and its partitions, it is read."""
    policy = of(grant("lab.parted lab.part lab.later", rows=MINE))
    held = rights(holding(lab, policy, PARTED, PART, LATER), policy)
    assert held.rows_problem("select", PARTED, 1) == ""
    assert rights(holding(lab, policy, PART), policy).rows_problem("select", PARTED, 1)


def test_an_heir_that_is_granted_whole_is_no_matter_of_its_parent_s_filter(lab: Catalog) -> None:
    """Where more rows of an heir are granted than by way of its parent, fewer are shown there."""
    policy = of(grant("lab.events", rows=MINE), grant("lab.heir", name="heir"))
    held = rights(holding(lab, policy, EVENTS), policy)
    assert held.rows_problem("select", EVENTS, 1) == ""


def test_a_sequence_has_no_rows_to_filter(lab: Catalog) -> None:
    """A filter that reaches a sequence by a pattern does not stand against its use."""
    policy = of(grant("lab.plain", rows=MINE))
    known = {**lab.relations, PLAIN: msgspec.structs.replace(lab.relations[PLAIN], kind="S")}
    counting = replace(lab, relations=known)
    assert rights(counting, policy).rows_problem("select", PLAIN, 1) == ""
    assert rights(lab, policy).rows_problem("select", PLAIN, 1) != ""


def test_a_column_of_some_rows_only_is_refused(lab: Catalog) -> None:
    """A column granted for some rows is not had where another grant gives more rows."""
    policy = of(
        grant("lab.plain", rows=MINE),
        grant("lab.plain", rows=OTHERS, columns="id", name="more"),
    )
    held = rights(holding(lab, policy, PLAIN), policy)
    assert held.rows_problem("select", PLAIN, 1) == ""
    assert "some rows only" in held.rows_problem("select", PLAIN, 2)


def test_who_acts_for_another_has_at_least_the_same_rows(lab: Catalog) -> None:
    """A filtered read is refused where who acts is granted other rows, or none."""
    mine = grant("lab.plain", rows=MINE)
    for theirs, fine in (
        (grant("lab.plain", name="bot", group="bot"), True),
        (grant("lab.plain", rows=MINE, name="bot", group="bot"), True),
        (grant("lab.plain", rows=OTHERS, name="bot", group="bot"), False),
        (grant("lab.events", name="bot", group="bot"), False),
    ):
        policy = of(mine, theirs)
        found = rights(holding(lab, policy, PLAIN), policy, "bot")
        problem = found.rows_problem("select", PLAIN, 1)
        assert (problem == "") == fine, theirs
        assert fine or "acts for you" in problem


# --- lifts, names, records ----------------------------------------------------------


def test_a_value_escapes_where_somebody_sees_the_target_alone(lab: Catalog) -> None:
    """Who has a mask lifted on the target, and not on the source, would see what was hidden."""
    rule = dated()
    day, since = (EVENTS, 2), (EVENTS, 4)
    lifting = grant("lab.events", columns="since", lifts=frozenset({"dates"}), group="lead")
    found = rights(lab, of(grant(), rule, lifting))
    assert escapes(rule, day, since, found)
    assert not escapes(rule, since, day, found)
    everywhere = replace(lifting, columns=(Glob("*"),))
    assert not escapes(rule, day, since, rights(lab, of(grant(), rule, everywhere)))
    assert not escapes(rule, day, since, rights(lab, of(grant(), rule)))
    seeing = replace(lifting, groups=(Glob("g"),), columns=(Glob("day"), Glob("since")))
    assert not escapes(rule, day, since, rights(lab, of(grant(), rule, lifting, seeing)))


def test_only_a_spelled_out_select_makes_a_column_opaque(lab: Catalog) -> None:
    """Wildcards in either name, another action or another's group name no column."""
    name = "lab.past.id"
    assert rights(lab, of(grant("lab.past", columns="id"))).opaque(name)
    assert rights(lab, of(grant("lab.plain lab.past", columns="day id"))).opaque(name)
    for other in (
        grant("lab.*", columns="id"),
        grant("lab.past"),
        grant("lab.past", columns="day"),
        grant("lab.plain", columns="id"),
        grant("lab.past", "delete", columns="id"),
        grant("lab.past", columns="id", group="h"),
    ):
        assert not rights(lab, of(other)).opaque(name)


def test_the_strongest_record_that_any_side_wants_is_kept(lab: Catalog) -> None:
    """A grant of who asks or acts, a mask, and writes may each want a stronger record."""

    def strength(sql: str, policy: Policy, *actors: str) -> str:
        return kept(understand(sql.encode(), lab), rights(lab, policy, *actors))

    read, write = "SELECT day FROM events", "DELETE FROM events"
    both = "select delete"
    weak = Audit(durability="written")
    assert strength(read, of(grant(), audit=weak)) == ""
    assert strength(read, of(grant(audit="synced"), audit=weak)) == "synced"
    bot = grant(name="bot", group="bot", audit="synced")
    assert strength(read, of(grant(), bot, audit=weak), "bot") == "synced"
    assert strength(read, of(grant(), bot, audit=weak)) == ""
    assert strength(read, of(grant(), replace(dated(), audit="synced"), audit=weak)) == "synced"
    writes = of(grant(actions=both), audit=replace(weak, writes="synced"))
    assert (strength(write, writes), strength(read, writes)) == ("synced", "")
    assert strength("VACUUM", writes) == "synced"


def test_the_sides_are_who_asks_and_everybody_who_acts(lab: Catalog) -> None:
    """Each side has its own groups, and none of them the others'."""
    sides = rights(lab, of(grant()), "bot", "proxy").sides
    assert [side.groups for side in sides] == [{"g"}, {"bot"}, {"proxy"}]
