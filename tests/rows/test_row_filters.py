"""Row filters: nobody gets, changes or leaves a row that is not theirs."""

from __future__ import annotations

from typing import Any

OWN = {n for n in range(1, 11) if n % 2 == 0}


def ids(conn: Any, query: str) -> set[int]:
    """Give the first column of what a query gives."""
    return {row[0] for row in conn.execute(query).fetchall()}


def test_each_gets_the_rows_of_their_own_tenant(shop: Any) -> None:
    """The same statement gives each tenant its own rows, and nothing else."""
    with shop.connect("acme") as acme, shop.connect("bolt") as bolt:
        assert ids(acme, "select id from shop.orders") == OWN
        assert ids(bolt, "select id from shop.orders") == set(range(1, 11)) - OWN
