"""An issuer's public keys: read, kept for a bounded time, and never waited for.

1. `KeyKeeper.current` never blocks; only `KeyKeeper.refresh` does I/O.
2. What cannot be fetched again is used for a bounded time, then it is gone: fail closed.
3. A key that the issuer no longer publishes is gone with the next fetch.
4. One odd key never spoils the others; a key that is not fit is left out, with a word why.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import jwt

from tracewall.identity.discovery import Metadata, discovered
from tracewall.identity.fetch import FetchFailed, Location, fetch, locate
from tracewall.locks import Busy, PatientLock

MAX_DOCUMENT: Final = 1024 * 1024
"""The largest key set that is read, in bytes."""


_MIN_RSA_BITS: Final = 2048
_LONGEST_PAUSE: Final = 60.0
_AHEAD: Final = 0.8
_FOR_SIGNATURES: Final = frozenset({"sig"})
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# kty and crv → the algorithms such a key can verify.
_ALGORITHMS: Final[Mapping[tuple[str, str], frozenset[str]]] = MappingProxyType(
    {
        ("RSA", ""): frozenset({"RS256", "PS256"}),
        ("EC", "P-256"): frozenset({"ES256"}),
        ("EC", "P-384"): frozenset({"ES384"}),
        ("OKP", "Ed25519"): frozenset({"EdDSA"}),
    }
)
_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
)


@dataclass(frozen=True, slots=True)
class Key:
    """A public key: ``id`` is its RFC 7638 thumbprint, ``name`` the issuer's ``kid`` or empty."""

    id: str
    name: str
    algorithms: frozenset[str]
    material: Any

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Tell whether `signature` over `signed` is this key's, by an algorithm of its own."""
        if algorithm not in self.algorithms:
            return False
        return jwt.get_algorithm_by_name(algorithm).verify(signed, self.material, signature)


@dataclass(frozen=True, slots=True)
class KeySet:
    """A frozen snapshot of an issuer's keys.

    ``named`` maps a ``kid`` to its key, ``ids`` maps a thumbprint to its key (those
    without a ``kid`` too), ``ignored`` says which of the published keys were left out,
    and why: ``keys[2]: RSA under 2048 bits``.
    """

    named: Mapping[str, Key]
    ids: Mapping[str, Key]
    ignored: tuple[str, ...] = ()

    def find(self, name: str | None) -> Key | None:
        """Return the key of that ``kid``; without one, the only key there is."""
        if name is not None:
            return self.named.get(name)
        return next(iter(self.ids.values())) if len(self.ids) == 1 else None


def read_key_set(document: bytes, uses: frozenset[str] = _FOR_SIGNATURES) -> KeySet:
    """Read a JSON Web Key Set; ValueError where it is none. Unfit keys are left out.

    Args:
        document: the JSON text.
        uses: what a key's ``use`` may be; a key that says none is for ``sig``.
    """
    try:
        listed = json.loads(document)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        listed = None
    if not isinstance(listed, list):
        raise ValueError("not a JSON Web Key Set")
    named: dict[str, Key] = {}
    ids: dict[str, Key] = {}
    ignored: list[str] = []
    for index, jwk in enumerate(listed):
        try:
            key = _key(jwk, uses)
        except _Unfit as unfit:
            ignored.append(f"keys[{index}]: {unfit}")
            continue
        except Exception:
            # PyJWT and cryptography raise what they like; one bad key spoils no other.
            ignored.append(f"keys[{index}]: unreadable")
            continue
        if key.name and named.setdefault(key.name, key).id != key.id:
            ignored.append(f"keys[{index}]: its kid is taken by an earlier key")
            continue
        ids.setdefault(key.id, key)
    return KeySet(MappingProxyType(named), MappingProxyType(ids), tuple(ignored))


