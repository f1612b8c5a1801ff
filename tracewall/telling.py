"""What is told of a statement: to the record, to spans, and to whoever is refused."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from tracewall.admission import Admission, refusal
from tracewall.errors import Forbidden
from tracewall.events import Ended, Who
from tracewall.identity.principal import Principal
from tracewall.judge import Judged
from tracewall.policy.model import Decision
from tracewall.sql.catalog import Catalog
from tracewall.telemetry import Labels, labels

_NONE: dict[str, int] = {}


def who_told(principal: Principal | None, catalog: Catalog | None, session: str) -> Who:
    """Give what the record keeps of whoever acts; of nobody, only where."""
    return Who(
        issuer=principal.issuer if principal else "",
        subject=principal.subject if principal else "",
        token_id=principal.token_id if principal else "",
        actor=" < ".join(actor.subject for actor in principal.actors) if principal else "",
        purpose=(principal.purpose or "") if principal else "",
        session=session,
        database=catalog.database if catalog else "",
        role=catalog.role if catalog else "",
        system=catalog.system if catalog else "",
    )


UNKNOWN: Final = (
    "the server's catalog has to be read again before anything can be judged: end "
    "the pipeline, or roll the failed transaction back"
)


def labels_told(
    judged: Judged, catalog: Catalog | None, where: tuple[str, int], session: str
) -> Labels:
    """Give what spans and the metric keep of a decision on a connection to `where`."""
    decision = judged.decision
    return labels(
        summary=decision.summary,
        text=decision.text,
        namespace=catalog.database if catalog else "",
        address=where[0],
        port=where[1],
        decision=decision.outcome,
        rule=decision.rule,
        policy=decision.policy_hash,
        session=session,
        would=judged.what.would,
    )


def unjudged_told(catalog: Catalog | None, where: tuple[str, int], session: str) -> Labels:
    """Give what a span keeps of a statement that could not be judged: nothing of its text."""
    namespace = catalog.database if catalog else ""
    address, port = where
    return labels(
        summary="",
        namespace=namespace,
        address=address,
        port=port,
        decision="forbidden",
        session=session,
    )


def ended_told(admission: Admission, status: str, sqlstate: str) -> Ended:
    """Give what the record keeps of a statement's end: of what was handed out, counts too."""
    judged, rows = admission.judged, admission.rows
    counts = judged.counts(rows) if judged.rules and status == "ok" else _NONE
    return Ended(
        status=status,
        sqlstate=sqlstate,
        rows=rows,
        bytes=-1 if admission.estimated else admission.bytes,
        bytes_estimate=admission.bytes if admission.estimated else -1,
        sets=admission.sets,
        written=admission.written.hexdigest() if admission.written is not None else "",
        masked=len(judged.veils),
        counts=counts,
        seconds=time.perf_counter() - admission.started,
    )


def outcome_told(ended: Ended) -> dict[str, str | int | float]:
    """Give what a recording keeps of a statement's end."""
    return {
        "sqlstate": ended.sqlstate,
        "rows": ended.rows,
        "seconds": round(ended.seconds, 6),
    }


_WAYS = {
    "copy": "COPY cannot be used with this method; use copy() instead",
    "declare": "a cursor is declared by cursor(name), whose rows are masked, not as text",
}
_ONLY = {
    "copy": "copy() should be used only with COPY ... TO STDOUT or COPY ... FROM STDIN statements",
    "declare": "cursor(name) should be used only with a query",
}


def wrong_door(decision: Decision, needed: str, used: str) -> Forbidden:
    """Give the error for a statement that came by another door than the one for it."""
    reason = _WAYS.get(needed) or _ONLY[used]
    return refusal(replace(decision, outcome="forbidden", rule="door", reason=reason))
