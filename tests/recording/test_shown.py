"""What a recording is shown as: nothing that was recorded ever acts on whoever looks at it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracewall.recording.course import Course
from tracewall.recording.page import page as parts
from tracewall.recording.reader import Proof
from tracewall.recording.scenes import asciicast, scenes
from tracewall.recording.shown import visible
from tracewall.recording.summary import Summary

EVIL = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-->]]><style>*{display:none}</style>",
    "\x1b]0;owned\x07\x1b[2J\x9b31m",
    "safe\u202egnp.exe\u2066\u200b\ufeff",
    "one\r\ntwo\u2028three\x85four",
    "&lt;b&gt; &#x3c; \x00 \ud800",
    "javascript:alert(1)",
]


Lines = list[dict[str, Any]]


def page(lines: Lines, proof: Proof | None = None, *, rows: int = 99, most: int = 99) -> str:
    """Give a session as a page."""
    summary = Summary.of(Course(lines, 0))
    summary.proof = proof or Proof()
    return "".join(parts(summary, Course(lines, rows), most))


def seen(evil: str) -> Lines:
    """Give a session that holds a text wherever a recording can hold one."""
    return [
        {"kind": "began", "t": 0, "time": 1, "groups": [evil], "continues": evil}
        | dict.fromkeys(("id", "subject", "issuer", "database", "role", "policy"), evil)
        | dict.fromkeys(("rule", "purpose"), evil),
        {
            "kind": "statement",
            "t": 0.1,
            "s": 1,
            "columns": [{"name": evil, "rule": evil}, {"name": evil, "rule": ""}],
            "relations": {evil: [evil]},
        }
        | dict.fromkeys(("text", "decision", "rule", "reason"), evil),
        {"kind": "notice", "t": 0.2, "s": 1, "severity": evil, "sqlstate": evil},
        {"kind": "approval", "t": 0.2, "s": 1, "request": evil},
        {
            "kind": "rows",
            "t": 0.3,
            "s": 1,
            "rows": [[evil, {"json": {evil: [evil]}}], [None, 1]],
        },
        {"kind": "copy", "t": 0.3, "s": 1, "rows": [evil]},
        {"kind": "cut", "t": 0.3, "s": 1, "by": evil},
        {"kind": "outcome", "t": 0.4, "s": 1}
        | dict.fromkeys(("status", "sqlstate", "error"), evil),
        {"kind": "ended", "t": 0.5, "why": evil},
    ]


class Outline(HTMLParser):
    """Collects what a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value or "" for name, value in attrs if name in ("href", "src")}


def outline(text: str) -> Outline:
    """Parse a page."""
    found = Outline()
    found.feed(text)
    return found


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_recorded_becomes_markup(evil: str) -> None:
    """A page has the same elements and attributes whatever a recording holds."""
    harmless, found = outline(page(seen("x"), Proof())), outline(page(seen(evil), Proof()))
    assert found.tags == harmless.tags
    assert found.attributes == harmless.attributes
    assert found.links == {"#s1"}
    assert not any(name.startswith("on") or name == "style" for name in found.attributes)


@given(st.text(min_size=1))
def test_no_text_becomes_markup(text: str) -> None:
    """The same for any text there is."""
    harmless, found = outline(page(seen("x"), Proof())), outline(page(seen(text), Proof()))
    assert found.tags == harmless.tags


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_recorded_steers_what_shows_it(evil: str) -> None:
    """No control, direction mark or character without width gets into what is shown."""
    for text in (page(seen(evil), Proof()), "".join(told(seen(evil)))):
        assert all(char.isprintable() or char == "\n" for char in text)
        text.encode()


def told(session: Lines) -> list[str]:
    """Give all texts that a terminal is given."""
    return [piece for scene in scenes(Course(session)) for line in scene.lines for piece, _ in line]


def test_a_page_needs_nothing_but_itself() -> None:
    """A page forbids every request and every script and style but its own two."""
    text = page(seen("x"), Proof())
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert policy[1].count("sha256-") == 2
    assert "http" not in text.replace("http-equiv", "")


def test_a_page_says_what_is_masked_and_what_is_proved() -> None:
    """Masked columns, cuts, and what reading proved stand in words, and not in colour alone."""
    session = seen("x")
    assert 'class="masked">x<span class="rule">masked by x</span>' in page(session, Proof())
    assert "Cut here" in page(session, Proof())
    assert "not closed" in page(session, Proof())
    assert "hold together" in page(session, Proof(lines=9, closed=True))
    assert "Line 3 can't be trusted: changed" in page(session, Proof(fault="changed", line=3))


