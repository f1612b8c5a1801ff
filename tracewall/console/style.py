"""The style of the pages: one sheet, named by its hash in their security policy."""

from __future__ import annotations

from typing import Final

from tracewall.recording.page import hashed

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b2330; --soft: #566173; --line: #d9dfe8;
  --paper: #f6f8fa; --card: #fff; --well: #f1f4f8; --accent: #1d4fc4; --on-accent: #fff;
  --ok: #17724a; --ok-back: #e3f4eb; --bad: #a8241c; --bad-back: #fbe9e7;
  --wait: #7d5600; --wait-back: #fdf2d9; --word: #1d4fc4; --text: #17724a; --number: #8a3f00;
  --focus: #1d4fc4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e8f0; --soft: #9dabbd; --line: #2d3746;
  --paper: #10141b; --card: #171d27; --well: #1e2632; --accent: #8db2ff; --on-accent: #0b1526;
  --ok: #6fd3a0; --ok-back: #14301f; --bad: #ff9d94; --bad-back: #3a1815;
  --wait: #e9bf63; --wait-back: #33280f; --word: #8db2ff; --text: #6fd3a0; --number: #f0b27a;
  --focus: #8db2ff; } }
*, ::before, ::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
a { color: var(--accent); text-underline-offset: .15em; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; border-radius: 3px; }
.skip { position: absolute; left: -999px; top: 0; padding: .5rem 1rem; background: var(--card); }
.skip:focus { left: .5rem; z-index: 2; }
.top { background: var(--card); border-bottom: 1px solid var(--line); }
.top > div, main, .foot { max-width: 68rem; margin: 0 auto; padding: 0 1rem; }
.top > div { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem 1.25rem;
  padding-block: .5rem; }
.brand { font-weight: 650; letter-spacing: .01em; color: var(--ink); text-decoration: none;
  padding: .4rem 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem; list-style: none; margin: 0; padding: 0; }
nav a, .tabs a { display: block; padding: .4rem .7rem; border-radius: 6px; color: var(--soft);
  text-decoration: none; }
nav a:hover, .tabs a:hover { color: var(--ink); background: var(--well); }
nav a[aria-current], .tabs a[aria-current] { color: var(--ink); background: var(--well);
  font-weight: 600; }
.me { margin-left: auto; display: flex; align-items: center; gap: .75rem; min-width: 0; }
.me span { color: var(--soft); overflow-wrap: anywhere; unicode-bidi: isolate; }
main { padding-block: 1.5rem 3rem; }
.foot { color: var(--soft); font-size: .85rem; padding-block: 0 2rem; }
h1 { font-size: 1.45rem; line-height: 1.25; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.75rem 0 .6rem; }
h1 small, h1 small.mono { display: block; font-size: .85rem; font-weight: 400;
  color: var(--soft); }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.soft, small { color: var(--soft); } .said { unicode-bidi: isolate; overflow-wrap: anywhere; }
code, pre, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace;
  font-size: .87em; }
code { overflow-wrap: anywhere; }
.tabs { display: flex; flex-wrap: wrap; gap: .25rem; list-style: none; padding: 0;
  margin: 0 0 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem 1.15rem; margin: 0 0 .75rem; }
.list { list-style: none; margin: 0; padding: 0; }
.row { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: .15rem 1rem; }
.row h2 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
.row p { margin: 0; } .row .badges { text-align: right; }
.row > p, .row > details { grid-column: 1 / -1; }
.tight { padding-block: .6rem; margin-bottom: .5rem; } .who { color: var(--ink); }
.state .soft { margin-left: .5rem; }
.badge { display: inline-block; padding: .05rem .55rem; border-radius: 99px; font-size: .8rem;
  font-weight: 600; background: var(--well); color: var(--soft); white-space: nowrap; }
.badge.ok { background: var(--ok-back); color: var(--ok); }
.badge.bad { background: var(--bad-back); color: var(--bad); }
.badge.wait { background: var(--wait-back); color: var(--wait); }
.note { padding: .6rem .9rem; border-left: 4px solid var(--line); border-radius: 4px;
  background: var(--well); margin: 0 0 1rem; }
.note.ok { border-color: var(--ok); } .note.bad { border-color: var(--bad); }
.note.wait { border-color: var(--wait); }
pre { margin: 0; padding: .8rem 1rem; background: var(--well); border-radius: 6px;
  white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; line-height: 1.55; }
pre b { font-weight: 600; color: var(--word); } pre .text { color: var(--text); }
pre .number, pre .parameter { color: var(--number); } pre .comment { color: var(--soft); }
dl.facts { display: grid; grid-template-columns: minmax(7.5rem, auto) minmax(0, 1fr);
  gap: .35rem 1.25rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; unicode-bidi: isolate; }
.two { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 20rem); gap: 1.25rem;
  align-items: start; }
form.plain { margin: 0; }
label, legend { display: block; font-weight: 600; font-size: .9rem; margin: .2rem 0 .25rem; }
fieldset { border: 0; padding: 0; margin: 0; }
input, select, textarea { font: inherit; color: inherit; background: var(--card);
  border: 1px solid var(--soft); border-radius: 6px; padding: .4rem .6rem; width: 100%;
  min-height: 2.4rem; min-width: 0; }
textarea { resize: vertical; }
.filters { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr));
  gap: .5rem .9rem; align-items: end; }
.buttons { display: flex; flex-wrap: wrap; gap: .6rem; margin-top: .8rem; }
button, .button { font: inherit; font-weight: 600; min-height: 2.4rem; padding: .4rem 1rem;
  border: 1px solid var(--soft); border-radius: 6px; background: var(--card); color: var(--ink);
  cursor: pointer; text-decoration: none; display: inline-block; }
button.main, .button.main { background: var(--accent); border-color: var(--accent);
  color: var(--on-accent); }
button.stop { color: var(--bad); border-color: var(--bad); }
button.link { border: 0; background: none; padding: .4rem .2rem; color: var(--accent);
  text-decoration: underline; font-weight: 400; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .45rem .8rem .45rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; unicode-bidi: isolate; }
th { color: var(--soft); font-size: .85rem; font-weight: 600; }
.values { margin-bottom: 1.25rem; } .values th:first-child { width: 6rem; }
.two .card { margin-bottom: 1.25rem; }
.two > div > h2:first-child { margin-top: 0; } .two pre { margin-bottom: 1.25rem; }
details summary { cursor: pointer; } details[open] summary { margin-bottom: .5rem; }
.pages { display: flex; justify-content: space-between; gap: 1rem; margin-top: 1rem; }
iframe { display: block; width: 100%; height: 75vh; border: 1px solid var(--line);
  border-radius: 8px; background: var(--card); }
.login { max-width: 30rem; margin: 6vh auto 0; }
.login .button { width: 100%; text-align: center; margin-bottom: .6rem; }
@media (max-width: 46rem) { .two { grid-template-columns: minmax(0, 1fr); }
  .top > div, main, .foot { padding-inline: .8rem; } .card { padding: .8rem .9rem; }
  dl.facts { grid-template-columns: minmax(0, 1fr); gap: 0; } dd { margin-bottom: .5rem; }
  .me { margin-left: 0; width: 100%; justify-content: space-between; }
  table, tbody, tr, td { display: block; } thead { position: absolute; left: -999rem; }
  tr { border-bottom: 1px solid var(--line); padding: .5rem 0; }
  td { border: 0; padding: .05rem 0; } }
@media print { .top, form { display: none; } }
"""


def security_policy() -> str:
    """Give the content security policy of a page: this style, forms to here, nothing else."""
    return (
        f"default-src 'none'; style-src {hashed(STYLE)}; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
