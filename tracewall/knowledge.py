"""What one connection knows of the server's catalog, and since when.

1. A catalog is known by its fingerprint, which costs little to ask for; it is read in full
   only where nobody of the wall has read it yet.
2. The fingerprint is asked for again before a statement once the policy's
   ``catalog_max_age`` has passed.
3. What a connection sent without its being followed may have changed the schema: doubt
   lasts until the fingerprint was looked at outside of any transaction.
4. After a result that did not fit, nothing is known until the catalog is read again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from tracewall.sql.catalog import Catalog
from tracewall.wall import Wall

_OLD_SECONDS = 1.0


class Knowledge:
    """The catalog that a connection's statements are judged by; None: it is not known."""

    __slots__ = ("_checked", "_doubted", "_fingerprint", "_oldest", "_wall", "catalog")

    def __init__(self, wall: Wall) -> None:
        self.catalog: Catalog | None = None
        self._wall = wall
        self._oldest = wall.policy.database.catalog_max_age
        self._checked = 0.0
        self._doubted = False
        self._fingerprint = b""

    @property
    def was_known(self) -> bool:
        """True once the catalog was known, even if it is not now."""
        return bool(self._checked)

    @property
    def is_watched(self) -> bool:
        """True where each result is held to the catalog as it is when the result has come."""
        return not self._oldest

    def fits(self, fingerprint: bytes) -> bool:
        """Tell whether the catalog is still that of a fingerprint."""
        return fingerprint == self._fingerprint

    def outdated(self) -> bool:
        """Tell whether the server should be asked again before the next statement."""
        age = time.monotonic() - self._checked
        return age >= self._oldest or self._doubted or self.catalog is None

    def is_old(self) -> bool:
        """Tell whether a name that is not known may have come into being since."""
        return time.monotonic() - self._checked > _OLD_SECONDS

    def take(
        self, fingerprint: bytes, answers: Sequence[bytes] | None = None, *, alone: bool
    ) -> bool:
        """Take what the server says of its catalog; False: the answers are wanted too.

        Args:
            fingerprint: the answer to `tracewall.sql.questions.FINGERPRINT`.
            answers: those to `tracewall.sql.questions.QUERIES`, if they were asked.
            alone: no transaction is open, so that what is told now will stay true.

        Raises:
            PolicyError: a pattern of the policy matches nothing in the catalog.
        """
        if answers is None:
            found = self._wall.recall(fingerprint)
        else:
            found = self._wall.know(fingerprint, tuple(answers))
        if found is not None:
            self.catalog, self._fingerprint = found, fingerprint
            self._checked = time.monotonic()
            self._doubted = self._doubted and not alone
        return found is not None

    def doubt(self) -> None:
        """Ask again before the next statement: the schema may have changed."""
        self._doubted = True

    def lose(self) -> None:
        """Know nothing any more, and trust the fingerprint no longer."""
        self._wall.forget(self._fingerprint)
        self.catalog = None
