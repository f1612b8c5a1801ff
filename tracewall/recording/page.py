"""A session as one page of HTML: no network, nothing but itself, and everything escaped.

1. Whatever was recorded gets into the page through `_safe` alone: HTML's characters are
   references, and what could steer, reorder or hide is a visible escape.
2. What was recorded never gets into a script, a style, an attribute that is read as code,
   or a URL. The policy in the page's head (CSP) names the one style and the one script by
   their hashes, and forbids everything else.
3. Without scripts the page is whole; with them it plays.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterable, Iterator
from html import escape
from itertools import islice
from typing import Final

from tracewall.recording.page_parts import SCRIPT, STYLE
from tracewall.recording.reader import Proof
from tracewall.recording.shown import Column, Spoken, names, visible
from tracewall.recording.summary import Mark, Summary

_TIMELINE: Final = 1000


def page(summary: Summary, statements: Iterable[Spoken], most: int) -> Iterator[str]:
    """Yield a session as a page, part by part, with what reading it has proved.

    Args:
        summary: the session as a whole.
        statements: it once more, with the rows that are to be shown.
        most: how many statements the page may have.
    """
    title = f"{_safe(summary.who)}: session {_safe(summary.header.get('id', ''))}"
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{security_policy()}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="referrer" content="no-referrer">\n'
    yield f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    yield from _head(summary, most)
    yield from _timeline(summary, most)
    yield "<main>\n"
    for at, spoken in enumerate(islice(statements, most), 1):
        yield "".join(_statement(spoken, f"m{at}" if spoken.goes_on else f"s{spoken.number}"))
    yield f"</main>\n<footer>{_why(summary)}</footer>\n<script>{SCRIPT}</script>\n"
    yield "</body>\n</html>\n"


def security_policy() -> str:
    """Give the content security policy of a session's page: its style, its script, nothing else."""
    return (
        f"default-src 'none'; style-src {hashed(STYLE)}; script-src {hashed(SCRIPT)}; "
        "base-uri 'none'; form-action 'none'"
    )


