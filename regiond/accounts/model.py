"""Users, their API keys and sessions: values, text format and rules."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from datetime import datetime
from enum import StrEnum

from attrs import field, frozen

from common.errors import InvalidRequest, NotAllowed
from regiond.accounts import csrf
from regiond.requests.caller import Caller, PoolRole

WRONG = "Wrong user name or password."
MAX_KEY_NAME = 255
MAX_KEYS = 100  # of one user
MAX_USERNAME = 150
MAX_EMAIL = 254
MAX_PASSWORD = 1024
MAX_SSH_KEY = 16 * 1024
MAX_SAVED_FILTERS = 50  # of one user
MAX_FILTER_NAME = 64
_USERNAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*", re.ASCII)
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_ALPHABET = string.ascii_letters + string.digits


class SignatureMethod(StrEnum):
    """The method that signs requests with a key. A key is for one method: the region stores a hash of the secret of the
    first, and the encrypted secret of the second, with which it computes the signature itself.
    """

    PLAINTEXT = "PLAINTEXT"
    HMAC_SHA1 = "HMAC-SHA1"


@frozen(kw_only=True)
class ApiKey:
    """The key that a client signs with; as text `consumer:token:secret`."""

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
    """An API key without its secret. `last_used_at` is exact to about a minute; None: not used yet."""

    name: str
    consumer_key: str
    token_key: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    by_login: bool = False
    signature_method: SignatureMethod = field(default=SignatureMethod.PLAINTEXT, converter=SignatureMethod)


@frozen(kw_only=True)
class Login:
    """An account whose password was right, and the hash that it matched: what a login makes is for that hash only."""

    caller: Caller
    password_hash: str = field(repr=False)


@frozen(kw_only=True)
class User:
    """An account, as the API shows it."""

    id: int
    username: str
    email: str = ""
    is_admin: bool
    is_active: bool = True
    has_password: bool = False
    created_at: datetime


@frozen(kw_only=True)
class NewUser:
    username: str
    email: str = ""
    password: str = field(repr=False)
    is_admin: bool = False


@frozen(kw_only=True)
class ImportedUser:
    """`password_hash` is in Django's form; empty: the user gets a password from an administrator."""

    username: str
    email: str = ""
    is_admin: bool = False
    password_hash: str = field(default="", repr=False)
    ssh_keys: tuple[str, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()


@frozen(kw_only=True)
class UserChange:
    """The fields to change; None leaves a field as it is."""

    email: str | None = None
    password: str | None = field(default=None, repr=False)
    is_admin: bool | None = None
    is_active: bool | None = None


@frozen(kw_only=True)
class SshKey:
    """A public SSH key: type, base64 and comment, as in `authorized_keys`."""

    id: int
    key: str
    fingerprint: str
    created_at: datetime


@frozen(kw_only=True)
class Session:
    """A session of the web pages whose cookie a request had. Requests that change something send a CSRF token."""

    id: int
    caller: Caller
    csrf_secret: bytes = field(repr=False)

    def new_csrf_token(self) -> str:
        """Returns a token for one answer. All tokens of a session are valid until it ends."""
        return csrf.masked(self.csrf_secret)

    def check_csrf(self, given: str | None) -> None:
        """Raises NotAllowed unless `given`, which a request that changes something has to send, is the session's."""
        if not csrf.proves(given, self.csrf_secret):
            raise NotAllowed("This form was not sent by a page of your session. Reload the page and send it again.")


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


def check_username(username: str) -> None:
    """Raises InvalidRequest for the field `username`."""
    if len(username) > MAX_USERNAME or _USERNAME.fullmatch(username) is None:
        raise InvalidRequest.of(
            {
                "username": [
                    f"Use 1 to {MAX_USERNAME} letters, digits and the characters _ . @ + -, and begin with a letter, "
                    "digit or _."
                ]
            }
        )


def check_email(email: str) -> None:
    """Raises InvalidRequest for the field `email`, which may be empty."""
    if email and (len(email) > MAX_EMAIL or not email.isprintable() or _EMAIL.fullmatch(email) is None):
        raise InvalidRequest.of(
            {"email": [f"Enter an address such as ann@example.net, at most {MAX_EMAIL} characters."]}
        )


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


@frozen(kw_only=True)
class Grant:
    """A role of a user in a resource pool. `granted_by` None: Innkeeper granted it when the account was created."""

    username: str
    pool_id: int
    pool: str
    role: PoolRole
    granted_at: datetime
    granted_by: str | None


@frozen(kw_only=True)
class SavedFilter:
    """A search of a list that an account keeps. `query` is what it would type in the search field of the list."""

    id: int
    list: str
    name: str
    query: str
    created_at: datetime


@frozen(kw_only=True)
class ListColumns:
    """The columns that an account chose for a list of the pages, beside those that cannot be hidden."""

    list: str
    columns: tuple[str, ...]
