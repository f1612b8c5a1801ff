"""PostgreSQL's frontend/backend protocol 3.0, the server's half: messages in, messages out.

Only the shapes of messages are here (PostgreSQL documentation, "Message Formats"); what is
said in them is `tracewall.testing.conversation`'s.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

CANCEL, SSL, GSSENC = 80877102, 80877103, 80877104
"""The codes of a cancel request, and of two requests to encrypt."""

_LONGEST = 256 * 1024 * 1024


class Gone(Exception):
    """The client hung up."""


class Message(NamedTuple):
    """A message of the client: its type (one byte, empty for the first one) and its body."""

    kind: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a result: its name, its type's oid, and the base column it comes from.

    ``table`` and ``attnum`` are 0 where the server would tell no origin.
    """

    name: str
    type: int = 25
    table: int = 0
    attnum: int = 0


class Line:
    """The server's end of one connection: whole messages over a socket."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._out: list[bytes] = []

    def opening(self) -> tuple[int, bytes]:
        """Take the first message, which has no type: its code, and what follows."""
        body = self._body()
        return struct.unpack_from("!I", body)[0], body[4:]

    def take(self) -> Message:
        """Take the next message."""
        kind = self._exactly(1)
        return Message(kind, self._body())

    def give(self, *messages: bytes) -> None:
        """Put messages into what is sent at the next `flush`."""
        self._out += messages

    def flush(self) -> None:
        """Send what was given."""
        data, self._out = b"".join(self._out), []
        try:
            self._link.sendall(data)
        except OSError:
            raise Gone from None

    def _body(self) -> bytes:
        (length,) = struct.unpack("!I", self._exactly(4))
        if not 4 <= length <= _LONGEST:
            raise Gone
        return self._exactly(length - 4)

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            try:
                part = self._link.recv(min(size, 65536))
            except OSError:
                raise Gone from None
            if not part:
                raise Gone
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class Cursor:
    """Reads a message's body from its beginning to its end."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def text(self) -> str:
        """Take a string that ends in a NUL."""
        end = self._body.index(b"\0", self._at)
        taken, self._at = self._body[self._at : end], end + 1
        return taken.decode()

    def byte(self) -> bytes:
        """Take one byte."""
        self._at += 1
        return self._body[self._at - 1 : self._at]

    def short(self) -> int:
        """Take an Int16."""
        return self._number("!h", 2)

    def long(self) -> int:
        """Take an Int32."""
        return self._number("!i", 4)

    def value(self) -> bytes | None:
        """Take a value with its length before it; None for NULL."""
        size = self.long()
        if size < 0:
            return None
        self._at += size
        return self._body[self._at - size : self._at]

    def shorts(self) -> list[int]:
        """Take a count and as many Int16."""
        return [self.short() for _ in range(self.short())]

    def _number(self, form: str, size: int) -> int:
        self._at += size
        found: int = struct.unpack_from(form, self._body, self._at - size)[0]
        return found


def startup(body: bytes) -> dict[str, str]:
    """Give the parameters of a start-up message."""
    words = [word.decode() for word in body.split(b"\0")]
    return dict(zip(words[::2], words[1::2], strict=False))


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Give a message of the server's."""
    return kind + struct.pack("!I", len(body) + 4) + body


def text(word: str) -> bytes:
    """Give a string as messages have it."""
    return word.encode() + b"\0"


def authentication(code: int) -> bytes:
    """Give AuthenticationOk (0) or AuthenticationCleartextPassword (3)."""
    return message(b"R", struct.pack("!I", code))


def parameter(name: str, value: str) -> bytes:
    """Give a ParameterStatus."""
    return message(b"S", text(name) + text(value))


def key_data(process: int, secret: int) -> bytes:
    """Give a BackendKeyData."""
    return message(b"K", struct.pack("!II", process, secret))


def ready(status: str) -> bytes:
    """Give a ReadyForQuery; `status` is I (idle), T (transaction) or E (failed)."""
    return message(b"Z", status.encode())


def complete(tag: str) -> bytes:
    """Give a CommandComplete."""
    return message(b"C", text(tag))


def notification(process: int, channel: str, payload: str) -> bytes:
    """Give a NotificationResponse."""
    return message(b"A", struct.pack("!I", process) + text(channel) + text(payload))


def problem(fields: Mapping[str, str], *, notice: bool = False) -> bytes:
    """Give an ErrorResponse or a NoticeResponse; the keys are the one-letter field types."""
    body = b"".join(code.encode() + text(value) for code, value in fields.items())
    return message(b"N" if notice else b"E", body + b"\0")


def parameters(types: Sequence[int]) -> bytes:
    """Give a ParameterDescription."""
    return message(b"t", struct.pack(f"!h{len(types)}I", len(types), *types))


def description(fields: Sequence[Field], formats: Sequence[int]) -> bytes:
    """Give a RowDescription."""
    body = struct.pack("!h", len(fields))
    for field, form in zip(fields, formats, strict=True):
        numbers = struct.pack("!IhIhih", field.table, field.attnum, field.type, -1, -1, form)
        body += text(field.name) + numbers
    return message(b"T", body)


def row(values: Iterable[bytes | None]) -> bytes:
    """Give a DataRow."""
    known = list(values)
    body = struct.pack("!h", len(known))
    for value in known:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message(b"D", body)


def copying(kind: bytes, columns: int, *, binary: bool) -> bytes:
    """Give a CopyInResponse (``G``) or a CopyOutResponse (``H``)."""
    form = int(binary)
    return message(kind, struct.pack(f"!bh{columns}h", form, columns, *[form] * columns))
