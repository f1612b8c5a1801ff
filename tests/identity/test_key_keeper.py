"""Keeping keys: when they are fetched, how long they last, and what a bad issuer can do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

import tracewall.identity
from tracewall.identity import KeyKeeper, Principal, Rejection, TrustedIssuer, Verifier
from tracewall.testing import SigningKey, TokenIssuer

NOW = 1_800_000_000.0
Serve = Callable[[Callable[[BaseHTTPRequestHandler], None]], Any]


def reply(request: BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
    """Answer with a body of a known length."""
    request.send_response(status)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def ids(keeper: KeyKeeper) -> set[str] | None:
    """Return the ids of a keeper's present keys."""
    keys = keeper.current()
    return None if keys is None else set(keys.ids)


@pytest.fixture
def issuer() -> TokenIssuer:
    """Return an issuer whose clock stands still."""
    return TokenIssuer(clock=lambda: NOW)


# A file


def test_nothing_is_read_before_the_first_refresh(issuer: TokenIssuer, jwks_file: Path) -> None:
    """A new keeper has no keys and says that a refresh is due; a refresh brings them."""
    issuer.write_jwks(jwks_file)
    keeper = KeyKeeper(str(jwks_file))
    assert keeper.current() is None
    assert keeper.stale()
    keeper.refresh()
    assert ids(keeper) == {issuer.key.id}
    assert not keeper.stale()
    assert keeper.problem == ""


def test_a_file_is_read_again_at_each_refresh(issuer: TokenIssuer, jwks_file: Path) -> None:
    """A rotated file shows at once, a withdrawn key is gone, and there is no cool-down."""
    keeper = KeyKeeper(str(jwks_file))
    first = issuer.key.id
    issuer.write_jwks(jwks_file)
    keeper.refresh()
    second = issuer.rotate().id
    issuer.write_jwks(jwks_file)
    keeper.refresh()
    assert ids(keeper) == {first, second}
    issuer.withdraw()
    issuer.write_jwks(jwks_file)
    keeper.refresh()
    assert ids(keeper) == {second}


def test_keys_are_due_after_five_minutes(issuer: TokenIssuer, jwks_file: Path, clock: Any) -> None:
    """A refresh is due when the keys are older than max_age."""
    issuer.write_jwks(jwks_file)
    keeper = KeyKeeper(str(jwks_file), clock=clock)
    keeper.refresh()
    clock.pass_by(300)
    assert not keeper.stale()
    clock.pass_by(1)
    assert keeper.stale()
    keeper.refresh()
    assert not keeper.stale()


@pytest.mark.parametrize("content", [b"", b"garbage", b"{}", b'{"keys": 1}', b" " * (2**20 + 1)])
def test_a_broken_file_keeps_the_keys_for_an_hour(
    issuer: TokenIssuer, jwks_file: Path, clock: Any, content: bytes
) -> None:
    """What cannot be read leaves the old keys in use for a bounded time, then there are none."""
    issuer.write_jwks(jwks_file)
    keeper = KeyKeeper(str(jwks_file), clock=clock)
    keeper.refresh()
    jwks_file.write_bytes(content)
    clock.pass_by(3600)
    keeper.refresh()
    assert keeper.problem
    assert ids(keeper) == {issuer.key.id}
    clock.pass_by(1)
    assert keeper.current() is None
    keeper.refresh()
    assert keeper.current() is None
    issuer.write_jwks(jwks_file)
    keeper.refresh()
    assert ids(keeper) == {issuer.key.id}
    assert keeper.problem == ""


def test_a_file_over_a_mebibyte_is_not_taken(issuer: TokenIssuer, jwks_file: Path) -> None:
    """A key set within the limit is read, the same one with white space beyond it is not."""
    text = json.dumps(issuer.jwks())
    keeper = KeyKeeper(str(jwks_file))
    jwks_file.write_text(text.ljust(2**20 + 1))
    keeper.refresh()
    assert keeper.problem == "has more than 1048576 bytes"
    assert keeper.current() is None
    jwks_file.write_text(text.ljust(2**20))
    keeper.refresh()
    assert ids(keeper) == {issuer.key.id}


def test_a_missing_file_and_a_directory_are_problems(tmp_path: Path) -> None:
    """A path that leads to no file never raises."""
    for path in (tmp_path / "missing", tmp_path, Path(os.devnull)):
        keeper = KeyKeeper(str(path))
        keeper.refresh()
        assert keeper.current() is None
        assert keeper.problem == "is not a file"


