"""SIGKILL at every step of a request's life: done at most once, and unknown where nobody knows."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from tracewall import asking
from tracewall.approval.request import Person
from tracewall.errors import ApprovalRequired, Forbidden

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="those who die are forked"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

ALWAYS = """
[[approvals]]
name = "all"
tables = ["public.note"]
approvers = ["boss"]
"""
BUDGET = """
[[approvals]]
name = "slow"
rows = {}
per = "1h"
approvers = ["boss"]
"""
UPDATE = "update note set body = body || '!' where id > %s"
DONE = "select count(*) from note where body like '%!'"
TWICE = "select count(*) from note where body like '%!!'"


class Dying:
    """A store whose process dies before or after one of its methods."""

    def __init__(self, store: Any, method: str, when: str) -> None:
        self._store, self._method, self._when = store, method, when

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name != self._method:
            return found

        def dying(*values: Any, **options: Any) -> None:
            if self._when == "after":
                found(*values, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        return dying


def dies(run: Callable[[], Any]) -> None:
    """Run something in a process of its own, which has to be killed by it."""
    child = os.fork()
    if not child:
        try:
            run()
        finally:
            os._exit(3)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def ask(office: Any, wall: Any) -> str:
    with office.connect(wall) as conn, pytest.raises(ApprovalRequired) as asked:
        conn.execute(UPDATE, (0,))
    return str(asked.value.request_id)


@pytest.mark.parametrize(
    ("step", "when", "state", "runs"),
    [
        ("add", "before", "", 0),
        ("add", "after", "pending", 0),
        ("decide", "before", "pending", 0),
        ("decide", "after", "approved", 0),
        ("use", "before", "approved", 0),
        ("use", "after", "unknown", 0),
        ("settle", "before", "unknown", 40),
        ("settle", "after", "done", 40),
    ],
)
def test_a_death_at_every_step(
    office: Any, make_store: Any, step: str, when: str, state: str, runs: int
) -> None:
    """What certainly did not run may be done yet, what may have run never again."""
    wall = office.wall(ALWAYS, approvals=make_store())
    id = ask(office, wall) if step != "add" else ""
    if step in ("use", "settle"):
        office.decide(wall, id)

    def live() -> None:
        own = office.wall(ALWAYS, approvals=Dying(make_store(), step, when))
        if step == "decide":
            office.decide(own, id)
        office.connect(own).execute(UPDATE, (0,), approval=id or None)

    dies(live)
    assert office.raw(DONE) == [(runs,)]
    cases = wall.desk.cases()
    assert [case.state for case in cases] == ([state] if state else [])
    id = cases[0].request.id if cases else ask(office, wall)
    if state in ("", "pending"):
        office.decide(wall, id)
    with office.connect(wall) as conn:
        if state in ("unknown", "done"):
            with pytest.raises(Forbidden, match=r"used|not known"):
                conn.execute(UPDATE, (0,), approval=id)
        else:
            conn.execute(UPDATE, (0,), approval=id)
    assert wall.desk.case(id).state == (state if state in ("unknown", "done") else "done")
    assert office.raw(TWICE) == [(0,)]
    assert office.raw(DONE) == [(runs if state in ("unknown", "done") else 40,)]


def test_a_death_while_the_server_is_at_it(office: Any, make_store: Any) -> None:
    """Killed while the server executes, nobody knows what became of it: it is not done again."""
    wall = office.wall(ALWAYS, approvals=make_store())
    id = ask(office, wall)
    office.decide(wall, id)
    with psycopg.connect(office.admin) as holding:
        holding.execute("lock table note in exclusive mode")
        child = os.fork()
        if not child:
            try:
                own = office.wall(ALWAYS, approvals=make_store())
                office.connect(own).execute(UPDATE, (0,), approval=id)
            finally:
                os._exit(3)
        waiting = "select count(*) from pg_locks where not granted and database is not null"
        while office.raw(waiting) == [(0,)]:
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
            time.sleep(0.02)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    busy = "select count(*) from pg_stat_activity where query ilike 'update%' and state = 'active'"
    while office.raw(busy + " and pid <> pg_backend_pid()") != [(0,)]:
        time.sleep(0.02)
    assert wall.desk.case(id).state == "unknown"
    with office.connect(wall) as conn, pytest.raises(Forbidden, match="not known"):
        conn.execute(UPDATE, (0,), approval=id)
    # The server went on: that is why it is not done again.
    assert office.raw(DONE) == [(40,)]


SELECT = "select id, card from note order by id"


def read_a_little(conn: Any, door: str, most: int) -> list[Any]:
    """Read so many rows by a door, and no more; what goes on is kept alive by what is given."""
    if door == "stream":
        rows = conn.cursor().stream(SELECT)
        return [rows, *(next(rows) for _ in range(most))]
    copying = conn.cursor().copy(f"copy ({SELECT}) to stdout")
    copy = copying.__enter__()
    return [copying, *(copy.read_row() for _ in range(most))]


@pytest.mark.parametrize("door", ["stream", "copy"])
def test_a_death_in_the_middle_of_what_was_approved(
    office: Any, make_store: Any, door: str
) -> None:
    """Killed after some rows of an approved result, it is unknown, and never given again."""
    wall = office.wall(ALWAYS, approvals=make_store())
    with office.connect(wall) as conn, pytest.raises(ApprovalRequired) as asked:
        read_a_little(conn, door, 1)
    id = str(asked.value.request_id)
    office.decide(wall, id)

    def live() -> None:
        conn = office.connect(office.wall(ALWAYS, approvals=make_store()))
        with asking(approval=id):
            held = read_a_little(conn, door, 3)
            assert len(held) == 4
            os.kill(os.getpid(), signal.SIGKILL)

    dies(live)
    assert wall.desk.case(id).state == "unknown"
    with office.connect(wall) as conn, asking(approval=id):
        with pytest.raises(Forbidden, match=r"used|not known"):
            read_a_little(conn, door, 1)
    assert wall.desk.case(id).state == "unknown"


@pytest.mark.parametrize("door", ["stream", "copy"])
def test_deaths_give_no_more_than_the_budget(office: Any, make_store: Any, door: str) -> None:
    """However often a process is killed amid its rows, what was had stays counted."""
    rules, had = BUDGET.format(12), office.folder / "had"
    wall = office.wall(rules, approvals=make_store())

    def live() -> None:
        conn = office.connect(office.wall(rules, approvals=make_store()))
        with had.open("a") as told, suppress(ApprovalRequired):
            held = read_a_little(conn, door, 4)
            told.write("row\n" * len(held[1:]))
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(5):
        dies(live)
    assert 4 <= len(had.read_text().splitlines()) <= 12
    conn = office.connect(wall)
    with pytest.raises(ApprovalRequired):
        read_a_little(conn, door, 1)
    conn.close()


def test_broken_glass_is_kept_before_anything_is_done(office: Any, make_store: Any) -> None:
    """Who goes on alone and dies at once has left the request to be reviewed."""
    rules = ALWAYS + 'break_glass = ["staff"]\n'
    wall = office.wall(rules, approvals=make_store())

    def live() -> None:
        own = office.wall(rules, approvals=Dying(make_store(), "add", "after"))
        office.connect(own).execute(UPDATE, (0,), break_glass=True, reason="fire")

    dies(live)
    (case,) = wall.desk.cases()
    assert (case.state, case.kept.review) == ("unknown", "open")
    assert office.raw(DONE) == [(0,)]
    person = Person("https://idp.test", "bob")
    wall.desk.decide(
        case.request.id, "review", person, frozenset({"boss"}), office.signer, "saw it"
    )
    assert wall.desk.case(case.request.id).kept.review == "closed"
