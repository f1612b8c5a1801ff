"""A statement that needs approval: asked for, decided, done once."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

import tracewall
from tracewall import approving, reception
from tracewall.approval.desk import NotGranted
from tracewall.approval.request import Person
from tracewall.approval.verdict import Verdict
from tracewall.asked import asking
from tracewall.errors import ApprovalRequired, Forbidden
from tracewall.signing import Signer

RULE = """
[[approvals]]
name = "export"
rows = 10
approvers = ["boss", "lead"]
"""

EVERYTHING = "select id, body from note"


def ask(conn: Any, query: str = EVERYTHING, *params: Any, **words: Any) -> str:
    """Have people asked about a statement, and give the request's id."""
    with pytest.raises(ApprovalRequired) as asked:
        conn.execute(query, *params, **words)
    assert asked.value.request_id
    return asked.value.request_id


def test_too_many_rows_wait_for_somebody_else(office: Any) -> None:
    """Rows over the number are not handed out until somebody has approved, and then once."""
    wall = office.wall()
    with office.connect(wall) as conn:
        assert len(conn.execute("select id from note limit 10").fetchall()) == 10
        id = ask(conn)
        with pytest.raises(ApprovalRequired, match="waits"):
            conn.execute(EVERYTHING, approval=id)
        office.decide(wall, id)
        assert len(conn.execute(EVERYTHING, approval=id).fetchall()) == 40
        with pytest.raises(Forbidden, match="used"):
            conn.execute(EVERYTHING, approval=id)
    assert wall.desk.case(id).state == "done"


BY_ID = "select id, body from note where id > %s"


@pytest.mark.parametrize(
    "changed",
    [
        lambda conn, id: conn.execute(BY_ID, (1,), approval=id),
        lambda conn, id: conn.execute(BY_ID, ("0",), approval=id),
        lambda conn, id: conn.execute(BY_ID + " ", (0,), approval=id),
        lambda conn, id: conn.execute(BY_ID.replace("%s", "0"), approval=id),
        lambda conn, id: conn.execute(BY_ID, (0,), approval=id, rows=100),
        lambda conn, id: conn.execute(BY_ID, (0,), approval=id, reveal=["cards"]),
    ],
)
def test_an_approval_is_for_the_very_same(office: Any, changed: Any) -> None:
    """Another parameter, type, text, number of rows or revealed mask is not what was approved."""
    rules = RULE + '[[approvals]]\nname = "see"\nreveal = ["cards"]\napprovers = ["boss"]\n'
    wall = office.wall(rules)
    with office.connect(wall) as conn:
        id = ask(conn, BY_ID, (0,))
        office.decide(wall, id)
        with pytest.raises(Forbidden, match="something else"):
            changed(conn, id)
        assert len(conn.execute(BY_ID, (0,), approval=id).fetchall()) == 40


def test_an_approval_is_for_its_own_caller(office: Any) -> None:
    """Another principal, purpose or door can't go on by it, and it stays unused."""
    wall = office.wall()
    with office.connect(wall) as conn:
        id = ask(conn)
        office.decide(wall, id)
        with (
            office.connect(wall, "eve") as other,
            pytest.raises(Forbidden, match=r"something else .*subject"),
        ):
            other.execute(EVERYTHING, approval=id)
        with asking(approval=id), pytest.raises(Forbidden, match=r"something else .*door"):
            list(conn.cursor().stream(EVERYTHING))
    with tracewall.connect(wall=wall, autocommit=True) as conn:
        with (
            wall.acting_as(office.token(), purpose="other"),
            pytest.raises(Forbidden, match="purpose"),
        ):
            conn.execute(EVERYTHING, approval=id)
        with wall.acting_as(office.token()):
            assert len(conn.execute(EVERYTHING, approval=id).fetchall()) == 40


