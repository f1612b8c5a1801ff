"""What becomes of a permit that was claimed, and of a store that is out of reach: no server."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from tracewall.approval.desk import NotGranted
from tracewall.approval.store import Spending, StoreUnavailable
from tracewall.approving import parameters
from tracewall.errors import AuditUnavailable, Forbidden, TokenRejected, Withheld
from tracewall.reception import ending, is_pending, spent, wait


@pytest.mark.parametrize(
    ("error", "closed", "told"),
    [
        (GeneratorExit(), False, "done"),
        (GeneratorExit(), True, "done"),
        (Withheld("too many"), False, "failed"),
        (Withheld("too many"), True, "failed"),
        (Forbidden("no"), False, "not sent"),
        (AuditUnavailable("no"), False, "not sent"),
        (TokenRejected("no"), False, "not sent"),
        (psycopg.errors.UniqueViolation("no"), False, "failed"),
        # Nobody knows whether it was done before the connection went.
        (psycopg.errors.AdminShutdown("no"), True, ""),
        (psycopg.OperationalError("gone"), False, ""),
        (psycopg.OperationalError("gone"), True, ""),
        (KeyboardInterrupt(), False, ""),
    ],
)
def test_an_outcome_is_told_only_where_it_is_known(
    error: BaseException, closed: bool, told: str
) -> None:
    """What was never sent, what the server refused, what was withheld; all else is unknown."""
    assert ending(SimpleNamespace(closed=closed), error) == told


class Lost:
    """A desk, and a store, that nobody can ask."""

    def __init__(self, error: Exception) -> None:
        self.error, self.store = error, self

    def is_pending(self, id: str) -> bool:
        """Fail."""
        raise self.error

    def wait(self, id: str, seconds: float) -> None:
        """Fail at once."""
        raise self.error

    def spend(self, spending: Any, at: float) -> bool:
        """Fail."""
        raise self.error


def session(desk: Any) -> Any:
    """Give a session of a wall with this desk."""
    return SimpleNamespace(wall=SimpleNamespace(desk=desk))


def test_a_store_out_of_reach_is_asked_again_and_not_in_a_hurry() -> None:
    """Who waits goes on waiting, as long as they would have; a request that is gone is over."""
    lost = session(Lost(StoreUnavailable("out of reach")))
    assert is_pending(lost, "apr_x") is True
    assert is_pending(session(Lost(NotGranted("none", "gone"))), "apr_x") is False
    start = time.monotonic()
    wait(lost, "apr_x", 0.05)
    assert time.monotonic() - start >= 0.04


def test_where_nobody_can_count_nothing_is_had() -> None:
    """The refusal says so, and why."""
    lost, some = session(Lost(StoreUnavailable("out of reach"))), Spending("ann", "b", 1.0, 1, 0)
    with pytest.raises(Forbidden, match=r"nobody can count.*out of reach"):
        spent(lost, some, 0.0)


def test_parameters_are_bound_as_they_leave() -> None:
    """Types and formats as they are sent, those that are not told among them; NULL stays NULL."""
    sent: Any = SimpleNamespace(
        params=[b"1", None, bytearray(b"x")], types=(23, 0, 17), formats=[0, 0, 1]
    )
    told = parameters(sent)
    assert [(each.type, each.format, each.bytes) for each in told] == [
        (23, 0, b"1"),
        (0, 0, None),
        (17, 1, b"x"),
    ]
    bare: Any = SimpleNamespace(params=[b"1"], types=None, formats=None)
    (one,) = parameters(bare)
    assert (one.type, one.format, one.bytes) == (0, 0, b"1")
    none: Any = SimpleNamespace(params=None, types=None, formats=None)
    assert parameters(none) == ()
