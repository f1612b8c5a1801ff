"""A record of the audit log as one line for people. Any record: nothing is known to be right."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from tracewall.cli.screen import safe

_STYLES = {"allowed": "green", "ok": "green", "asks": "yellow"}


def entry(record: Mapping[str, Any]) -> Text:
    """Give the line of a record: when, its number, and what it says."""
    kind = _text(record.get("kind"))
    line = Text.assemble(
        (f"{_time(record.get('at'))} ", "dim"), f"{_text(record.get('n', '?')):>5} "
    )
    teller = _TELLERS.get(kind)
    if teller is None:
        line.append(f"{kind or 'unreadable'} ", "yellow")
        line.append(_rest(record), "dim")
        return line
    return line.append_text(teller(record))


def _intent(record: Mapping[str, Any]) -> Text:
    return Text.assemble(("intent   ", "bold"), _asked(record))


def _statement(record: Mapping[str, Any]) -> Text:
    """Tell an intent and its outcome, which one record holds where the log is buffered."""
    return Text.assemble(("statement ", "bold"), _asked(record), "  ended: ", _ended(record))


def _asked(record: Mapping[str, Any]) -> Text:
    who, what = _part(record, "who"), _part(record, "what")
    decision = _text(what.get("decision"))
    line = Text.assemble(
        f"{_text(who.get('subject')) or 'nobody'}  {_text(what.get('summary'))}  ",
        (decision, _STYLES.get(decision, "red")),
        f" by {_text(what.get('rule'))}",
    )
    if masked := what.get("masked"):
        names = masked.values() if isinstance(masked, dict) else [masked]
        line.append(f"  masked: {', '.join(dict.fromkeys(map(_text, names)))}", "yellow")
    if who.get("purpose"):
        line.append(f"  for: {_text(who['purpose'])}", "dim")
    return line


def _outcome(record: Mapping[str, Any]) -> Text:
    of = f"of {_text(record.get('intent', '?'))}  "
    return Text.assemble(("outcome  ", "bold"), of, _ended(record))


def _ended(record: Mapping[str, Any]) -> Text:
    ended = _part(record, "ended")
    status = _text(ended.get("status"))
    line = Text.assemble((status, _STYLES.get(status, "red")))
    if ended.get("sqlstate"):
        line.append(f" {_text(ended['sqlstate'])}")
    rows = _text(ended.get("rows"))
    if rows not in ("", "-1"):
        line.append(f"  {rows} rows")
    line.append(f"  {_milliseconds(ended.get('seconds'))}", "dim")
    return line


def _incident(record: Mapping[str, Any]) -> Text:
    incident = _part(record, "incident")
    line = Text.assemble(("incident ", "bold"), (_text(incident.get("kind")), "yellow"))
    if subject := _part(incident, "who").get("subject"):
        line.append(f"  {_text(subject)}")
    if incident.get("detail"):
        line.append(f"  {_text(incident['detail'])}")
    return line


def _opened(record: Mapping[str, Any]) -> Text:
    told = f"by process {_text(record.get('pid', '?'))}, {_text(record.get('durability'))}"
    return Text.assemble(("opened   ", "bold"), told)


def _closed(record: Mapping[str, Any]) -> Text:
    return Text("closed", "bold")


_TELLERS = {
    "intent": _intent,
    "outcome": _outcome,
    "statement": _statement,
    "incident": _incident,
    "opened": _opened,
    "closed": _closed,
}


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def _text(value: object) -> str:
    try:
        return "" if value is None else safe(str(value))
    except ValueError:
        # Python does not spell out a number of thousands of digits.
        return "?"


def _milliseconds(seconds: object) -> str:
    try:
        return f"{float(str(seconds)) * 1000:.1f} ms"
    except ValueError:
        return ""


def _time(at: object) -> str:
    try:
        return datetime.fromtimestamp(float(str(at)), UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "????-??-?? ??:??:??Z"


def _rest(record: Mapping[str, Any]) -> str:
    known = (f"{safe(str(name))}={_text(value)}" for name, value in record.items())
    return " ".join(part for part in known if not part.startswith("kind="))