def test_an_approval_is_for_its_own_place(office: Any) -> None:
    """Another search_path or another policy is not what was approved."""
    wall = office.wall()
    with office.connect(wall) as conn:
        id = ask(conn)
    office.decide(wall, id)
    role = wall.policy.database.conninfo.split("user=")[1].split()[0]
    office.raw(f"alter role {role} set search_path = public, pg_catalog")
    with office.connect(wall) as conn, pytest.raises(Forbidden, match="search_path"):
        conn.execute(EVERYTHING, approval=id)
    office.raw(f"alter role {role} reset search_path")
    other = office.wall(RULE.replace("rows = 10", "rows = 11"))
    with office.connect(other) as conn, pytest.raises(Forbidden, match="policy"):
        conn.execute(EVERYTHING, approval=id)


def test_another_connection_goes_on(office: Any) -> None:
    """Any connection of the same caller goes on with a request, another wall's too."""
    wall = office.wall()
    with office.connect(wall) as conn:
        id = ask(conn)
    office.decide(wall, id)
    with office.connect(office.wall()) as conn:
        assert len(conn.execute(EVERYTHING, approval=id).fetchall()) == 40
    with office.connect(wall) as conn, pytest.raises(Forbidden, match="used"):
        conn.execute(EVERYTHING, approval=id)


def test_nobody_approves_alone_what_they_ask(office: Any) -> None:
    """Who asks can't decide, a stranger can't, and one person counts once, whatever groups."""
    wall = office.wall(RULE + "people = 2\n")
    with office.connect(wall, "ann", "staff", "boss") as conn:
        id = ask(conn)
        with pytest.raises(NotGranted, match="ask for"):
            office.decide(wall, id, "ann")
        with pytest.raises(NotGranted, match="approvers"):
            office.decide(wall, id, "eve", "approve", "staff")
        assert office.decide(wall, id, "bob").state == "pending"
        with pytest.raises(NotGranted, match="already"):
            office.decide(wall, id, "bob", "approve", "lead")
        forged = Verdict(
            id,
            wall.desk.case(id).request.binding,
            "approve",
            Person("https://idp.test", "ann"),
            ("boss",),
            int(time.time()),
        )
        wall.desk.store.decide(id, "ann", "approve", forged.signed(office.signer))
        wall.desk.store.decide(id, "cat", "approve", forged.signed(Signer.make("desk")))
        with pytest.raises(ApprovalRequired):
            conn.execute(EVERYTHING, approval=id)
        assert office.decide(wall, id, "cat", "approve", "lead").state == "approved"
        assert len(conn.execute(EVERYTHING, approval=id).fetchall()) == 40


def test_a_request_and_an_approval_end_by_their_own_clocks(office: Any, clock: Any) -> None:
    """A request that nobody decided on ends, and so does an approval that nobody used."""
    wall = office.wall(RULE + 'expires = "1min"\nvalid = "2min"\n')
    with office.connect(wall) as conn:
        late, id = ask(conn), ask(conn, BY_ID, (0,))
        office.decide(wall, id)
        clock.ahead = 61
        assert wall.desk.case(late).state == "expired"
        with pytest.raises(NotGranted, match="expired"):
            office.decide(wall, late)
        assert wall.desk.case(id).state == "approved"
        clock.ahead = 121
        with pytest.raises(Forbidden, match="expired"):
            conn.execute(BY_ID, (0,), approval=id)


@pytest.mark.parametrize("kind", ["deny", "revoke"])
def test_what_was_denied_or_taken_back_is_not_done(office: Any, kind: str) -> None:
    """A denial ends a request, and an approval may be taken back while it is not used."""
    wall = office.wall()
    with office.connect(wall) as conn:
        id = ask(conn)
        if kind == "revoke":
            office.decide(wall, id)
        office.decide(wall, id, "cat", kind)
        with pytest.raises(Forbidden, match=r"denied|taken back"):
            conn.execute(EVERYTHING, approval=id)


