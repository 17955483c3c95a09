"""Parses LXD trust tokens.

A token is base64 of JSON with the fingerprint of the server certificate and a one-time secret.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime

from regiond.credentials.model import TrustToken


def read_trust_token(text: str) -> TrustToken | None:
    """Returns None if the text is not a token; then it is a trust password."""
    try:
        found = json.loads(base64.b64decode(text.strip(), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(isinstance(found.get(key), str) for key in ("fingerprint", "secret")):
        return None
    addresses = found.get("addresses")
    return TrustToken(
        fingerprint=found["fingerprint"].strip().lower(),
        addresses=tuple(str(one) for one in addresses) if isinstance(addresses, list) else (),
        expires_at=_time(found.get("expires_at")),
    )


def _time(text: object) -> datetime | None:
    """LXD uses the year 1 for tokens that never expire."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text[:19] + "+00:00")
    except ValueError:
        return None
    return at if at.year > 1 else None
