"""Adds certificates to a server's trust store, by token or password, and removes them."""

from __future__ import annotations

import base64
import binascii
import json
import socket
from contextlib import suppress
from datetime import datetime
from typing import Any

import structlog
from attrs import field, frozen
from cryptography.hazmat.primitives import serialization

from common.addresses.lxd import LxdAddress, parse
from common.errors import OF_IDENTITY, DriverFailed, HostUnreachable, InvalidRequest, NotFound, NotTrusted, PeerChanged
from common.trust.certificates import fingerprint, load_certificate, utc_now
from rackd.drivers.lxd.connection.capabilities import capabilities_of
from rackd.drivers.lxd.connection.client import Client, Json, path
from rackd.drivers.lxd.connection.failures import Conflict, NotAuthorized
from rackd.drivers.lxd.connection.tls import presented

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_IDENTITIES = ("auth", "identities", "tls")  # those that authenticate with a certificate
_OF_GROUPS = "Client certificate"  # the type of an identity whose permissions come from groups
ADDRESSES_TRIED, TRY_S = 4, 3.0  # a server may list addresses that only its own networks reach


@frozen(kw_only=True)
class Token:
    """The decoded output of `lxc config trust add --name NAME`, or of `lxc auth identity create tls/NAME`.

    `of_identity`: the second one. Its certificate has the permissions of its groups, and is not in the trust list.
    """

    server_fingerprint: str
    of_identity: bool = False
    expires_at: datetime | None = None
    addresses: tuple[str, ...] = ()  # of the server, or of the cluster member that created it
    text: str = field(repr=False)


def decode_token(text: str) -> Token | None:
    """Returns None for text that is no token; it may be a trust password."""
    try:
        found = json.loads(base64.b64decode(text.strip(), validate=True))
        server = str(found["fingerprint"]).lower()
        found["secret"]
    except (binascii.Error, ValueError, KeyError, TypeError, RecursionError):
        return None
    addresses = found.get("addresses")
    return Token(
        server_fingerprint=server,
        of_identity=bool(found.get("type")),
        expires_at=_moment(found.get("expires_at")),
        addresses=tuple(map(str, addresses)) if isinstance(addresses, list) else (),
        text=text.strip(),
    )


def _moment(text: Any) -> datetime | None:
    """Returns None for LXD's year 1, which means never."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.year > 1 and found.tzinfo is not None else None


def check_token(token: Token, pinned_pem: str, now: datetime, how_to_trust: str) -> None:
    """Checks the token before it is sent. Raises PeerChanged for another server's token, NotTrusted for an expired
    one.
    """
    pinned = fingerprint(load_certificate(pinned_pem))
    if token.server_fingerprint != pinned:
        raise PeerChanged(
            f"The trust token is for another server (certificate {token.server_fingerprint}; this one has {pinned}). "
            f"The token was not sent. Check the address, or get a token on this server with: {how_to_trust}",
            pinned=pinned,
            presented=token.server_fingerprint,  # released; `expected` and `offered` say which is which
            expected=token.server_fingerprint,
            offered=pinned,
            named_by="token",
        )
    if token.expires_at is not None and token.expires_at <= now:
        raise NotTrusted(
            f"The trust token expired at {token.expires_at:%Y-%m-%d %H:%M} UTC. Get one with: {how_to_trust}"
        )


def trust(
    client: Client, *, own_pem: str, pinned_pem: str, certificate_pem: str, name: str, secret: str | None
) -> None:
    """Makes the server trust `certificate_pem`: with `secret` if it is the client's own, else by the client's own.
    Idempotent.
    """
    wanted, own = (fingerprint(load_certificate(pem)) for pem in (certificate_pem, own_pem))
    server = client.server()
    trusted = server.get("auth") == "trusted"
    if wanted != own:
        if not trusted:
            raise _not_trusted(client, "the certificate that should add another one")
        identity = _own_identity(client, server)
        if identity is None:
            _add_another(client, certificate_pem, name, own)
        else:
            _replace_in_identity(client, identity, certificate_pem)
    elif not trusted:
        _add_own(client, server, name, pinned_pem, secret)
        if client.get("").get("auth") != "trusted":
            raise _not_trusted(client, "Innkeeper's certificate, although it accepted the secret")


def _add_own(client: Client, server: Json, name: str, pinned_pem: str, secret: str | None) -> None:
    if not secret:
        raise _not_trusted(client, "Innkeeper's certificate")
    token = decode_token(secret)
    if token is not None:
        check_token(token, pinned_pem, utc_now(), client.dialect.how_to_trust)
    can = capabilities_of(server)
    if token is None and not can.dialect.takes_passwords:
        raise _not_trusted(client, "Innkeeper's certificate, and the secret is no trust token")
    field_name = "trust_token" if token is not None and can.trust_token else "password"
    body = {"type": "client", "name": name, field_name: token.text if token else secret}
    where = "certificates"
    if token is not None and token.of_identity:
        where, body = path(*_IDENTITIES), {"trust_token": token.text}
    issuer = client if token is None else _at_issuer(client, token, pinned_pem)
    try:
        issuer.post(where, body)  # adds the certificate of this connection
    except Conflict:
        log.info("certificate_already_trusted", address=issuer.address.normalised)
    except (NotTrusted, DriverFailed) as error:
        reason = "the token was already used, has expired or was revoked" if token else "the trust password is wrong"
        raise NotTrusted(f"{reason}.", response=str(error), product=client.dialect.product) from error
    finally:
        if issuer is not client:
            issuer.close()


def _at_issuer(client: Client, token: Token, pinned_pem: str) -> Client:
    """Returns a client of the cluster member that created the token, or `client` itself if that cannot be reached.

    Every member accepts a token, but LXD 5.0 invalidates one that is shown to another member than the one that created
    it. All members present the pinned certificate, so the secret reaches no other server.
    """
    addresses = [address for address in map(_address, token.addresses) if address is not None]
    if not addresses or not _hosts(client.address).isdisjoint(address.host for address in addresses):
        return client
    pinned = fingerprint(load_certificate(pinned_pem))
    for address in addresses[:ADDRESSES_TRIED]:
        try:
            if fingerprint(presented(address, timeout_s=TRY_S)) == pinned:
                return client.at(address)
        except HostUnreachable as error:
            log.info("token_address_unreachable", address=address.normalised, reason=str(error))
    return client


def _address(text: str) -> LxdAddress | None:
    try:
        return parse(text)
    except InvalidRequest:
        return None


def _hosts(address: LxdAddress) -> set[str]:
    """Returns the address as written, and the IP addresses that its name resolves to."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        found = []
    return {address.host, *(str(sockaddr[0]) for *_, sockaddr in found)}