def test_the_same_request_waits_once(office: Any) -> None:
    """Whoever asks for the very same again is told of the request that waits already."""
    wall = office.wall()
    with office.connect(wall) as conn:
        assert ask(conn) == ask(conn)
        assert ask(conn) != ask(conn, reason="another")


def test_who_waits_goes_on(office: Any) -> None:
    """With `wait` the statement goes on once people agree; in a transaction it never waits."""
    wall = office.wall()

    def approve() -> None:
        while not (cases := wall.desk.cases()):
            time.sleep(0.02)
        office.decide(wall, cases[0].request.id)

    boss = threading.Thread(target=approve)
    boss.start()
    with office.connect(wall) as conn:
        assert len(conn.execute(EVERYTHING, wait=30).fetchall()) == 40
        boss.join()
        with conn.transaction():
            conn.execute("select 1")
            started = time.monotonic()
            ask(conn, wait=30)
            assert time.monotonic() - started < 20


def test_rows_are_counted_whatever_the_planner_says(office: Any) -> None:
    """Where the planner expects few rows and many come, none is handed out."""
    wall = office.wall()
    office.raw("delete from note where id > 2")
    office.raw("vacuum analyze note")
    office.raw("alter table note set (autovacuum_enabled = false)")
    office.raw("insert into note select n, 'late', '' from generate_series(3, 40) n")
    query = "select id from note where id <> %s and id <> 101 and id <> 102 and body <> 'x'"
    with office.connect(wall) as conn:
        cursor = conn.cursor()
        with pytest.raises(ApprovalRequired) as asked:
            cursor.execute(query, (0,))
        assert cursor.pgresult is None
        office.decide(wall, asked.value.request_id)
        done = cursor.execute(query, (0,), approval=asked.value.request_id)
        assert len(done.fetchall()) == 40


def test_streams_and_cursors_stop_at_the_number(office: Any) -> None:
    """What comes piece by piece comes up to the number, then people are asked."""
    wall = office.wall()
    office.raw("truncate note; analyze note; alter table note set (autovacuum_enabled = false)")
    office.raw("insert into note select n, 'x', '' from generate_series(1, 5000) n")
    few = "select id from note where id % 2 = 0 and body || 'y' = 'xy' and card = ''"
    with office.connect(wall, autocommit=False) as conn:
        got: list[Any] = []
        with pytest.raises(ApprovalRequired, match="apr_"):
            got += (row for row in conn.cursor().stream(few))
        conn.rollback()
        with conn.cursor("named") as cursor:
            cursor.execute(few)
            got = cursor.fetchmany(10)
            with pytest.raises(ApprovalRequired, match="apr_"):
                cursor.fetchmany(10)
        conn.rollback()
        assert len(got) == 10
        rows: list[Any] = []
        with (
            pytest.raises(ApprovalRequired, match="apr_"),
            conn.cursor().copy(f"copy ({few}) to stdout") as copy,
        ):
            rows += copy.rows()
        conn.rollback()


@pytest.mark.parametrize("autocommit", [True, False])
def test_too_many_changes_are_undone(office: Any, autocommit: bool) -> None:
    """A statement that changes too many rows leaves none changed, the transaction whole."""
    wall = office.wall()
    query = "update note set body = body || '!' where id > %s and body <> 'x' returning id"
    office.raw("truncate note; analyze note; alter table note set (autovacuum_enabled = false)")
    office.raw("insert into note select n, 'n', '' from generate_series(1, 3) n; analyze note")
    office.raw("insert into note select n, 'n', '' from generate_series(4, 40) n")
    with office.connect(wall, autocommit=autocommit) as conn:
        conn.execute("insert into other values (1, 'kept')")
        with pytest.raises(ApprovalRequired) as asked:
            conn.execute(query, (0,))
        conn.commit()
        assert office.raw("select count(*) from note where body = 'n!'") == [(0,)]
        assert office.raw("select count(*) from other") == [(1,)]
        office.decide(wall, asked.value.request_id)
        conn.execute(query, (0,), approval=asked.value.request_id)
        conn.commit()
    assert office.raw("select count(*) from note where body = 'n!'") == [(40,)]


