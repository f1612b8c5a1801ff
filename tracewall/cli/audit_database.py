"""A log that is kept in PostgreSQL, for commands: read as files are, made, and pruned.

Where a command takes the directory of a log, it takes ``postgresql://...`` too: the log is
copied to a directory that is deleted again, and read there.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import click
import psycopg
from psycopg import sql

from tracewall.audit import notary
from tracewall.audit.migration import migration as written
from tracewall.audit.people import Person
from tracewall.audit.postgres import SCHEMA, PostgresLog
from tracewall.audit.record import files
from tracewall.audit.retiring import retire
from tracewall.audit.stored import kept, lines, people
from tracewall.cli.live import unread, why
from tracewall.cli.options import JSON, policy_option
from tracewall.cli.reading import read
from tracewall.cli.screen import Missing, either, several
from tracewall.errors import AuditUnavailable, PolicyError
from tracewall.events import Incident
from tracewall.logbook import checkpoints

_SCHEMA = click.option("--schema", default=SCHEMA, show_default=True, help="The log's schema.")
_WRITER = re.compile(r"[0-9TZ.]+-[0-9]+-[0-9a-f]+")
_SCHEMES: Final = ("postgresql://", "postgres://")
_META: Final = "tracewall.audit.database"


def is_uri(text: str) -> bool:
    """Tell whether a text names a database, and no file."""
    return text.startswith(_SCHEMES)


class _LogPath(click.Path):
    """The path of a log, or the URI of the database that it is in."""

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> Any:
        """Give the path; a log in a database is copied to one that lives as long as the command."""
        text = str(value)
        if context is None or not is_uri(text):
            return super().convert(value, param, context)
        schema = context.meta.get(f"{_META}.schema") or SCHEMA
        folder = tempfile.TemporaryDirectory(prefix="tracewall-audit-")
        try:
            _copy(Path(folder.name), text, schema)
        except BaseException:
            # A command whose arguments are faulty never gets to its end.
            folder.cleanup()
            raise
        context.with_resource(folder)
        context.meta[_META] = (text, schema)
        return Path(folder.name)


class PlaceOrFolder(click.Path):
    """A log's directory, or the URI of the database that it is in, of which nothing is read."""

    def __init__(self) -> None:
        super().__init__(exists=True, file_okay=False, path_type=Path)

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> Any:
        """Give the directory; of a database remember where it is."""
        text = str(value)
        if context is None or not is_uri(text):
            return super().convert(value, param, context)
        context.meta[_META] = (text, context.meta.get(f"{_META}.schema") or SCHEMA)
        return Path()


def _keep_schema(context: click.Context, option: click.Parameter, schema: str) -> None:
    context.meta[f"{_META}.schema"] = schema


_LOG = click.argument("path", type=_LogPath(exists=True, path_type=Path))
of_schema = click.option(
    "--schema",
    default=SCHEMA,
    show_default=True,
    is_eager=True,
    expose_value=False,
    callback=_keep_schema,
    help="The schema, where PATH is the URI of a log in PostgreSQL (postgresql://...).",
)


def log_path(command: Any) -> Any:
    """Give a command the argument ``path``: a log's directory, file, or database."""
    return _LOG(of_schema(command))


def present(path: Path) -> None:
    """Raise Missing where a directory holds no log: nothing found in it would prove nothing."""
    if database() is None and path.is_dir() and not files(path):
        help = "name the directory that [audit] of the policy names"
        raise Missing(f"there is no audit log in {path}", help)


def database() -> tuple[str, str] | None:
    """Give the connection string and schema of the log that the command reads; None: files."""
    found: tuple[str, str] | None = click.get_current_context().meta.get(_META)
    return found


def note(place: tuple[str, str], incident: Incident) -> None:
    """Record something about a log in a database, in a chain of the reader's own.

    Raises:
        AuditUnavailable: who reads may not append to it.
    """
    log = PostgresLog(place[0], schema=place[1])
    try:
        log.incident(incident)
    finally:
        log.close()


class Following:
    """Gives the records that come to a log in a database, from the moment of looking on."""

    def __init__(self, place: tuple[str, str]) -> None:
        self._conninfo, schema = place
        name = sql.Identifier(schema)
        self._heads = sql.SQL("SELECT writer, n FROM {}.heads ORDER BY received").format(name)
        query = "SELECT line FROM {}.records WHERE writer = %s AND n > %s ORDER BY n"
        self._lines = sql.SQL(query).format(name)
        self._read: dict[str, int] = {}
        for _ in self.new(skip=True):
            pass

    def new(self, *, skip: bool = False) -> Iterator[bytes]:
        """Give the lines that have come since the last call; raises `Missing`."""
        try:
            with psycopg.connect(self._conninfo) as conn:
                for writer, n in conn.execute(self._heads).fetchall():
                    seen = self._read.get(writer, -1)
                    self._read[writer] = n
                    if n > seen and not skip:
                        # One that comes meanwhile is left to the next call.
                        found = conn.execute(self._lines, (writer, seen)).fetchmany(n - seen)
                        yield from (line.encode() for (line,) in found)
        except psycopg.Error as error:
            raise unread("the log can't be read", error) from None


