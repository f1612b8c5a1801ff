"""What approvers are shown of a request, in words: the same on a terminal and on a page."""

from __future__ import annotations

from datetime import UTC, datetime

from tracewall.approval.desk import Case
from tracewall.approval.request import Parameter

_WHOLE_NUMBERS = (20, 21, 23)
_TEXTS = (19, 25, 114, 1042, 1043)
_JSONB = 3802


def facts(case: Case) -> dict[str, str]:
    """Give what is known of a request, by name; what is not known is empty.

    Nothing is made harmless: who asks has chosen most of these texts.
    """
    request, act = case.request, case.request.act
    actors = ", ".join(actor.subject for actor in act.actors)
    return {
        "state": case.state + (", to be reviewed" if case.kept.review == "open" else ""),
        "asked by": f"{act.subject} ({act.issuer})" + (f", by {actors}" if actors else ""),
        "reason": request.reason,
        "ticket": request.ticket,
        "purpose": act.purpose,
        "why asked": request.shown.why,
        "touches": "; ".join(f"{n}: {', '.join(a)}" for n, a in request.shown.relations),
        "masked": ", ".join(f"{name} ({rule})" for name, rule in request.shown.masked),
        "reveals": ", ".join(act.reveal),
        "shape": act.text if act.shape else "",
        "rows at most": str(act.rows) if act.rows else "",
        "where": f"{act.database} as {act.role}, search_path {act.search_path}",
        "until": moment(case.standing.until),
        "approved by": ", ".join(person.subject for person in case.standing.approved_by),
        "lacking": ", ".join(f"{count} for {rule}" for rule, count in case.standing.lacking),
        "binding": request.binding,
    }


def value(parameter: Parameter) -> str:
    """Give a parameter as people read it."""
    raw = parameter.bytes
    if raw is None:
        return "NULL"
    if parameter.format and parameter.type == _JSONB and raw[:1] == b"\x01":
        # PostgreSQL's jsonb_send: a version, and the text.
        raw = raw[1:]
    if not parameter.format or parameter.type in (*_TEXTS, _JSONB):
        return repr(raw.decode("utf-8", "backslashreplace"))
    whole = parameter.type in _WHOLE_NUMBERS
    return str(int.from_bytes(raw, signed=True)) if whole else f"\\x{raw.hex()}"


def moment(at: float) -> str:
    """Give a time (seconds since the epoch) in UTC; empty for 0."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else ""
