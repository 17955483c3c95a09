"""The note that a page shows once after an action, with a link to the task: how it travels. Pure.

A handler that has acted answers with `page.redirect_with_note`. The redirect sets a cookie for the address of the page,
sealed with a secret of the session, so that nobody else can word it; the page shows the note and deletes the cookie. So
a reload shows it no more, its address stays as it was, each tab has its own, and no script is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from attrs import asdict, frozen

COOKIE = "innkeeper_note"
_LIFETIME_S = 60  # a browser follows a redirect at once
_LONGEST = 400  # of a text: browsers refuse cookies over 4 kB


@frozen(kw_only=True)
class Note:
    """`task` is the id of the operation that was begun, whose state the note shows; 0: `text` says what was done.

    `link` is a label with an address of ours, beside that of the task.
    """

    text: str = ""
    task: int = 0
    link: tuple[str, str] | None = None


def task_in(answer: Any) -> int:
    """Returns the id of the operation that the API answered with; 0: the change is complete."""
    is_operation = isinstance(answer, Mapping) and "kind" in answer and isinstance(answer.get("id"), int)
    return int(answer["id"]) if is_operation else 0


def note_cookie(note: Note, *, path: str, key: bytes, secure: bool) -> str:
    """Returns the value of `Set-Cookie` that takes the note to the page at `path`. `key` is a secret of the session."""
    text = note.text if len(note.text) <= _LONGEST else note.text[: _LONGEST - 1] + "…"
    content = json.dumps({**asdict(note), "text": text}, ensure_ascii=False).encode("utf-8", "replace")
    value = f"{urlsafe_b64encode(content).decode()}.{_seal(content, path, key)}"
    return _cookie(value, path=path, age_s=_LIFETIME_S, secure=secure)


def cleared_cookie(*, path: str, secure: bool) -> str:
    """Returns the value of `Set-Cookie` that deletes the note of the page."""
    return _cookie("", path=path, age_s=0, secure=secure)


def read_note(header: str, *, path: str, key: bytes) -> Note | None:
    """Returns the note for the page at `path` in a `Cookie` header; None without one that this session sealed."""
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        content, _, seal = value.partition(".")
        if name == COOKIE and (found := _opened(content, seal, path, key)) is not None:
            return found
    return None


def _opened(encoded: str, seal: str, path: str, key: bytes) -> Note | None:
    try:
        content = urlsafe_b64decode(encoded.encode("ascii"))
    except ValueError:
        return None
    if not seal.isascii() or not hmac.compare_digest(seal, _seal(content, path, key)):
        return None
    found = json.loads(content)
    return Note(text=found["text"], task=found["task"], link=tuple(found["link"]) if found["link"] else None)


def _seal(content: bytes, path: str, key: bytes) -> str:
    sealed = b"\0".join((b"note", path.encode("utf-8", "surrogateescape"), content))
    return hmac.new(key, sealed, hashlib.sha256).hexdigest()


def _cookie(value: str, *, path: str, age_s: int, secure: bool) -> str:
    parts = [f"{COOKIE}={value}", f"Path={path}", f"Max-Age={age_s}", "HttpOnly", "SameSite=Lax"]
    return "; ".join([*parts, *(["Secure"] if secure else [])])
