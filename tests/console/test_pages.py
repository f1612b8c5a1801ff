"""What people see in the console, and what they decide there."""

from __future__ import annotations

import contextlib
import gzip
import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tracewall.audit.people import People
from tracewall.console import tapes
from tracewall.console.house import SEARCHES
from tracewall.errors import PolicyError
from tracewall.recording.folder import Folder
from tracewall.recording.remote import Remote
from tracewall.signing import Signer


def test_an_approver_decides(office: Any) -> None:
    """Whoever may decide sees what waits, all that is known of it, and approves by one form."""
    console = office.console()
    id = office.ask(ticket="OPS-7")
    bob = office.visitor(console, "bob", "boss")
    listed = bob.get("/requests")
    assert id in listed.text and "the yearly report" in listed.text
    page = bob.get(f"/requests/{id}")
    for part in ("ann (https://idp.test)", "OPS-7", "public.note: select", "40 rows", "$1", "NULL"):
        assert part in page.text
    assert "expires in 15 min" in page.text
    done = bob.decide(id, "approve", "looks right")
    assert (done.status, done.header("location")) == (303, f"/requests/{id}?done=approve")
    assert "Your approval is kept" in bob.get(f"/requests/{id}?done=approve").text
    case = console.house.desk.case(id)
    assert case.state == "approved"
    assert [person.subject for person in case.standing.approved_by] == ["bob"]
    log = office.written()
    assert '"kind":"approval_decided"' in log and "looks right" in log and '"subject":"bob"' in log
    assert "looks right" in bob.get(f"/requests/{id}").text


def test_what_was_decided_can_be_taken_back(office: Any) -> None:
    """An approver and whoever asks may take an approval back; one denial ends a request."""
    console = office.console()
    bob = office.visitor(console, "bob", "boss")
    ann = office.visitor(console, "ann", "staff")
    for kind, who, state in (("revoke", ann, "revoked"), ("revoke", bob, "revoked")):
        id = office.ask()
        assert bob.decide(id, "approve").status == 303
        assert id in who.get("/requests?show=approved").text
        assert who.decide(id, kind).status == 303
        assert console.house.desk.case(id).state == state
    id = office.ask()
    assert bob.decide(id, "deny", "not now").status == 303
    assert "There is nothing left to decide" in bob.get(f"/requests/{id}").text
    assert console.house.desk.case(id).state == "denied"


def test_a_review_is_closed(office: Any) -> None:
    """What somebody did alone waits for a review, which another one closes."""
    console = office.console()
    id = office.ask(used=True)
    office.store.settle(id, "done")
    bob = office.visitor(console, "bob", "boss")
    assert "to be reviewed" in bob.get("/requests").text
    assert bob.decide(id, "review", "was right").status == 303
    assert console.house.desk.case(id).kept.review != "open"
    assert "to be reviewed" not in bob.get("/requests").text


def test_several_people_must_agree(office: Any) -> None:
    """A person is counted once, however often they log in, and is not asked again."""
    console = office.console()
    id = office.ask(people=2)
    bob = office.visitor(console, "bob", "boss")
    assert bob.decide(id, "approve").status == 303
    assert console.house.desk.case(id).state == "pending"
    again = office.visitor(console, "bob", "boss")
    assert 'value="approve"' not in again.get(f"/requests/{id}").text
    assert again.decide(id, "approve").status == 409
    assert office.visitor(console, "cat", "boss").decide(id, "approve").status == 303
    assert console.house.desk.case(id).state == "approved"


def test_requests_are_found_and_turned_over(office: Any) -> None:
    """Requests come newest first, so many on a page, by who asks and by state."""
    console = office.console()
    for number in range(30):
        office.ask("ann" if number % 2 else "eve", id=f"apr_{number:02}")
    bob = office.visitor(console, "bob", "boss")
    first = bob.get("/requests?show=all")
    assert first.text.count('<li class="card row') == 25
    assert "page=2" in first.text
    second = bob.get("/requests?show=all&page=2").text
    assert second.count('<li class="card row') == 5 and "apr_00" in second
    assert bob.get("/requests?show=all&who=eve").text.count('<li class="card row') == 15
    assert bob.get("/requests?show=all&state=denied").text.count('<li class="card row') == 0
    ann = office.visitor(console, "ann")
    assert ann.get("/requests").text.count('<li class="card row') == 0
    assert ann.get("/requests?show=own").text.count('<li class="card row') == 15


