"""What a desk promises to who asks and who decides, over a file: no server, no wall."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tracewall.approval.desk import Desk, NotGranted
from tracewall.approval.request import Act, NotEncodable, Parameter, Person, Requirement, Shown
from tracewall.approval.sqlite import SqliteStore
from tracewall.approval.store import Spending, StoreUnavailable
from tracewall.signing import Signer

ISSUER = "https://idp.test"
SIGNER = Signer.make("desk")
RULE = Requirement("export", ("boss",), expires=900.0, valid=300.0)
ANN, BOB = Person(ISSUER, "ann"), Person(ISSUER, "bob")
BOSSES = frozenset({"boss"})
ACT = Act(
    text="select 1",
    parameters=(Parameter.of(23, 0, b"7"),),
    door="execute",
    issuer=ISSUER,
    subject="ann",
    actors=(Person(ISSUER, "agent"),),
    purpose="",
    policy="hash",
    server="1",
    database="d",
    role="r",
    login="l",
    search_path="public",
)


class Clock:
    """A clock that stands until it is moved."""

    now = 1_000_000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store in a file of one's own."""
    made = SqliteStore(tmp_path / "requests.db")
    yield made
    made.close()


@pytest.fixture
def desk(store: SqliteStore, clock: Clock) -> Desk:
    """A desk that knows one key."""
    return desk_of(store, clock)


def desk_of(store: Any, clock: Clock, **more: Any) -> Desk:
    """Give a desk over a store."""
    keys, matches = [SIGNER.public], lambda glob, group: fnmatchcase(group, glob)
    return Desk(store, keys, matches, clock=clock, **more)


def ask(desk: Desk, act: Act = ACT, **more: Any) -> str:
    """Ask for an act; give the request's id."""
    return desk.ask(act, [RULE], Shown("SELECT"), statement=act.text, **more).id


def approve(desk: Desk, id: str, person: Person = BOB, kind: Any = "approve", **more: Any) -> Any:
    """Decide as somebody of the bosses."""
    return desk.decide(id, kind, person, BOSSES, SIGNER, **more)


def refused(work: Any, *args: Any, why: str = "", **more: Any) -> str:
    """Give the state that a refusal tells."""
    with pytest.raises(NotGranted) as caught:
        work(*args, **more)
    assert str(caught.value) and why in str(caught.value)
    return caught.value.state


def test_one_waiting_request_is_enough(desk: Desk) -> None:
    """Who asks for the very same again gets the request that waits; any difference is another."""
    first = ask(desk, reason="why")
    assert ask(desk, reason="why") == first
    others = {
        ask(desk, reason="else"),
        ask(desk, reason="why", ticket="T-1"),
        ask(desk, msgspec.structs.replace(ACT, rows=5), reason="why"),
    }
    assert len(others | {first}) == 4
    approve(desk, first, kind="deny")
    assert ask(desk, reason="why") != first


def test_a_person_has_so_many_waiting(store: SqliteStore, clock: Clock) -> None:
    """More requests of one person than may wait are not kept, until one is decided."""
    desk = desk_of(store, clock, most_pending=2)
    first = ask(desk, reason="1")
    ask(desk, reason="2")
    assert refused(ask, desk, reason="3") == "too many"
    assert ask(desk, msgspec.structs.replace(ACT, subject="cat"), reason="3")
    approve(desk, first, kind="deny")
    assert ask(desk, reason="3")


def test_a_grant_is_claimed_once_for_its_act(desk: Desk) -> None:
    """It waits, is approved, and is used up by one claim, of that act under those rules."""
    id = ask(desk)
    assert desk.is_pending(id)
    assert refused(desk.claim, id, ACT, [RULE]) == "pending"
    assert approve(desk, id).state == "approved"
    assert not desk.is_pending(id)
    assert refused(desk.claim, id, msgspec.structs.replace(ACT, role="x"), [RULE]) == "other"
    assert refused(desk.claim, id, ACT, []) == "other"
    assert refused(desk.claim, id, ACT, [msgspec.structs.replace(RULE, people=2)]) == "other"
    permit = desk.claim(id, ACT, [RULE])
    assert (permit.rules, permit.people, permit.glass_broken) == ({"export"}, (BOB,), False)
    assert refused(desk.claim, id, ACT, [RULE], why="not known") == "unknown"
    desk.settle(permit, "done")
    assert refused(desk.claim, id, ACT, [RULE], why="used already") == "done"
    assert refused(approve, desk, id, Person(ISSUER, "dan")) == "done"