def test_too_many_rows_that_are_read_and_written_are_undone(office: Any) -> None:
    """A statement that reads one table and changes another is a change."""
    wall = office.wall()
    office.raw("truncate note; analyze note; alter table note set (autovacuum_enabled = false)")
    office.raw("insert into note select n, 'n', '' from generate_series(1, 3) n; analyze note")
    office.raw("insert into note select n, 'n', '' from generate_series(4, 40) n")
    with office.connect(wall) as conn:
        with pytest.raises(ApprovalRequired):
            conn.execute("insert into other select id, 'x' from note where id > %s", (0,))
        assert office.raw("select count(*) from other") == [(0,)]


def test_more_changes_than_are_wanted_are_undone(office: Any) -> None:
    """Who says how many rows they want at most changes none where there are more."""
    with office.connect(office.wall(RULE.replace("rows = 10", "rows = 1000"))) as conn:
        with pytest.raises(Forbidden):
            conn.execute("update note set body = 'gone' where id > 0", rows=3)
        assert office.raw("select count(*) from note where body = 'gone'") == [(0,)]
        conn.execute("update note set body = 'gone' where id > 37", rows=3)
    assert office.raw("select count(*) from note where body = 'gone'") == [(3,)]


def test_an_approval_that_is_not_there_lets_nothing_through(office: Any) -> None:
    """Who names an approval has to have it, also where fewer rows come than a rule asks about."""
    with office.connect(office.wall()) as conn, pytest.raises(Forbidden):
        conn.execute("select id from note where id + 0 = %s", (3,), approval="apr_none")


def test_a_batch_is_refused_by_whatever_rule_asks(office: Any) -> None:
    """Also by one that counts nothing: the refusal names it, and nothing is changed."""
    rule = '[[approvals]]\nname = "always"\nactions = ["update"]\napprovers = ["boss"]\n'
    query = "update note set body = 'gone' where id = %s"
    with office.connect(office.wall(rule)) as conn:
        with pytest.raises(Forbidden, match=r"a batch.*approvals\.always"):
            conn.cursor().executemany(query, [(1,), (2,)])
    assert office.raw("select count(*) from note where body = 'gone'") == [(0,)]


@pytest.mark.parametrize(
    "query",
    [
        "select string_agg(body, ',') from note",
        "select array(select body from note)",
        "with gone as (delete from note returning id) select count(*) from gone",
    ],
)
def test_what_can_not_be_counted_is_asked_for(office: Any, query: str) -> None:
    """Rows gathered into a value, or changed inside WITH, don't get by the number."""
    with office.connect(office.wall()) as conn:
        ask(conn, query)
    assert office.raw("select count(*) from note") == [(40,)]


def test_slicing_ends_in_the_budget(office: Any) -> None:
    """Rows are counted over time and over connections; what is over is withheld whole."""
    wall = office.wall(RULE.replace("rows = 10", 'rows = 25\nper = "1h"'))
    for start in (0, 10):
        with office.connect(wall) as conn:
            page = conn.execute("select id from note where id > %s limit 10", (start,)).fetchall()
            assert len(page) == 10
    with office.connect(office.wall(RULE.replace("rows = 10", 'rows = 25\nper = "1h"'))) as conn:
        ask(conn, "select id from note where id > %s limit 10", (20,))
        assert len(conn.execute("select id from note limit 5").fetchall()) == 5
    with office.connect(wall, "eve") as conn:
        assert len(conn.execute("select id from note limit 10").fetchall()) == 10


