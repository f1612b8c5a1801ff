"""Attacks on the console: every one of them leaves what it attacks as it was."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracewall.console.asking import own_page
from tracewall.console.gate import LARGEST_BODY
from tracewall.console.place import Place
from tracewall.console.style import STYLE
from tracewall.console.visits import MOST_OF_ONE, Visits
from tracewall.identity.principal import Principal
from tracewall.recording.page import hashed
from tracewall.testing import TokenIssuer

EVIL = [
    "</pre></style></script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus=alert(1) '",
    "{{ 7 * 7 }}{% include 'base.html' %}",
    "\x1b]0;owned\x07\x1b[2J",
    "safe\u202egnp.exe\u2066\u200b\ufeff",
    "javascript:alert(1)",
    "-->\x00\ud7ff&lt;b&gt;",
]
HTTPS = "https://console.test"


class Elements(HTMLParser):
    """Counts what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, tuple(sorted(name for name, _ in attrs))))


def elements(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Give the elements of a page with the names of their attributes, in order."""
    made = Elements()
    made.feed(text)
    return made.found


# --- what others wrote ---------------------------------------------------------------------


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_that_somebody_wrote_acts(office: Any, evil: str) -> None:
    """Statements, reasons, names and tickets add no element to a page, and hide nothing."""
    console = office.console()
    plain = office.ask("ann", text="select 1", reason="x", summary="x", purpose="x", ticket="x")
    id = office.ask(
        evil, text=f"select '{evil}'", reason=evil, summary=evil, purpose=evil, ticket=evil
    )
    bob = office.visitor(console, "bob", "boss")
    pages = [bob.get(f"/requests/{each}") for each in (plain, id)]
    kinds = [
        {kind for kind in elements(page.text) if kind[0] not in ("b", "span")} for page in pages
    ]
    assert kinds[0] == kinds[1]
    bob.decide(id, "approve", evil)
    for answer in (*pages, bob.get("/requests?show=all"), bob.get(f"/requests/{id}")):
        assert "<script" not in answer.text and "<img" not in answer.text
        assert not re.search(
            r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u2069]", answer.text
        )
    assert "49" not in re.findall(r"<pre.*?</pre>", pages[1].text)[0]


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_in_the_record_acts(office: Any, evil: str) -> None:
    """Names and texts of the audit record, and filters, are shown harmlessly."""
    office.record(evil, summary=evil, detail=evil)
    office.tape(evil, evil)
    console = office.console()
    vic = office.visitor(console, "vic", "auditors")
    plain = {kind for kind in elements(vic.get("/sessions").text)}
    for path in ("/audit?who=", "/sessions"):
        text = vic.get(path).text
        assert "<script" not in text and "<img" not in text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u2069]", text)
    asked = "%22%3E%3Cimg%20src=x%3E"
    answer = vic.get(f"/sessions?who={asked}&rule={asked}&connection={asked}")
    assert {kind for kind in elements(answer.text)} <= plain
    assert "<img" not in vic.get(f"/audit?who={asked}&kind={asked}&since={asked}").text


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=80))
def test_no_text_adds_an_element(office: Any, text: str) -> None:
    """Whatever is a reason, the list of requests has the elements that it has for any other."""
    from tracewall.console.pages import environment

    page = environment().from_string("<p>{{ text }}</p><pre>{{ text|lines }}</pre>")
    assert elements(page.render(text=text)) == [("p", ()), ("pre", ())]


# --- headers and cookies -------------------------------------------------------------------


def test_every_answer_forbids_what_is_not_needed(office: Any) -> None:
    """Pages, refusals and errors all carry the policy, and nobody may frame or keep them."""
    console = office.console()
    id = office.tape()
    vic = office.visitor(console, "vic", "auditors")
    nobody = office.visitor(console)
    for answer in (
        vic.get("/requests"),
        vic.get("/nothing/here"),
        vic.get("/requests/apr_none"),
        nobody.get("/login"),
        nobody.get("/requests"),
        nobody.get("/", headers={"host": "evil.test"}),
        nobody.send("DELETE", "/requests"),
        nobody.send("POST", "/requests"),
    ):
        policy = answer.header("content-security-policy")
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "form-action 'self'; base-uri 'none'; frame-ancestors 'none'" in policy
        assert "script-src" not in policy and "unsafe" not in policy
        assert answer.header("x-frame-options") == "DENY"
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("cache-control") == "no-store"
        assert answer.header("referrer-policy") == "same-origin"
        assert answer.header("cross-origin-opener-policy") == "same-origin"
        assert answer.header("cross-origin-resource-policy") == "same-origin"
    shown = vic.get(f"/sessions/all/{id}").header("content-security-policy")
    assert shown.endswith("frame-src 'self'") and "frame-ancestors 'none'" in shown
    replay = vic.get(f"/sessions/all/{id}/replay")
    policy = replay.header("content-security-policy")
    assert policy.endswith("frame-ancestors 'self'; sandbox allow-scripts")
    assert replay.header("x-frame-options") == "SAMEORIGIN"
    assert hashed(STYLE) in vic.get("/requests").header("content-security-policy")


def test_cookies_are_for_this_host_and_no_script(office: Any) -> None:
    """With https a cookie is bound to the host; on this machine to the port by its name."""
    for url, prefix in ((HTTPS, "__Host-tracewall-"), ("http://127.0.0.1:8731", "tracewall-8731-")):
        console = office.console(url=url)
        nobody = office.visitor(console)
        form = nobody.get("/login")
        done = nobody.post(
            "/login", {"csrf": form.field("csrf"), "token": office.token("bob", "boss")}
        )
        for answer in (form, done):
            for cookie in [value for name, value in answer.headers if name == "set-cookie"]:
                assert cookie.startswith(prefix)
                lowered = cookie.lower()
                assert "httponly" in lowered and "samesite=lax" in lowered
                assert "path=/" in lowered and "domain" not in lowered
                assert ("secure" in lowered) == (url == HTTPS)
        assert "token" not in str(done.headers).lower().replace("tokens", "")


def test_a_cookie_is_no_token_and_no_number_of_the_visitors_own(office: Any) -> None:
    """A number that the browser came with does not become a visit (fixation), and is replaced."""
    console = office.console()
    bob = office.visitor(console)
    name = console.house.place.cookie("visit")
    bob.cookies[name] = "a" * 43
    assert bob.get("/requests").status == 303
    assert bob.log_in(office.token("bob", "boss")).status == 303
    first = bob.cookies[name]
    assert first != "a" * 43
    assert bob.log_in(office.token("bob", "boss")).status == 303
    assert bob.cookies[name] != first
    bob.cookies[name] = first
    assert bob.get("/requests").status == 303


def test_logging_out_ends_the_visit_on_the_server(office: Any) -> None:
    """After logging out the old number is nobody's."""
    console = office.console()
    bob = office.visitor(console, "bob", "boss")
    kept = dict(bob.cookies)
    csrf = bob.get("/requests").field("csrf")
    assert bob.post("/logout", {"csrf": csrf}).header("location") == "/login"
    assert not bob.cookies.keys() & kept.keys()
    bob.cookies = kept
    assert bob.get("/requests").header("location") == "/login?next=/requests"


# --- who somebody is -----------------------------------------------------------------------


def test_a_visit_ends_with_its_token(office: Any, clock: Any) -> None:
    """Nobody stays longer than their token, than the policy lets them, or than the keys."""
    console = office.console("lasts = '1min'")
    bob = office.visitor(console, "bob", "boss", lifetime=3_600)
    clock.now += 59
    assert bob.get("/requests").status == 200
    clock.now += 2
    assert bob.get("/requests").status == 303
    bob = office.visitor(console, "bob", "boss", lifetime=30)
    clock.now += 31
    assert bob.get("/requests").status == 303
    bob = office.visitor(console, "bob", "boss")
    office.issuer.rotate()
    office.issuer.withdraw()
    office.issuer.write_jwks(office.folder / "jwks.json")
    console.house.verifier.refresh()
    assert bob.get("/requests").status == 303


def test_a_revoked_token_is_refused_at_the_next_request(office: Any) -> None:
    """What the policy's list revokes ends the visit, and can't log in again."""
    path = office.folder / "revoked.toml"
    path.write_text("")
    console = office.console('[identity]\nrevocations = "revoked.toml"')
    bob = office.visitor(console, "bob", "boss")
    assert bob.get("/requests").status == 200
    path.write_text('[[revoked]]\nissuer = "https://idp.test"\nsubject = "bob"\n')
    ends = time.monotonic() + 30
    while bob.get("/requests").status == 200 and time.monotonic() < ends:
        time.sleep(0.1)
    assert bob.get("/requests").status == 303
    assert bob.log_in(office.token("bob", "boss")).status == 403


def test_a_program_may_revoke(office: Any) -> None:
    """What the program itself says is revoked ends the visit, as at the wall."""
    gone: set[str] = set()
    console = office.console(revoked=lambda who: who.subject in gone)
    bob = office.visitor(console, "bob", "boss")
    assert bob.get("/requests").status == 200
    gone.add("bob")
    assert bob.get("/requests").status == 303


@pytest.mark.parametrize(
    "claims",
    [
        {"lifetime": -60},
        {"claims": {"aud": "other"}},
        {"claims": {"iss": "https://evil.test"}},
        {"claims": {"act": {"sub": "agent"}}},
        {"headers": {"alg": "none"}},
        {"headers": {"typ": "JWT"}},
        {"claims": {"cnf": {"jkt": "x"}}},
    ],
    ids=str,
)
def test_no_other_token_logs_in(office: Any, claims: Any) -> None:
    """Expired, foreign, delegated, unsigned tokens: none of them begins a visit."""
    console = office.console()
    bob = office.visitor(console)
    answer = bob.log_in(office.token("bob", "boss", **claims))
    assert answer.status == 403 and "refused" in answer.text
    assert bob.get("/requests").status == 303


def test_who_acts_for_another_does_not_log_in(office: Any) -> None:
    """Also where the policy knows the actor: one logs in in person."""
    rights = '[[actors]]\nname = "agents"\nsubjects = ["agent"]\ngroups = ["boss"]'
    console = office.console(issued=rights)
    bob = office.visitor(console)
    answer = bob.log_in(office.token("bob", "boss", claims={"act": {"sub": "agent"}}))
    assert answer.status == 403 and "in person" in answer.text
    assert bob.get("/requests").status == 303


def test_tokens_are_not_taken_where_the_policy_says_so(office: Any) -> None:
    """With tokens = false pasting one lets nobody in."""
    login = 'tokens = false\n[[console.logins]]\nissuer = "corp"\nclient_id = "console"'
    console = office.console(login)
    bob = office.visitor(console)
    form = bob.get("/login")
    assert "<textarea" not in form.text
    mark = console.house.mark("login", bob.cookies[console.house.place.cookie("login")])
    answer = bob.post("/login", {"csrf": mark, "token": office.token("bob", "boss")})
    assert answer.status == 403 and bob.get("/requests").status == 303


def test_visits_are_bounded() -> None:
    """Somebody who logs in again and again pushes out their own visits, and nobody else's."""
    visits = Visits(lambda: 0.0, 60.0)
    ann, bob = (Principal("i", name, frozenset(), 100.0) for name in ("ann", "bob"))
    kept, _ = visits.begin(ann, "t", None)  # type: ignore[arg-type]
    numbers = [visits.begin(bob, "t", None)[0] for _ in range(50)]  # type: ignore[arg-type]
    assert visits.find(kept) is not None
    assert [visits.find(number) is not None for number in numbers].count(True) == MOST_OF_ONE
    assert visits.find(numbers[-1]) is not None


# --- whose request it is -------------------------------------------------------------------


def test_requests_of_others_are_not_there(office: Any) -> None:
    """Who may not decide on a request is told the same as of one that does not exist."""
    console = office.console()
    id = office.ask(approvers=("lead",))
    for visitor in (
        office.visitor(console, "bob", "boss"),
        office.visitor(console, "vic", "auditors"),
        office.visitor(console, "Lead", "LEAD", "lead2"),
    ):
        there, nowhere = visitor.get(f"/requests/{id}"), visitor.get("/requests/apr_nothing")
        assert there.status == nowhere.status == 404
        clean = re.compile(r'name="csrf" value="[^"]*"')
        assert clean.sub("", there.text) == clean.sub("", nowhere.text)
        assert id not in visitor.get("/requests?show=all").text
        csrf = visitor.get("/requests").field("csrf")
        form = {"csrf": csrf, "verdict": "approve", "binding": "x", "reason": ""}
        assert visitor.post(f"/requests/{id}", form).status == 404
    assert console.house.desk.case(id).state == "pending"


def test_one_subject_of_two_issuers_is_one_person(office: Any) -> None:
    """Who may be the one who asks, by another issuer, is offered no decision."""
    other = TokenIssuer("https://other.test", clock=office.clock)
    other.write_jwks(office.folder / "other.json")
    more = """
[[issuers]]
name = "other"
issuer = "https://other.test"
audience = "notes"
keys = "other.json"
algorithms = ["ES256"]
"""
    console = office.console(issued=more)
    id = office.ask("ann")
    ann = office.visitor(console)
    assert ann.log_in(other.mint("ann", ["boss"], audience="notes")).status == 303
    assert 'name="verdict"' not in ann.get(f"/requests/{id}").text
    assert id not in ann.get("/requests").text


@pytest.mark.parametrize("who", ["ann", "agent"])
def test_nobody_decides_on_what_they_ask(office: Any, who: str) -> None:
    """Neither who asks nor who acts for them decides, though they are approvers."""
    console = office.console()
    id = office.ask("ann", actors=("agent",))
    visitor = office.visitor(console, who, "boss")
    page = visitor.get(f"/requests/{id}")
    assert 'value="approve"' not in page.text and 'value="deny"' not in page.text
    binding = console.house.desk.case(id).request.binding
    for kind in ("approve", "deny", "review"):
        csrf = visitor.get("/requests").field("csrf")
        form = {"csrf": csrf, "verdict": kind, "binding": binding, "reason": ""}
        assert visitor.post(f"/requests/{id}", form).status == 409
    assert console.house.desk.case(id).state == "pending"


def test_a_decision_is_for_what_was_shown(office: Any) -> None:
    """A form of another request, or of what the request was before, decides nothing."""
    console = office.console()
    id, other = office.ask(), office.ask(text="delete from note")
    bob = office.visitor(console, "bob", "boss")
    binding = bob.get(f"/requests/{other}").field("binding")
    for wrong in (binding, "", "0" * 64):
        answer = bob.decide(id, "approve", binding=wrong)
        assert answer.status == 409 and "not the one" in answer.text
    assert console.house.desk.case(id).state == "pending"


@pytest.mark.parametrize("verdict", ["", "approved", "APPROVE", "approve\n", "claim"])
def test_no_other_word_decides(office: Any, verdict: str) -> None:
    """Only the four verdicts are decisions."""
    console = office.console()
    id = office.ask()
    bob = office.visitor(console, "bob", "boss")
    assert bob.decide(id, verdict).status == 400
    assert console.house.desk.case(id).state == "pending"


def test_no_link_says_that_something_was_decided(office: Any) -> None:
    """That a decision is kept is said to who made it, of just that decision."""
    console, id = office.console(), office.ask(people=2)
    bob, eve = (office.visitor(console, who, "boss") for who in ("bob", "eve"))
    assert "approval is kept" not in bob.get(f"/requests/{id}?done=approve").text
    bob.decide(id, "approve")
    assert "approval is kept" in bob.get(f"/requests/{id}?done=approve").text
    assert "is denied" not in bob.get(f"/requests/{id}?done=deny").text
    assert "approval is kept" not in eve.get(f"/requests/{id}?done=approve").text


def test_what_a_shape_lets_through_is_shown(office: Any) -> None:
    """Of a shape approvers see the shape that is bound, not only a statement said to be of it."""
    console = office.console()
    id = office.ask(shape=True, text="select $1 from the_shape")
    page = office.visitor(console, "bob", "boss").get(f"/requests/{id}")
    assert "<dt>shape</dt><dd>select $1 from the_shape</dd>" in page.text


def test_a_decision_comes_too_late(office: Any, clock: Any) -> None:
    """What has expired, was denied or is used is not approved by a page that is still open."""
    console = office.console()
    id = office.ask()
    bob = office.visitor(console, "bob", "boss", lifetime=3_600)
    page = bob.get(f"/requests/{id}")
    form = {"csrf": page.field("csrf"), "binding": page.field("binding"), "verdict": "approve"}
    clock.now += 901
    assert bob.post(f"/requests/{id}", form).status == 409
    assert console.house.desk.case(id).state == "expired"


def test_sessions_and_the_record_are_for_their_groups(office: Any) -> None:
    """Approvers see neither; what is there and what is not are told alike."""
    console = office.console()
    id = office.tape()
    bob = office.visitor(console, "bob", "boss", "auditor", "AUDITORS")
    for path in ("/sessions", f"/sessions/all/{id}", f"/sessions/all/{id}/replay", "/audit?who="):
        answer = bob.get(path)
        assert answer.status == 404 and "There is no such page" in answer.text
    assert "Sessions</a>" not in bob.get("/requests").text
    closed = office.console().house
    assert closed.audits(Principal("i", "s", frozenset({"auditors"}), 1.0))
    assert not closed.audits(Principal("i", "s", frozenset(), 1.0))


@pytest.mark.parametrize(
    "path",
    [
        "/sessions/all/../../policy.toml",
        "/sessions/../approvals.db/x",
        "/sessions/all/%2e%2e%2f%2e%2e%2fpolicy",
        "/sessions/..%2f/policy",
        "/sessions/all/.",
        "/sessions/all/x%00",
        "/sessions//x",
        "/requests/..%2faudit",
        "/requests/apr_'%20or%201=1",
    ],
)
def test_no_path_leads_elsewhere(office: Any, path: str) -> None:
    """An id is looked for among those that are there; no path is made of it."""
    console = office.console()
    office.tape()
    vic = office.visitor(console, "vic", "auditors", "boss")
    for each in (path, f"{path}/replay"):
        answer = vic.get(each)
        assert answer.status == 404 and "version = 1" not in answer.text


# --- where a request comes from ------------------------------------------------------------

FOREIGN: list[dict[str, str | None]] = [
    {"origin": "https://evil.test"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:8732"},
    {"origin": "http://127.0.0.1"},
    {"origin": "https://127.0.0.1:8731"},
    {"origin": "http://127.0.0.1:8731.evil.test"},
    {"origin": None, "sec-fetch-site": None},
    {"origin": None, "sec-fetch-site": "none"},
    {"origin": None, "sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_form_of_another_site_does_nothing(office: Any, headers: Any) -> None:
    """With all the right fields, a form that is not sent by a page of ours is refused."""
    console = office.console()
    id = office.ask()
    bob = office.visitor(console, "bob", "boss")
    page = bob.get(f"/requests/{id}")
    form = {"csrf": page.field("csrf"), "binding": page.field("binding"), "verdict": "approve"}
    assert bob.post(f"/requests/{id}", form, headers=headers).status == 403
    assert bob.post("/logout", {"csrf": page.field("csrf")}, headers=headers).status == 403
    assert bob.get("/requests").status == 200
    assert console.house.desk.case(id).state == "pending"


def test_a_form_needs_the_mark_of_its_visit(office: Any) -> None:
    """Without the token of this very login a form does nothing, whatever else is right."""
    console = office.console()
    id = office.ask()
    bob, cat = (office.visitor(console, name, "boss") for name in ("bob", "cat"))
    other = cat.get("/requests").field("csrf")
    for csrf in ("", other, "é", "x" * 10_000):
        assert bob.decide(id, "approve", csrf=csrf).status == 403
        assert bob.post("/logout", {"csrf": csrf}).status == 403
    assert bob.send("POST", "/logout", headers={"origin": office.url}).status == 403
    assert bob.get("/requests").status == 200
    assert console.house.desk.case(id).state == "pending"


def test_the_mark_of_a_form_is_never_the_same(office: Any) -> None:
    """Each page has another mark, and each of them is good: compression tells nothing of it."""
    console = office.console()
    bob = office.visitor(console, "bob", "boss")
    marks = [bob.get("/requests").field("csrf") for _ in range(3)]
    assert len({mark[at : at + 8] for mark in marks for at in range(0, 128, 8)}) == 48
    id = office.ask()
    assert bob.decide(id, "approve", csrf=marks[0]).status == 303
    swapped = marks[1][64:] + marks[2][64:]
    assert bob.post("/logout", {"csrf": swapped}).status == 403
    assert bob.post("/logout", {"csrf": marks[1].upper()}).status == 403
    assert bob.post("/logout", {"csrf": marks[2]}).status == 303


def test_nobody_is_logged_in_by_another(office: Any) -> None:
    """A login form must come from this browser's own login page (login CSRF)."""
    console = office.console()
    mallory, victim = office.visitor(console), office.visitor(console)
    csrf = mallory.get("/login").field("csrf")
    token = office.token("mallory", "boss")
    assert victim.post("/login", {"csrf": csrf, "token": token}).status == 403
    victim.get("/login")
    assert victim.post("/login", {"csrf": csrf, "token": token}).status == 403
    assert victim.get("/requests").status == 303


def test_a_get_changes_nothing(office: Any) -> None:
    """Decisions and logging out are POSTs: no link, image or prefetch does them."""
    console = office.console()
    id = office.ask()
    bob = office.visitor(console, "bob", "boss")
    page = bob.get(f"/requests/{id}")
    query = f"csrf={page.field('csrf')}&binding={page.field('binding')}&verdict=approve"
    bob.get(f"/requests/{id}?{query}")
    assert bob.get(f"/logout?{query}").status == 405
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"):
        assert bob.send(method, f"/requests/{id}?{query}").status == 405
    more = [(b"x-http-method-override", b"POST")]
    bob.send("GET", f"/requests/{id}?{query}", more=more)
    assert bob.get("/requests").status == 200
    assert console.house.desk.case(id).state == "pending"
    assert bob.send("HEAD", f"/requests/{id}").status == 200


def test_other_sites_may_link_and_embed_nothing(office: Any) -> None:
    """A link from a chat opens a request; frames, images and fetches of others are refused."""
    console = office.console()
    id = office.ask()
    office.record("ann")
    vic = office.visitor(console, "vic", "boss", "auditors")
    cross = {"sec-fetch-site": "cross-site"}
    assert vic.get(f"/requests/{id}", headers=cross).status == 200
    for more in (
        {"sec-fetch-dest": "iframe"},
        {"sec-fetch-dest": "image", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-dest": "empty", "sec-fetch-mode": "cors"},
        {"sec-fetch-dest": "object"},
    ):
        assert vic.get(f"/requests/{id}", headers={**cross, **more}).status == 403
    # What is on record as their reading is done by their own click only.
    led = vic.get("/audit?who=planted", headers=cross)
    assert "Another site led you here" in led.text and "planted" not in led.text
    assert "planted" not in office.written("audit/reads")


@pytest.mark.parametrize(
    "host", ["evil.test", "127.0.0.1:80", "127.0.0.1", "localhost:8731", "127.0.0.1:8731.evil.test"]
)
def test_no_other_host_is_served(office: Any, host: str) -> None:
    """A name of somebody's own that leads to this machine is answered nothing."""
    console = office.console()
    bob = office.visitor(console, "bob", "boss")
    answer = bob.get("/requests", headers={"host": host})
    assert answer.status == 421 and "tracewall" not in answer.text
    assert bob.get("/requests", headers={"host": None}).status == 421
    twice = bob.send("GET", "/requests", more=[(b"host", b"evil.test")])
    assert twice.status == 421
    more = [(b"x-forwarded-host", b"evil.test"), (b"forwarded", b"host=evil.test")]
    assert "evil" not in bob.send("GET", "/", more=more).text


def test_hosts_that_the_policy_names_are_served(office: Any) -> None:
    """A further host is answered, and its forms are the console's own."""
    console = office.console('hosts = ["console.test:8080"]')
    bob = office.visitor(console)
    bob.url = "http://console.test:8080"
    assert bob.log_in(office.token("bob", "boss")).status == 303


# --- where it leads, how large it is -------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.test",
        "https://evil.test",
        "/\\evil.test",
        "/requests/../../x",
        "/requests\r\nset-cookie: a=b",
        "/%2f/evil.test",
        "javascript:alert(1)",
        "/login/callback?code=x",
        "/logout",
    ],
)
def test_a_login_leads_to_our_own_pages_only(office: Any, wanted: str) -> None:
    """Wherever somebody wanted to go: they come to a page of ours, in one header."""
    console = office.console()
    bob = office.visitor(console)
    answer = bob.log_in(office.token("bob", "boss"), next=wanted)
    assert (answer.status, answer.header("location")) == (303, "/requests")
    assert not any("evil" in value or "\n" in value for _, value in answer.headers)


@given(st.text())
def test_only_known_pages_are_led_to(text: str) -> None:
    """Any text becomes the path of a page of ours."""
    for path in (own_page(text), own_page(f"/{text}"), own_page(f"/requests/{text}")):
        assert re.fullmatch(r"/[a-z][A-Za-z0-9_./-]*", path) and "//" not in path
        assert "\n" not in path


def test_large_requests_are_refused(office: Any) -> None:
    """Bodies, queries and fields have limits, whatever a request says of its length."""
    console = office.console()
    bob = office.visitor(console, "bob", "boss")
    csrf = bob.get("/requests").field("csrf")
    large = {"csrf": csrf, "reason": "x" * LARGEST_BODY}
    for headers in ({}, {"content-length": "10"}):
        assert bob.post("/requests/apr_x", large, headers=headers).status == 413
    for length in ("9" * 30, "-1", "1e3", "0x10", "\u00b2", "٣".encode().decode("latin-1")):
        answer = bob.post("/requests/apr_x", {"csrf": csrf}, headers={"content-length": length})
        assert answer.status == 413
    assert bob.get(f"/requests?who={'x' * 9_000}").status == 414
    assert bob.get(f"/requests?{'&'.join(f'a{n}=1' for n in range(100))}").status == 400
    assert bob.get("/requests?who=a&who=b").status == 400
    assert bob.get("/requests?who=%ff").status == 400
    id = office.ask()
    assert bob.decide(id, "approve", "x" * 2_001).status == 400
    body = b'{"csrf": 1}'
    json = {"content-type": "application/json", "origin": office.url}
    assert bob.send("POST", f"/requests/{id}", body=body, headers=json).status == 415


def test_sockets_are_closed(office: Any) -> None:
    """There is no WebSocket here, of whatever site."""
    console = office.console()
    assert office.visitor(console).send("GET", "/", kind="websocket").status == 1008


def test_a_fault_tells_nothing(office: Any) -> None:
    """An error inside is answered in two words, with all the headers."""
    console = office.console()
    bob = office.visitor(console, "bob", "boss")

    def broken(**options: Any) -> Any:
        raise RuntimeError("secret-canary")

    object.__setattr__(console.house.desk, "cases", broken)
    sent: list[Any] = []
    app = console._app

    async def catching(scope: Any, receive: Any, send: Any) -> None:
        async def keeping(message: Any) -> None:
            sent.append(message)
            await send(message)

        with pytest.raises(RuntimeError):
            await app(scope, receive, keeping)

    bob.app = catching
    answer = bob.get("/requests")
    assert answer.status == 500 and "canary" not in answer.text
    assert answer.header("content-security-policy").startswith("default-src 'none'")


def test_places_are_read_as_browsers_write_them() -> None:
    """Hosts have their port where it is not the usual one; nothing but https leaves a machine."""
    assert Place.of("https://A.test").hosts == {"a.test"}
    assert Place.of("https://a.test:443/x").hosts == {"a.test"}
    assert Place.of("https://a.test:8443").origins == {"https://a.test:8443"}
    assert Place.of("http://[::1]:80").hosts == {"[::1]"}
    for wrong in ("http://a.test", "http://127.0.0.1.evil.test", "http://localhost.evil.test"):
        with pytest.raises(ValueError, match="https"):
            Place.of(wrong)
