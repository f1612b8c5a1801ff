"""Whose pseudonym is whose, and the salts of their commitments: kept beside the log, erasable.

1. The record has pseudonyms and salted commitments only; names and salts are here.
2. Without a person's row here nobody can tell whose records theirs are, or what was
   committed to: guessing needs the salt, which is 32 random bytes.
3. So to erase a person is to delete one row, and the chain of the record stays whole.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from tracewall.errors import AuditUnavailable
from tracewall.events import Moment, Who

FILE: Final = "people.sqlite"
Buffer: TypeAlias = bytes | bytearray | memoryview
_SECONDS: Final = 5.0
_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS people (
    issuer TEXT NOT NULL, subject TEXT NOT NULL, pseudonym TEXT NOT NULL UNIQUE,
    salt BLOB NOT NULL, PRIMARY KEY (issuer, subject)) WITHOUT ROWID"""


class Committing:
    """A commitment (HMAC-SHA-256) to what comes piece by piece."""

    __slots__ = ("_made",)

    def __init__(self, salt: bytes, kind: str) -> None:
        self._made = hmac.new(salt, kind.encode(), hashlib.sha256)

    def take(self, parts: Iterable[Buffer | None]) -> None:
        """Commit to a sequence of values, some of them NULL, as one of its kind."""
        for part in parts:
            # The length before each, so that no two sequences are spelled alike.
            whole = None if part is None else bytes(part)
            self._made.update(b"-" if whole is None else b"%d:" % len(whole))
            self._made.update(whole or b"")

    def stream(self, data: Buffer) -> None:
        """Commit to bytes, however they are cut into pieces."""
        self._made.update(data)

    def hexdigest(self) -> str:
        """Give the commitment to all that came so far, in hexadecimal."""
        return self._made.hexdigest()


class Person(msgspec.Struct, frozen=True):
    """Somebody of the record: ``salt`` is 32 random bytes, ``pseudonym`` says nothing of them."""

    issuer: str
    subject: str
    pseudonym: str
    salt: bytes

    def commitment(self, kind: str, parts: Iterable[Buffer | None]) -> str:
        """Give the commitment (HMAC-SHA-256, hex) to a sequence of bytes, some of them NULL."""
        made = Committing(self.salt, kind)
        made.take(parts)
        return made.hexdigest()

    def committing(self, kind: str) -> Committing:
        """Give a commitment to what comes piece by piece."""
        return Committing(self.salt, kind)

    def moment(self, transaction: int, sql: bytes, parameters: Iterable[Buffer | None]) -> Moment:
        """Give what is recorded of one run of a statement, with commitments to all of it."""
        return Moment(
            transaction,
            self.commitment("text", (sql,)),
            self.commitment("parameters", parameters),
        )


class People:
    """The pseudonyms and salts of a log's directory, shared by all processes that write there.

    Args:
        directory: the log's; made (mode 0700) where it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE

    def of(self, issuer: str, subject: str) -> Person:
        """Give a person, with a new pseudonym where they have none yet.

        Raises:
            AuditUnavailable: that can't be read or written.
        """
        drawn = (issuer, subject, f"p-{secrets.token_hex(8)}", secrets.token_bytes(32))
        found = None
        try:
            with self._open() as store:
                store.execute("INSERT OR IGNORE INTO people VALUES (?, ?, ?, ?)", drawn)
                found = store.execute(f"{_SELECT} WHERE issuer = ? AND subject = ?", drawn[:2])
                return Person(*found.fetchone())
        except (sqlite3.Error, OSError, UnicodeEncodeError):
            pass
        # Out here, so that no name is in the error's context.
        raise AuditUnavailable("the audit log's pseudonyms can't be read or written")

    def all(self) -> dict[str, Person]:
        """Give everybody by pseudonym; nobody where there is no such store.

        Raises:
            OSError: it can't be read.
        """
        if not self.path.exists():
            return {}
        try:
            with self._open() as store:
                return {row[2]: Person(*row) for row in store.execute(_SELECT)}
        except sqlite3.Error as error:
            raise OSError(f"{FILE}: {error}") from None

    def erase(self, subject: str, issuer: str = "") -> list[str]:
        """Forget a person: their names and salts are overwritten. Gives their pseudonyms.

        Args:
            subject: who.
            issuer: whose subject; empty: any issuer's.

        Raises:
            OSError: the store can't be written.
        """
        if not self.path.exists():
            return []
        where, given = "WHERE subject = ? AND ? IN (issuer, '')", (subject, issuer)
        try:
            with self._open() as store:
                found = store.execute(f"SELECT pseudonym FROM people {where}", given).fetchall()  # noqa: S608  # a constant
                store.execute(f"DELETE FROM people {where}", given)  # noqa: S608  # a constant
        except sqlite3.Error as error:
            raise OSError(f"{FILE}: {error}") from None
        return [pseudonym for (pseudonym,) in found]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the store for one transaction; a connection each time is safe across forks."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(self.path, timeout=_SECONDS)) as store:
            # What is deleted is overwritten, in the file and in its journal.
            store.execute("PRAGMA secure_delete = ON")
            store.execute("PRAGMA journal_mode = DELETE")
            with store:
                store.execute(_SCHEMA)
                yield store


_SELECT: Final = "SELECT issuer, subject, pseudonym, salt FROM people"


def pseudonymous(who: Who, person: Person, actors: Iterable[Person]) -> Who:
    """Give a `Who` that tells nothing of a person to whoever has not got their row."""
    token = person.commitment("token", (who.token_id.encode(),)) if who.token_id else ""
    return msgspec.structs.replace(
        who,
        subject=person.pseudonym,
        token_id=token,
        actor=" < ".join(actor.pseudonym for actor in actors),
    )