def test_a_set_without_keys_withdraws_all(issuer: TokenIssuer, jwks_file: Path) -> None:
    """An issuer that publishes an empty set has withdrawn its keys: nobody goes on."""
    issuer.write_jwks(jwks_file)
    keeper = KeyKeeper(str(jwks_file))
    keeper.refresh()
    jwks_file.write_text('{"keys": []}')
    keeper.refresh()
    assert ids(keeper) == set()


# A URL


def test_rotation_over_http(issuer: TokenIssuer, clock: Any) -> None:
    """Keys from a URL follow RS256 to ES256 to EdDSA, and a withdrawn key verifies no more."""
    issuer = TokenIssuer(algorithm="RS256", clock=lambda: NOW)
    with issuer.serve() as served:
        trusted = TrustedIssuer("one", issuer.issuer, ("db",), served.jwks_url)
        verifier = Verifier([trusted], clock=clock)
        verifier.refresh()
        old = issuer.mint("a", audience="db")
        for algorithm in ("ES256", "EdDSA"):
            issuer.rotate(algorithm)
            token = issuer.mint("a", audience="db")
            answer = verifier.verify(token, NOW)
            assert isinstance(answer, Rejection)
            assert answer.unknown_key
            clock.pass_by(10)
            verifier.refresh(answer.issuer)
            assert isinstance(verifier.verify(token, NOW), Principal)
            assert isinstance(verifier.verify(old, NOW), Principal)
        issuer.withdraw()
        clock.pass_by(10)
        verifier.refresh()
        assert isinstance(verifier.verify(token, NOW), Principal)
        answer = verifier.verify(old, NOW)
        assert isinstance(answer, Rejection)
        assert answer.reason == "unknown_key"
        assert served.count() == 4


def test_unknown_keys_cause_no_storm(issuer: TokenIssuer, clock: Any) -> None:
    """However many tokens name unknown keys, the issuer is asked once in a cool-down."""
    with issuer.serve() as served:
        trusted = TrustedIssuer("one", issuer.issuer, ("db",), served.jwks_url)
        verifier = Verifier([trusted], clock=clock)
        verifier.refresh()
        for round_ in range(3):
            for number in range(50):
                token = issuer.mint("a", audience="db", headers={"kid": f"{round_}-{number}"})
                answer = verifier.verify(token, NOW)
                assert isinstance(answer, Rejection)
                assert answer.unknown_key
                verifier.refresh(answer.issuer)
            assert served.count() == 1 + round_
            clock.pass_by(10)


def test_due_only_leaves_fresh_keys_alone(issuer: TokenIssuer, clock: Any) -> None:
    """A refresh of what is due asks no issuer whose keys are fresh."""
    with issuer.serve() as served:
        trusted = TrustedIssuer("one", issuer.issuer, ("db",), served.jwks_url)
        verifier = Verifier([trusted], clock=clock)
        verifier.refresh(due_only=True)
        clock.pass_by(200)
        verifier.refresh(due_only=True)
        assert served.count() == 1
        clock.pass_by(101)
        verifier.refresh(due_only=True)
        assert served.count() == 2


def test_failures_back_off(serve: Serve, clock: Any) -> None:
    """An issuer that fails is asked ever less often, but at least once a minute or so."""
    server = serve(lambda request: reply(request, b"down", 503))
    keeper = KeyKeeper(server.url, clock=clock)
    asked = []
    for _ in range(400):
        if keeper.stale():
            asked.append(clock.seconds)
        keeper.refresh()
        clock.pass_by(1)
    assert keeper.problem == "answered 503"
    assert len(server.paths) == len(asked)
    assert asked == [0, 10, 30, 70, 130, 190, 250, 310, 370]


def test_an_issuer_that_is_back_is_believed_at_once(serve: Serve, clock: Any) -> None:
    """After failures a good answer brings the keys and ends the back-off."""
    key = SigningKey.make()
    answers = [(b"", 500), (b"", 500), (json.dumps({"keys": [key.jwk()]}).encode(), 200)]
    server = serve(lambda request: reply(request, *answers[len(server.paths) - 1]))
    keeper = KeyKeeper(server.url, clock=clock)
    for pause in (10, 20, 0):
        assert keeper.current() is None
        keeper.refresh()
        clock.pass_by(pause)
    assert ids(keeper) == {key.id}
    assert keeper.problem == ""
    assert not keeper.stale()


