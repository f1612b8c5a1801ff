"""The console as one ASGI application, which others may mount."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tracewall.approval.store import Store as RequestStore
from tracewall.approval.store import StoreUnavailable
from tracewall.challenge import challenge
from tracewall.console.asking import DOCTOR, Ask, Handler, Refused, nobody, root_of
from tracewall.console.gate import Gate, Message, Receive, Send, TooLarge
from tracewall.console.house import House, furnished
from tracewall.console.login import LoginPages
from tracewall.console.pages import environment, moment
from tracewall.console.place import Place
from tracewall.console.record import RecordPages
from tracewall.console.requests import RequestPages
from tracewall.console.style import security_policy
from tracewall.console.tapes import TapePages
from tracewall.console.visits import Visit, verified
from tracewall.errors import AuditUnavailable, PolicyError
from tracewall.identity.principal import Principal, Rejection
from tracewall.policy.load import load
from tracewall.policy.model import Policy
from tracewall.recording.store import Store as TapeStore

_TITLES: Final = {
    400: "Not understood",
    403: "Not allowed",
    404: "Nothing here",
    405: "Not used here",
    409: "Not any more",
    413: "Too large",
    503: "Not at the moment",
}


def app(
    policy: Policy | str | os.PathLike[str],
    *,
    url: str = "",
    key: str | None = None,
    requests: RequestStore | None = None,
    recordings: TapeStore | None = None,
    identities: Sequence[Any] = (),
    clock: Callable[[], float] = time.time,
    revoked: Callable[[Principal], bool] | None = None,
) -> Console:
    """Make the console of a policy: an ASGI application to serve, or to mount in another.

    Args:
        policy: a policy, or the path of one.
        url: where browsers find it, instead of what the policy says; with the path that it
            is mounted at.
        key: the key that signs decisions, instead of the one that the policy names.
        requests: where requests are kept, instead of where the policy says.
        recordings: where recorded sessions are, instead of the policy's directory.
        identities: the identities (of age or SSH) that open encrypted recordings.
        clock: gives the time, in seconds since the epoch.
        revoked: tells, at each request and without blocking, whether a principal is revoked,
            as that of `Wall.load` does.

    Raises:
        PolicyError: the policy can't be enforced, or does not say where the console is.
        StoreUnavailable: the requests are out of reach.

    Example:
        outer.mount("/console", tracewall.console.app("policy.toml"))
    """
    found = policy if isinstance(policy, Policy) else load(policy)
    where = url or found.console.url
    try:
        place = Place.of(where, found.console.hosts)
    except ValueError as ex:
        help = 'write url = "https://..." under [console]'
        raise PolicyError(str(ex), path=found.path, help=help) from None
    house = furnished(
        found,
        place,
        key=key,
        requests=requests,
        tapes=recordings,
        identities=identities,
        clock=clock,
        revoked=revoked,
    )
    return Console(house)


class Console:
    """The console: an ASGI application. Close it when the program ends, or use ``with``."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._templates = environment()
        login = LoginPages(house, self.page)
        requests = RequestPages(house, self.page)
        tapes = TapePages(house, self.page)
        record = RecordPages(house, self.page)
        routes = [
            self._route("/", lambda ask: ask.to("/requests"), linked=True),
            self._route("/login", login.form, login.by_token, anybody=True),
            self._route("/login/with/{name}", login.leave, anybody=True),
            self._route("/login/callback", login.back, anybody=True),
            self._route("/logout", None, login.log_out),
            self._route("/requests", requests.index, linked=True),
            self._route("/requests/{id}", requests.show, requests.decide, linked=True),
            self._route("/sessions", tapes.index),
            self._route("/sessions/{rule}/{id}", tapes.show),
            self._route("/sessions/{rule}/{id}/replay", tapes.replay),
            self._route("/audit", record.search),
        ]
        handlers: dict[Any, Any] = {HTTPException: self._no_page, Exception: self._failed}
        inner = Starlette(
            routes=routes, exception_handlers=handlers, lifespan=self._living, middleware=[]
        )
        inner.router.redirect_slashes = False
        self._app = Gate(inner, house.place, security_policy())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """Let go of what is open."""
        self.house.close()

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @asynccontextmanager
    async def _living(self, inner: Starlette) -> AsyncIterator[None]:
        yield
        self.close()

    def page(
        self, ask: Ask, template: str, status: int = 200, *, policy: str = "", **values: Any
    ) -> Response:
        """Render a page for who asks."""
        given = {"root": ask.root, "visit": None, "here": "", **values}
        if ask.visit is not None:
            given["visit"] = self._shown(ask.visit)
        text = self._templates.get_template(f"{template}.html").render(given)
        headers = {"content-security-policy": policy} if policy else {}
        return HTMLResponse(text, status, headers)

    def _shown(self, visit: Visit) -> dict[str, Any]:
        return {
            "subject": visit.who.subject,
            "issuer": visit.who.issuer,
            "csrf": visit.mark(),
            "ends": moment(visit.ends),
            "views": self.house.views(visit.who),
            "audits": self.house.audits(visit.who),
        }

    # --- from requests to pages -----------------------------------------------------------

    def _route(
        self,
        path: str,
        reading: Handler | None,
        writing: Handler | None = None,
        *,
        anybody: bool = False,
        linked: bool = False,
    ) -> Route:
        """Make a route; ``linked`` pages open where another site's link leads to them."""

        async def endpoint(request: Request) -> Response:
            posted = request.method == "POST"
            try:
                body = await request.body() if posted else b""
                asked = Ask.of(request, body)
            except TooLarge:
                return self._words(_unknown(request), 413, "This request is too large.")
            except Refused as refused:
                return self._words(_unknown(request), refused.status, str(refused))
            handle = writing if posted else reading
            assert handle is not None, "the route has this method only where it has a handler"
            # What pages are made of blocks: files, stores, keys.
            return await run_in_threadpool(self._answer, handle, asked, anybody, linked, posted)

        methods = (["GET"] if reading else []) + (["POST"] if writing else [])
        return Route(path, endpoint, methods=methods)

    def _answer(
        self, handle: Handler, asked: Ask, anybody: bool, linked: bool, posted: bool
    ) -> Response:
        ask = asked
        try:
            ask = self._recognized(asked)
            if anybody:
                return handle(ask)
            if ask.visit is None:
                return self._not_logged_in(ask, posted=posted)
            if posted and not ask.visit.owns(ask.form.get("csrf", "")):
                raise Refused(403, "This form is not of your present login. Nothing was done.")
            if ask.followed and not linked:
                return self._words(ask, 200, "Another site led you here.", link=ask.path)
            return handle(ask)
        except Refused as refused:
            return self._words(ask, refused.status, str(refused))
        except AuditUnavailable:
            words = f"The audit record can't be kept, so this was not done. {DOCTOR}"
            return self._words(ask, 503, words)
        except StoreUnavailable:
            return self._words(
                ask, 503, "The store of requests does not answer. Try again in a moment."
            )

    def _recognized(self, ask: Ask) -> Ask:
        """Find out who asks, and verify their token again."""
        house = self.house
        number = ask.cookies.get(house.place.cookie("visit"), "")
        visit = house.visits.find(number) if number else None
        if visit is None:
            return ask
        found = verified(visit.token, visit.verifier, house.clock())
        if isinstance(found, Rejection):
            if challenge(found, "").status == 503:
                raise Refused(503, "Your token can't be checked now. Try again in a moment.")
            house.visits.end(number)
            return ask
        return replace(ask, visit=visit)

    def _not_logged_in(self, ask: Ask, *, posted: bool) -> Response:
        if posted:
            raise Refused(403, "You are not logged in any more. Nothing was done.")
        return ask.to(f"/login?next={ask.path}" if ask.path != "/" else "/login")

    def _words(self, ask: Ask, status: int, words: str, *, link: str = "") -> Response:
        return self.page(
            ask,
            "words",
            status,
            title=_TITLES.get(status, "tracewall"),
            words=words,
            tone="bad" if status >= 400 else "",
            link=f"{ask.root}{link}" if link else f"{ask.root}/",
            link_words="Go on" if link else "Back to the console",
        )

    async def _no_page(self, request: Request, error: HTTPException) -> Response:
        status = error.status_code if error.status_code in _TITLES else 404
        answer = self._words(_unknown(request), status, "There is no such page.")
        answer.headers.update(error.headers or {})
        return answer

    async def _failed(self, request: Request, error: Exception) -> Response:
        # What went wrong is for the server's own log, to which the error goes on.
        return self._words(
            _unknown(request), 500, "Something went wrong here. The server's own log says what."
        )


def _unknown(request: Request) -> Ask:
    """Give a request as one of nobody: it could not be read, or its page can't be had."""
    return nobody(root_of(request) or "")
