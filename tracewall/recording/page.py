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
from collections.abc import Iterator
from html import escape
from typing import Final

from tracewall.recording.page_parts import SCRIPT, STYLE
from tracewall.recording.reader import Proof
from tracewall.recording.shown import Column, Seen, Spoken, names, visible

_TIMELINE: Final = 1000


def page(seen: Seen, proof: Proof) -> str:
    """Give a session as a page, with what reading it has proved."""
    title = f"{_safe(seen.who)}: session {_safe(seen.header.get('id', ''))}"
    return "".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{security_policy()}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="referrer" content="no-referrer">\n',
            f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
            *_head(seen, proof),
            *_timeline(seen),
            "<main>\n",
            *(part for spoken in seen.statements for part in _statement(spoken)),
            "</main>\n",
            f"<footer>{_why(seen)}</footer>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        ]
    )


def security_policy() -> str:
    """Give the content security policy of a session's page: its style, its script, nothing else."""
    return (
        f"default-src 'none'; style-src '{_hash(STYLE)}'; script-src '{_hash(SCRIPT)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _safe(text: object, *, lines: bool = False) -> str:
    return escape(visible(str(text), lines=lines))


def _why(seen: Seen) -> str:
    return f"The session ended: {_safe(seen.why)}." if seen.why else "The recording has no end."


def _head(seen: Seen, proof: Proof) -> Iterator[str]:
    header = seen.header
    yield f'<header>\n<h1>{_safe(seen.who)} <span class="on">on</span> '
    yield f"{_safe(header.get('database', ''))}</h1>\n"
    yield _proved(proof)
    yield '<dl class="facts">\n'
    began = header.get("time")
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(began)) if began else ""
    groups = ", ".join(str(group) for group in header.get("groups") or ())
    for name, value in (
        ("Began", when),
        ("Lasted", f"{seen.length:.1f} s, {len(seen.statements)} statements"),
        ("Issuer", header.get("issuer", "")),
        ("Groups", groups),
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
        return f'<p class="proof bad">Line {proof.line}: {_safe(proof.fault)}.</p>\n'
    if not proof.closed:
        return '<p class="proof odd">This recording is not closed: its end may be missing.</p>\n'
    head = f"<code>{_safe(proof.head)}</code>"
    return f'<p class="proof good">{proof.lines} lines hold together. Head {head}</p>\n'


def _timeline(seen: Seen) -> Iterator[str]:
    span = max(seen.length, 0.001)
    yield '<nav aria-label="Timeline">\n'
    yield f'<svg viewBox="0 0 {_TIMELINE} 36" preserveAspectRatio="none" role="presentation">\n'
    for spoken in seen.statements:
        x = spoken.began / span * (_TIMELINE - 6)
        width = max(6.0, (spoken.last - spoken.began) / span * _TIMELINE)
        yield f'<a href="#s{spoken.number}" tabindex="-1"><rect class="{spoken.mood}" '
        yield f'x="{x:.1f}" y="4" width="{min(width, _TIMELINE - x):.1f}" height="28" rx="2">'
        yield f"<title>{spoken.number}: {_safe(spoken.text[:120])}</title></rect></a>\n"
    yield "</svg>\n"
    yield '<div class="controls" hidden><button type="button" id="play">Play</button>'
    yield '<label>Speed <select id="speed"><option>1</option><option>4</option>'
    yield '<option>16</option><option>64</option></select></label><span class="keys">'
    yield "<kbd>j</kbd> <kbd>k</kbd> next, previous · <kbd>space</kbd> play, pause · "
    yield '<kbd>e</kbd> refused or failed</span><span id="clock" role="status"></span></div>\n'
    yield "</nav>\n"


def _statement(spoken: Spoken) -> Iterator[str]:
    number, mood = spoken.number, spoken.mood
    yield f'<article id="s{number}" class="{mood}" tabindex="0" data-at="{spoken.began:.6f}">\n'
    yield f'<h2><a href="#s{number}">{number}</a> <span class="at">+{spoken.began:.3f} s</span> '
    yield f'<span class="badge">{mood}</span></h2>\n'
    yield f"<pre>{_safe(spoken.text, lines=True)}</pre>\n"
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
    if spoken.cut:
        yield f'<p class="cut">Cut here: the limit of {_safe(spoken.cut)} was reached.</p>\n'


def _column(column: Column) -> str:
    name = _safe(column.name)
    if not column.rule:
        return f'<th scope="col">{name}</th>'
    return (
        f'<th scope="col" class="masked">{name}<span class="rule">{_safe(column.rule)}</span></th>'
    )


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