def _add_another(client: Client, certificate_pem: str, name: str, own: str) -> None:
    der = load_certificate(certificate_pem).public_bytes(serialization.Encoding.DER)
    encoded = base64.b64encode(der).decode()
    try:
        client.post("certificates", {"type": "client", "name": name, "certificate": encoded})
    except Conflict:
        return
    except NotAuthorized:
        _replace_own(client, certificate_pem, own)
    except DriverFailed as error:
        if "already in trust store" not in str(error):
            raise


def _replace_own(client: Client, certificate_pem: str, own: str) -> None:
    """Replaces the client's own restricted certificate, which may add none. LXD then no longer trusts the old one."""
    try:
        found, etag = client.get_with_etag(path("certificates", own))
        client.put(path("certificates", own), {**_changeable(found), "certificate": certificate_pem}, etag=etag)
    except (NotTrusted, DriverFailed, NotFound) as error:
        raise NotTrusted(
            f"{client.place} does not let a restricted certificate add another one ({error}). "
            f"Get a token with: {client.dialect.how_to_trust} --restricted --projects PROJECT"
        ) from error
    log.info("restricted_certificate_replaced", address=client.address.normalised, old=own)


def _own_identity(client: Client, server: Json) -> Json | None:
    """Returns the identity of the client's certificate if its permissions come from groups; None if the certificate is
    one of the trust list.
    """
    if not capabilities_of(server).tls_identities:
        return None
    found: Json = client.get(path("auth", "identities", "current"))
    return found if found.get("fine_grained", found.get("type") == _OF_GROUPS) else None


def _replace_in_identity(client: Client, identity: Json, certificate_pem: str) -> None:
    """Gives the client's own identity another certificate. LXD then no longer trusts the old one.

    A second identity, or a certificate in the trust list, would not have the permissions of its groups.
    """
    body = {"groups": identity.get("groups") or [], "tls_certificate": certificate_pem}
    try:
        client.put(path(*_IDENTITIES, str(identity["id"])), body)
    except (NotTrusted, DriverFailed, NotFound) as error:
        raise NotTrusted(
            f"{client.place} does not let the identity {identity.get('name')} change its certificate ({error}). "
            f"Get a token of another identity with: {client.dialect.client} auth identity create tls/NAME --group GROUP"
        ) from error
    log.info("identity_certificate_replaced", address=client.address.normalised, old=identity["id"])


def _changeable(certificate: Json) -> dict[str, Any]:
    return {key: certificate[key] for key in ("name", "type", "restricted", "projects") if key in certificate}


def is_gone(client: Client, of: str, *, own_pem: str) -> bool:
    """Returns whether `of` is the client's own certificate and the server trusts it no longer."""
    own = fingerprint(load_certificate(own_pem))
    return of.lower() == own and client.server().get("auth") != "trusted"


def untrust(client: Client, of: str, *, own_pem: str) -> None:
    """Removes the certificate with the fingerprint `of` (SHA-256, hex) from the trust store, or with its identity.
    Idempotent.
    """
    if not of or any(letter not in "0123456789abcdef" for letter in of.lower()):
        raise InvalidRequest(f"'{of}' is not a fingerprint: expected the certificate's SHA-256 in hex digits.")
    if client.find(path("certificates", of.lower())) is not None:
        client.delete(path("certificates", of.lower()))
        return
    if not capabilities_of(client.server()).tls_identities:
        return
    is_seen = False
    with suppress(NotFound):  # also what an identity may not see, itself included
        try:
            client.delete(path(*_IDENTITIES, of.lower()))
        except NotAuthorized:
            is_seen = True
    is_own = of.lower() == fingerprint(load_certificate(own_pem))
    if (is_seen or is_own) and not is_gone(client, of, own_pem=own_pem):
        raise NotTrusted(
            f"{client.place} does not let the identity of Innkeeper's certificate remove "
            f"{'itself' if is_own else 'another one'}. Run on the server: "
            f"{client.dialect.client} auth identity delete tls/{of.lower()}",
            **{OF_IDENTITY: True},
        )


def _not_trusted(client: Client, what: str) -> NotTrusted:
    reason = f"{client.place} does not trust {what}."
    return NotTrusted(
        f"{reason} On that server, get a token with: {client.dialect.how_to_trust}", reason=reason,
        product=client.dialect.product,
    )  # fmt: skip
