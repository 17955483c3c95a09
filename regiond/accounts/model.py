"""Who asks, and the keys that prove it."""

from __future__ import annotations

import hashlib
import secrets
import string
from datetime import datetime

from attrs import field, frozen

from common.errors import InvalidRequest, NotAllowed

LONGEST_KEY_NAME = 255
_ALPHABET = string.ascii_letters + string.digits


@frozen(kw_only=True)
class Caller:
    """The account a request is made for, as far as rules need it."""

    account_id: int
    username: str
    email: str = ""
    is_admin: bool

    def require_admin(self) -> None:
        if not self.is_admin:
            raise NotAllowed("This method is reserved for admin users.")


@frozen(kw_only=True)
class ApiKey:
    """What a client signs with. As text `consumer:token:secret`; only a hash of the secret is ever kept."""

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
        """Raises InvalidRequest, which does not repeat the text."""
        parts = text.strip().split(":")
        if len(parts) != 3 or not all(part.isascii() and part.isalnum() for part in parts):
            raise InvalidRequest("An API key is three parts of letters and digits, joined by colons.")
        return cls(consumer_key=parts[0], token_key=parts[1], token_secret=parts[2])


@frozen(kw_only=True)
class ApiKeyView:
    """A key as its owner sees it later: everything but the secret."""

    name: str
    consumer_key: str
    token_key: str
    created_at: datetime


def secret_hash(token_secret: str) -> bytes:
    """SHA-256: 190 random bits need neither salt nor stretching."""
    return hashlib.sha256(token_secret.encode()).digest()


def check_key_name(name: str) -> str:
    """The name without blanks around it. Raises InvalidRequest under `name`."""
    name = name.strip()
    if len(name) > LONGEST_KEY_NAME:
        raise InvalidRequest.of({"name": [f"At most {LONGEST_KEY_NAME} characters are allowed, not {len(name)}."]})
    if not name.isprintable():
        raise InvalidRequest.of({"name": ["Only printable characters are allowed."]})
    return name


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