def names(place: tuple[str, str]) -> dict[str, Person]:
    """Give whom pseudonyms stand for, as far as this reader may know; raises `Missing`."""
    try:
        return people(*place)
    except psycopg.Error as error:
        raise unread("the names can't be read", error) from None


def anchored(conninfo: str, schema: str) -> list[str]:
    """Give the checkpoints that a database keeps; raises `Missing`."""
    try:
        return kept(conninfo, schema)
    except psycopg.Error as error:
        raise Missing(f"the anchor's database can't be read: {why(error)}") from None


def erased(place: tuple[str, str], subject: str, issuer: str) -> list[str]:
    """Forget a person for all who write to a log in a database; give their pseudonyms.

    The table is written anew, so that no page of it holds what was deleted. Raises `Missing`.
    """
    table = sql.Identifier(place[1], "people")
    delete = "DELETE FROM {} WHERE subject = %s AND %s IN (issuer, '') RETURNING pseudonym"
    gone: list[str] = []
    try:
        with psycopg.connect(place[0], autocommit=True) as conn:
            found = conn.execute(sql.SQL(delete).format(table), (subject, issuer))
            gone = [pseudonym for (pseudonym,) in found]
            conn.execute(sql.SQL("VACUUM (FULL) {}").format(table))
    except psycopg.Error as error:
        if not gone:
            raise unread("nothing is erased", error) from None
        warning = "note: it is deleted, but not overwritten: VACUUM (FULL) the table people"
        click.echo(f"{warning} ({why(error)})", err=True)
    return gone


@click.command()
@click.option("--role", required=True, help="The role that the log logs in as.")
@click.option("--reader", default="", help="A role that may read the log, and so is recorded.")
@click.option("--names", default="", help="A role that may read whose pseudonym is whose.")
@click.option("--anchor", is_flag=True, help="A place for checkpoints instead: `anchor_conninfo`.")
@click.option("--schema", default="", help=f"The schema.  [default: {SCHEMA}, or {notary.SCHEMA}]")
@JSON
def migration(role: str, reader: str, names: str, anchor: bool, schema: str, as_json: bool) -> None:
    """Print the SQL that makes a place for the record in a database.

    Run it as another role than ROLE, which may append then, and neither read, change nor
    delete. Run again by its owner, it brings the place up to date.
    """
    if anchor and names:
        raise Missing("checkpoints have no names", "leave out --names, or --anchor")
    if anchor:
        sql = notary.migration(role, schema or notary.SCHEMA, reader)
    else:
        sql = written(role, schema or SCHEMA, reader, names)
    either(as_json, {"sql": sql}, sql)


@click.command()
@click.argument("path", type=click.Path(file_okay=False, path_type=Path))
@click.option("--conninfo", default="", help="A libpq connection string of who may read the log.")
@_SCHEMA
@JSON
def fetch(path: Path, conninfo: str, schema: str, as_json: bool) -> None:
    """Write the files of a log that is kept in PostgreSQL.

    PATH is a new directory.
    """
    try:
        path.mkdir(mode=0o700)
    except OSError as error:
        raise Missing(f"the log can't be written: {error.strerror}", str(path)) from None
    records = _copy(path, conninfo, schema)
    told = {"path": str(path), "records": records}
    either(as_json, told, several(records, "record"))


@click.command()
@click.option("--conninfo", default="", help="A libpq connection string of the log's owner.")
@policy_option("The policy file: its keep_for, its schema, and its signing key.")
@JSON
def prune(conninfo: str, policy: Path, as_json: bool) -> None:
    """Delete what is old of a log in PostgreSQL, as `[audit] keep_for` says.

    The log's own role may not: this is for its owner. That, and what, is recorded before.
    """
    found = read(policy)
    if not found.audit.conninfo or not found.audit.keep_for:
        help = "files are deleted by the wall itself"
        raise Missing("the policy's [audit] has no conninfo, or no keep_for", help)
    try:
        signed = checkpoints(found, ())
        gone = retire(conninfo, found.audit.schema, found.audit.keep_for, signed)
    except psycopg.Error as error:
        raise unread("nothing is deleted", error) from None
    except (AuditUnavailable, PolicyError) as error:
        raise Missing(f"nothing is deleted: {error}") from None
    told = {"chains": gone.chains, "records": gone.records}
    either(as_json, told, f"{several(gone.chains, 'chain')}, {several(gone.records, 'record')}")


def _copy(path: Path, conninfo: str, schema: str) -> int:
    try:
        return _written(path, lines(conninfo, schema))
    except psycopg.Error as error:
        raise unread("the log can't be read", error) from None
    except OSError as error:
        raise Missing(f"the log can't be written: {error.strerror}", str(path)) from None


def _written(path: Path, rows: Any) -> int:
    count = 0
    for writer, found in groupby(rows, key=itemgetter(0)):
        if not _WRITER.fullmatch(writer):
            # A name that leads elsewhere must not become a file.
            raise Missing("the log names a writer as tracewall does not")
        fd = os.open(path / f"{writer}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(fd, "w", encoding="utf-8", newline="\n") as stream:
            for _, line in found:
                stream.write(line + "\n")
                count += 1
    return count