class _Unfit(Exception):
    """A published key cannot be used; the message says why and holds nothing of it."""


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the RFC 7638 thumbprint of an RSA, EC or OKP key; KeyError for another kind."""
    required = {name: jwk.get(name) for name in _MEMBERS[jwk["kty"]]}
    text = json.dumps(required, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def canonical(algorithm: str) -> str:
    """Return the name PyJWT knows an algorithm by: RFC 9864's Ed25519 is its EdDSA."""
    return "EdDSA" if algorithm == "Ed25519" else algorithm


def _key(jwk: Any, uses: frozenset[str]) -> Key:
    if not isinstance(jwk, dict):
        raise _Unfit("not an object")
    name, algorithms = jwk.get("kid", ""), _algorithms(jwk)
    if not isinstance(name, str):
        raise _Unfit("its kid is not a string")
    _check_purpose(jwk, uses)
    return Key(thumbprint(jwk), name, algorithms, _material(jwk, min(algorithms)))


def _algorithms(jwk: dict[str, Any]) -> frozenset[str]:
    kind = (str(jwk.get("kty")), "" if jwk.get("kty") == "RSA" else str(jwk.get("crv")))
    if kind not in _ALGORITHMS:
        raise _Unfit("a kind of key that is not used here")
    named = frozenset({canonical(str(jwk["alg"]))} if "alg" in jwk else _ALGORITHMS[kind])
    if not named & _ALGORITHMS[kind]:
        raise _Unfit("for an algorithm that is not used here")
    return named & _ALGORITHMS[kind]


def _check_purpose(jwk: dict[str, Any], uses: frozenset[str]) -> None:
    use = jwk.get("use", "sig")
    if not isinstance(use, str) or use not in uses:
        raise _Unfit("not for signatures")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _Unfit("not for verifying")
    if not _PRIVATE.isdisjoint(jwk):
        # Whoever can read the set could sign with it.
        raise _Unfit("its private half is published")


def _material(jwk: dict[str, Any], algorithm: str) -> Any:
    try:
        material = jwt.PyJWK(jwk, algorithm).key
    except Exception:
        # PyJWT's messages show the key, and its exceptions here are of any kind.
        raise _Unfit("not a readable key") from None
    if jwk["kty"] == "RSA" and material.key_size < _MIN_RSA_BITS:
        raise _Unfit(f"RSA under {_MIN_RSA_BITS} bits")
    return material


@dataclass(frozen=True, slots=True)
class _Snapshot:
    keys: KeySet
    document: bytes
    read_at: float


class _Turn:
    """Whose turn it is to fetch in one process, and from when on."""

    __slots__ = ("failures", "lock", "next_fetch")

    def __init__(self, patience: float) -> None:
        self.lock = PatientLock(patience)
        self.next_fetch = float("-inf")
        self.failures = 0


