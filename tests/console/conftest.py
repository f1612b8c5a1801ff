"""A console with requests, recordings and a record to look at, and visitors by ASGI alone."""

from __future__ import annotations

import asyncio
import html
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tracewall.approval.request import Act, Parameter, Person, Request, Requirement, Shown
from tracewall.approval.sqlite import SqliteStore
from tracewall.audit.log import FileLog
from tracewall.console import Console, app
from tracewall.events import Ended, Incident, What, Who
from tracewall.recording.folder import Folder
from tracewall.recording.recorder import Recorder, Terms
from tracewall.signing import Signer
from tracewall.testing import TokenIssuer

NOW = 1_900_000_000
URL = "http://127.0.0.1:8731"
POLICY = """
version = 1
name = "tested"
[approval]
keys = ["{key}"]
[console]
viewers = ["auditors"]
auditors = ["auditors"]
{settings}
[[issuers]]
name = "corp"
issuer = "{issuer}"
{issued}
[[approvals]]
name = "export"
rows = 10
approvers = ["boss"]
"""

TAKEN = 'audience = "notes"\nkeys = "jwks.json"\nalgorithms = ["ES256"]\n'


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    text: str

    def header(self, name: str) -> str:
        """Give the one value of a header; empty: it is not there."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, found
        return found[0] if found else ""

    def field(self, name: str) -> str:
        """Give the value of a hidden field of the page's last form that has it."""
        found = re.findall(rf'name="{name}" value="([^"]*)"', self.text)
        return html.unescape(found[-1])