def test_a_mask_is_lifted_once_by_people(office: Any) -> None:
    """`reveal` shows what is under a mask once people agreed, and is refused where no rule lets."""
    rule = '[[approvals]]\nname = "see"\nreveal = ["cards"]\napprovers = ["boss"]\n'
    wall = office.wall(rule)
    query = "select card from note where id = 7"
    with office.connect(wall) as conn:
        id = ask(conn, query, reveal=["cards"])
        office.decide(wall, id)
        with pytest.raises(Forbidden):
            conn.execute(query, approval=id, reveal=["mails"])
        assert "4111-7" not in str(conn.execute(query, approval=id).fetchall())
        shown = conn.execute(query, approval=id, reveal=["cards"]).fetchall()
        assert shown == [("4111-7",)]
        assert "4111-7" not in str(conn.execute(query).fetchall())
    with office.connect(office.wall()) as conn, pytest.raises(Forbidden, match="no rule lets"):
        conn.execute(query, reveal=["cards"])


def test_who_acts_for_another_has_nothing_revealed(office: Any) -> None:
    """A delegated token neither asks for a reveal nor uses one that its person was given."""
    rule = '[[approvals]]\nname = "see"\nreveal = ["cards"]\napprovers = ["boss"]\n'
    wall = office.wall(rule + '[[actors]]\nname = "bot"\nsubjects = ["bot"]\ngroups = ["staff"]\n')
    query = "select card from note where id = 7"
    with office.connect(wall) as conn:
        id = ask(conn, query, reveal=["cards"])
        office.decide(wall, id)
    act = {"act": {"sub": "bot"}}
    token = office.issuer.mint("ann", ["staff"], audience="notes", claims=act)
    with tracewall.connect(wall=wall, token=token, autocommit=True) as conn:
        assert "4111-7" not in str(conn.execute(query).fetchall())
        for words in ({}, {"approval": id}):
            with pytest.raises(Forbidden, match="acts for another") as caught:
                conn.execute(query, reveal=["cards"], **words)
            assert not isinstance(caught.value, ApprovalRequired)


def test_reasons_and_tickets_are_wanted(office: Any) -> None:
    """Nobody is asked before the reason and the ticket are there that the policy wants."""
    wall = office.wall(RULE + "reason = \"required\"\nticket = 'OPS-[0-9]+'\n")
    with office.connect(wall) as conn:
        for words in (
            {},
            {"reason": "why"},
            {"reason": "why", "ticket": "OPS-1 or so"},
            {"reason": "why", "ticket": "OPS-" + "1" * 196 + "\nharmless, says the boss"},
        ):
            with pytest.raises(Forbidden, match=r"is needed|at most") as refused:
                conn.execute(EVERYTHING, **words)
            assert not isinstance(refused.value, ApprovalRequired)
        assert wall.desk.cases() == []
        request = wall.desk.case(ask(conn, reason="why", ticket="OPS-1")).request
        assert (request.reason, request.ticket) == ("why", "OPS-1")


def test_glass_is_broken_by_those_who_may(office: Any) -> None:
    """Who may goes on alone, with a reason, loudly, and it waits for a review by another."""
    wall = office.wall(RULE + 'break_glass = ["oncall"]\n')
    with office.connect(wall, "eve") as conn, pytest.raises(Forbidden, match="alone"):
        conn.execute(EVERYTHING, break_glass=True, reason="curious")
    with office.connect(wall, "ann", "staff", "oncall") as conn:
        with pytest.raises(Forbidden, match="reason"):
            conn.execute(EVERYTHING, break_glass=True)
        rows = conn.execute(EVERYTHING, break_glass=True, reason="outage 7").fetchall()
    assert len(rows) == 40
    assert "glass_broken" in office.recorded() and "outage 7" in office.recorded()
    (case,) = wall.desk.cases()
    assert (case.state, case.kept.review) == ("done", "open")
    with pytest.raises(NotGranted):
        office.decide(wall, case.request.id, "ann", "review")
    assert office.decide(wall, case.request.id, "bob", "review").kept.review == "closed"


