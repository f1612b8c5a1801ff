"""COPY TO in every spelling that a caller may choose: none gets a protected value past its mask."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

QUERIES = (
    "(SELECT secret FROM lab.people UNION ALL SELECT secret FROM lab.people)",
    "(SELECT id, secret, token, email, salary, notes, doc, pins, born, ref FROM lab.people)",
    "(SELECT card, born, paid, doc FROM lab.cards)",
    "(SELECT id, doc, raw, bag, chat, log FROM lab.cases)",
    "lab.cases",
    "lab.cards (card, doc)",
)
SPELLINGS = (
    "",
    "(FORMAT csv)",
    "(FORMAT csv, HEADER)",
    "(FORMAT csv, FORCE_QUOTE *)",
    "(FORMAT csv, NULL 'zq')",
    "(FORMAT csv, DELIMITER 'g', QUOTE 'z', ESCAPE 'q')",
    "(FORMAT csv, DELIMITER ';', QUOTE ' ')",
    "(FORMAT csv, QUOTE 'z')",
    "(FORMAT csv, ESCAPE 'z')",
    "(FORMAT csv, DELIMITER '_', NULL 'x', HEADER true, FORCE_QUOTE *, ENCODING 'UTF8')",
    "(FORMAT csv, DELIMITER E'\\x1f', QUOTE E'\\x1e')",
    "(FORMAT csv, DELIMITER '{', QUOTE '}')",
    "(FORMAT binary)",
    "(DELIMITER '|')",
    "(DELIMITER 'Z')",
    "(DELIMITER '\"')",
    "(DELIMITER '[')",
    "(DELIMITER ',', NULL '')",
    "(NULL 'zq')",
    "(HEADER)",
    "(DELIMITER E'\\x01')",
    "(ENCODING 'LATIN1')",
    "CSV QUOTE 'k' FORCE QUOTE *",
    "BINARY",
    "DELIMITER AS 'X'",
)


def copied(conn: Any, statement: str) -> list[object]:
    """Give all that a COPY gives out, or what its error tells."""
    told: list[object] = []
    try:
        with conn.cursor().copy(statement) as copy:
            told += map(bytes, copy)
    except psycopg.Error as error:
        told += [error, error.args]
    conn.rollback()
    return told


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_copy_tells_a_value(lab: Any, query: str, spelling: str) -> None:
    """What plain psycopg copies out holds protected values, what is guarded none."""
    world, guard = lab.worlds[0], lab.guards[0]
    statement = f"COPY {query} TO STDOUT {spelling}"
    assert world.leaks(copied(world.plain, statement))
    assert not world.leaks(copied(guard.connection("explorers"), statement))
