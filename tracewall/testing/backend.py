"""A backend without PostgreSQL, for unit tests: it speaks the protocol and answers a script.

    with FakeBackend(tables={"shop.orders": {"id": "int8", "card": "text"}}) as backend:
        backend.on("select id, card from shop.orders").rows([(1, "4111 1111 1111 1111")])
        ...
        assert backend.statements == ["select id, card from shop.orders"]

The real psycopg connects to it over loopback; the wall reads its catalog from it and guards
as always: the policy, the masks and the audit log are the real ones.
"""

from __future__ import annotations

import itertools
import secrets
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from psycopg.conninfo import make_conninfo

from tracewall.locks import RLock
from tracewall.testing import wire
from tracewall.testing.answers import (
    Answer,
    Column,
    Pattern,
    Received,
    Table,
    Told,
    spelled,
    tabled,
)
from tracewall.testing.conversation import Conversation, Reply
from tracewall.testing.tables import Pretended, Tables
from tracewall.testing.wire import Field

_ROWS = Told("rows")


class FakeBackend:
    """A server on the loopback interface that gives scripted answers.

    It runs in threads of its own from its making to `close`, and serves any number of
    connections, sync and async. Leaving its ``with`` block fails where a statement came
    that nothing was scripted for, or where what was scripted could not be sent.

    Args:
        tables: what the database holds: tables by qualified name, each mapping columns to
            the names of built-in types.
        password: what a log-in must show; None: anybody may log in.
        database: the name of the only database.
        user: the role that the wall logs in as.
        catalog: in place of ``tables``, a real server's answers to what the wall asks of its
            catalog, as `tracewall.sql.snapshot.loads` gives them.
    """

    def __init__(
        self,
        tables: Tables | None = None,
        *,
        password: str | None = None,
        database: str = "fake",
        user: str = "service",
        catalog: Sequence[bytes] = (),
    ) -> None:
        self.statements: list[str] = []
        """The texts of the statements that arrived, in order, but for those of the session
        (BEGIN, SET) and of the wall (its questions about the catalog)."""
        self.received: list[Received] = []
        """The same with their parameters."""
        self.everything: list[str] = []
        """The text of each statement that arrived, whoever sent it."""
        self.unanswered: list[str] = []
        """The statements that nothing was scripted for; they got an error."""
        self.faults: list[Exception] = []
        """What was wrong with answers that could not be given; their statements got an error."""
        self.logins: list[Mapping[str, str]] = []
        """The start-up parameters of each log-in (``user``, ``application_name``, …)."""
        self._pretended = Pretended(tables or {}, database, user, catalog)
        self._password, self._database, self._user = password, database, user
        self._answers: list[Answer] = []
        self._talks: dict[int, Conversation] = {}
        self._lock = RLock()
        self._processes = itertools.count(1)
        self._closing = False
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="tracewall-fake", daemon=True)
        self._thread.start()

    @property
    def conninfo(self) -> str:
        """The libpq connection string to it, without the password."""
        return make_conninfo(
            host="127.0.0.1",
            port=self.port,
            dbname=self._database,
            user=self._user,
            sslmode="disable",
            gssencmode="disable",
        )

    def on(self, statement: Pattern) -> Answer:
        """Script the answer to a statement.

        Several answers to the same statement are given in turn; the last one stays.

        Args:
            statement: its text as the caller writes it (blanks and the spelling of
                placeholders don't matter), a compiled pattern that is searched in it, or
                a function that tells.
        """
        answer = Answer(statement)
        with self._lock:
            self._answers.append(answer)
        return answer

    def notify(self, channel: str, payload: str = "") -> None:
        """Send a notification to the connections that listen to a channel."""
        with self._lock:
            talks = list(self._talks.values())
        for talk in talks:
            talk.notify(channel, payload)

    def disconnect(self) -> None:
        """End all connections, as a server that dies does."""
        with self._lock:
            talks = list(self._talks.values())
        for talk in talks:
            talk.hang_up()

    @property
    def unused(self) -> list[Answer]:
        """The answers that were scripted and never given."""
        return [answer for answer in self._answers if not answer.used]

    def reset(self) -> None:
        """Forget the answers, and what arrived."""
        with self._lock:
            self._answers.clear()
            self.statements.clear()
            self.received.clear()
            self.everything.clear()
            self.unanswered.clear()
            self.faults.clear()

    def close(self) -> None:
        """Stop serving, and end all connections."""
        if self._closing:
            return
        self._closing = True
        # Closing a socket does not wake up who waits on it; a connection does.
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        if kind is None and self.faults:
            raise self.faults[0]
        if kind is None and self.unanswered:
            statements = "; ".join(self.unanswered)
            raise AssertionError(f"no answer was scripted, by on(...), for: {statements}")

    # --- what conversations ask -----------------------------------------------------

    def login(self, parameters: dict[str, str], password: str | None) -> str:
        """Tell whether a log-in is right; see `conversation.Script`."""
        if password is None and self._password is not None:
            return "ask"
        right = password == self._password and parameters.get("user") == self._user
        self.logins.append(parameters)
        return "ok" if right and parameters.get("database") == self._database else "wrong"

    def answer(self, received: Received, *, take: bool) -> Reply | None:
        """Give the reply to a statement; see `conversation.Script`."""
        with self._lock:
            if take:
                self.everything.append(received.sql)
            known = self._pretended.answer(received.sql.encode())
            if known is not None:
                return Reply((_ROWS,), Table((Field("answer", 25),), [(known,)]))
            scripted = self._scripted(received.sql)
            if scripted is not None:
                return self._reply(scripted, received, take)
            return None

    def copied(self, received: Received, data: bytes) -> None:
        """Keep what was copied in; see `conversation.Script`."""
        with self._lock:
            at = max(at for at, known in enumerate(self.received) if known is received)
            self.received[at] = Received(received.sql, received.parameters, data)

    def missed(self, received: Received) -> None:
        """Keep that nothing answers a statement; see `conversation.Script`."""
        with self._lock:
            self._keep(received)
            self.unanswered.append(received.sql)

    def faulty(self, error: Exception) -> None:
        """Keep that an answer can't be given; see `conversation.Script`."""
        self.faults.append(error)

    def _keep(self, received: Received) -> None:
        self.received.append(received)
        self.statements.append(received.sql)

    def _scripted(self, sql: str) -> Answer | None:
        fitting = [answer for answer in self._answers if answer.matches(sql)]
        for answer in fitting:
            if answer.fresh or answer is fitting[-1]:
                return answer
        return None

    def _reply(self, answer: Answer, received: Received, take: bool) -> Reply | None:
        if take:
            if not answer.take():
                return None
            self._keep(received)
        for part in answer.parts:
            if part.what == "rows":
                return Reply(answer.parts, self._table(received, *part.value))
        return Reply(answer.parts)

    def _table(self, received: Received, rows: Any, columns: Sequence[Column] | None) -> Table:
        made = rows(received) if callable(rows) else rows
        given: list[Sequence[Any]] = [tuple(row) for row in made]
        if columns is None:
            selected = self._pretended.selected(received.sql)
            return tabled(given, [known for _, known in selected], [name for name, _ in selected])
        told = [spelled(column) for column in columns]
        known = [self._field(*column) for column in told]
        return tabled(given, known, [name for name, _, _ in told])

    def _field(self, name: str, oid: int | None, base: str) -> Field | None:
        if not base:
            return Field(name, oid) if oid is not None else None
        origin = self._pretended.base(base)
        return Field(name, oid if oid is not None else origin.type, origin.table, origin.attnum)

    # --- connections ----------------------------------------------------------------

    def _serve(self) -> None:
        with self._socket:
            while not self._closing:
                self._accept()

    def _accept(self) -> None:
        link, _ = self._socket.accept()
        if self._closing:
            link.close()
        else:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._meet, args=(link,), daemon=True).start()

    def _meet(self, link: socket.socket) -> None:
        line = wire.Line(link)
        try:
            code, body = line.opening()
            while code in (wire.SSL, wire.GSSENC):
                link.sendall(b"N")
                code, body = line.opening()
        except (wire.Gone, OSError):
            link.close()
            return
        if code == wire.CANCEL:
            with link:
                self._cancel(wire.Cursor(body))
            return
        talk = Conversation(self, link, next(self._processes), secrets.randbits(31))
        with self._lock:
            self._talks[talk.process] = talk
        try:
            talk.run(wire.startup(body))
        finally:
            with self._lock:
                del self._talks[talk.process]

    def _cancel(self, body: wire.Cursor) -> None:
        process, secret = body.long(), body.long()
        talk = self._talks.get(process)
        if talk is not None and talk.secret == secret:
            talk.cancelled.set()