def test_a_shape_is_approved_for_a_while(office: Any, clock: Any) -> None:
    """Where the policy says so, statements of one shape go on until the time is over."""
    wall = office.wall(RULE + 'mode = "shape"\nvalid = "2min"\n')
    with office.connect(wall) as conn:
        id = ask(conn, BY_ID, (0,))
        office.decide(wall, id)
        for start in (0, 1, 2):
            assert len(conn.execute(BY_ID, (start,), approval=id).fetchall()) == 40 - start
        with pytest.raises(Forbidden, match="text"):
            conn.execute(BY_ID + " or true", (0,), approval=id)
        clock.ahead = 121
        with pytest.raises(Forbidden, match="expired"):
            conn.execute(BY_ID, (0,), approval=id)


def test_nothing_leaves_by_a_batch_or_a_pipeline(office: Any) -> None:
    """Where people can't be asked, what a rule asks about is refused; what passes, passes."""
    wall = office.wall()
    insert = "insert into other values (%s, 'x')"
    with office.connect(wall) as conn:
        conn.cursor().executemany(insert, [(n,) for n in range(10)])
        with pytest.raises(Forbidden, match="batch"):
            conn.cursor().executemany(insert, [(n,) for n in range(10, 21)])
        with pytest.raises(Forbidden, match="batch"):
            conn.cursor().executemany(insert, ((n,) for n in range(10, 21)))
        with pytest.raises(Forbidden, match="pipeline"), conn.pipeline():
            conn.execute(EVERYTHING)
    assert office.raw("select count(*) from other") == [(10,)]


def test_a_store_out_of_reach_refuses(office: Any) -> None:
    """Where requests can't be kept nobody is asked, and nothing is done."""
    wall = office.wall(RULE)
    (office.folder / "approvals.db").mkdir()
    with office.connect(wall) as conn:
        with pytest.raises(Forbidden, match="nobody can be asked") as refused:
            conn.execute(EVERYTHING)
        assert not isinstance(refused.value, ApprovalRequired)
        with pytest.raises(Forbidden):
            conn.execute(EVERYTHING, approval="apr_none")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the child is forked")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_death_in_between_leaves_the_outcome_unknown(office: Any) -> None:
    """Used and not settled, a grant has an unknown outcome, and is not used again."""
    wall = office.wall()
    update = "update note set body = 'done' where id > %s"
    with office.connect(wall) as conn:
        id = ask(conn, update, (0,))
    office.decide(wall, id)
    child = os.fork()
    if not child:
        # What dies here has used the grant, and sent nothing.
        reception.settle = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        approving.leave_gen = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        own = office.wall()
        conn = office.connect(own)
        conn._maybe_prepare_gen = None
        type(conn.cursor())._maybe_prepare_gen = lambda *_, **__: os.kill(
            os.getpid(), signal.SIGKILL
        )
        conn.execute(update, (0,), approval=id)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert wall.desk.case(id).state == "unknown"
    with office.connect(wall) as conn, pytest.raises(Forbidden, match="not known"):
        conn.execute(update, (0,), approval=id)
    assert office.raw("select count(*) from note where body = 'done'") == [(0,)]


def test_one_person_can_not_flood_the_desk(office: Any, clock: Any) -> None:
    """So many requests of one person wait; more are refused in clear words, others' are not."""
    office.settings = 'most_pending = 2\nkeep = "1d"'
    wall = office.wall()
    with office.connect(wall) as conn, office.connect(wall, "eve") as other:
        first = ask(conn, BY_ID, (0,))
        ask(conn, BY_ID, (1,))
        with pytest.raises(Forbidden, match="2 of your requests wait already") as refused:
            conn.execute(BY_ID, (2,))
        assert not isinstance(refused.value, ApprovalRequired)
        assert ask(conn, BY_ID, (0,)) == first
        ask(other)
        office.decide(wall, first, "bob", "deny")
        ask(conn, BY_ID, (2,))
    clock.ahead = 3 * 86_400
    assert wall.desk.prune() == 4
    assert wall.desk.cases() == []
