"""Values of credentials: TLS and SSH key pairs, LXD's trust tokens."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen
from cryptography import x509

from common.trust.certificates import fingerprint, load_certificate


@frozen(kw_only=True)
class KeyPair:
    """A client certificate and its private key, both PEM. `imported`: a user supplied it."""

    certificate_pem: str
    key_pem: str = field(repr=False)
    imported: bool = False

    @property
    def certificate(self) -> x509.Certificate:
        return load_certificate(self.certificate_pem)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate)

    @property
    def expires_at(self) -> datetime:
        return self.certificate.not_valid_after_utc


@frozen(kw_only=True)
class KeyPairView:
    """A stored key pair without its key."""

    id: int
    certificate_pem: str
    fingerprint: str
    expires_at: datetime
    imported: bool
    replaces_id: int | None = None


@frozen(kw_only=True)
class OpenKeyPair:
    """A key pair with its decrypted key, for one call. Names of `credentials` are those of `HostAccess.credentials`."""

    view: KeyPairView
    credentials: Mapping[str, str] = field(repr=False)


@frozen(kw_only=True)
class ExpiringKeyPair:
    """A key pair that expires within `expiry_notified_days` days; 0: it has expired."""

    id: int
    fingerprint: str
    expires_at: datetime
    expiry_notified_days: int


@frozen(kw_only=True)
class SshKeyPair:
    """`private_pem` has OpenSSH's format; `public_line` is a line for `authorized_keys`."""

    private_pem: str = field(repr=False)
    public_line: str


@frozen(kw_only=True)
class TrustToken:
    """The public part of an LXD trust token, without its secret. `expires_at` is None if it does not expire."""

    fingerprint: str
    addresses: tuple[str, ...] = ()
    expires_at: datetime | None = None


@frozen(kw_only=True)
class SentCredential:
    """A credential of a host without its secret: `key_pair` with the fingerprint of its certificate, or the name of a
    secret."""

    name: str
    fingerprint: str = ""


@frozen(kw_only=True)
class SentTo:
    """A credential of a host that a rack was sent, first at `sent_at`."""

    host_id: int
    host_name: str
    address: str
    name: str
    fingerprint: str
    key_pair_id: int | None
    sent_at: datetime


def read_trust_token(text: str) -> TrustToken | None:
    """Returns the token in base64 of JSON; None if the text is not a token: then it is a trust password."""
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


def unusable_token(text: str) -> str | None:
    """Returns why this text, which looks like a token, makes no server trust us; None if it may."""
    head, _, rest = text.strip().partition(".")
    if rest.count(".") == 1 and "alg" in _json_in(head.translate(_OF_URLS)):
        return (
            "This is a bearer token, with which an identity of LXD sends its requests. Innkeeper has a certificate, "
            "and needs a token that makes the server trust it: lxc config trust add --name innkeeper, or incus config "
            "trust add innkeeper."
        )
    found = _json_in(text.strip())
    if "server_name" in found and "client_name" not in found:
        return (
            "This token lets another server join a cluster. Innkeeper needs one for clients: lxc config trust add "
            "--name innkeeper, or incus config trust add innkeeper."
        )
    return None


_OF_URLS = str.maketrans("-_", "+/")  # their alphabet of base64


def _json_in(text: str) -> dict[str, object]:
    """Returns the object that is in the text as base64, empty if there is none."""
    try:
        found = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _time(text: object) -> datetime | None:
    """LXD uses the year 1 for tokens that never expire."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text[:19] + "+00:00")
    except ValueError:
        return None
    return at if at.year > 1 else None
