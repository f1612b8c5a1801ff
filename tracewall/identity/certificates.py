"""The certificates that some issuers publish beside their keys (RFC 7517, section 4.7).

Nothing is verified by them: a key counts as long as it is published.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.x509 import load_der_x509_certificate


def ends(document: bytes) -> dict[int, float]:
    """Give until when (seconds since the epoch) each certificate of a key set is valid, by index.

    Keys without a certificate that can be read are left out, as is a text that is no key set.
    """
    try:
        listed = json.loads(document)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    found = {at: _end(key) for at, key in enumerate(listed if isinstance(listed, list) else [])}
    return {at: end for at, end in found.items() if end is not None}


def _end(key: Any) -> float | None:
    try:
        certificate = load_der_x509_certificate(base64.b64decode(key["x5c"][0]))
        return certificate.not_valid_after_utc.timestamp()
    except Exception:
        # Whatever an issuer writes there.
        return None