def test_a_use_is_remembered_where_the_store_forgets_it(store: SqliteStore, clock: Clock) -> None:
    """A store that was put back to before the use does not give a grant out again."""

    class Forgetful:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def use(self, *args: Any, **more: Any) -> bool:
            return True

    desk = desk_of(Forgetful(), clock)
    id = ask(desk)
    approve(desk, id)
    desk.claim(id, ACT, [RULE])
    assert refused(desk.claim, id, ACT, [RULE]) == "used"
    shape = ask(desk, msgspec.structs.replace(ACT, shape=True))
    approve(desk, shape)
    for _ in range(2):
        assert desk.claim(shape, msgspec.structs.replace(ACT, shape=True), [RULE])


@pytest.mark.parametrize(
    ("state", "why"),
    [("denied", "was denied"), ("revoked", "taken back"), ("expired", "has expired")],
)
def test_what_was_not_granted_is_not_claimed(
    desk: Desk, clock: Clock, state: str, why: str
) -> None:
    """Denied, taken back or over: each is told as what it is, and gives nothing."""
    id = ask(desk)
    if state == "denied":
        approve(desk, id, kind="deny")
    if state == "revoked":
        approve(desk, id)
        approve(desk, id, ANN, kind="revoke")
    if state == "expired":
        clock.now += 900
    assert refused(desk.claim, id, ACT, [RULE], why=why) == state
    assert refused(approve, desk, id, Person(ISSUER, "dan")) == state


def test_only_somebody_else_of_the_approvers_decides(desk: Desk) -> None:
    """Who asks, who acts for them, strangers, and keys that nobody knows decide nothing."""
    id = ask(desk)
    assert refused(approve, desk, id, ANN) == "own"
    assert refused(approve, desk, id, Person(ISSUER, "agent")) == "own"
    assert refused(approve, desk, id, Person("https://other.test", "ann")) == "own"
    none, other = frozenset[str](), Signer.make("desk")
    assert refused(desk.decide, id, "approve", BOB, none, SIGNER) == "stranger"
    assert refused(desk.decide, id, "revoke", BOB, none, SIGNER) == "stranger"
    assert refused(desk.decide, id, "approve", BOB, BOSSES, other) == "key"
    assert refused(approve, desk, id, binding="0" * 64) == "other"
    assert refused(approve, desk, "apr_none") == "none"
    assert refused(desk.claim, "apr_none", ACT, [RULE]) == "none"
    case = desk.case(id)
    assert case is not None and case.state == "pending" and case.kept.notes == ()
    assert approve(desk, id, binding=case.request.binding).state == "approved"
    assert refused(approve, desk, id) == "late"


def test_who_asks_takes_it_back(desk: Desk) -> None:
    """The requester may take a request back, whatever their groups are."""
    id = ask(desk)
    assert desk.decide(id, "revoke", ANN, frozenset(), SIGNER).state == "revoked"


@pytest.mark.parametrize("outcome", ["", "done", "failed", "not sent"])
def test_broken_glass_goes_on_alone_and_is_reviewed(desk: Desk, outcome: str) -> None:
    """Somebody goes on at once; listeners hear of it; it is reviewed once, and by another."""
    heard: list[str] = []
    desk.listeners.append(lambda event, request: heard.append(f"{event} {request.id}"))
    permit = desk.break_glass(ACT, [RULE], Shown("SELECT"), statement=ACT.text, reason="fire")
    assert permit.glass_broken and permit.rules == {"export"}
    assert heard == [f"glass_broken {permit.id}"]
    if outcome:
        desk.settle(permit, outcome)
    case = desk.case(permit.id)
    assert case is not None and case.request.glass_broken
    assert (case.state, case.kept.review) == (outcome or "unknown", "open")
    assert refused(desk.claim, permit.id, ACT, [RULE]) == case.state
    assert refused(approve, desk, permit.id) == case.state
    assert refused(approve, desk, permit.id, ANN, kind="review") == "own"
    assert approve(desk, permit.id, kind="review").kept.review == "closed"
    assert refused(approve, desk, permit.id, Person(ISSUER, "dan"), kind="review") == "closed"


