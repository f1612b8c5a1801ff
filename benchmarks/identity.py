"""What identity costs: verifying a token, and looking at a known one, beside bare PyJWT.

    python benchmarks/identity.py

Bare PyJWT checks the signature, exp, iat, nbf, iss and aud of the same tokens with a key at
hand. Each figure is the median of rounds that take turns, in microseconds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jwt

from tracewall.identity import Principal, TrustedIssuer, Verifier
from tracewall.identity.revocation import RevocationList
from tracewall.testing import TokenIssuer

ROUNDS, CALLS = 41, 200
PEOPLE = 10_000


def main() -> None:
    """Measure and print."""
    print(f"median of {ROUNDS} rounds of {CALLS} calls, in microseconds")
    print(f"{'':10}{'PyJWT':>10}{'verify':>10}{'ratio':>8}{'re-check':>10}{'revoked':>10}")
    for algorithm in ("RS256", "ES256", "EdDSA"):
        with tempfile.TemporaryDirectory() as folder:
            print(f"{algorithm:10}{_row(algorithm, Path(folder))}")


def _row(algorithm: str, folder: Path) -> str:
    issuer = TokenIssuer(algorithm=algorithm)
    issuer.write_jwks(folder / "jwks.json")
    revoked = "".join(f'[[revoked]]\nsubject = "user-{n}"\n' for n in range(PEOPLE))
    (folder / "revoked.toml").write_text(revoked)
    trusted = TrustedIssuer("one", issuer.issuer, ("db",), str(folder / "jwks.json"))
    verifier = Verifier([trusted])
    listed = Verifier([trusted], revocations=RevocationList(str(folder / "revoked.toml")))
    verifier.refresh()
    listed.refresh()
    token, now = issuer.mint("alice", ["analysts"], audience="db"), time.time()
    principal = verifier.verify(token, now)
    assert isinstance(principal, Principal)
    assert listed.still_valid(principal, now) is None
    key = jwt.PyJWK(issuer.jwks()["keys"][0])
    measured = _medians(
        lambda: jwt.decode(token, key, algorithms=[algorithm], audience="db", issuer=issuer.issuer),
        lambda: verifier.verify(token, now),
        lambda: verifier.still_valid(principal, now),
        lambda: listed.still_valid(principal, now),
    )
    bare, verify, again, with_list = measured
    return f"{bare:10.1f}{verify:10.1f}{verify / bare:8.2f}{again:10.2f}{with_list:10.2f}"


def _medians(*calls: Callable[[], object]) -> list[float]:
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, times in zip(calls, taken, strict=True):
            started = time.perf_counter()
            for _ in range(CALLS):
                call()
            times.append((time.perf_counter() - started) / CALLS * 1e6)
    return [statistics.median(times) for times in taken]


if __name__ == "__main__":
    main()
