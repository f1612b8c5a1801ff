"""What is recorded of whom: one tape for each session and rule, one take for each statement.

1. A statement is on tape before it is sent, rows before they are handed out.
2. Where a line can't be written, the rule says whether the caller is refused or goes on
   unrecorded; either way it is told, once for each tape.
3. A tape that is closed or was torn is followed by another one that names it.
"""

from __future__ import annotations

import errno
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tracewall.errors import AuditUnavailable
from tracewall.locks import Lock, RLock
from tracewall.recording.lines import LONGEST
from tracewall.recording.sealing import Sealed, recipients
from tracewall.recording.tape import Sink, Tape
from tracewall.recording.values import encoded, recorded

# A line of rows ends after so many bytes: readers hold one line at a time.
_FULL: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Terms:
    """How a rule records: at most ``rows`` rows and ``bytes`` bytes of them a statement.

    With ``refuse`` nothing goes on unrecorded. Once a tape has ``rotate_size`` bytes as packed, or
    is ``rotate_interval`` seconds old, the next statement goes on another one (0: never).
    """

    name: str
    rows: int
    bytes: int
    refuse: bool
    rotate_size: int = 0
    rotate_interval: float = 0.0


class Shelf(Protocol):
    """Where recordings are begun."""

    def create(self, rule: str, session: str, *, sealed: bool) -> tuple[str, Sink]:
        """Begin a recording, and give its id.

        Raises:
            OSError: it can't be made.
        """
        ...

    def discard(self, rule: str, id: str, *, sealed: bool) -> None:
        """Delete a recording that could not be begun."""
        ...


class Carrier(Protocol):
    """What takes recordings elsewhere when they are closed."""

    @property
    def overdue(self) -> bool:
        """True where so much waits that nothing more may be begun."""
        ...

    def wake(self, size: int) -> None:
        """Say that another recording is closed, of so many bytes."""
        ...

    def close(self) -> None:
        """Take along what there is, and end."""
        ...


class Recorder:
    """Begins recordings for all sessions of a wall, and closes what is left of them.

    Args:
        shelf: where they are kept.
        to: the recipients that they are encrypted to, as age writes them; none: they are not.
        tell: is told what happens, for the audit: its kind, and one sentence.
        carrier: takes them elsewhere.

    Raises:
        SealingUnavailable: there are recipients, and they can't be encrypted to.
    """

    def __init__(
        self,
        shelf: Shelf,
        to: Sequence[str] = (),
        tell: Callable[[str, str], None] | None = None,
        carrier: Carrier | None = None,
    ) -> None:
        self._shelf = shelf
        self._to = recipients(to) if to else []
        self._tell = tell or (lambda kind, detail: None)
        self._carrier = carrier
        self._reels = weakref.WeakSet[Reel]()
        self._lock = Lock()
        self._closed = False

    def reel(self, terms: Terms, header: dict[str, Any]) -> Reel:
        """Give what records one session by one rule."""
        made = Reel(self, terms, header)
        with self._lock:
            self._reels.add(made)
        return made

    def begin(self, rule: str, header: dict[str, Any]) -> tuple[str, Tape]:
        """Begin a tape, and give its id.

        Raises:
            OSError: it can't be begun.
        """
        if self._closed:
            raise OSError("the wall is closed")
        if self._carrier is not None and self._carrier.overdue:
            raise OSError(errno.EDQUOT, "too much waits to be shipped")
        id, sink = self._shelf.create(rule, str(header["session"]), sealed=bool(self._to))
        try:
            told = {"id": id, "time": round(time.time(), 3), **header, "rule": rule}
            tape = Tape(Sealed(sink, self._to) if self._to else sink, told)
        except BaseException:
            sink.close()
            # A full disk is not to be filled with beginnings.
            self._shelf.discard(rule, id, sealed=bool(self._to))
            raise
        self._tell("recording_began", f"{rule}/{id}")
        return id, tape

    def ended(self, rule: str, id: str, tape: Tape) -> None:
        """Tell the audit where a tape ends: so that it can't be cut, or exchanged, unnoticed."""
        self._tell("recording_ended", f"{rule}/{id}: {tape.lines} lines, SHA-256 {tape.head}")
        if self._carrier is not None:
            self._carrier.wake(tape.size)

    def fault(self, rule: str, id: str, error: OSError) -> None:
        """Tell the audit that a tape could not be written."""
        why = error.strerror or type(error).__name__
        self._tell("recording_failed", f"{rule}/{id or '(none)'}: {why}")

    def close(self) -> None:
        """Close every tape; what comes after that can't be recorded."""
        self._closed = True
        with self._lock:
            reels = list(self._reels)
        for reel in reels:
            reel.close("the wall was closed")
        if self._carrier is not None:
            self._carrier.close()


