"""Reading SQL as PostgreSQL reads it, and psycopg's `sql` names.

``tracewall.sql.SQL``, ``Identifier`` and the others are psycopg's own composables, for
programs that say ``import tracewall as psycopg``.
"""

from typing import Any

from psycopg import sql as _psycopg
from psycopg.sql import DEFAULT as DEFAULT
from psycopg.sql import NULL as NULL
from psycopg.sql import SQL as SQL
from psycopg.sql import Composable as Composable
from psycopg.sql import Composed as Composed
from psycopg.sql import Identifier as Identifier
from psycopg.sql import Literal as Literal
from psycopg.sql import Placeholder as Placeholder
from psycopg.sql import quote as quote

__all__ = [
    "DEFAULT",
    "NULL",
    "SQL",
    "Composable",
    "Composed",
    "Identifier",
    "Literal",
    "Placeholder",
    "quote",
]


def __getattr__(name: str) -> Any:
    """Give psycopg's names that not every release of it has."""
    return getattr(_psycopg, name)
