"""Logging in and out."""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import threading
from typing import Final

from starlette.responses import Response

from tracewall.console.asking import Ask, Page, Refused, nobody, own_page
from tracewall.console.flow import LASTS, Away, Flow, NotLoggedIn, in_person
from tracewall.console.house import House
from tracewall.events import Incident
from tracewall.identity.principal import Principal
from tracewall.identity.tokens import Verifier
from tracewall.locks import Lock

_RANDOM: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_AWAY: Final = re.compile(
    r"([A-Za-z0-9_-]{43})\.([0-9]{1,12})\.([A-Za-z0-9_=-]{0,400})\.([0-9a-f]{64})"
)
_ARRIVING: Final = 8
"""How many people may arrive from providers at once: each has a provider asked."""


class LoginPages:
    """The pages that let somebody in, which anybody may open, and the one that lets them out."""

    def __init__(self, house: House, page: Page) -> None:
        self._house = house
        self._page = page
        self._flows = {flow.name: flow for flow in house.flows}
        self._used: dict[str, float] = {}
        self._lock = Lock()
        self._arriving = threading.BoundedSemaphore(_ARRIVING)

    def form(self, ask: Ask, words: str = "", status: int = 200) -> Response:
        """Show the ways to log in."""
        name = self._house.place.cookie("login")
        given = ask.cookies.get(name, "")
        number = given if _RANDOM.fullmatch(given) else secrets.token_urlsafe(32)
        wanted = ask.query.get("next") or ask.form.get("next") or ""
        answer = self._page(
            nobody(ask.root),
            "login",
            status,
            title="Log in",
            words=words,
            logins=list(self._flows),
            tokens=self._house.policy.console.tokens,
            csrf=self._house.mark("login", number),
            next=own_page(wanted) if wanted else "",
        )
        self._set(answer, "login", number)
        return answer

    def by_token(self, ask: Ask) -> Response:
        """Log in by a pasted access token."""
        house = self._house
        number = ask.cookies.get(house.place.cookie("login"), "")
        mark = house.mark("login", number) if _RANDOM.fullmatch(number) else ""
        if not mark or not _same(mark, ask.form.get("csrf", "")):
            raise Refused(403, "This form was made for another browser. Load the page again.")
        if not house.policy.console.tokens:
            raise Refused(403, "This console takes no tokens: log in with a provider.")
        token = ask.form.get("token", "").strip()
        try:
            who = in_person(token, house.verifier, house.clock(), "Your")
        except NotLoggedIn as error:
            return self.form(ask, str(error), 403)
        return self._welcome(ask, who, token, house.verifier, ask.form.get("next", ""))

    def leave(self, ask: Ask) -> Response:
        """Send a browser to a provider."""
        flow = self._flows.get(ask.params["name"])
        if flow is None or ask.followed:
            raise Refused(404, "There is no such way to log in.")
        number, at = secrets.token_urlsafe(32), str(int(self._house.clock()))
        wanted = own_page(ask.query.get("next", "")).encode()
        parts = (number, at, base64.urlsafe_b64encode(wanted).decode())
        try:
            address = flow.address(self._away(number))
        except NotLoggedIn as error:
            return self.form(ask, str(error), 503)
        answer = Response(status_code=303, headers={"location": address})
        sealed = ".".join((*parts, self._house.mark(f"away {flow.name}", ".".join(parts))))
        self._set(answer, "away", sealed)
        return answer

    def back(self, ask: Ask) -> Response:
        """Let somebody in whom a provider sends back, or not."""
        answer = self._arrived(ask)
        self._unset(answer, "away")
        return answer

    def _arrived(self, ask: Ask) -> Response:
        house, now = self._house, self._house.clock()
        found = _AWAY.fullmatch(ask.cookies.get(house.place.cookie("away"), ""))
        flow = self._flow_of(*found.groups()) if found else None
        if found is None or flow is None or not 0 <= now - int(found[2]) <= LASTS:
            return self.form(
                ask, "This login took too long, or began in another browser. Log in again.", 403
            )
        if not self._arriving.acquire(blocking=False):
            return self.form(ask, "Too many people log in at once. Try again in a moment.", 503)
        try:
            who, token, verifier = flow.arrived(ask.query, self._away(found[1]), now)
        except NotLoggedIn as error:
            return self.form(ask, str(error), 403)
        finally:
            self._arriving.release()
        if not self._first(found[1], now):
            return self.form(ask, "This login was used already. Log in again.", 403)
        wanted = base64.urlsafe_b64decode(found[3]).decode()
        return self._welcome(ask, who, token, verifier, wanted)

    def log_out(self, ask: Ask) -> Response:
        """End a visit."""
        self._end(ask)
        answer = ask.to("/login")
        self._unset(answer, "visit")
        return answer

    def _welcome(
        self, ask: Ask, who: Principal, token: str, verifier: Verifier, wanted: str
    ) -> Response:
        house = self._house
        number, visit = house.visits.begin(who, token, verifier)
        try:
            house.on_record(visit, Incident(kind="console_login", detail="to the console"))
        except BaseException:
            house.visits.end(number)
            raise
        self._end(ask)
        answer = ask.to(own_page(wanted))
        self._set(answer, "visit", number, int(visit.ends - house.clock()))
        self._unset(answer, "login")
        return answer

    def _end(self, ask: Ask) -> None:
        self._house.visits.end(ask.cookies.get(self._house.place.cookie("visit"), ""))

    def _away(self, number: str) -> Away:
        marks = (self._house.mark(name, number) for name in ("state", "nonce", "verifier"))
        return Away(*marks)

    def _flow_of(self, number: str, at: str, wanted: str, mark: str) -> Flow | None:
        text = ".".join((number, at, wanted))
        fitting = (
            flow
            for name, flow in self._flows.items()
            if _same(self._house.mark(f"away {name}", text), mark)
        )
        return next(fitting, None)

    def _first(self, number: str, now: float) -> bool:
        """Tell whether a flow lets somebody in for the first time."""
        with self._lock:
            for old in [key for key, at in self._used.items() if now - at > LASTS]:
                del self._used[old]
            first = number not in self._used
            self._used[number] = now
            return first

    def _set(self, answer: Response, name: str, value: str, seconds: int | None = None) -> None:
        place = self._house.place
        answer.set_cookie(
            place.cookie(name),
            value,
            max_age=seconds,
            path="/",
            secure=place.secure,
            httponly=True,
            # Not strict: a link in a chat leads to a request, a provider leads back.
            samesite="lax",
        )

    def _unset(self, answer: Response, name: str) -> None:
        place = self._house.place
        answer.delete_cookie(
            place.cookie(name), path="/", secure=place.secure, httponly=True, samesite="lax"
        )


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))
