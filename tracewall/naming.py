"""What the record calls those who act on one connection: by name, or by pseudonym."""

from __future__ import annotations

import uuid

from tracewall.audit.people import Person, pseudonymous
from tracewall.events import Moment, Who
from tracewall.identity.principal import Principal
from tracewall.knowledge import Knowledge
from tracewall.shield import Written
from tracewall.sql.catalog import Catalog
from tracewall.telling import who_told
from tracewall.wall import Wall


class Naming:
    """Whoever acts on a guarded connection, as the record has them.

    ``id`` is the connection's own: a random session, by which records and spans are found.
    """

    def __init__(self, wall: Wall) -> None:
        self.wall = wall
        self.id = uuid.uuid4().hex
        self.known = Knowledge(wall)
        self._principal: Principal | None = None
        self._who: Who | None = None
        self._person: Person | None = None
        self._actors: tuple[Person, ...] = ()

    @property
    def catalog(self) -> Catalog | None:
        """What statements are judged by; None: it is not known."""
        return self.known.catalog

    def told_who(self, principal: Principal | None) -> Who:
        """Give what the record keeps of whoever acts: pseudonyms, where it is erasable.

        Raises:
            AuditUnavailable: a pseudonym can't be read or written.
        """
        who, people = who_told(principal, self.catalog, self.id), self.wall._people
        if people is None or principal is None:
            return who
        actors = [people.of(actor.issuer, actor.subject) for actor in principal.actors]
        return pseudonymous(who, people.of(principal.issuer, principal.subject), actors)

    def named(self, issuer: str, subject: str) -> str:
        """Give what the record calls somebody: a pseudonym, where it is erasable.

        Raises:
            AuditUnavailable: it can't be read or written.
        """
        people = self.wall._people
        return subject if people is None else people.of(issuer, subject).pseudonym

    def _begin_as(self, principal: Principal | None) -> Who:
        """Give who acts as `told_who` does, and remember whose names those are."""
        people = self.wall._people
        self._person, self._actors = None, ()
        if people is not None and principal is not None:
            self._person = people.of(principal.issuer, principal.subject)
            self._actors = tuple(people.of(each.issuer, each.subject) for each in principal.actors)
        return self.told_who(principal)

    def _still_named(self, principal: Principal | None) -> bool:
        """Tell whether nobody of those remembered was erased, and got another name, since."""
        people = self.wall._people
        if people is None or principal is None or self._person is None:
            return True
        if people.of(principal.issuer, principal.subject) is not self._person:
            return False
        deputies = zip(principal.actors, self._actors, strict=True)
        return all(people.of(each.issuer, each.subject) is known for each, known in deputies)

    def _moment(self, transaction: int, sql: bytes, parameters: Written) -> Moment | None:
        if self._person is not None:
            return self._person.moment(transaction, sql, parameters)
        return Moment(transaction) if transaction else None
