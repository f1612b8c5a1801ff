"""The style and the script of a session's page; neither ever holds anything recorded."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6677; --line: #d8dee8;
  --paper: #fff; --panel: #f5f7fa; --ok: #1a7f4b; --refused: #b3261e; --failed: #b3261e;
  --open: #8a6100; --mask: #fff3d6; --mask-ink: #6b4a00; --focus: #2458d6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ef; --soft: #9aa5b5; --line: #333c4a;
  --paper: #14181f; --panel: #1c222c; --ok: #5cc98d; --refused: #ff8a80; --failed: #ff8a80;
  --open: #e0b450; --mask: #3a2f14; --mask-ink: #f3d38a; --focus: #8fb0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 0 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
h1 .on { color: var(--soft); font-weight: 400; }
h2 { font-size: 1rem; margin: 0; display: flex; gap: .75rem; align-items: baseline; }
h2 a { color: inherit; }
code, pre, td, kbd { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .875rem; }
code { overflow-wrap: anywhere; }
.facts { display: flex; flex-wrap: wrap; gap: .25rem 2rem; margin: 0; }
.facts div { min-width: 0; } dt { color: var(--soft); font-size: .8rem; }
dd { margin: 0; overflow-wrap: anywhere; unicode-bidi: isolate; }
.proof { margin: 0 0 1rem; padding: .5rem .75rem; border-left: 4px solid;
  background: var(--panel); }
.proof.good { border-color: var(--ok); } .proof.odd { border-color: var(--open); }
.proof.bad { border-color: var(--refused); font-weight: 600; }
nav { position: sticky; top: 0; background: var(--paper); padding: .75rem 0 .5rem;
  border-bottom: 1px solid var(--line); z-index: 1; }
nav svg { display: block; width: 100%; height: 36px; background: var(--panel); }
rect.ok { fill: var(--ok); } rect.refused, rect.failed { fill: var(--refused); }
rect.open { fill: var(--open); }
.controls { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center;
  padding-top: .5rem; }
.controls[hidden] { display: none; }
button, select { font: inherit; padding: .25rem .75rem; min-height: 2.25rem; }
.keys, #clock { color: var(--soft); font-size: .875rem; } #clock { margin-left: auto; }
kbd { border: 1px solid var(--line); border-radius: 3px; padding: 0 .3em; }
article { margin: 1.25rem 0; padding: .75rem 1rem; border: 1px solid var(--line);
  border-left: 4px solid var(--ok); border-radius: 4px; scroll-margin-top: 7.5rem; }
article.refused, article.failed { border-left-color: var(--refused); }
article.open { border-left-color: var(--open); }
article:focus, article.now { outline: 3px solid var(--focus); outline-offset: 1px; }
.at { color: var(--soft); font-weight: 400; }
.badge { margin-left: auto; font-size: .8rem; color: var(--ok); }
.refused .badge, .failed .badge { color: var(--refused); } .open .badge { color: var(--open); }
pre { margin: .5rem 0; padding: .6rem .75rem; background: var(--panel); white-space: pre-wrap;
  overflow-wrap: anywhere; unicode-bidi: isolate; }
article p { margin: .25rem 0; overflow-wrap: anywhere; unicode-bidi: isolate; }
article p.on, .end { color: var(--soft); font-size: .875rem; }
.note, .cut { color: var(--open); }
.scroll { overflow: auto; max-height: 26rem; margin: .5rem 0; border: 1px solid var(--line); }
table { border-collapse: collapse; width: max-content; min-width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem;
  border-bottom: 1px solid var(--line); }
th { position: sticky; top: 0; background: var(--panel); font-size: .875rem; }
td { white-space: pre-wrap; max-width: 32rem; overflow-wrap: break-word;
  unicode-bidi: isolate; }
th.masked, td.masked { background: var(--mask); color: var(--mask-ink); }
.rule { display: block; font-weight: 400; font-size: .75rem; }
td.null { color: var(--soft); font-style: italic; }
footer { color: var(--soft); }
@media (max-width: 40rem) { body { padding: 0 .6rem 3rem; } .keys { display: none; }
  article { padding: .6rem .7rem; } h1 { font-size: 1.25rem; } td { max-width: 16rem; } }
@media print { nav { display: none; } .scroll { max-height: none; } }
"""

SCRIPT: Final = """
"use strict";
(() => {
  const all = Array.from(document.querySelectorAll("article"));
  const play = document.getElementById("play"), speed = document.getElementById("speed");
  const clock = document.getElementById("clock");
  let timer = 0;
  const current = () => all.findIndex((each) => each.classList.contains("now"));
  const at = (index) => Number(all[index].dataset.at);
  const go = (index) => {
    if (index < 0 || index >= all.length) return;
    all.forEach((each) => each.classList.remove("now"));
    all[index].classList.add("now");
    all[index].focus({ preventScroll: true });
    all[index].scrollIntoView({ block: "start" });
    clock.textContent = (index + 1) + " of " + all.length;
  };
  const stop = () => { clearTimeout(timer); timer = 0; play.textContent = "Play"; };
  const step = () => {
    const index = current() + 1;
    if (index >= all.length) { stop(); return; }
    const wait = index === 0 ? 0 : (at(index) - at(index - 1)) * 1000 / Number(speed.value);
    timer = setTimeout(() => { go(index); step(); }, Math.min(wait, 10000));
  };
  const toggle = () => {
    if (timer) { stop(); return; }
    if (current() === all.length - 1) all.forEach((each) => each.classList.remove("now"));
    play.textContent = "Pause";
    step();
  };
  const odd = () => {
    const from = current() + 1;
    const order = all.slice(from).concat(all.slice(0, from));
    const found = order.find((each) => each.matches(".refused, .failed"));
    if (found) go(all.indexOf(found));
  };
  play.addEventListener("click", toggle);
  all.forEach((each, index) => each.addEventListener("focus", () => {
    all.forEach((other) => other.classList.remove("now"));
    each.classList.add("now");
    clock.textContent = (index + 1) + " of " + all.length;
  }));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("select, input, button")) return;
    const keys = { j: () => go(current() + 1), k: () => go(current() - 1), e: odd,
      ArrowRight: () => go(current() + 1), ArrowLeft: () => go(current() - 1),
      Home: () => go(0), End: () => go(all.length - 1), " ": toggle };
    const found = keys[event.key];
    if (!found) return;
    if (event.key.startsWith("Arrow") && event.target.closest(".scroll")) return;
    event.preventDefault();
    if (event.key !== " ") stop();
    found();
  });
  document.querySelector(".controls").hidden = false;
})();
"""
