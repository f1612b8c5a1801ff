"""The frozen values an audit record is made of.

`Who` is made once per principal and connection, `What` once per decision and
connection, so that a log can encode each once and a statement costs two short records.
None of them ever holds a literal, a parameter, a row value or a token.
"""

from __future__ import annotations

import msgspec


class Who(msgspec.Struct, frozen=True, eq=False, omit_defaults=True, kw_only=True):
    """A principal on a connection.

    ``session`` is the random id of the guarded connection; ``system`` is the server's
    system identifier, ``database`` and ``role`` are its names of the database and of the
    role tracewall logged in as.
    """

    issuer: str
    subject: str
    session: str
    database: str
    role: str
    token_id: str = ""
    actor: str = ""
    purpose: str = ""
    system: str = ""


class What(msgspec.Struct, frozen=True, eq=False, omit_defaults=True, kw_only=True):
    """A judged statement.

    ``text`` is literal-free, ``sha256`` the hash of the exact bytes (empty in an erasable
    record); ``relations`` maps
    each relation touched to the actions done to it, ``columns`` to its columns that are
    touched; ``masked`` maps output positions (from 0) to the mask's name; ``kept`` is how
    strongly the policy wants the record of it, where that is more than of others. ``would``
    tells what rules that are only observed would have done: the ``outcome``
    (``would_refuse``, ``would_ask``, ``would_mask``), ``rule`` and ``reason``.
    """

    summary: str
    text: str
    sha256: str = ""
    decision: str
    rule: str
    policy: str
    reason: str = ""
    relations: dict[str, list[str]] = msgspec.field(default_factory=dict)
    columns: dict[str, list[str]] = msgspec.field(default_factory=dict)
    masked: dict[str, str] = msgspec.field(default_factory=dict)
    kept: str = ""
    would: dict[str, str] = msgspec.field(default_factory=dict)


class Moment(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is true of one run of a statement only.

    ``transaction`` is the number of its transaction within the session (0: it is one by
    itself); ``text`` and ``parameters`` are salted commitments (hex) to the exact
    bytes of the statement and of its parameters.
    """

    transaction: int = 0
    text: str = ""
    parameters: str = ""


class Ended(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How a statement ended.

    ``status`` is ``ok``, ``error``, ``cancelled``, ``refused`` (never sent), ``withheld``,
    ``abandoned`` (not sent: the record could not be kept, or an interrupt came) or
    ``unknown``; ``rows`` how many rows the server returned or changed (-1: none told);
    ``bytes`` how many bytes its rows had, as the server sent or got them (-1: no rows moved, or
    they are told in ``bytes_estimate``, by a part of them); ``sets`` how many sets
    of parameters an executemany sent (0: it was none); ``written`` a salted commitment to all
    of them, or to what a COPY wrote; ``masked`` how many of
    the columns handed out were masked; ``counts`` how many values each rule was laid on,
    NULLs among them; ``seconds`` from intent to end.
    """

    status: str
    sqlstate: str = ""
    rows: int = -1
    bytes: int = -1
    bytes_estimate: int = -1
    sets: int = 0
    written: str = ""
    masked: int = 0
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    seconds: float = 0.0


class Incident(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Anything else that the record keeps: a token refused, a policy loaded, a mismatch.

    ``kind`` is a stable name (``policy_loaded``, ``connected``, ``disconnected``,
    ``login_failed``, ``token_rejected``, ``unjudged``, ``mismatch``, ``policy_misfit``, ``unsafe``,
    ``principal_changed``, ``approval_requested`` and its kin, ``glass_broken``,
    ``anchor_failed``, ``audit_fault``, ``audit_read``, ``erased``, ``recording_began``,
    ``recording_ended``, ``recording_failed``, ``recording_read``, ``recording_shipped``,
    ``recording_unshipped``, ``console_login``);
    ``detail`` is one sentence without any value.
    """

    kind: str
    detail: str = ""
    who: Who | None = None
    policy: str = ""