class Reel:
    """Records one session by one rule, on one tape or, where that ended early, on several."""

    def __init__(self, recorder: Recorder, terms: Terms, header: dict[str, Any]) -> None:
        self.terms = terms
        self._recorder = recorder
        self._header = header
        self._tape: Tape | None = None
        self._id = ""
        self._failed = False
        self._taken = 0
        self._lock = RLock()
        weakref.finalize(self, _forsake, holder := _Holder())
        self._holder = holder

    def take(self, told: dict[str, Any]) -> Take:
        """Record that a statement is about to be sent.

        Raises:
            AuditUnavailable: it can't be recorded, and must be.
        """
        with self._lock:
            self._rotate()
            self._taken += 1
            take = Take(self, self._taken, told)
        self.write("statement", {"s": take.number, **told}, take)
        return take

    def _rotate(self) -> None:
        """Close a tape that is full, or old, between two statements; the next one names it."""
        tape, terms = self._tape, self.terms
        if tape is None or not tape.usable:
            return
        full = 0 < terms.rotate_size <= tape.size
        if full or 0 < terms.rotate_interval <= tape.age:
            self.close("continued")

    def write(
        self, kind: str, told: dict[str, Any], take: Take | None = None, rows: Sequence[str] = ()
    ) -> None:
        """Add a line about a take.

        Raises:
            AuditUnavailable: it can't be recorded, and must be.
        """
        with self._lock:
            if self._failed and not self.terms.refuse:
                return
            failure: OSError | None = None
            try:
                fresh = self._tape is None or not self._tape.usable
                tape = self._loaded()
                if fresh and take is not None and kind != "statement":
                    tape.write("statement", {"s": take.number, **take.told})
                tape.write(kind, told, rows)
            except OSError as error:
                failure = error
            if failure is not None:
                self._fail(failure)

    def _loaded(self) -> Tape:
        tape = self._tape
        if tape is None or not tape.usable:
            former = {"continues": self._id} if self._id else {}
            self._id, tape = self._recorder.begin(self.terms.name, {**self._header, **former})
            self._tape = self._holder.tape = tape
        return tape

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            self._recorder.fault(self.terms.name, self._id, error)
        if self.terms.refuse:
            raise AuditUnavailable(
                "the session can't be recorded, and its policy wants it recorded "
                f"(rule recordings.{self.terms.name})"
            )

    def close(self, why: str = "closed") -> None:
        """Close the tape; what still comes goes on a new one."""
        with self._lock:
            tape, self._tape = self._tape, None
            if tape is None or not tape.usable:
                return
            try:
                tape.close(why)
            except OSError as error:
                self._recorder.fault(self.terms.name, self._id, error)
            else:
                self._recorder.ended(self.terms.name, self._id, tape)


class _Holder:
    """Keeps hold of a reel's tape, to close it when the reel is gone."""

    tape: Tape | None = None


def _forsake(holder: _Holder) -> None:
    if holder.tape is not None:
        try:
            holder.tape.close("nobody held the connection any more")
        except OSError:
            return


class Take:
    """What is recorded of one statement.

    ``cut`` says by what no more of its rows are recorded: ``rows`` or ``bytes``.
    """

    __slots__ = ("_bytes", "_reel", "_rows", "cut", "number", "told")

    def __init__(self, reel: Reel, number: int, told: dict[str, Any]) -> None:
        self._reel, self.number, self.told = reel, number, told
        self._rows = self._bytes = 0
        self.cut = ""

    def rows(self, rows: Iterable[Sequence[object]]) -> None:
        """Record rows that are about to be handed out, in the form they are shown in.

        Raises:
            AuditUnavailable: they can't be recorded, and must be.
        """
        if not self.cut:
            self._add("rows", (_line([recorded(value) for value in row]) for row in rows))

    def copied(self, rows: Iterable[bytes], *, binary: bool) -> None:
        """Record rows of a COPY that are about to be handed out, as they are spelled.

        Raises:
            AuditUnavailable: they can't be recorded, and must be.
        """
        if not self.cut:
            spelled = (row.hex() if binary else row.decode("utf-8", "replace") for row in rows)
            self._add("binary" if binary else "copy", map(_line, spelled))

    def _add(self, kind: str, lines: Iterable[str]) -> None:
        first, size, kept = self._rows, 0, list[str]()
        for line in lines:
            if self._is_full(line):
                break
            self._rows += 1
            self._bytes += len(line)
            kept.append(line)
            size += len(line)
            if size >= _FULL:
                self._keep(kind, first, kept)
                first, size, kept = self._rows, 0, []
        self._keep(kind, first, kept)
        if self.cut:
            self._reel.write("cut", {"s": self.number, "at": self._rows, "by": self.cut}, self)

    def _is_full(self, line: str) -> bool:
        """Tell whether a row is more than may be recorded; so is one that makes no line."""
        terms = self._reel.terms
        if self._rows >= terms.rows:
            self.cut = "rows"
        elif self._bytes + len(line) > terms.bytes or len(line) > LONGEST - _FULL:
            self.cut = "bytes"
        return bool(self.cut)

    def _keep(self, kind: str, first: int, rows: Sequence[str]) -> None:
        if rows:
            self._reel.write(kind, {"s": self.number, "at": first}, self, rows)

    def note(self, kind: str, **told: object) -> None:
        """Record what happens on the way: a notice, an approval.

        Raises:
            AuditUnavailable: it can't be recorded, and must be.
        """
        self._reel.write(kind, {"s": self.number, **told}, self)

    def outcome(self, status: str, **told: object) -> None:
        """Record how the statement ended.

        Raises:
            AuditUnavailable: it went well, but that can't be recorded, and must be. After an
                error that is what the caller is told; the next statement is refused.
        """
        try:
            self.note("outcome", status=status, **told)
        except AuditUnavailable:
            if status == "ok":
                raise


def _line(value: Any) -> str:
    try:
        return encoded(value)
    except (RecursionError, ValueError):
        return encoded("(can't be written as JSON)")
