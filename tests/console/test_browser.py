"""The console in a real browser: by keyboard, on a phone, with nothing run and nothing fetched."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --remote-debugging-pipe"
).split()
PATIENCE = 60.0
EVIL = "</pre><script>document.title='owned'</script><img src=//evil.test/x onerror=alert(1)>"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or os.name != "posix", reason="there is no chromium here"
)


class Chromium:
    """A headless browser of its own profile, led over a pipe (Chrome DevTools Protocol)."""

    def __init__(self, profile: Path) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        moved = (os.dup(theirs_in), os.dup(theirs_out))

        def take() -> None:
            os.dup2(moved[0], 3)
            os.dup2(moved[1], 4)

        self._process = subprocess.Popen(
            [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=take,
            pass_fds=(3, 4),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for fd in (theirs_in, theirs_out, *moved):
            os.close(fd)
        self._in, self._out = ours_in, ours_out
        self._left, self._number, self._page = b"", 0, ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.answers: list[tuple[str, int]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        told = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._page = told["sessionId"]
        for room in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{room}.enable")

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        """Have the browser do something, and give its answer."""
        self._number += 1
        told = {"id": self._number, "method": method, "params": given}
        if self._page:
            told["sessionId"] = self._page
        os.write(self._out, json.dumps(told).encode() + b"\0")
        ends = time.monotonic() + PATIENCE
        while True:
            message = self._message(ends)
            if message.get("id") == self._number:
                assert "error" not in message, message
                found: dict[str, Any] = message["result"]
                return found
            self._heard(message)

    def _heard(self, message: dict[str, Any]) -> None:
        given = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])
        elif message.get("method") == "Network.responseReceived":
            answer = given["response"]
            self.answers += [(answer["url"], answer["status"])] * (answer["status"] < 400)
        elif message.get("method") == "Network.loadingFailed":
            self.answers.append(("", 0))
        elif message.get("method") == "Log.entryAdded":
            self.complaints.append(given["entry"]["text"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(given["exceptionDetails"]))

    def _message(self, ends: float) -> dict[str, Any]:
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._in], [], [], max(0.0, ends - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "the browser has ended"
            self._left += data
        whole, _, self._left = self._left.partition(b"\0")
        found: dict[str, Any] = json.loads(whole)
        return found

    def tell(self, expression: str) -> Any:
        """Give the value of an expression in the page."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return told["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true in the page that is loaded by then."""
        ends = time.monotonic() + PATIENCE
        while self.tell(f"document.readyState === 'complete' && !!({expression})") is not True:
            assert time.monotonic() < ends, (expression, self.tell("document.body.innerText"))
            time.sleep(0.05)

    def open(self, url: str) -> None:
        """Open a page, and wait until it is there."""
        self.tell("window.before = true")
        self.call("Page.navigate", url=url)
        self.until("!window.before")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key."""
        told = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **told)
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def tab_to(self, selector: str) -> None:
        """Press Tab until an element has the focus, which then can be seen."""
        for _ in range(60):
            self.press("Tab", 9)
            if self.tell(f"document.activeElement.matches({json.dumps(selector)})"):
                shown = self.tell("getComputedStyle(document.activeElement).outlineStyle")
                assert shown == "solid", f"the focus on {selector} can't be seen"
                return
        raise AssertionError(f"no Tab leads to {selector}")

    def enter(self, wanted: str) -> None:
        """Press Enter, and wait for the next page."""
        self.tell("window.before = true")
        self.press("Enter", 13, "\r")
        self.until(f"!window.before && ({wanted})")

    def write(self, text: str) -> None:
        """Type a text where the focus is."""
        self.call("Input.insertText", text=text)

    def as_phone(self, width: int = 360, height: int = 740) -> None:
        """Be a phone from now on."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2,
            mobile=True,
        )

    def picture(self, path: Path) -> None:
        """Take a picture of the whole page."""
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))

    def close(self) -> None:
        """End the browser."""
        self._page = ""
        try:
            self.call("Browser.close")
        except (AssertionError, OSError):
            self._process.kill()
        self._process.wait(timeout=PATIENCE)
        os.close(self._in)
        os.close(self._out)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser, started once."""
    made = Chromium(tmp_path_factory.mktemp("profile"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def served(office: Any, clock: Any) -> Iterator[str]:
    """The console on a port of its own, and where it is."""
    clock.now = time.time()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(office.console(url=url), log_level="warning", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join()


def log_in(browser: Chromium, url: str, token: str) -> None:
    """Log in by keyboard."""
    browser.call("Network.clearBrowserCookies")
    browser.open(f"{url}/")
    browser.tab_to("textarea[name=token]")
    browser.write(token)
    browser.tab_to("form button")
    browser.enter("document.title.startsWith('Requests')")


def test_a_keyboard_is_enough(office: Any, served: str, browser: Chromium) -> None:
    """Somebody logs in, opens a request, approves of it and logs out without a mouse."""
    id = office.ask(text=f"select '{EVIL}'", reason=EVIL)
    log_in(browser, served, office.token("bob", "boss"))
    browser.tab_to(f"a[href$='{id}']")
    browser.enter("document.querySelector('#reason')")
    assert browser.tell("document.querySelectorAll('script, img').length") == 0
    assert browser.tell("document.title").startswith("SELECT note")
    assert "<script>" in browser.tell("document.querySelector('pre').textContent")
    browser.tab_to("#reason")
    browser.write("by keyboard alone")
    browser.tab_to("button[value=approve]")
    browser.enter("document.querySelector('[role=status]')")
    assert "Your approval is kept" in browser.tell("document.body.innerText")
    assert "by keyboard alone" in browser.tell("document.body.innerText")
    browser.tab_to("header form button")
    browser.enter("document.title.startsWith('Log in')")
    browser.open(f"{served}/requests/{id}")
    assert browser.tell("location.pathname") == "/login"
    assert all(url.startswith((served, "about:", "data:")) for url in browser.requests)


def test_pages_fit_a_phone(office: Any, served: str, browser: Chromium) -> None:
    """At 360 pixels nothing scrolls sideways, and what is tapped is large enough."""
    id = office.ask(text=f"select {'x' * 300} from note", reason="y" * 200, summary="z" * 120)
    tape = office.tape("somebody.with.a.long.name@example.com")
    office.record("somebody.with.a.long.name@example.com")
    browser.as_phone()
    try:
        log_in(browser, served, office.token("vic" * 20, "boss", "auditors"))
        for path in (
            "/requests",
            f"/requests/{id}",
            "/sessions",
            f"/sessions/all/{tape}",
            "/audit",
        ):
            browser.open(served + path)
            assert browser.tell("document.documentElement.scrollWidth") <= 360, path
            small = browser.tell(
                "[...document.querySelectorAll('button, nav a, .tabs a')]"
                ".filter(each => each.getBoundingClientRect().height < 32).length"
            )
            assert small == 0, path
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")


def test_pages_have_names_and_headings(office: Any, served: str, browser: Chromium) -> None:
    """Each page has one first heading, and each field and button a name (WCAG 1.3.1, 4.1.2)."""
    id, tape = office.ask(), office.tape()
    office.record("ann")
    log_in(browser, served, office.token("vic", "boss", "auditors"))
    browser.call("Accessibility.enable")
    for path in ("/requests?show=all", f"/requests/{id}", "/sessions", f"/sessions/all/{tape}"):
        browser.open(served + path)
        assert browser.tell("document.querySelectorAll('h1').length") == 1
        assert browser.tell("document.documentElement.lang") == "en"
        tree = browser.call("Accessibility.getFullAXTree")["nodes"]
        nameless = [
            node["role"]["value"]
            for node in tree
            if node.get("role", {}).get("value") in ("button", "link", "textbox", "combobox")
            and not node.get("name", {}).get("value")
        ]
        assert nameless == [], path


CONTRAST = """
(() => {
  const part = (value) => { const c = value / 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const read = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const back = (each) => { for (; each; each = each.parentElement) {
    const found = read(getComputedStyle(each).backgroundColor);
    if (found.length < 4 || found[3] > 0) return found; } return [255, 255, 255]; };
  return [...document.querySelectorAll('body *')].filter((each) =>
    [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())
  ).map((each) => {
    const [a, b] = [light(read(getComputedStyle(each).color)), light(back(each))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), each.outerHTML.slice(0, 80)];
  }).filter(([ratio]) => ratio < 4.5);
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(office: Any, served: str, browser: Chromium, scheme: str) -> None:
    """In the light and in the dark every text has a contrast of 4.5 (WCAG 1.4.3)."""
    id = office.ask(people=2, text="select 'a', 1 from note -- why")
    office.record("ann")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", features=features)
    try:
        log_in(browser, served, office.token("vic", "boss", "auditors"))
        for path in (f"/requests/{id}", "/requests", "/audit?who=", "/requests/apr_none"):
            browser.open(served + path)
            assert browser.tell(CONTRAST) == [], path
    finally:
        browser.call("Emulation.setEmulatedMedia", features=[])


def test_a_replay_plays_in_its_frame_and_reaches_nothing(
    office: Any, served: str, browser: Chromium
) -> None:
    """The replay has no origin: no cookies, no way to the console; nothing recorded runs in it."""
    tape = office.tape(EVIL, EVIL)
    log_in(browser, served, office.token("vic", "auditors"))
    browser.open(f"{served}/sessions/all/{tape}/replay")
    assert browser.tell("document.querySelectorAll('article').length") == 1
    assert browser.tell("document.querySelectorAll('img').length") == 0
    assert browser.tell("document.title") != "owned"
    assert browser.tell("self.origin") == "null"
    denied = "(() => { try { return document.cookie } catch (error) { return error.name } })()"
    assert browser.tell(denied) == "SecurityError"
    # Its own script has run: the controls show.
    assert browser.tell("document.querySelector('.controls').hidden") is False
    browser.complaints.clear()
    browser.open(f"{served}/sessions/all/{tape}")
    assert browser.tell("document.querySelector('iframe').contentDocument") is None
    assert not [each for each in browser.complaints if "Content Security" in each]
    assert not any("evil.test" in url for url in browser.requests)


@pytest.fixture
def evil() -> Iterator[Any]:
    """A server of another site on this machine, whose one page is what it is given."""
    pages = {"/": ""}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path, "").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the server's log out of the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()

        def serve(page: str) -> str:
            pages["/"] = page
            return f"http://localhost:{server.server_port}/"

        yield serve
        server.shutdown()
        thread.join()


def test_another_site_neither_frames_nor_decides(
    office: Any, served: str, browser: Chromium, evil: Any
) -> None:
    """A page elsewhere, opened by who is logged in, shows nothing of the console and decides
    nothing, though it knows every field but the secret one.
    """
    id = office.ask()
    log_in(browser, served, office.token("bob", "boss"))
    browser.open(f"{served}/requests/{id}")
    fields = browser.tell(
        "[...document.forms].at(-1).innerHTML.replace(/<textarea.*textarea>/s, '')"
    )
    fields += '<input name="verdict" value="approve">'
    page = f"""<iframe src="{served}/requests"></iframe><iframe name="to"></iframe>
    <form method="post" target="to" action="{served}/requests/{id}">{fields}</form>
    <script>document.forms[0].submit();
    fetch("{served}/requests", {{credentials: "include"}}).then(
      (answer) => answer.text(), () => "kept away").then((text) => {{ window.got = text; }});
    </script>"""
    browser.answers.clear()
    browser.open(evil(page))
    browser.until("window.got")
    assert browser.tell("window.got") == "kept away"
    ends = time.monotonic() + PATIENCE
    while len(browser.answers) < 2 and time.monotonic() < ends:
        browser.tell("1")
        time.sleep(0.05)
    # The browser itself, or the gate: none of them was answered with a page.
    assert [each for each in browser.answers if each[0].startswith(served)] == []
    assert office.store.get(id).notes == ()
    browser.open(f"{served}/requests/{id}")
    assert browser.tell("document.title").startswith("SELECT")
