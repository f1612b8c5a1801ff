"""Beside the tests in TOML, which pytest collects by itself: one that needs Python.

Run it by hand:

    pip install "pgtracewall[demo]" pytest
    pytest examples/policy_tests
"""

from pathlib import Path

import pytest

import tracewall
from tracewall.testing import Bench, FakeBackend

POLICY = Path(__file__).parent / "policy.toml"
PEOPLE = {"id": "int8", "name": "text", "email": "text"}
TABLES = {"public.people": PEOPLE, "public.people_by_name": PEOPLE}


def test_a_token_that_has_expired_is_refused() -> None:
    """Tokens are the issuer's side of a policy: the bench mints them as the policy wants them."""
    with FakeBackend(TABLES) as backend, Bench.load(POLICY, backend) as bench:
        with pytest.raises(tracewall.TokenRejected) as refused:
            bench.connect(token=bench.token("staff", lifetime=-60))
        assert refused.value.reason == "expired"
