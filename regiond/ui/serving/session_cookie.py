"""The cookie of a session: its name, attributes and value. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

PATH = "/MAAS"
_NAME = "innkeeper_session"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)  # 32 bytes in base64url


def cookie_name(*, secure: bool) -> str:
    """Under HTTPS with the prefix by which a browser accepts it from HTTPS only: no one on the network can plant it."""
    return f"__Secure-{_NAME}" if secure else _NAME


def set_cookie(token: str, *, secure: bool, lifetime: timedelta) -> str:
    """The value of `Set-Cookie`; an empty token with no lifetime deletes the cookie."""
    parts = [f"{cookie_name(secure=secure)}={token}", f"Path={PATH}", f"Max-Age={int(lifetime.total_seconds())}"]
    return "; ".join([*parts, "HttpOnly", "SameSite=Lax", *(["Secure"] if secure else [])])


def clear_cookie(*, secure: bool) -> str:
    return set_cookie("", secure=secure, lifetime=timedelta())


def read_cookie(header: str | None, *, secure: bool) -> str | None:
    """The token in a `Cookie` header; None without one, and if two differ: one of them was planted."""
    found = {
        value.strip()
        for name, _, value in (pair.partition("=") for pair in (header or "").split(";"))
        if name.strip() == cookie_name(secure=secure)
    }
    token = found.pop() if len(found) == 1 else ""
    return token if _TOKEN.fullmatch(token) else None
