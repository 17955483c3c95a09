"""Facts of a host's error that pages and programs act on: only valid ones, whatever a rack sends. Pure."""
# ruff: noqa: S105  # the names of kinds, no secrets

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import evolve, frozen

from common.errors import InnkeeperError, InvalidRequest, NotTrusted, PeerChanged, ServerUnconfirmed
from common.serialization import from_dict, to_dict
from common.words.product_commands import PRODUCTS

# SQL of the product of a host `h` with the server `s`; before it trusts us, as the server answered with an error.
PRODUCT = "coalesce(nullif(s.product, ''), h.error_details ->> 'product', '')"
_FINGERPRINT = re.compile(r"[0-9a-f]{64}|SHA256:[A-Za-z0-9+/]{43}")
_MOST_IDENTITY_CHARS = 400  # as the field of `confirm_server` accepts
_MOST_REASON_CHARS = 1_000
# Only the region states these. A rack that sends them could otherwise have a person confirm any server.
_FACTS_OF_THE_REGION = frozenset({"known", "reported", "host", "unsent", "rejected"})


class TrustProblem(StrEnum):
    """A problem that keeps a host from being used until a person acts."""

    NOT_TRUSTED = "not_trusted"  # the server does not trust our certificate
    KEY_REJECTED = "key_rejected"  # the host does not accept our SSH key
    SECRET_REJECTED = "secret_rejected"  # the server refused the trust token or password that was given
    PASSWORD_NOT_SENT = "password_not_sent"  # nobody has confirmed the fingerprint of the server
    IDENTITY_CHANGED = "identity_changed"  # it presents another certificate or host key than the pinned one
    IDENTITY_UNEXPECTED = "identity_unexpected"  # it presents another one than a person named
    TOKEN_OF_OTHER_SERVER = "token_of_other_server"  # it presents another certificate than the token names
    SERVER_CHANGED = "server_changed"  # it reports another identity than before
    SERVER_UNCONFIRMED = "server_unconfirmed"  # it reports the identity of another host's server without proof


class Secret(StrEnum):
    TOKEN = "token"
    PASSWORD = "password"


@frozen(kw_only=True)
class Confirmation:
    """The call with which an administrator accepts what the host presents: an `op` of the host, and its field."""

    op: str
    field: str
    value: str

    def command(self, host_id: int) -> str:
        """Returns the same call on the command line."""
        return f"innkeeper vm-host {self.op.replace('_', '-')} {host_id} {self.field}={shlex.quote(self.value)}"


@frozen(kw_only=True)
class ErrorDetails:
    """`kind` is None for an error that no person has to resolve. Fingerprints are those of certificates or host keys.

    `expected` is the fingerprint that a person or a token named, `offered` the presented one. `known` and `reported`
    are identities of servers; `host` is the id of the other host that has the reported one.
    """

    kind: TrustProblem | None = None
    pinned: str | None = None
    offered: str | None = None
    expected: str | None = None
    known: str | None = None
    reported: str | None = None
    host: int | None = None
    secret: Secret | None = None
    reason: str | None = None
    product: str | None = None  # LXD or Incus, as the server answered before it trusts us

    @property
    def confirmation(self) -> Confirmation | None:
        """Returns the call that accepts the present state; None if nothing can be accepted."""
        match self.kind:
            case TrustProblem.SERVER_CHANGED if self.reported is not None:
                return Confirmation(op="confirm_server", field="identity", value=self.reported)
            case TrustProblem.SERVER_UNCONFIRMED if self.host is not None:
                return Confirmation(op="confirm_server", field="host", value=str(self.host))
            case TrustProblem.IDENTITY_CHANGED | TrustProblem.IDENTITY_UNEXPECTED | TrustProblem.PASSWORD_NOT_SENT if (
                self.offered is not None
            ):
                return Confirmation(op="trust", field="fingerprint", value=self.offered)
            case _:
                return None


NO_DETAILS = ErrorDetails()