def test_what_was_approved_has_nothing_to_review(desk: Desk) -> None:
    """A review is of what somebody did alone, and of that only."""
    id = ask(desk)
    assert refused(approve, desk, id, kind="review") == "pending"
    approve(desk, id)
    desk.settle(desk.claim(id, ACT, [RULE]), "done")
    assert refused(approve, desk, id, Person(ISSUER, "dan"), kind="review") == "closed"


def test_listeners_hear_of_each_request_and_stop_nothing(desk: Desk) -> None:
    """Each new request is told once, to every listener, whatever another one raises."""
    heard: list[str] = []

    def fails(event: str, request: Any) -> None:
        raise ValueError("no network")

    desk.listeners += [fails, lambda event, request: heard.append(event)]
    ask(desk)
    ask(desk)
    assert heard == ["requested"]


def test_what_is_over_for_long_is_deleted(store: SqliteStore, clock: Clock) -> None:
    """Requests are kept so long after they are over; asking deletes what has been for longer."""
    desk = desk_of(store, clock, keep=1_000.0)
    id = ask(desk, reason="old")
    clock.now += 900 + 300 + 999
    assert desk.prune() == 0
    ask(desk, reason="new")
    assert desk.case(id) is not None
    clock.now += 2
    ask(desk, reason="newer")
    assert desk.case(id) is None


def test_nothing_is_deleted_where_all_is_kept(desk: Desk, clock: Clock) -> None:
    """Without a time requests are kept for good, until somebody says how old is enough."""
    id = ask(desk)
    clock.now += 1e8
    assert desk.prune() == 0 and desk.case(id) is not None
    assert desk.prune(0.0) == 1 and desk.case(id) is None


def test_what_is_kept_under_another_s_id_is_no_request(desk: Desk, store: SqliteStore) -> None:
    """A request that was copied under another id is neither shown nor given out."""
    id = ask(desk)
    kept = store.get(id)
    assert kept is not None
    store.add("apr_copy", "act", kept.content, 2e9, used=False)
    store.add("apr_noise", "act", b"noise", 2e9, used=False)
    assert refused(desk.claim, "apr_copy", ACT, [RULE]) == "none"
    with pytest.raises(NotEncodable):
        desk.case("apr_copy")
    assert [case.request.id for case in desk.cases()] == [id]


def test_the_newest_requests_are_first(desk: Desk, clock: Clock) -> None:
    """Cases come newest first, so many at most."""
    ids = []
    for number in range(4):
        ids.append(ask(desk, reason=str(number)))
        clock.now += 1
    assert [case.request.id for case in desk.cases()] == ids[::-1]
    assert len(desk.cases(most=2)) == 2


def test_a_very_short_time_is_a_second(desk: Desk) -> None:
    """A rule that gives less than a second to decide gives one; a reason is cut."""
    rule = msgspec.structs.replace(RULE, expires=0.2)
    made = desk.ask(ACT, [rule], Shown("SELECT"), statement=ACT.text, reason="x" * 5_000)
    assert made.expires_at - made.asked_at == 1
    assert len(made.reason) == 2_000


def test_budgets_slide_by_the_desk_s_clock(desk: Desk, clock: Clock) -> None:
    """What was had is counted from the desk's time, or from one that is told."""
    some = Spending("ann", "daily", 60.0, rows=6, bytes=0, most_rows=10)
    assert desk.spend(some) and not desk.spend(some)
    clock.now += 61
    assert desk.spend(some)
    assert desk.spend(some, clock.now + 61)