@dataclass
class Visitor:
    """A browser as far as cookies and headers go."""

    app: Any
    url: str = URL
    root: str = ""
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **options: Any) -> Answer:
        """Ask for a page, as if by a link on a page of the console."""
        return self.send("GET", path, **options)

    def post(self, path: str, form: Mapping[str, str], **options: Any) -> Answer:
        """Send a form, as if from a page of the console."""
        given = options.pop("headers", {})
        parts = urlsplit(self.url)
        usual = {
            "origin": f"{parts.scheme}://{parts.netloc}",
            "content-type": "application/x-www-form-urlencoded",
        }
        return self.send(
            "POST", path, body=urlencode(form).encode(), headers={**usual, **given}, **options
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str | None] | None = None,
        more: list[tuple[bytes, bytes]] | None = None,
        kind: str = "http",
    ) -> Answer:
        """Send any request; a header that is None is left out."""
        usual: dict[str, str | None] = {
            "host": urlsplit(self.url).netloc,
            "sec-fetch-site": "same-origin",
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document",
        }
        if self.cookies:
            usual["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        told = {**usual, **(headers or {})}
        raw = [(n.encode(), v.encode("latin-1")) for n, v in told.items() if v is not None]
        path, _, query = path.partition("?")
        scope = {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": f"{self.root}{path}",
            "raw_path": f"{self.root}{path}".encode(),
            "root_path": self.root,
            "query_string": query.encode(),
            "headers": raw + (more or []),
            "client": ("127.0.0.1", 5),
            "server": ("127.0.0.1", 8731),
        }
        return self._taken(asyncio.run(self._sent(scope, body)))

    async def _sent(self, scope: Any, body: bytes) -> list[Any]:
        sent: list[Any] = []
        parts = [body[at : at + 16_384] for at in range(0, len(body), 16_384)] or [b""]

        async def receive() -> Any:
            if not parts:
                # The browser stays until it has the answer.
                await asyncio.Event().wait()
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return sent

    def _taken(self, sent: list[Any]) -> Answer:
        start = sent[0]
        headers = [(n.decode().lower(), v.decode("latin-1")) for n, v in start.get("headers", ())]
        for name, value in headers:
            if name == "set-cookie":
                cookie, _, rest = value.partition(";")
                key, _, content = cookie.partition("=")
                if "max-age=0" in rest.lower():
                    self.cookies.pop(key, None)
                else:
                    self.cookies[key] = content
        text = b"".join(message.get("body", b"") for message in sent[1:]).decode()
        return Answer(start.get("status", start.get("code", 0)), headers, text)

    def log_in(self, token: str, next: str = "") -> Answer:
        """Log in by pasting a token."""
        form = self.get("/login")
        return self.post("/login", {"csrf": form.field("csrf"), "token": token, "next": next})

    def decide(self, id: str, verdict: str, reason: str = "fine", **changed: str) -> Answer:
        """Load a request's page, and decide on it by its form."""
        page = self.get(f"/requests/{id}")
        form = {"csrf": page.field("csrf"), "binding": page.field("binding")}
        form |= {"verdict": verdict, "reason": reason, **changed}
        return self.post(f"/requests/{id}", form)


@dataclass
class Office:
    """A console, and what it shows."""

    folder: Path
    issuer: TokenIssuer
    signer: Signer
    clock: Clock
    stack: ExitStack
    url: str = URL

    def console(
        self, settings: str = "", *, url: str = URL, issued: str = "", **options: Any
    ) -> Console:
        """Make a console of a policy with further settings."""
        self.url = url
        self.issuer.write_jwks(self.folder / "jwks.json")
        path = self.folder / "policy.toml"
        issued = issued if "audience" in issued.partition("[[")[0] else f"{TAKEN}{issued}"
        text = POLICY.format(
            key=self.signer.public, settings=settings, issuer=self.issuer.issuer, issued=issued
        )
        path.write_text(text)
        options = {"key": self.signer.secret(), "clock": self.clock, **options}
        return self.stack.enter_context(app(path, url=url, **options))

    def visitor(
        self, console: Any, subject: str = "", *groups: str, root: str = "", **claims: Any
    ) -> Visitor:
        """Give a browser, logged in where a subject is named."""
        made = Visitor(console, self.url, root)
        if subject:
            answer = made.log_in(self.token(subject, *groups, **claims))
            assert answer.status == 303, answer.text
        return made

    def token(self, subject: str, *groups: str, **options: Any) -> str:
        """Mint a token."""
        return self.issuer.mint(subject, list(groups), audience="notes", **options)

    @property
    def store(self) -> SqliteStore:
        """The store of requests."""
        return SqliteStore(self.folder / "approvals.db")

    def ask(
        self,
        subject: str = "ann",
        *,
        text: str = "select id, body from note where id > $1",
        approvers: tuple[str, ...] = ("boss",),
        people: int = 1,
        actors: tuple[str, ...] = (),
        reason: str = "the yearly report",
        shape: bool = False,
        used: bool = False,
        summary: str = "SELECT note",
        id: str = "",
        **more: Any,
    ) -> str:
        """Keep a request, and give its id."""
        id = id or f"apr_{secrets.token_hex(8)}"
        iss = self.issuer.issuer
        act = Act(
            text=text,
            parameters=(Parameter.of(23, 1, b"\x00\x00\x00\x07"), Parameter.of(25, 0, None)),
            door="execute",
            issuer=iss,
            subject=subject,
            actors=tuple(Person(iss, actor) for actor in actors),
            purpose=more.get("purpose", ""),
            policy="p",
            server="1",
            database="shop",
            role="service",
            login="service",
            search_path="public",
            shape=shape,
        )
        request = Request(
            id,
            act,
            (Requirement("export", approvers, people),),
            text,
            Shown(summary, (("public.note", ("select",)),), why="more than 10 rows", estimate=40),
            int(self.clock()),
            int(self.clock()) + 900,
            reason,
            more.get("ticket", ""),
            glass_broken=used,
        )
        self.store.add(id, id, request.encoded(), request.expires_at, used=used)
        return id

    def record(self, *people: str, **more: Any) -> None:
        """Keep an audit record with a statement of each of some people, and an incident."""
        with FileLog(self.folder / "audit") as log:
            log.incident(Incident(kind="policy_loaded", detail=more.get("detail", "a policy")))
            for subject in people:
                who = Who(
                    issuer="https://i.test", subject=subject, session="s1", database="d", role="r"
                )
                what = What(
                    summary=more.get("summary", "SELECT shop.customers"),
                    text="SELECT $1",
                    sha256="0" * 64,
                    decision="allowed",
                    rule="grants.all",
                    policy="p",
                    relations={"shop.customers": ["select"]},
                    masked={"0": "masks.mail"},
                )
                log.outcome(log.intent(who, what), Ended(status="ok", rows=3, seconds=0.001))

    def tape(self, subject: str = "ann", value: str = "a***@example.com") -> str:
        """Record a session, and give its id."""
        recorder = Recorder(Folder(self.folder / "recordings"))
        header = {"session": "s1", "subject": subject, "issuer": "i", "database": "d", "role": "r"}
        reel = recorder.reel(Terms("all", 10, 1_000, True), {**header, "groups": ["staff"]})
        column = {"name": "mail", "shows": "email", "rule": "masks.mail"}
        take = reel.take(
            {
                "text": "select mail from people",
                "decision": "allowed",
                "rule": "grants.all",
                "relations": {},
                "columns": [column],
            }
        )
        assert take is not None
        take.rows([(value,)])
        take.outcome("ok", rows=1, seconds=0.001)
        reel.close()
        recorder.close()
        return sorted(path.name for path in (self.folder / "recordings/all").iterdir())[-1][:-9]

    def written(self, folder: str = "audit") -> str:
        """Give all that the record holds."""
        return "".join(
            path.read_text() for path in (self.folder / folder).rglob("*") if path.is_file()
        )


@pytest.fixture
def clock() -> Clock:
    """A clock of one's own."""
    return Clock()


@pytest.fixture
def office(tmp_path: Path, clock: Clock) -> Iterator[Office]:
    """A folder for a console, and an issuer whose tokens it takes."""
    with ExitStack() as stack:
        issuer = TokenIssuer("https://idp.test", clock=clock)
        yield Office(tmp_path, issuer, Signer.make("desk"), clock, stack)


@pytest.fixture
def visiting() -> Callable[..., Visitor]:
    """Makes browsers for any ASGI application."""
    return Visitor
