"""The secret of a session, which its cookie holds, and the CSRF token that is derived from it. Pure."""

from __future__ import annotations

import hashlib
import hmac
import secrets

_TOKEN_BYTES = 32


def new_token() -> str:
    """The value of a new cookie, 256 random bits."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def token_hash(token: str) -> bytes:
    """What the database stores. A token of 256 random bits needs neither salt nor key stretching."""
    return hashlib.sha256(token.encode()).digest()


def csrf_token(token: str) -> str:
    """What forms and scripts of the session's own pages send back. Other sites cannot read it, nor derive it."""
    return hmac.new(token.encode(), b"innkeeper csrf", hashlib.sha256).hexdigest()
