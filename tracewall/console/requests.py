"""The pages of requests: what waits, what was decided, and deciding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from starlette.responses import Response

from tracewall.approval.desk import LONGEST_REASON, Case, NotGranted
from tracewall.approval.facts import facts, value
from tracewall.approval.request import NotEncodable
from tracewall.approval.verdict import Kind, counted, is_party
from tracewall.console.asking import Ask, Page, Refused
from tracewall.console.house import House
from tracewall.console.layout import laid_out
from tracewall.console.pages import leaf, moment, part, span
from tracewall.console.visits import Visit
from tracewall.deciding import decide

MOST: Final = 1_000
"""How many requests are looked through, newest first."""

_ON_A_PAGE: Final = 25
_USED: Final = ("done", "failed", "not sent", "unknown")
_STATES: Final = ("pending", "approved", "denied", "revoked", "expired", *_USED)
_TABS: Final = (
    ("waiting", "Waiting for you"),
    ("approved", "Approved"),
    ("own", "Your own"),
    ("all", "All"),
)
_NOTHING: Final = {
    "waiting": "Nothing waits for your decision.",
    "approved": "No approval waits to be used.",
    "own": "You have asked for nothing.",
    "all": "No request fits.",
}
_WORDS: Final[dict[Kind, str]] = {
    "approve": "Approve",
    "deny": "Deny",
    "revoke": "Take back",
    "review": "Close the review",
}
_FIRST: Final = (
    *("asked by", "reason", "ticket", "purpose", "why asked", "reveals", "shape", "touches"),
    *("masked", "estimate", "rows at most", "approved by", "lacking"),
)
_THEN: Final = ("asked at", "rules", "where", "binding")
_DONE: Final = {
    "approve": "Your approval is kept.",
    "deny": "The request is denied.",
    "revoke": "The request is taken back.",
    "review": "The review is closed.",
}


class RequestPages:
    """Requests, as far as who asks may see them."""

    def __init__(self, house: House, page: Page) -> None:
        self._house = house
        self._page = page

    def index(self, ask: Ask) -> Response:
        """List requests, newest first."""
        show = ask.query.get("show", "waiting")
        show = show if show in _NOTHING else "waiting"
        asked = {"show": show, "who": ask.query.get("who", ""), "state": ask.query.get("state", "")}
        cases = self._house.desk.cases(most=MOST)
        fitting = [case for case in cases if self._fits(case, ask.own_visit, asked)]
        items, more = part(fitting, ask.page, _ON_A_PAGE)
        return self._page(
            ask,
            "requests",
            title="Requests",
            here="requests",
            tabs=_TABS,
            states=_STATES,
            nothing=_NOTHING[show],
            no_key=self._house.no_key,
            items=[self._item(case) for case in items],
            leaf=leaf(f"{ask.root}/requests", asked, ask.page, more=more),
            more=len(cases) >= MOST,
            most=MOST,
            **asked,
        )

    def show(self, ask: Ask, words: str = "", status: int = 200) -> Response:
        """Show a request."""
        house, case = self._house, self._case(ask)
        request, visit = case.request, ask.own_visit
        choices = list(self._choices(case, visit))
        told = facts(case)
        estimate = request.shown.estimate
        told["estimate"] = f"{estimate} rows, says the planner" if estimate >= 0 else ""
        told["rules"] = _rules(case)
        told["asked at"] = moment(request.asked_at)
        return self._page(
            ask,
            "request",
            status,
            title=request.shown.summary,
            here="requests",
            summary=request.shown.summary,
            id=request.id,
            state=case.state,
            review=case.kept.review == "open",
            until=self._until(case),
            done=self._done(case, visit, ask.query.get("done", "")) if not words else "",
            words=words,
            shape=request.act.shape,
            pieces=laid_out(request.statement),
            parameters=[(f"${at}", value(p)) for at, p in enumerate(request.act.parameters, 1)],
            facts=[(name, told[name]) for name in _FIRST],
            more=[(name, told[name]) for name in _THEN],
            verdicts=list(self._verdicts(case)),
            no_key=house.no_key,
            choices=[(kind, _WORDS[kind]) for kind in choices],
            why_not=self._why_not(case, visit),
            binding=request.binding,
        )

    def decide(self, ask: Ask) -> Response:
        """Decide on a request, as it was shown."""
        house, case, visit = self._house, self._case(ask), ask.own_visit
        wanted, reason = ask.form.get("verdict", ""), ask.form.get("reason", "").strip()
        kind = next((kind for kind in _WORDS if kind == wanted), None)
        if kind is None:
            raise Refused(400, "Nothing was decided: the form names no decision that there is.")
        if house.signer is None or house.no_key:
            raise Refused(503, house.no_key)
        if len(reason) > LONGEST_REASON:
            raise Refused(400, f"A reason has at most {LONGEST_REASON} characters.")
        if ask.form.get("binding") != case.request.binding:
            return self.show(ask, "This request is not the one that you were shown.", 409)
        if kind not in self._choices(case, visit):
            return self.show(ask, self._why_not(case, visit), 409)
        try:
            decide(house.policy, house.desk, case, kind, visit.who, house.signer, reason)
        except NotGranted as error:
            return self.show(ask, f"Nothing was decided: {error}.", 409)
        return ask.to(f"/requests/{case.request.id}?done={kind}")

    # --- what is seen, and what may be done -----------------------------------------------

    def _case(self, ask: Ask) -> Case:
        """Give the request that is asked for; one that may not be seen is not there."""
        try:
            case = self._house.desk.case(ask.params["id"])
        except NotEncodable:
            case = None
        if case is None or not self._house.shows(case, ask.own_visit):
            raise Refused(404, "There is no such request.")
        return case

    def _fits(self, case: Case, visit: Visit, asked: dict[str, str]) -> bool:
        house = self._house
        if not house.shows(case, visit):
            return False
        own = is_party(visit.person, case.request)
        match asked["show"]:
            case "waiting":
                waits = case.state == "pending" or case.kept.review == "open"
                return waits and not own
            case "approved":
                return case.state == "approved"
            case "own":
                return visit.person in case.request.act.parties
        who, state = asked["who"], asked["state"]
        return (not who or case.request.act.subject == who) and (not state or case.state == state)

    def _choices(self, case: Case, visit: Visit) -> Iterator[Kind]:
        decides = self._house.decides(case, visit)
        own = is_party(visit.person, case.request)
        if case.state == "pending" and decides and not own:
            if visit.person not in case.standing.approved_by:
                yield "approve"
            yield "deny"
        asks = visit.person == case.request.act.requester
        if asks if case.state == "pending" else case.state == "approved":
            yield "revoke"
        if case.kept.review == "open" and case.state in _USED and decides and not own:
            yield "review"

    def _done(self, case: Case, visit: Visit, kind: str) -> str:
        """Say what somebody has decided, where they have: a link may say anything."""
        verdicts = counted(case.request, case.kept.notes, self._house.keys)
        own = {verdict.kind for verdict in verdicts if verdict.person == visit.person}
        return next((_DONE[each] for each in own if each == kind), "")

    def _why_not(self, case: Case, visit: Visit) -> str:
        if case.state in ("pending", "approved") or case.kept.review == "open":
            if is_party(visit.person, case.request):
                return "Nobody decides on what they ask for, or act for."
            return "You have decided already."
        return f"There is nothing left to decide: the request is {case.state}."

    # --- what is shown --------------------------------------------------------------------

    def _item(self, case: Case) -> dict[str, Any]:
        request = case.request
        return {
            "id": request.id,
            "summary": request.shown.summary,
            "state": case.state,
            "review": case.kept.review == "open",
            "who": ", by ".join((request.act.subject, *(a.subject for a in request.act.actors))),
            "reason": request.reason,
            "asked": f"asked {span(self._house.clock() - request.asked_at)} ago",
            "rules": _rules(case),
            "until": self._until(case),
        }

    def _until(self, case: Case) -> str:
        left = case.standing.until - self._house.clock()
        if case.state == "pending" and left > 0:
            return f"expires in {span(left)}, at {moment(case.standing.until)}"
        if case.state == "approved" and left > 0:
            return f"may be used for {span(left)}, until {moment(case.standing.until)}"
        return ""

    def _verdicts(self, case: Case) -> Iterator[dict[str, str]]:
        for verdict in counted(case.request, case.kept.notes, self._house.keys):
            yield {
                "person": verdict.person.subject,
                "kind": verdict.kind,
                "at": moment(verdict.at),
                "reason": verdict.reason,
            }


def _rules(case: Case) -> str:
    return ", ".join(rule.rule for rule in case.request.requirements)
