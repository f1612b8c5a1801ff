"""One connection to a `FakeBackend`: PostgreSQL's message flow, with scripted answers.

See PostgreSQL's documentation, "Message Flow". Whatever is not scripted and no command of
the session's own is answered by an error, so that no test passes by accident.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from types import MappingProxyType
from typing import Any, Protocol

from tracewall.testing import wire
from tracewall.testing.answers import Received, Table, Told
from tracewall.testing.commands import SessionState, usual_tag
from tracewall.testing.values import decoded, encoded

PARAMETERS = {
    "server_version": "18.0 (tracewall.testing)",
    "server_encoding": "UTF8",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "integer_datetimes": "on",
    "is_superuser": "off",
    "in_hot_standby": "off",
    "default_transaction_read_only": "off",
}


class Script(Protocol):
    """What a conversation asks its backend."""

    def login(self, parameters: dict[str, str], password: str | None) -> str:
        """Tell whether a log-in is right: ``ok``, ``ask`` (for a password) or ``wrong``."""
        ...

    def answer(self, received: Received, *, take: bool) -> Reply | None:
        """Give the reply to a statement, None if there is none; `take` uses it up."""
        ...

    def copied(self, received: Received, data: bytes) -> None:
        """Keep what was copied in."""
        ...

    def missed(self, received: Received) -> None:
        """Keep that nothing answers a statement."""
        ...

    def faulty(self, error: Exception) -> None:
        """Keep that an answer can't be given as it is scripted."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What is told in answer to a statement; ``table`` has its rows, if it has any."""

    parts: tuple[Told, ...] = ()
    table: Table | None = None


@dataclass(slots=True)
class _Portal:
    received: Received
    reply: Reply
    formats: Sequence[int] = ()


