"""Values of MAAS servers and of the machines registered in them, and the rules of both."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from attrs import field, fields, frozen

from common.boot import BootOrder
from common.values import PowerState
from regiond.maas.access import MaasAddress
from regiond.operations.model import LEFT_OUT

MAX_NAME = 64
MAX_PROBLEM = 1000
MADE_WITHIN_S = 600.0  # no MAAS works longer on a request for a record whose sender has gone
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
_BLANK = re.compile(r"\s")
POWER_TYPE = "webhook"
_SECRET_BYTES = 24


@frozen(kw_only=True)
class ServerSettings(MaasAddress):
    """The part of a MAAS server that a request can change. Each attribute is a column of `maas_server`."""

    power_url: str = ""
    verify_power_tls: bool = True

    def settings(self) -> dict[str, Any]:
        """Returns these attributes by name, to store them or to make another value with them."""
        return {one.name: getattr(self, one.name) for one in fields(ServerSettings)}


@frozen(kw_only=True)
class NewMaasServer(ServerSettings):
    """A MAAS server as a request describes it. Unchecked."""

    name: str
    key: str = field(repr=False)


@frozen(kw_only=True)
class MaasServerChange:
    """The fields of a server that a request gives; None: not given."""

    url: str | None = None
    key: str | None = field(default=None, repr=False)
    ca: str | None = None
    fingerprint: str | None = None
    power_url: str | None = None
    verify_power_tls: bool | None = None


@frozen(kw_only=True)
class MaasServer(ServerSettings):
    """A MAAS server, without its key. `machines` is the number of those registered in it."""

    id: int
    name: str
    version: str
    username: str
    checked_at: datetime | None
    problem: str
    machines: int = 0


@frozen(kw_only=True)
class RegisterRequest:
    """The way of a registration: `deployed` as the machine runs, else with `commission` MAAS starts it at once."""

    server: str
    commission: bool = True
    deployed: bool = False


@frozen(kw_only=True)
class RegistrationPlan:
    """The changes that a registration would make."""

    name: str
    effects: tuple[str, ...]


@frozen(kw_only=True)
class PowerSecret:
    """The address part and the secret by which MAAS switches one machine."""

    power_id: str
    token: str = field(repr=False)

    @classmethod
    def new(cls) -> PowerSecret:
        return cls(power_id=secrets.token_urlsafe(_SECRET_BYTES), token=secrets.token_urlsafe(_SECRET_BYTES))

    @property
    def token_hash(self) -> bytes:
        return hash_of(self.token)


@frozen(kw_only=True)
class Registration:
    """A machine's registration in the MAAS server `server`. `maas_system_id` is None until MAAS has answered."""

    id: int
    server_id: int
    server: str
    machine_id: int | None
    system_id: str
    hostname: str
    mac_addresses: tuple[str, ...] = field(converter=tuple)
    boot_before: tuple[str, ...] = field(converter=tuple)  # empty: not known
    asked: bool
    maas_system_id: str | None
    power_id: str
    token_hash: bytes = field(repr=False)
    sealed_token: bytes | None = field(repr=False)


class PowerResult(StrEnum):
    DONE = "done"  # it has the state, or gets it now
    GONE = "gone"  # there is no such machine any more
    REFUSED = "refused"


@frozen(kw_only=True)
class PowerAnswer:
    """The answer to a MAAS, which searches that of a query for a word of each of its patterns: it has one of them."""

    result: PowerResult
    power: PowerState = PowerState.UNKNOWN
    reason: str = ""

    @property
    def status(self) -> str:
        return {PowerState.ON: "running", PowerState.OFF: "stopped"}.get(self.power, "unknown")


def hash_of(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def is_token(token: str, expected: bytes) -> bool:
    """Whether the text has this hash; takes as long for every text."""
    return hmac.compare_digest(expected, hash_of(token))


def check_name(name: str) -> dict[str, list[str]]:
    """Returns the problem of a server's name, by field."""
    if _NAME.fullmatch(name) and len(name) <= MAX_NAME:
        return {}
    return {
        "name": [f"Use 1 to {MAX_NAME} letters, digits, dots, underscores and hyphens; begin with a letter or digit."]
    }


def check_power_url(text: str) -> dict[str, list[str]]:
    """Returns the problem of the address of this region that a request gives, by field. Empty: the public URL."""
    if not text or _is_origin(text):
        return {}
    return {"power_url": ["Give scheme, host and port of this region, such as https://innkeeper.example.com."]}


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    more = parts.path or parts.query or parts.fragment or "@" in parts.netloc
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not more and _BLANK.search(text) is None


def webhook_url(base: str, power_id: str, action: str) -> str:
    """The address of one action on one machine. `base` is scheme, host and port of a region."""
    return f"{base}/MAAS/webhook/{power_id}/{action}"


@frozen(kw_only=True)
class OfRegistration:
    """The part of a request that names a registration, by the part of the address for power, and its MAAS server."""

    registration: str
    server: str = ""


@frozen(kw_only=True)
class StoredRegistration(OfRegistration):
    """The request to register a machine, in the operation's row. `before` is the boot order that undoing restores."""

    commission: bool
    deployed: bool
    architecture: str
    before: BootOrder


@frozen(kw_only=True)
class EndOfRegistration(OfRegistration):
    """The request to end a registration, in the operation's row. With `is_lost` MAAS no longer has the record.

    `order` is the boot order that the machine gets again; empty: it keeps the one that it has, which is `before`. None:
    the machine is gone, or the request is of an older region.
    """

    keep_record: bool
    is_lost: bool | None = field(default=None, metadata=LEFT_OUT)
    order: BootOrder | None = field(default=None, metadata=LEFT_OUT)
    before: BootOrder | None = field(default=None, metadata=LEFT_OUT)