def hashed(text: str) -> str:
    """Give the hash of a style or script, as a content security policy names it."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _safe(text: object, *, lines: bool = False) -> str:
    return escape(visible(str(text), lines=lines))


def _why(summary: Summary) -> str:
    if not summary.why:
        return "The recording has no end."
    return f"The session ended: {_safe(summary.why)}."


def _head(summary: Summary, most: int) -> Iterator[str]:
    header = summary.header
    yield f'<header>\n<h1>{_safe(summary.who)} <span class="on">on</span> '
    yield f"{_safe(header.get('database', ''))}</h1>\n"
    yield _proved(summary.proof)
    if summary.statements > most:
        yield f'<p class="proof odd">This page shows the first {most:,} of '
        yield f"{summary.statements:,} statements.</p>\n"
    yield '<dl class="facts">\n'
    began = header.get("time")
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(began)) if began else ""
    groups = ", ".join(str(group) for group in header.get("groups") or ())
    actors = ", ".join(str(actor["subject"]) for actor in header.get("actors") or ())
    for name, value in (
        ("Began", when),
        ("Lasted", f"{summary.length:.1f} s, {summary.statements:,} statements"),
        ("Issuer", header.get("issuer", "")),
        ("Groups", groups),
        ("Acted for by", actors),
        ("Purpose", header.get("purpose", "")),
        ("Role", header.get("role", "")),
        ("Rule", f"recordings.{header.get('rule', '')}"),
        ("Policy", str(header.get("policy", ""))[:16]),
        ("Id", header.get("id", "")),
        ("Continues", header.get("continues", "")),
    ):
        if value:
            yield f"<div><dt>{name}</dt><dd>{_safe(value)}</dd></div>\n"
    yield "</dl>\n</header>\n"


def _proved(proof: Proof) -> str:
    if proof.fault:
        return (
            f'<p class="proof bad">Line {proof.line} can\'t be trusted: {_safe(proof.fault)}. '
            "What is shown stands before it.</p>\n"
        )
    if not proof.closed:
        return '<p class="proof odd">This recording is not closed: its end may be missing.</p>\n'
    head = f"<code>{_safe(proof.head)}</code>"
    return f'<p class="proof good">{proof.lines:,} lines hold together. Head {head}</p>\n'


def _timeline(summary: Summary, most: int) -> Iterator[str]:
    span = max(summary.length, 0.001)
    yield '<nav aria-label="Timeline">\n'
    yield f'<svg viewBox="0 0 {_TIMELINE} 36" preserveAspectRatio="none" role="presentation">\n'
    left = most
    for mark in summary.marks:
        yield _mark(mark, span, linked=left > 0)
        left -= mark.several
    yield "</svg>\n"
    yield '<div class="controls" hidden><button type="button" id="play">Play</button>'
    yield '<label>Speed <select id="speed"><option>1</option><option>4</option>'
    yield '<option>16</option><option>64</option></select></label><span class="keys">'
    yield "<kbd>j</kbd> <kbd>k</kbd> next, previous · <kbd>space</kbd> play, pause · "
    yield '<kbd>e</kbd> refused or failed</span><span id="clock" role="status"></span></div>\n'
    yield "</nav>\n"


def _mark(mark: Mark, span: float, *, linked: bool) -> str:
    x = min(mark.began / span, 1.0) * (_TIMELINE - 6)
    width = min(max(6.0, (mark.last - mark.began) / span * _TIMELINE), _TIMELINE - x)
    more = f" and {mark.several - 1} more" if mark.several > 1 else ""
    drawn = (
        f'<rect class="{mark.mood}" x="{x:.1f}" y="4" width="{width:.1f}" height="28" rx="2">'
        f"<title>{mark.number}: {_safe(mark.text)}{more}</title></rect>"
    )
    return f'<a href="#s{mark.number}" tabindex="-1">{drawn}</a>\n' if linked else f"{drawn}\n"


def _statement(spoken: Spoken, place: str) -> Iterator[str]:
    mood = spoken.mood
    yield f'<article id="{place}" class="{mood}" tabindex="0" data-at="{spoken.began:.6f}">\n'
    yield f'<h2><a href="#{place}">{spoken.number}</a> '
    yield f'<span class="at">+{spoken.began:.3f} s</span> '
    yield f'<span class="badge">{mood}</span></h2>\n'
    yield f"<pre>{_safe(spoken.text, lines=True)}</pre>\n"
    if spoken.goes_on:
        yield '<p class="note">More of a statement that stands above.</p>\n'
    else:
        yield f'<p class="decision"><b>{_safe(spoken.decision)}</b> by {_safe(spoken.rule)}'
        yield f": {_safe(spoken.reason)}</p>\n" if spoken.reason else "</p>\n"
    if spoken.relations:
        told = "; ".join(f"{n} ({', '.join(did)})" for n, did in spoken.relations.items())
        yield f'<p class="on">{_safe(told)}</p>\n'
    for note in (*(f"notice {n}" for n in spoken.notices), *spoken.notes):
        yield f'<p class="note">{_safe(note)}</p>\n'
    yield from _rows(spoken)
    yield f'<p class="end">{_end(spoken)}</p>\n</article>\n'


def _rows(spoken: Spoken) -> Iterator[str]:
    if spoken.rows:
        columns = names(spoken)
        yield '<div class="scroll" tabindex="0" role="region" aria-label="Rows"><table>\n'
        yield "<thead><tr>"
        yield from map(_column, columns)
        yield "</tr></thead>\n<tbody>\n"
        for row in spoken.rows:
            cells = (_cell(value, columns[at]) for at, value in enumerate(row))
            yield f"<tr>{''.join(cells)}</tr>\n"
        yield "</tbody></table></div>\n"
    if spoken.spelled:
        yield f'<pre class="copy">{_safe("".join(spoken.spelled), lines=True)}</pre>\n'
    if spoken.left_out:
        shown = spoken.handed_out - spoken.left_out
        yield f'<p class="cut">This page shows the first {shown:,} of {spoken.handed_out:,} '
        yield "rows that were recorded.</p>\n"
    if spoken.cut:
        yield f'<p class="cut">Cut here: the limit of {_safe(spoken.cut)} was reached.</p>\n'


def _column(column: Column) -> str:
    name = _safe(column.name)
    if not column.rule:
        return f'<th scope="col">{name}</th>'
    rule = f'<span class="rule">masked by {_safe(column.rule)}</span>'
    return f'<th scope="col" class="masked">{name}{rule}</th>'


def _cell(value: str | None, column: Column) -> str:
    kinds = " ".join(["null"] * (value is None) + ["masked"] * bool(column.rule))
    shown = "NULL" if value is None else _safe(value, lines=True)
    return f'<td class="{kinds}">{shown}</td>' if kinds else f"<td>{shown}</td>"


def _end(spoken: Spoken) -> str:
    if not spoken.status:
        return "No end was recorded."
    state = f" {spoken.sqlstate} {spoken.error}" if spoken.sqlstate or spoken.error else ""
    rows = f" · {spoken.affected} rows" if spoken.affected >= 0 else ""
    recorded = f", {spoken.handed_out} recorded" if spoken.handed_out else ""
    return f"{_safe(spoken.status + state)}{rows}{recorded} · {spoken.seconds * 1000:.1f} ms"
