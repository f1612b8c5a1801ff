"""One principal on one connection: the only room that lets a statement through or refuses it.

1. Without a verified token nothing is judged; the token is re-checked at every statement.
2. What is judged is the exact bytes for the wire; the door sends those and no others.
3. The intent is recorded before anything is sent; without a record nothing is sent.
4. A refusal is recorded too, then raised; nothing was sent, so the transaction is whole.
5. A result is looked at before any of it is handed out: it must have the columns that
   were judged, from the tables that were judged, and no more rows than allowed.
6. Every intent gets one outcome, however the statement ends.
7. What is on the connection belongs to one holder; a statement of another principal
   leaves only after that was discarded.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from tracewall.admission import Admission as Admission
from tracewall.admission import Result, differs, refusal
from tracewall.asked import ASKED, NOTHING, asked
from tracewall.bearer import Bearer
from tracewall.caller import Caller
from tracewall.errors import (
    Forbidden,
    PolicyError,
    TokenRejected,
    Withheld,
)
from tracewall.events import Incident, Moment, Who
from tracewall.holder import HELD, Holder, holder_of
from tracewall.identity.principal import Principal, Rejection
from tracewall.identity.provider import TokenProvider
from tracewall.judge import Judge, Judged
from tracewall.ledger import Ledger
from tracewall.shield import Written
from tracewall.sql.catalog import Catalog
from tracewall.sql.statement import is_empty
from tracewall.taping import Taping
from tracewall.telling import UNKNOWN, wrong_door
from tracewall.wall import Wall

_NOBODY = frozenset[str]()


class Session(Ledger):
    """Guards one connection: who acts on it, what they may send, what comes back.

    Args:
        wall: whose policy holds.
        token: the connection's own token, or what gives it; None: whoever
            `Wall.acting_as` says.
    """

    def __init__(self, wall: Wall, token: str | TokenProvider | None) -> None:
        super().__init__(wall)
        self._unknown = False
        self.caller = Caller(wall, token)
        self._bearer: Bearer | None = None
        self._judge: Judge | None = None
        self._observed = False

    # --- who ------------------------------------------------------------------------

    def recheck(self, admission: Admission | None) -> None:
        """Check that whom a statement was admitted for still may be, before more is handed out.

        Raises:
            TokenRejected: the token is refused by now.
        """
        if admission is not None and (served := admission.principal) is not None:
            rejected = self.wall.verifier.still_valid(served, self.wall.clock())
            if rejected is not None:
                raise self._reject(rejected)

    @property
    def trusted(self) -> bool:
        """True where whoever acts may do anything, and nothing is protected from them.

        The server's own words are theirs to hear, then.
        """
        acting = self.caller.bearer()
        judge = self._judge if acting is self._bearer else None
        return judge is not None and judge.trusts

    def principal(self) -> Principal:
        """Give who acts on the connection now.

        Raises:
            TokenRejected: nobody does, or their token is refused.
        """
        bearer = self.caller.bearer()
        if bearer is self._bearer and self._principal is not None:
            rejected = self.wall.verifier.still_valid(self._principal, self.wall.clock())
            if rejected is not None:
                raise self._reject(rejected)
            if self._observed:
                self._end_observing(bearer, self._principal)
            return self._principal
        found = self.caller.found(bearer)
        if isinstance(found, Rejection):
            raise self._reject(found)
        self._become(bearer, found)
        return found

    def _become(self, bearer: Bearer | None, principal: Principal) -> None:
        self._bearer, self._principal = bearer, principal
        self._observed = self.wall.observes
        acting = holder_of(principal, self.wall.policy, observed=self._observed)
        # One object for one holder, so that comparing costs nothing from here on.
        self._acting = self.holder if acting == self.holder else acting
        self._who, self._judge = None, None
        self._labels.clear()

    def _end_observing(self, bearer: Bearer | None, principal: Principal) -> None:
        """Have whoever acts begin anew where the policy was observed, and is no more."""
        if not self.wall.observes:
            self._become(bearer, principal)

    def newcomer(self) -> Holder | None:
        """Give who acts now where that is not the holder; None also where nobody may act."""
        bearer = self.caller.bearer()
        if bearer is None:
            return None
        if bearer is not self._bearer or self._principal is None:
            found = self.caller.found(bearer)
            if isinstance(found, Rejection):
                return None
            self._become(bearer, found)
        elif self._observed:
            self._end_observing(bearer, self._principal)
        return None if self._acting is self.holder else self._acting

    def hold(self, holder: Holder) -> None:
        """Take note that the connection is the holder's now, and nothing of another's on it.

        Raises:
            AuditUnavailable: the change of principal can't be recorded.
        """
        if self.holder is not None:
            detail = "what the last principal left on the connection was discarded"
            self.tell("principal_changed", detail)
        self.holder = holder
        if self._acting == holder:
            # Not of somebody who asked for their rights meanwhile: they are still to come.
            self._acting = holder

    def check_holder(self) -> None:
        """Raise Forbidden where the connection is another's, TokenRejected where nobody acts."""
        self.principal()
        if self.holder is not None and self._acting is not self.holder:
            raise self.unjudged(Forbidden(HELD))

    def _reject(self, rejection: Rejection) -> TokenRejected:
        self._bearer = self._principal = self._acting = self._who = self._judge = None
        return self.rejected(rejection)

    def rejected(self, rejection: Rejection) -> TokenRejected:
        """Record that whoever acts is refused, and give the error."""
        self.caller.look_again()
        of = f" (issuer {rejection.issuer})" if rejection.issuer else ""
        detail = f"{rejection.reason}{of}: {rejection.message}"
        return self.unjudged(TokenRejected(rejection.message, reason=rejection.reason), detail)

    # --- in -------------------------------------------------------------------------

    def know(
        self, fingerprint: bytes, answers: Sequence[bytes] | None = None, *, alone: bool
    ) -> bool:
        """Take what the server says of its catalog; False: the answers are wanted too.

        Raises:
            PolicyError: a pattern of the policy matches nothing in it (at log-in).
            Forbidden: the same, later: the database has changed under the connection.
        """
        misfit, before, first = "", self.catalog, not self.known.was_known
        try:
            found = self.known.take(fingerprint, answers, alone=alone)
        except PolicyError as ex:
            if first:
                raise
            misfit = ex.message
        if misfit:
            # Raised out here, so that no context of the error shows the policy.
            self.known.lose()
            self.audit.incident(Incident(kind="policy_misfit", detail=misfit))
            raise Forbidden(
                "the database has changed and the policy does not fit it any more, "
                "so nothing can be judged; tracewall check --dsn says where it does not fit"
            )
        if self.catalog is not before:
            self._who = self._judge = None
            self._labels.clear()
        return found

    def may_learn(self) -> bool:
        """Tell whether the last refusal may be due to a catalog read too long ago."""
        return self._unknown and self.known.is_old()

    def judge(self, revealed: frozenset[str]) -> Judge:
        """Give the judge of whoever acts, as if people had lifted some masks and scans.

        It may be asked for at any time, also while a statement of another's is on its way.

        Raises:
            TokenRejected: nobody acts, or their token is refused.
            Forbidden: the connection's catalog is not known.
        """
        who = self.caller.found(self.caller.bearer())
        if isinstance(who, Rejection):
            raise self.rejected(who)
        return self.wall.judge_for(self._known(), who.groups, who.actor_groups, revealed)

    def admit(
        self,
        sql: bytes,
        batch: int = 0,
        written: Written = (),
        door: str = "",
        transaction: int = 0,
    ) -> Admission:
        """Judge a statement and record the intent to send it.

        Args:
            sql: the exact bytes for the wire.
            batch: how many times a batch sends it; 0: it is no batch, or nobody knows.
            written: the parameters as they will leave; no mask's mark may be among them.
            door: ``copy`` or ``declare`` where it comes by one that is for these alone.
            transaction: its number; 0: it will be one by itself.

        Raises:
            TokenRejected: nobody acts, or their token is refused.
            Forbidden: the policy does not allow it; nothing may be sent.
            AuditUnavailable: the intent can't be recorded.
        """
        started = time.perf_counter()
        bearer = self.caller.bearer()
        who, judge, known = self._who, self._judge, self._principal
        if who is None or judge is None or known is None or bearer is not self._bearer:
            who, judge = self._ready(sql)
        elif rejected := self.wall.verifier.still_valid(known, self.wall.clock()):
            raise self._reject(rejected)
        said = asked()
        if said.reveal:
            judge = self.judge(said.reveal)
        judged = judge.said.get(sql) or judge.judge(sql)
        if judged.writes and written:
            judged = judge.writing_back(sql, judged, written)
        moment = None
        if transaction or self._person is not None:
            if self._person is not None:
                who = self._whose(who, self._principal)
            moment = self._moment(transaction, sql, written)
        admission = self._intend(sql, who, judged, moment, started, batch)
        admission.said, admission.judge, admission.principal = said, judge, self._principal
        admission.person = self._person
        # What has a ticket instead of a number is not kept yet.
        admission.cleared = admission.intent >= 0 and not judged.decision.approvals
        if self.taping is not None:
            self._record(self.taping, admission, who)
        if judged.decision.outcome == "forbidden":
            self._unknown = judged.decision.unknown
            raise self.refuse(admission, refusal(judged.decision))
        if judged.door != door and not judged.decision.unfollowed:
            raise self.refuse(admission, wrong_door(judged.decision, judged.door, door))
        return admission

    def again(self, sql: bytes, who: Who, judged: Judged, transaction: int) -> Admission | None:
        """Record the intent to send what was sent before; None: it is to be judged.

        Args:
            sql: the exact bytes for the wire.
            who: who acted when it was judged.
            judged: what the judgement was.
            transaction: its number; 0: it will be one by itself.

        Raises:
            TokenRejected: the token is refused by now.
            AuditUnavailable: the intent can't be recorded.
        """
        started = time.perf_counter()
        # Forgotten with whoever acts, and with the catalog: what was judged by them holds.
        known = self._principal
        if self._who is not who or self._acting is not self.holder or known is None:
            return None
        if self.caller.bearer() is not self._bearer or ASKED.get() is not NOTHING:
            return None
        if rejected := self.wall.verifier.still_valid(known, self.wall.clock()):
            raise self._reject(rejected)
        moment = Moment(transaction) if transaction else None
        # Its span begins in `meanwhile`, by the caller.
        return self._intend(sql, who, judged, moment, started, spanned=False)

    def _record(self, taping: Taping, admission: Admission, who: Who) -> None:
        try:
            admission.take = taping.take(admission.judged, self._principal, who)
        except BaseException as ex:
            self._end(admission, "abandoned", error_type=type(ex).__name__)
            raise

    def check_written(self, admission: Admission, data: Written) -> None:
        """Look at what an admitted statement writes later on, in a batch or by COPY.

        Raises:
            Forbidden: a mask's mark is in it.
        """
        if admission.judged.writes and data and admission.judge is not None:
            judged = admission.judge.writing_back(admission.sql, admission.judged, data)
            if judged is not admission.judged:
                raise refusal(judged.decision)

    def _known(self) -> Catalog:
        if self.catalog is None:
            raise self.unjudged(Forbidden(UNKNOWN))
        return self.catalog

    def _ready(self, sql: bytes) -> tuple[Who, Judge]:
        """Find out who acts; for an empty statement, which pools send, it may be nobody."""
        principal = None
        if not is_empty(sql):
            principal = self.principal()
        elif self.caller.bearer() is self._bearer:
            principal = self._principal
        catalog = self._known()
        groups = principal.groups if principal else _NOBODY
        actors = principal.actor_groups if principal else ()
        judge = self.wall.judge_for(catalog, groups, actors)
        who = self._whose(None, principal)
        if principal is not None:
            self._who, self._judge = who, judge
        return who, judge

    # --- out ------------------------------------------------------------------------

    def observe(self, admission: Admission | None, result: Result) -> None:
        """Check a result against the judgement and count its rows, before any is handed out.

        Raises:
            Withheld: the result is not what was judged, or has more rows than allowed.
        """
        if admission is None:
            raise Withheld(
                "a result came that belongs to no judged statement; nothing of it is handed out"
            )
        judged, fields = admission.judged, range(result.nfields)
        if not fields:
            self.count(admission, result.command_tuples or 0, returned=False)
            return
        # As `differs` asks, which is called only for what was not found right before.
        origins = (*map(result.ftable, fields), *map(result.ftablecol, fields))
        if origins not in judged.right and not judged.decision.unfollowed:
            how = differs(admission, len(fields), origins)
            if how:
                raise self.mismatch(admission, how)
        self.count(admission, result.ntuples)
        self.weigh(admission, result)

    def go_on(self, admission: Admission) -> None:
        """Look again at who acts, before more of a long result is handed out.

        Raises:
            TokenRejected: nobody acts any more, or their token is refused.
            Forbidden: somebody else acts, or the result was withheld.
        """
        self.principal()
        if self._acting != admission.holder:
            raise Forbidden(
                "the result belongs to who acted before: execute the statement as who acts now"
            )
        if admission.ended:
            raise Forbidden("the result has ended: declare the cursor anew")

    def mismatch(self, admission: Admission, how: str) -> Withheld:
        """Give, and record, why a result is withheld: its catalog has to be read again."""
        self.known.lose()
        self._who = self._judge = None
        detail, policy = f"the result is not what was judged: {how}", admission.judged.what.policy
        self.audit.incident(Incident(kind="mismatch", detail=detail, policy=policy))
        return Withheld(
            f"{detail}; nothing of it is handed out\n"
            "HINT:  the schema has probably changed; it is read anew before the next statement",
            decision=admission.judged.decision,
        )