class KeyKeeper:
    """Keeps the key set of one issuer from a file, an http(s) URL or its metadata.

    ``source`` is a path, a URL or the issuer's metadata that leads to one; plain http is
    for loopback hosts only (ValueError otherwise). ``uses`` are the ``use`` of keys that
    are taken. All times are seconds: ``timeout`` for a whole fetch; ``cooldown``
    between fetches from a URL, doubled by every failure up to a minute; after
    ``max_age`` a refresh is due; after ``max_stale`` without one the set is gone.
    ``clock`` counts monotonic seconds; ``tls`` replaces the default TLS context.
    Proxies from the environment are not used. Any thread may call any method, and so may
    a forked child.
    """

    def __init__(
        self,
        source: str | Metadata,
        *,
        uses: frozenset[str] = _FOR_SIGNATURES,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = 5.0,
        cooldown: float = 10.0,
        max_age: float = 300.0,
        max_stale: float = 3600.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._source = _source(source)
        self._uses = uses
        self._clock = clock
        self._timeout = timeout
        self._cooldown = 0.0 if isinstance(self._source, Path) else cooldown
        self._max_age = max_age
        self._max_stale = max_stale
        self._tls = tls
        self._snapshot: _Snapshot | None = None
        self._problem = ""
        # By process: a lock that another thread held during a fork stays locked in the
        # child for ever, so the child takes a turn of its own.
        self._turns: dict[int, _Turn] = {}

    @property
    def remote(self) -> bool:
        """True where the set comes over the network."""
        return not isinstance(self._source, Path)

    @property
    def problem(self) -> str:
        """Why the last refresh failed; empty when it did not."""
        return self._problem

    @property
    def document(self) -> bytes:
        """The text of the set that was read last; empty before that. Never blocks."""
        return self._snapshot.document if self._snapshot else b""

    def place(self) -> Path | Location:
        """Give the file that is read, or whom is asked first."""
        return self._source.places()[0] if isinstance(self._source, Metadata) else self._source

    def current(self) -> KeySet | None:
        """Return the key set, or None when there is none that may still be used. Never blocks."""
        snapshot = self._snapshot
        if snapshot is None or not self._clock() - snapshot.read_at <= self._max_stale:
            return None
        return snapshot.keys

    def stale(self, *, ahead: bool = False) -> bool:
        """Tell whether a refresh is due, and not under way or cooling down. Never blocks.

        ``ahead`` tells it a little before, when four fifths of the time are over.
        """
        snapshot, now = self._snapshot, self._clock()
        age = self._max_age * (_AHEAD if ahead else 1.0)
        due = snapshot is None or not now - snapshot.read_at <= age
        return due and now >= self._turn().next_fetch

    def refresh(self) -> None:
        """Read the key set again, unless the cool-down lasts. Blocks, and never raises.

        One fetch is under way at a time; whoever calls meanwhile waits for its end.
        """
        turn = self._turn()
        with contextlib.suppress(Busy), turn.lock:
            if self._clock() >= turn.next_fetch:
                self._read(turn)

    def _turn(self) -> _Turn:
        process = os.getpid()
        return self._turns.get(process) or self._turns.setdefault(process, _Turn(self._timeout))

    def _read(self, turn: _Turn) -> None:
        # Said before the fetch starts, so that others go on with the set they have.
        turn.next_fetch = self._clock() + self._cooldown
        try:
            self._keep(self._document())
        except FetchFailed as failed:
            self._problem = str(failed)
        except Exception as error:
            # Unforeseen: the keys that are there go on for their time, and this says why.
            self._problem = f"failed with {type(error).__name__}"
        else:
            self._problem = ""
            turn.failures = 0
            return
        turn.failures += 1
        pause = max(self._cooldown, min(self._cooldown * 2.0**turn.failures / 2, _LONGEST_PAUSE))
        turn.next_fetch = self._clock() + pause

    def _keep(self, document: bytes) -> None:
        old = self._snapshot
        keys = old.keys if old and old.document == document else read_key_set(document, self._uses)
        self._snapshot = _Snapshot(keys, document, self._clock())

    def _document(self) -> bytes:
        if isinstance(self._source, Location):
            return fetch(self._source, timeout=self._timeout, limit=MAX_DOCUMENT, tls=self._tls)
        if isinstance(self._source, Metadata):
            return discovered(
                self._source, timeout=self._timeout, limit=MAX_DOCUMENT, tls=self._tls
            )
        return _file(self._source)


def _source(source: str | Metadata) -> Path | Location | Metadata:
    if isinstance(source, Metadata):
        source.places()
        return source
    if source.lower().startswith(("http:", "https:")):
        return locate(source)
    if "://" in source or not source:
        raise ValueError("keys must be a path or an https URL")
    return Path(source)


def _file(path: Path) -> bytes:
    if not path.is_file():
        raise FetchFailed("is not a file")
    with path.open("rb") as file:
        document = file.read(MAX_DOCUMENT + 1)
    if len(document) > MAX_DOCUMENT:
        raise FetchFailed(f"has more than {MAX_DOCUMENT} bytes")
    return document
