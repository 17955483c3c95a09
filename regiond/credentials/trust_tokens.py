"""LXD's trust tokens: base64 of JSON that names the server's certificate and holds a secret for one use."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime

from attrs import frozen


@frozen(kw_only=True)
class TrustToken:
    """What of a token may be looked at: never its secret. `expires_at` is None for one that does not expire."""

    fingerprint: str
    addresses: tuple[str, ...] = ()
    expires_at: datetime | None = None


def read_trust_token(text: str) -> TrustToken | None:
    """None when the text is no token: then it is a trust password."""
    try:
        found = json.loads(base64.b64decode(text.strip(), validate=True))
    except (binascii.Error, ValueError):
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
    """LXD writes the year 1 for never."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text[:19] + "+00:00")
    except ValueError:
        return None
    return at if at.year > 1 else None