def test_the_back_off_starts_anew_after_a_success(serve: Serve, clock: Any) -> None:
    """An issuer that failed, came back and fails again is asked again after the plain cool-down."""
    good = json.dumps({"keys": []}).encode()
    statuses = [500, 500, 200, 500, 200]
    server = serve(lambda request: reply(request, good, statuses[len(server.paths) - 1]))
    keeper = KeyKeeper(server.url, clock=clock)
    for pause in (10, 20, 10, 10, 0):
        keeper.refresh()
        clock.pass_by(pause)
    assert len(server.paths) == 5


def test_the_issuer_may_be_down_for_a_bounded_time(issuer: TokenIssuer, clock: Any) -> None:
    """Nobody is refused in the first hour without the issuer; after it everybody is."""
    with issuer.serve() as served:
        keeper = KeyKeeper(served.jwks_url, clock=clock)
        keeper.refresh()
    for _ in range(12):
        clock.pass_by(300)
        keeper.refresh()
        assert ids(keeper) == {issuer.key.id}
    assert keeper.problem == "refused the connection"
    clock.pass_by(1)
    assert keeper.current() is None


def test_threads_share_one_fetch(serve: Serve) -> None:
    """Many threads that want keys at once cause one request, and all get its answer."""
    key = SigningKey.make()

    def slowly(request: BaseHTTPRequestHandler) -> None:
        time.sleep(0.2)
        reply(request, json.dumps({"keys": [key.jwk()]}).encode())

    server = serve(slowly)
    keeper = KeyKeeper(server.url)
    seen: list[set[str] | None] = []

    def want() -> None:
        keeper.refresh()
        seen.append(ids(keeper))

    threads = [threading.Thread(target=want) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.paths) == 1
    assert seen == [{key.id}] * 12


def test_reading_never_waits_for_a_fetch(serve: Serve, clock: Any) -> None:
    """While a fetch hangs, the present keys are given at once; no second refresh is due."""
    key = SigningKey.make()
    going = threading.Event()

    def hang(request: BaseHTTPRequestHandler) -> None:
        if len(server.paths) > 1:
            going.set()
            server.closing.wait(5)
        reply(request, json.dumps({"keys": [key.jwk()]}).encode())

    server = serve(hang)
    keeper = KeyKeeper(server.url, clock=clock, timeout=2)
    keeper.refresh()
    clock.pass_by(301)
    assert keeper.stale()
    thread = threading.Thread(target=keeper.refresh)
    thread.start()
    assert going.wait(5)
    began = time.monotonic()
    assert ids(keeper) == {key.id}
    assert not keeper.stale()
    assert time.monotonic() - began < 0.1
    server.closing.set()
    thread.join()
    server.closing.clear()


def test_a_changed_document_is_needed_to_read_keys_anew(issuer: TokenIssuer, clock: Any) -> None:
    """The same document gives the same key objects, so a refresh without news is cheap."""
    with issuer.serve() as served:
        keeper = KeyKeeper(served.jwks_url, clock=clock)
        keeper.refresh()
        before = keeper.current()
        clock.pass_by(301)
        keeper.refresh()
        assert served.count() == 2
        assert keeper.current() is before


FORK = """
import os, sys, threading, time
from tracewall.identity import KeyKeeper

keeper = KeyKeeper(sys.argv[1], timeout=4)
thread = threading.Thread(target=keeper.refresh, daemon=True)
thread.start()
while keeper.stale():
    time.sleep(0.01)
time.sleep(0.1)
child = os.fork()
if child == 0:
    began = time.monotonic()
    keeper.refresh()
    good = keeper.current() is not None and time.monotonic() - began < 2
    os._exit(0 if good else 1)
_, status = os.waitpid(child, 0)
os._exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_child_forked_during_a_fetch_is_not_stuck(serve: Serve) -> None:
    """A fetch that hangs in the parent stops no child: it fetches for itself, at once."""
    key = SigningKey.make()

    def hang_first(request: BaseHTTPRequestHandler) -> None:
        if len(server.paths) == 1:
            server.closing.wait(8)
        reply(request, json.dumps({"keys": [key.jwk()]}).encode())

    server = serve(hang_first)
    root = Path(tracewall.identity.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, server.url],
        env=os.environ | {"PYTHONPATH": str(root)},
        timeout=20,
        check=False,
    )
    assert done.returncode == 0
    assert len(server.paths) == 2