def test_without_a_key_the_console_only_shows(office: Any) -> None:
    """Where the key is missing, or is none that counts, nobody is offered a decision."""
    id = office.ask()
    reasons = {"": "key_file or key_env", Signer.make("other").secret(): "keys under [approval]"}
    for key, why in reasons.items():
        console = office.console(key=key)
        bob = office.visitor(console, "bob", "boss")
        page = bob.get(f"/requests/{id}")
        assert "no key to sign" in page.text and 'name="verdict"' not in page.text
        assert why in page.text and why in bob.get("/requests").text
        form = {"csrf": page.field("csrf"), "verdict": "approve", "binding": "", "reason": ""}
        assert bob.post(f"/requests/{id}", form).status == 503
        assert console.house.desk.case(id).state == "pending"


def test_recorded_sessions_are_shown_on_record(office: Any) -> None:
    """Viewers find a session and see it replayed, with masks as such; that is on record."""
    console = office.console()
    id = office.tape()
    office.tape("eve")
    vic = office.visitor(console, "vic", "auditors")
    listed = vic.get("/sessions?who=ann")
    assert id in listed.text and "eve" not in listed.text
    assert id in vic.get("/sessions?connection=s1").text
    page = vic.get(f"/sessions/all/{id}")
    assert (
        f'src="/sessions/all/{id}/replay"' in page.text and 'sandbox="allow-scripts"' in page.text
    )
    assert '"recording_read"' not in office.written()
    replay = vic.get(f"/sessions/all/{id}/replay", headers={"sec-fetch-dest": "iframe"})
    assert "a***@example.com" in replay.text and 'class="masked"' in replay.text
    log = office.written("audit/reads")
    assert '"recording_read"' in log and id in log and '"subject":"vic"' in log


def test_recordings_that_can_not_be_shown_are_told(office: Any) -> None:
    """A recording that is damaged, encrypted or too large is told as that, and not replayed."""
    console = office.console()
    id = office.tape()
    path = office.folder / f"recordings/all/{id}.jsonl.gz"
    vic = office.visitor(console, "vic", "auditors")
    path.write_bytes(b"nonsense")
    assert "can&#39;t be read: the file is damaged" in vic.get(f"/sessions/all/{id}").text
    assert vic.get(f"/sessions/all/{id}/replay").status == 404
    path.rename(path.with_name(f"{id}.jsonl.gz.sealed"))
    assert "encrypted" in vic.get("/sessions").text
    assert vic.get(f"/sessions/all/{id}/replay").status == 404


def _bomb() -> bytes:
    return gzip.compress(b" " * (40 << 20))


def _chained(**more: object) -> bytes:
    began = {"n": 0, "t": 0, "kind": "began", "format": 1, "prev": "0" * 64}
    return gzip.compress(json.dumps({**began, **more}).encode() + b"\n")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"nonsense", "the file is damaged"),
        (_bomb(), "a line has no end"),
        (gzip.compress(b"[" * 99_999 + b"\n"), "no line of a recording"),
        (gzip.compress(b"\xff\xfe\n"), "no line of a recording"),
        (_chained(rule="all", time=1e300), "no line of a recording"),
        (_chained(rule="all", time="<b>"), "no line of a recording"),
        (_chained(rule="all", actors=[1]), "no line of a recording"),
        (_chained(rule="other", id="other"), "another recording than its name says"),
    ],
)
def test_an_odd_recording_is_told_in_words(office: Any, data: bytes, reason: str) -> None:
    """What somebody wrote in a recording's place ends no page, of it or of the others, with 500."""
    console = office.console()
    id, other = office.tape(), office.tape()
    (office.folder / f"recordings/all/{id}.jsonl.gz").write_bytes(data)
    vic = office.visitor(console, "vic", "auditors")
    assert other in vic.get("/sessions").text and id in vic.get("/sessions?who=").text
    page = vic.get(f"/sessions/all/{id}")
    assert page.status == 200
    assert "can&#39;t be read: " in page.text and reason in page.text
    replay = vic.get(f"/sessions/all/{id}/replay")
    assert replay.status == 404 and reason in replay.text
    assert vic.get(f"/sessions/all/{other}/replay").status == 200