def without_facts_of_the_region(details: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a rack may state in the details of an error."""
    return {name: value for name, value in details.items() if name not in _FACTS_OF_THE_REGION}


def details_of(error: InnkeeperError) -> ErrorDetails:
    """Returns the valid facts of the error. Older racks call what is pinned `trusted`, what is offered `presented`."""
    facts = error.details
    found = ErrorDetails(
        pinned=_fingerprint(facts, "pinned", "trusted"),
        offered=_fingerprint(facts, "offered", "presented"),
        expected=_fingerprint(facts, "expected"),
        known=_identity(facts, "known"),
        reported=_identity(facts, "reported"),
        host=_id(facts, "host"),
        secret=_secret(facts),
        reason=_reason(facts),
        product=_product(facts),
    )
    kind = _kind(error, found)
    return NO_DETAILS if kind is None else evolve(found, kind=kind)


def product_of(error: InnkeeperError) -> str | None:
    """Returns which product answered, also with an error that no person has to resolve; None if it is not known."""
    return _product(error.details)


def to_column(details: ErrorDetails) -> dict[str, Any]:
    """Returns the value of the column, without what is unknown."""
    return {name: value for name, value in to_dict(details).items() if value is not None}


def of_column(plain: Any) -> ErrorDetails | None:
    """Returns the details; None if there are none, or only a newer release understands them."""
    try:
        return None if plain is None else from_dict(plain, ErrorDetails)
    except InvalidRequest:
        return None


def _kind(error: InnkeeperError, facts: ErrorDetails) -> TrustProblem | None:
    match error:
        case ServerUnconfirmed():
            return TrustProblem.SERVER_UNCONFIRMED if facts.host and facts.reported else None
        case PeerChanged() if facts.reported:
            return TrustProblem.SERVER_CHANGED
        case PeerChanged() if facts.offered and facts.expected:
            by_token = facts.secret is Secret.TOKEN
            return TrustProblem.TOKEN_OF_OTHER_SERVER if by_token else TrustProblem.IDENTITY_UNEXPECTED
        case PeerChanged() if facts.offered:
            return TrustProblem.IDENTITY_CHANGED
        case NotTrusted():
            return _why_not_trusted(error)
        case _:
            return None


def _why_not_trusted(error: NotTrusted) -> TrustProblem | None:
    facts = error.details
    if "unsent" in facts:
        return TrustProblem.PASSWORD_NOT_SENT
    if "rejected" in facts:
        return TrustProblem.SECRET_REJECTED
    if "public_key" in facts:
        return TrustProblem.KEY_REJECTED
    return TrustProblem.NOT_TRUSTED if "reason" in facts else None


def _fingerprint(facts: Mapping[str, Any], *names: str) -> str | None:
    values = (facts.get(name) for name in names)
    return next((one for one in values if isinstance(one, str) and _FINGERPRINT.fullmatch(one)), None)


def _identity(facts: Mapping[str, Any], name: str) -> str | None:
    value = facts.get(name)
    fits = isinstance(value, str) and 0 < len(value) <= _MOST_IDENTITY_CHARS and value.isprintable()
    return value if fits else None


def _id(facts: Mapping[str, Any], name: str) -> int | None:
    value = facts.get(name)
    return value if type(value) is int and 0 < value < 2**31 else None


def _secret(facts: Mapping[str, Any]) -> Secret | None:
    named = facts.get("unsent") or facts.get("rejected") or facts.get("named_by")
    return next((one for one in Secret if one.value == named), None)


def _product(facts: Mapping[str, Any]) -> str | None:
    value = facts.get("product")
    return value if isinstance(value, str) and value in PRODUCTS else None


def _reason(facts: Mapping[str, Any]) -> str | None:
    value = facts.get("reason")
    if not isinstance(value, str):
        return None
    return "".join(letter if letter.isprintable() else " " for letter in value)[:_MOST_REASON_CHARS].strip() or None