class _Failed(Exception):
    """The answer is an error: what the client sent up to its Sync is skipped."""

    def __init__(
        self, sqlstate: str, message: str, fields: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(message)
        self.fields = {"S": "ERROR", "V": "ERROR", "C": sqlstate, "M": message, **fields}


class Conversation:
    """Talks with one client until it hangs up.

    Args:
        script: what is answered.
        link: the socket.
        process: the number that stands for a process id.
        secret: what a request to cancel has to know.
    """

    def __init__(self, script: Script, link: socket.socket, process: int, secret: int) -> None:
        self.process, self.secret = process, secret
        self.cancelled = threading.Event()
        self._script, self._link = script, link
        self._line = wire.Line(link)
        self._state = SessionState()
        self._prepared: dict[str, tuple[str, list[int]]] = {}
        self._portals: dict[str, _Portal] = {}
        self._handlers: dict[bytes, Callable[[wire.Cursor], None]] = {
            b"Q": self._query,
            b"P": self._parse,
            b"B": self._bind,
            b"D": self._describe,
            b"E": self._execute,
            b"C": self._close,
            b"H": lambda _: self._line.flush(),
        }

    def notify(self, channel: str, payload: str) -> None:
        """Send a notification, from any thread, if the client listens to the channel."""
        if channel in self._state.channels:
            self._link.sendall(wire.notification(self.process, channel, payload))

    def run(self, parameters: dict[str, str]) -> None:
        """Log the client in, and answer it until it hangs up."""
        with self._link:
            try:
                if self._log_in(parameters):
                    self._talk()
            except wire.Gone:
                return

    def hang_up(self) -> None:
        """End the connection from outside, as a server that dies does."""
        try:
            self._link.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _log_in(self, parameters: dict[str, str]) -> bool:
        verdict = self._script.login(parameters, None)
        if verdict == "ask":
            self._line.give(wire.authentication(3))
            self._line.flush()
            password = wire.Cursor(self._line.take().body).text()
            verdict = self._script.login(parameters, password)
        if verdict != "ok":
            failed = _Failed("28P01", "password authentication failed")
            self._line.give(wire.problem(failed.fields | {"S": "FATAL", "V": "FATAL"}))
            self._line.flush()
            return False
        told = PARAMETERS | {
            "session_authorization": parameters.get("user", ""),
            "application_name": parameters.get("application_name", ""),
        }
        self._line.give(wire.authentication(0), *starmap(wire.parameter, told.items()))
        self._line.give(wire.key_data(self.process, self.secret), self._ready())
        self._line.flush()
        return True

    def _talk(self) -> None:
        skipping = False
        while True:
            kind, body = self._line.take()
            if kind == b"X":
                return
            if kind == b"S":
                skipping = False
                self._end_of_sync()
            elif not skipping:
                skipping = self._handled(kind, body)

    def _handled(self, kind: bytes, body: bytes) -> bool:
        """Handle a message; True if the rest is to be skipped up to the next Sync."""
        try:
            self._handlers[kind](wire.Cursor(body))
            return False
        except _Failed as failed:
            told = failed.fields
        except (TypeError, ValueError, KeyError) as error:
            # The script is wrong: the test has to hear of it, not a thread.
            self._script.faulty(error)
            told = _Failed("XX000", "the fake backend's script is wrong: see its faults").fields
        self._state.fail()
        self._line.give(wire.problem(told))
        if kind == b"Q":
            self._end_of_sync()
        return kind != b"Q"

    def _end_of_sync(self) -> None:
        self._line.give(self._ready())
        self._line.flush()

    def _ready(self) -> bytes:
        return wire.ready(self._state.status)

    # --- messages -------------------------------------------------------------------

    def _query(self, body: wire.Cursor) -> None:
        portal = self._open(Received(body.text()))
        if portal.reply.table is not None:
            self._line.give(self._columns(portal))
        self._run(portal)
        self._end_of_sync()

    def _parse(self, body: wire.Cursor) -> None:
        name, sql = body.text(), body.text()
        self._prepared[name] = sql, [body.long() & 0xFFFFFFFF for _ in range(body.short())]
        self._line.give(wire.message(b"1"))

    def _bind(self, body: wire.Cursor) -> None:
        portal, name = body.text(), body.text()
        if name not in self._prepared:
            raise _Failed("26000", "prepared statement does not exist")
        sql, types = self._prepared[name]
        formats = body.shorts()
        values = [body.value() for _ in range(body.short())]
        parameters = tuple(
            decoded(value, types[at] if at < len(types) else 0, _format(formats, at) == 1)
            for at, value in enumerate(values)
        )
        self._portals[portal] = self._open(Received(sql, parameters), body.shorts())
        self._line.give(wire.message(b"2"))

    def _describe(self, body: wire.Cursor) -> None:
        what, name = body.byte(), body.text()
        if what == b"P":
            found = self._portals.get(name) or self._declared(name)
            self._line.give(self._columns(found))
            return
        if name not in self._prepared:
            raise _Failed("26000", "prepared statement does not exist")
        sql, types = self._prepared[name]
        reply = self._reply(Received(sql), take=False)
        self._line.give(wire.parameters(types), self._columns(_Portal(Received(sql), reply)))

    def _execute(self, body: wire.Cursor) -> None:
        self._run(self._portals[body.text()])

    def _close(self, body: wire.Cursor) -> None:
        kept: dict[str, Any] = self._prepared if body.byte() == b"S" else self._portals
        kept.pop(body.text(), None)
        self._line.give(wire.message(b"3"))

    def _columns(self, portal: _Portal) -> bytes:
        table = portal.reply.table
        if table is None:
            return wire.message(b"n")
        formats = [_format(portal.formats, at) for at in range(len(table.fields))]
        return wire.description(table.fields, formats)

    # --- answers --------------------------------------------------------------------

    def _open(self, received: Received, formats: Sequence[int] = ()) -> _Portal:
        if self._state.status == "E" and not self._state.ends(received.sql):
            raise _Failed(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block",
            )
        return _Portal(received, self._reply(received, take=True), formats)

    def _reply(self, received: Received, *, take: bool) -> Reply:
        if not received.sql.strip(" ;\t\n"):
            return Reply((Told("empty"),))
        found = self._script.answer(received, take=take)
        if found is not None:
            return found
        own = self._state.own(received, lambda inner: self._inner(received, inner, take))
        if own is None:
            self._script.missed(received)
            raise _Failed(
                "XX000", "the fake backend has no answer for this statement: script it by on(...)"
            )
        tag, table = own
        return Reply((Told("rows"), Told("tag", tag)), table)

    def _inner(self, received: Received, sql: str, take: bool) -> Table | None:
        reply = self._script.answer(Received(sql, received.parameters), take=take)
        return reply.table if reply is not None else None

    def _declared(self, name: str) -> _Portal:
        table = self._state.cursor(name)
        if table is None:
            raise _Failed("34000", f'portal "{name}" does not exist')
        return _Portal(Received(""), Reply((), table))

    def _run(self, portal: _Portal) -> None:
        reply, tag = portal.reply, ""
        for part in reply.parts:
            match part.what:
                case "empty":
                    self._line.give(wire.message(b"I"))
                    return
                case "rows":
                    self._rows(portal)
                case "tag":
                    tag = part.value
                case "notice":
                    self._line.give(wire.problem(part.value, notice=True))
                case "problem":
                    raise _Failed(part.value["C"], part.value["M"], part.value)
                case "delay":
                    self._wait(part.value)
                case "hang up":
                    self._line.flush()
                    self.hang_up()
                    raise wire.Gone
                case "copy out":
                    self._copy_out(*part.value)
                case "copy in":
                    self._copy_in(portal.received, *part.value)
        rows = len(reply.table.rows) if reply.table is not None else 0
        self._line.give(wire.complete(tag or usual_tag(portal.received.sql, rows)))

    def _rows(self, portal: _Portal) -> None:
        table = portal.reply.table
        if table is None:
            return
        kinds = [
            (field.type, _format(portal.formats, at) == 1) for at, field in enumerate(table.fields)
        ]
        for row in table.rows:
            self._line.give(
                wire.row(encoded(value, *kind) for value, kind in zip(row, kinds, strict=True))
            )

    def _wait(self, seconds: float) -> None:
        self._line.flush()
        self.cancelled.clear()
        if self.cancelled.wait(seconds):
            raise _Failed("57014", "canceling statement due to user request")

    def _copy_out(self, chunks: Sequence[bytes], columns: int, binary: bool) -> None:
        self._line.give(wire.copying(b"H", columns, binary=binary))
        self._line.give(*(wire.message(b"d", chunk) for chunk in chunks), wire.message(b"c"))

    def _copy_in(self, received: Received, columns: int, binary: bool) -> None:
        self._line.give(wire.copying(b"G", columns, binary=binary))
        self._line.flush()
        data = []
        while True:
            kind, body = self._line.take()
            if kind == b"d":
                data.append(body)
            elif kind == b"c":
                self._script.copied(received, b"".join(data))
                return
            elif kind == b"f":
                raise _Failed("57014", "COPY from stdin failed")
            elif kind not in (b"H", b"S"):
                raise wire.Gone


def _format(formats: Sequence[int], at: int) -> int:
    if not formats:
        return 0
    return formats[0] if len(formats) == 1 else formats[at]
