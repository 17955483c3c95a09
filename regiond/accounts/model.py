"""API keys and sessions: values, text format of keys and rules for their names."""

from __future__ import annotations

import hashlib
import secrets
import string
from datetime import datetime

from attrs import field, frozen

from common.errors import InvalidRequest
from regiond.caller import Caller

MAX_KEY_NAME = 255
_ALPHABET = string.ascii_letters + string.digits


@frozen(kw_only=True)
class ApiKey:
    """The key that a client signs with; as text `consumer:token:secret`. The database stores a hash of the secret."""

    consumer_key: str
    token_key: str
    token_secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.consumer_key}:{self.token_key}:{self.token_secret}"

    @classmethod
    def random(cls) -> ApiKey:
        return cls(consumer_key=_random(18), token_key=_random(18), token_secret=_random(32))

    @classmethod
    def parse(cls, text: str) -> ApiKey:
        """Raises InvalidRequest, whose message does not contain the text."""
        parts = text.strip().split(":")
        if len(parts) != 3 or not all(part.isascii() and part.isalnum() for part in parts):
            raise InvalidRequest("An API key has three parts of letters and digits, joined by colons.")
        return cls(consumer_key=parts[0], token_key=parts[1], token_secret=parts[2])


@frozen(kw_only=True)
class ApiKeyView:
    """An API key without its secret."""

    name: str
    consumer_key: str
    token_key: str
    created_at: datetime


@frozen(kw_only=True)
class Session:
    """A session of the web pages whose cookie a request had. Requests that change something send `csrf_token`."""

    id: int
    caller: Caller
    csrf_token: str = field(repr=False)


@frozen(kw_only=True)
class SessionView:
    """A session as its user sees it. It ends at `ends_at` unless it is used before."""

    id: int
    username: str
    created_at: datetime
    last_seen_at: datetime
    ends_at: datetime
    address: str
    user_agent: str


def secret_hash(token_secret: str) -> bytes:
    """Returns the SHA-256. A secret of 190 random bits needs neither salt nor key stretching."""
    return hashlib.sha256(token_secret.encode()).digest()


def check_key_name(name: str) -> str:
    """Returns the name without surrounding whitespace. Raises InvalidRequest for the field `name`."""
    name = name.strip()
    if len(name) > MAX_KEY_NAME:
        raise InvalidRequest.of(
            {"name": [f"At most {MAX_KEY_NAME} characters are allowed; this name has {len(name)}."]}
        )
    if not name.isprintable():
        raise InvalidRequest.of({"name": ["Only printable characters are allowed."]})
    return name


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