@pytest.mark.parametrize("evil", EVIL)
def test_an_asciicast_is_one(evil: str) -> None:
    """Each line is JSON; what is played has no escape sequence but our own colours."""
    text = "".join(asciicast(Course(seen(evil))))
    assert text.endswith("\n") and "\n\n" not in text and text.isascii()
    header, *events = map(json.loads, text.splitlines())
    assert header["version"] == 3
    assert header["term"] == {"cols": 100, "rows": 30}
    assert header.keys() <= {"version", "term", "timestamp", "idle_time_limit", "title"}
    assert type(header["timestamp"]) is int
    assert events[-1] == [0.0, "x", "0"]
    assert all(interval >= 0 and code in "omx" for interval, code, _ in events)
    assert [label for _, code, label in events if code == "m"] == ["1"]
    assert sum(interval for interval, _, _ in events) == pytest.approx(0.5)
    played = "".join(data for _, code, data in events if code == "o")
    rest = re.sub(r"\x1b\[[0-9]{1,2}m|\r\n", "", played)
    assert all(char.isprintable() or char == "\n" for char in rest)


@pytest.mark.parametrize("text", ["日本 🙂 naïve", "שלום", "\ud83d lone", "tab\tnul\x00"])
def test_an_asciicast_is_valid_unicode(text: str) -> None:
    """What players decode is Unicode without a lone surrogate; letters of any script stay."""
    header, *events = map(json.loads, asciicast(Course(seen(text))))
    for data in (header["title"], *(data for *_, data in events)):
        assert data.encode()
    played = "".join(data for _, code, data in events if code == "o")
    assert (text in played) == text.isprintable()


def test_an_asciicast_has_the_session_s_time() -> None:
    """Intervals are since the event before, at a microsecond; a clock that went back has none."""
    times = [0.0, 0.5, 0.25, 2.000001, 2.000001, 90.0]
    lines: Lines = [{"kind": "began", "t": 0.0, "time": 1.9}]
    lines += [
        {"kind": "statement", "t": at, "s": number, "columns": [], "relations": {}}
        | dict.fromkeys(("text", "decision", "rule", "reason"), "x")
        for number, at in enumerate(times, 1)
    ]
    header, *events = map(json.loads, asciicast(Course(lines), width=132, height=43))
    assert header["term"] == {"cols": 132, "rows": 43} and header["timestamp"] == 1
    intervals = [interval for interval, *_ in events]
    assert all(type(interval) is float and interval >= 0 for interval in intervals)
    assert sum(intervals) == pytest.approx(90.0)
    assert 1.500001 in intervals and 87.999999 in intervals
    assert {code for _, code, _ in events} <= {"o", "m", "x"}


def test_what_can_be_read_stays_as_it_is() -> None:
    """Letters of any script are shown as they are; only what steers is an escape."""
    assert visible("naïve שלום 日本 🙂") == "naïve שלום 日本 🙂"
    assert visible("a\tb\nc", lines=True) == "a    b\nc"


@pytest.mark.skipif(not shutil.which("chromium"), reason="there is no chromium here")
def test_a_browser_shows_a_page_and_obeys_keys(tmp_path: Path) -> None:
    """In a real browser nothing recorded runs, and the keys walk through the statements."""
    lines: list[dict[str, Any]] = [{"kind": "began", "t": 0}]
    for at, evil in enumerate(EVIL):
        said = {"kind": "statement", "t": at, "s": at, "text": evil, "decision": "allowed"}
        lines.append({**said, "rule": "r", "columns": [], "relations": {}})
        lines.append({"kind": "rows", "t": at, "s": at, "rows": [[evil]]})
    text = page(lines, Proof())
    # The page's own policy would keep the test's script out as well.
    text = re.sub(r"script-src '[^']+'", "script-src 'unsafe-inline'", text)
    keys = "".join(
        "document.body.dispatchEvent("
        f"new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}));"
        for key in "jjjk"
    )
    (tmp_path / "page.html").write_text(text.replace("</body>", f"<script>{keys}</script></body>"))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [*command, profile, (tmp_path / "page.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert re.findall(r'<article id="(\w+)" class="\w+ now"', done.stdout) == ["s1"]
    assert "<img" not in done.stdout
    assert done.stdout.count("<script>") == 2
