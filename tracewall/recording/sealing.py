"""Recordings that only holders of a key can read.

A fresh key of 256 bits is encrypted to the recipients by age (https://age-encryption.org/v1)
and stands at the head of the file; each flush of the compressor follows as a frame of its
own, sealed by ChaCha20-Poly1305 (RFC 8439) with its number as the nonce. So no frame can be
changed, moved or left out but at the end, and what was written before a crash stays readable.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final

from tracewall.recording.lines import LONGEST
from tracewall.recording.tape import Sink

MAGIC: Final = b"tracewall-sealed-1\n"
# A frame holds one line, packed, which may take a little more than the line itself.
_LONGEST: Final = LONGEST + (1 << 20)


class SealingUnavailable(Exception):
    """What encryption needs is not installed, or a key is none."""


class Unopened(Exception):
    """None of the identities opens the recording, or a frame of it was changed."""


def _age() -> Any:
    try:
        import pyrage
    except ImportError:
        message = 'encrypted recordings need pyrage: pip install "pgtracewall[seal]"'
        raise SealingUnavailable(message) from None
    return pyrage


def _cipher(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return ChaCha20Poly1305(key)


def recipients(texts: Sequence[str]) -> list[Any]:
    """Read recipients, each as age writes it: ``age1...`` or a public key of SSH.

    Raises:
        SealingUnavailable: age is not installed, or a recipient is none.
    """
    age = _age()
    kinds = {True: age.x25519.Recipient, False: age.ssh.Recipient}
    try:
        return [kinds[text.startswith("age1")].from_str(text) for text in texts]
    except age.RecipientError:
        raise SealingUnavailable("a recipient is no key of age or SSH") from None


def identities(text: str) -> list[Any]:
    """Read the identities in a file that ``age-keygen`` has made, or a private key of SSH.

    Raises:
        SealingUnavailable: age is not installed, or there is none.
    """
    age = _age()
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line.startswith("AGE-SECRET-KEY-")]
    try:
        found = [age.x25519.Identity.from_str(key) for key in keys]
        return found or [age.ssh.Identity.from_buffer(text.encode())]
    except age.IdentityError:
        raise SealingUnavailable("there is no identity of age or SSH in it") from None


class Sealed:
    """A sink that seals what goes to another."""

    def __init__(self, sink: Sink, to: Sequence[Any]) -> None:
        key = os.urandom(32)
        self._sink, self._cipher, self._count = sink, _cipher(key), 0
        wrapped: bytes = _age().encrypt(key, list(to))
        self._head: bytes = MAGIC + _framed(wrapped)

    def write(self, data: bytes) -> None:
        """Seal a frame.

        Raises:
            OSError: it was not taken.
        """
        frame = _framed(self._cipher.encrypt(_nonce(self._count), data, None))
        head, self._head = self._head, b""
        self._sink.write(head + frame)
        self._count += 1

    def close(self) -> None:
        """Let the recording go."""
        self._sink.close()


def opened(stream: IO[bytes], keys: Sequence[Any]) -> Iterator[bytes]:
    """Yield what was sealed, up to a frame that was torn.

    Raises:
        Unopened: none of the keys opens it, or a frame was changed.
    """
    if stream.read(len(MAGIC)) != MAGIC:
        raise Unopened("this is no sealed recording")
    from cryptography.exceptions import InvalidTag

    age = _age()
    try:
        cipher, count = _cipher(age.decrypt(_frame(stream), list(keys))), 0
    except age.DecryptError:
        why = "no identity given opens it" if keys else "it is encrypted, and no identity is given"
        raise Unopened(why) from None
    while frame := _frame(stream):
        try:
            yield cipher.decrypt(_nonce(count), frame, None)
        except InvalidTag:
            raise Unopened(f"frame {count} was changed or moved") from None
        count += 1


def _nonce(count: int) -> bytes:
    return count.to_bytes(12, "big")


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _frame(stream: IO[bytes]) -> bytes:
    """Read a frame; empty: there is none, or it was torn."""
    size = int.from_bytes(stream.read(4), "big")
    if size > _LONGEST:
        raise Unopened("a frame has an impossible length")
    data = stream.read(size)
    return data if len(data) == size else b""