def test_recordings_are_looked_for_where_they_are_shipped_to(office: Any) -> None:
    """A policy with a URL for recordings has its console look there."""
    id = office.tape()
    far = (office.folder / "far").as_uri()
    store = Folder(office.folder / "recordings")
    (entry,) = store.entries()
    Remote(far).take(store, entry)
    store.remove(entry)
    console = office.console(f'[recording]\nurl = "{far}"\n[[recordings]]\nname = "all"\n')
    vic = office.visitor(console, "vic", "auditors")
    assert id in vic.get("/sessions").text
    assert "a***@example.com" in vic.get(f"/sessions/all/{id}/replay").text


def test_the_record_is_searched_on_record(office: Any) -> None:
    """Auditors find statements and incidents, newest first; that they search is on record."""
    office.record("ann", "eve")
    console = office.console()
    vic = office.visitor(console, "vic", "auditors")
    every = vic.get("/audit?who=")
    assert "SELECT shop.customers" in every.text and "masks.mail" in every.text
    assert "policy_loaded" in every.text and "Recordings of this connection" in every.text
    assert every.text.index("eve") < every.text.index("ann")
    only = vic.get("/audit?who=ann&table=shop.*")
    assert only.text.count('<li class="card row') == 1 and ">eve<" not in only.text
    assert "Times are written" in vic.get("/audit?since=yesterday").text
    assert vic.get("/audit?until=2001-01-01T00:00").text.count('<li class="card row') == 0
    # By default only of the last day, by this console's clock.
    assert vic.get("/audit").text.count('<li class="card row') == 0
    log = office.written("audit/reads")
    assert "search by the console who=ann table=shop.*" in log and '"subject":"vic"' in log