@pytest.mark.parametrize("what", ["rows", "bytes"])
def test_each_limit_of_a_budget_counts_by_itself(desk: Desk, what: str) -> None:
    """Exactly so much may be had; one more is over; what is given back never is."""

    def spent(number: int) -> bool:
        other: dict[str, Any] = {"rows": 0, "bytes": 0, what: number, f"most_{what}": 10}
        return desk.spend(Spending("ann", what, 60.0, **other))

    assert spent(10) and not spent(1)
    assert spent(-1) and spent(1) and not spent(1)
    assert desk.spend(Spending("ann", "free", 60.0, rows=10**9, bytes=10**9))


def test_a_closed_or_foreign_file_is_told_as_such(tmp_path: Path) -> None:
    """A folder, or a file that others may read, is no store."""
    with pytest.raises(StoreUnavailable):
        SqliteStore(tmp_path)
    shared = tmp_path / "shared.db"
    shared.touch(mode=0o644)
    shared.chmod(0o644)
    with pytest.raises(StoreUnavailable, match="chmod 600"):
        SqliteStore(shared)


def test_only_groups_of_one_of_the_rules_decide(desk: Desk) -> None:
    """Two rules have approvers of their own: a member of either may speak, and both have to."""
    other = msgspec.structs.replace(RULE, rule="audit", approvers=("audit",))
    id = desk.ask(ACT, [RULE, other], Shown("SELECT"), statement=ACT.text).id
    assert approve(desk, id).state == "pending"
    assert refused(desk.claim, id, ACT, [RULE, other]) == "pending"
    auditor = Person(ISSUER, "dan")
    case = desk.decide(id, "approve", auditor, frozenset({"audit"}), SIGNER)
    assert case.state == "approved"
    assert desk.claim(id, ACT, [RULE, other]).rules == {"export", "audit"}


def test_what_is_asked_how_old_a_request_is_counts_alone(store: SqliteStore, clock: Clock) -> None:
    """An age that is told is used instead of the policy's, shorter or longer."""
    desk = desk_of(store, clock, keep=1_000.0)
    id = ask(desk)
    clock.now += 900 + 300 + 500
    assert desk.prune() == 0 and desk.prune(600.0) == 0
    assert desk.prune(400.0) == 1 and desk.case(id) is None
    assert desk.prune(0.0) == 0


def test_a_request_that_waits_is_told_as_waiting(desk: Desk) -> None:
    """Whoever claims too early hears that it waits, whatever else is wrong."""
    id = ask(desk)
    with pytest.raises(NotGranted, match="waits for approval"):
        desk.claim(id, ACT, [RULE])
    assert str(NotGranted("x", "why")) == "why" and NotGranted("x", "why").state == "x"


def test_what_waits_is_kept_before_what_is_over(store: SqliteStore, clock: Clock) -> None:
    """Pruning leaves alone what is not over, what was used since, and what is to be reviewed."""
    desk = desk_of(store, clock)
    waits = ask(desk, reason="waits")
    broken = desk.break_glass(ACT, [RULE], Shown("SELECT"), statement=ACT.text, reason="fire").id
    assert desk.prune(0.0) == 0
    clock.now += 1e10
    assert [desk.prune(0.0), desk.case(waits)] == [1, None]
    assert desk.case(broken) is not None
    assert approve(desk, broken, kind="review").kept.review == "closed"
    assert desk.prune(0.0) == 1 and desk.case(broken) is None


def test_who_asks_hears_what_differs_and_not_how(desk: Desk) -> None:
    """The names of what is not as it was asked for, and no value of it."""
    id = ask(desk)
    approve(desk, id)
    other = msgspec.structs.replace(ACT, role="canary", door="canary")
    with pytest.raises(NotGranted, match=r"\(door, role\)") as told:
        desk.claim(id, other, [RULE])
    assert "canary" not in str(told.value)


def test_a_hundred_cases_are_shown(desk: Desk) -> None:
    """Who does not say how many sees the hundred newest."""
    for number in range(101):
        ask(desk, reason=str(number))
    assert len(desk.cases()) == 100


def test_a_desk_that_is_closed_lets_go_of_its_store(clock: Clock) -> None:
    """Nothing of the store stays open."""
    closed: list[str] = []

    class Watched:
        def close(self) -> None:
            closed.append("store")

    desk_of(Watched(), clock).close()
    assert closed == ["store"]