def test_a_recording_that_swells_is_not_shown(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that unpacks to more than the console shows is told as too large."""
    console = office.console()
    id = office.tape(value="x" * 500)
    vic = office.visitor(console, "vic", "auditors")
    assert vic.get(f"/sessions/all/{id}/replay").status == 200
    monkeypatch.setattr(tapes, "LONGEST", 400)
    answer = vic.get(f"/sessions/all/{id}/replay")
    assert answer.status == 404 and "too large" in answer.text
    monkeypatch.setattr(tapes, "LARGEST", 10)
    assert "too large" in vic.get(f"/sessions/all/{id}").text


def test_the_record_is_turned_over(office: Any) -> None:
    """So many entries on a page, filters kept; more than the most is told."""
    office.record(*(f"user{number:03}" for number in range(120)))
    console = office.console()
    vic = office.visitor(console, "vic", "auditors")
    first = vic.get("/audit?decision=allowed")
    assert first.text.count('<li class="card row') == 50 and "user119" in first.text
    assert "decision=allowed&amp;page=2" in first.text
    third = vic.get("/audit?decision=allowed&page=3").text
    assert third.count('<li class="card row') == 20 and "user000" in third


def test_people_in_an_erasable_record_are_found_by_name(office: Any) -> None:
    """Where the record has pseudonyms, auditors see names; the log of readings has none."""
    console = office.console()
    people = People(office.folder / "audit")
    pseudonym = people.of("https://i.test", "ann").pseudonym
    office.record(pseudonym)
    vic = office.visitor(console, "vic", "auditors")
    assert ">ann<" in vic.get("/audit?who=ann").text
    assert f"who={pseudonym}" in office.written("audit/reads")
    assert "who=ann" not in office.written("audit/reads")


def test_searches_wait_for_each_other(office: Any) -> None:
    """So many searches at once, and no more; the next one is told to come again."""
    console = office.console()
    vic = office.visitor(console, "vic", "auditors")
    with contextlib.ExitStack() as stack:
        for _ in range(SEARCHES):
            stack.enter_context(console.house.searching)
        assert vic.get("/audit").status == 503
    assert vic.get("/audit").status == 200


def test_a_reading_that_can_not_be_recorded_is_none(office: Any) -> None:
    """Where the log of readings can't be written, neither record nor recording is shown."""
    console = office.console()
    id = office.tape()
    office.record("ann")
    vic = office.visitor(console, "vic", "auditors")
    console.house.reads.close()
    reads = office.folder / "audit/reads"
    reads.rename(office.folder / "elsewhere")
    reads.write_text("no directory")
    for path in ("/audit?who=", f"/sessions/all/{id}/replay"):
        answer = vic.get(path)
        assert answer.status == 503 and "can&#39;t be kept" in answer.text
        assert "SELECT" not in answer.text and "example.com" not in answer.text


def test_decisions_that_can_not_be_recorded_are_not_made(office: Any) -> None:
    """Where the audit record can't be written, nothing is decided."""
    console = office.console()
    id = office.ask()
    bob = office.visitor(console, "bob", "boss")
    page = bob.get(f"/requests/{id}")
    console.house.reads.close()
    (office.folder / "audit").rename(office.folder / "elsewhere")
    (office.folder / "audit").write_text("no directory")
    form = {"csrf": page.field("csrf"), "binding": page.field("binding"), "verdict": "approve"}
    assert bob.post(f"/requests/{id}", form).status == 503
    assert console.house.desk.case(id).state == "pending"


def test_it_is_mounted_below_a_path(office: Any, visiting: Any) -> None:
    """In another application every link, form and redirect stays below the console's path."""
    console = office.console(url="http://127.0.0.1:8731/admin/console")
    outer = Starlette(routes=[Mount("/admin/console", app=console)])
    id = office.ask()
    bob = visiting(outer, "http://127.0.0.1:8731")
    assert bob.get("/admin/console/").header("location") == "/admin/console/login"
    form = bob.get("/admin/console/login")
    assert 'action="/admin/console/login"' in form.text
    token = office.token("bob", "boss")
    done = bob.post("/admin/console/login", {"csrf": form.field("csrf"), "token": token})
    assert done.header("location") == "/admin/console/requests"
    page = bob.get(f"/admin/console/requests/{id}")
    assert page.status == 200 and 'href="/requests' not in page.text
    assert f'action="/admin/console/requests/{id}"' in page.text
    stray = bob.get("/admin/console/nowhere")
    odd = bob.get("/admin/console/requests?show=all&show=own")
    assert (stray.status, odd.status) == (404, 400)
    for answer in (stray, odd):
        assert 'href="/admin/console/"' in answer.text and 'href="/"' not in answer.text


def test_a_proxy_may_take_the_path_off_or_not(office: Any) -> None:
    """Served by itself, the console is below its path whichever way a proxy passes it on."""
    url = "http://127.0.0.1:8731"
    console = office.console(url=f"{url}/desk")
    bob = office.visitor(console)
    for path in ("/login", "/desk/login"):
        answer = bob.get(path)
        assert answer.status == 200 and 'action="/desk/login"' in answer.text
    assert bob.get("/").header("location") == "/desk/login"
    assert bob.get("/desk/requests").header("location") == "/desk/login?next=/requests"
    assert bob.get("/desks/login").status == 404


@pytest.mark.parametrize("url", ["", "http://console.test", "ftp://x.test", "http://10.0.0.1"])
def test_it_wants_to_know_where_it_is(office: Any, url: str) -> None:
    """Without a URL of https, or of this machine, there is no console."""
    with pytest.raises(PolicyError, match="https"):
        office.console(url=url)


def test_a_console_opens_where_nothing_is_kept_yet(office: Any) -> None:
    """Pages are empty, not broken, before anything was asked, recorded or audited."""
    console = office.console()
    assert [*Folder(office.folder / "recordings").entries()] == []
    vic = office.visitor(console, "vic", "auditors", "boss")
    for path in ("/requests", "/sessions", "/audit", "/requests?show=all&page=9"):
        assert vic.get(path).status == 200
