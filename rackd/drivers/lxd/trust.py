"""How a server comes to trust a certificate of ours, and stops trusting it."""

from __future__ import annotations

import base64
import binascii
import json
import socket
from datetime import datetime
from typing import Any

import structlog
from attrs import field, frozen
from cryptography.hazmat.primitives import serialization

from common.certificates import fingerprint, load_certificate, utc_now
from common.errors import DriverFailed, HostUnreachable, InvalidRequest, NotTrusted, PeerChanged
from common.lxd_address import LxdAddress, parse
from rackd.drivers.lxd.client import Client, Conflict, Json, NotAuthorized, path
from rackd.drivers.lxd.facts import HOW_TO_TRUST
from rackd.drivers.lxd.tls import presented

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ADDRESSES_TRIED, TRY_S = 4, 3.0  # a server may list addresses that only its own networks reach


@frozen(kw_only=True)
class Token:
    """What `lxc config trust add --name NAME` prints, decoded."""

    server_fingerprint: str
    expires_at: datetime | None = None
    addresses: tuple[str, ...] = ()  # of the server, or of the one member of a cluster that made it
    text: str = field(repr=False)


def decode_token(text: str) -> Token | None:
    """None for a text that is no token, and may be a trust password."""
    try:
        found = json.loads(base64.b64decode(text.strip(), validate=True))
        server = str(found["fingerprint"]).lower()
        found["secret"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None
    told = found.get("addresses")
    return Token(
        server_fingerprint=server,
        expires_at=_moment(found.get("expires_at")),
        addresses=tuple(map(str, told)) if isinstance(told, list) else (),
        text=text.strip(),
    )


def _moment(text: Any) -> datetime | None:
    """LXD writes the year 1 for never."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.year > 1 and found.tzinfo is not None else None


def check_token(token: Token, pinned_pem: str, now: datetime) -> None:
    """Before the secret is sent anywhere. Raises PeerChanged for another server's, NotTrusted for one that expired."""
    pinned = fingerprint(load_certificate(pinned_pem))
    if token.server_fingerprint != pinned:
        raise PeerChanged(
            f"The trust token is for the server with the certificate {token.server_fingerprint}; this server's is "
            f"{pinned}. The token was not sent: make one on this server, or check that this is the right address.",
            pinned=pinned,
            presented=token.server_fingerprint,
        )
    if token.expires_at is not None and token.expires_at <= now:
        raise NotTrusted(
            f"The trust token expired at {token.expires_at:%Y-%m-%d %H:%M} UTC; make another: lxc config trust add."
        )


def trust(
    client: Client, *, own_pem: str, pinned_pem: str, certificate_pem: str, name: str, secret: str | None
) -> None:
    """`certificate_pem` is trusted afterwards: with `secret` when it is our own, with our own when it is another."""
    wanted, own = (fingerprint(load_certificate(pem)) for pem in (certificate_pem, own_pem))
    server = client.server()
    trusted = server.get("auth") == "trusted"
    if wanted != own:
        if not trusted:
            raise NotTrusted(_not_yet(client, "the certificate that was to add another"))
        _add_another(client, certificate_pem, name, own)
    elif not trusted:
        _introduce(client, server, name, pinned_pem, secret)
        if client.get("").get("auth") != "trusted":
            raise NotTrusted(_not_yet(client, "our certificate, although it accepted the secret"))


def _introduce(client: Client, server: Json, name: str, pinned_pem: str, secret: str | None) -> None:
    if not secret:
        raise NotTrusted(_not_yet(client, "our certificate yet"))
    token = decode_token(secret)
    if token is not None:
        check_token(token, pinned_pem, utc_now())
    field_name = "password"
    if token is not None and "explicit_trust_token" in server.get("api_extensions", ()):
        field_name = "trust_token"
    body = {"type": "client", "name": name, field_name: token.text if token else secret}
    there = client if token is None else _where_it_was_made(client, token, pinned_pem)
    try:
        there.post("certificates", body)  # for the certificate of this very connection
    except Conflict:
        log.info("certificate_was_trusted_already", address=there.address.normalised)
    except (NotTrusted, DriverFailed) as error:
        what = "token (it was used already, has expired or was revoked)" if token else "password"
        raise NotTrusted(f"LXD at {there.address.normalised} refused the trust {what}: {error}") from error
    finally:
        if there is not client:
            there.close()


def _where_it_was_made(client: Client, token: Token, pinned_pem: str) -> Client:
    """Any member of a cluster takes a token, but LXD 5.0 spoils it at another than the one that made it.

    All members show the pinned certificate, so the secret reaches nobody else. `client` itself when it is there
    already, or when the rack reaches the server at none of the token's addresses. Strangers are not told whether the
    server is in a cluster.
    """
    places = [place for place in map(_address, token.addresses) if place is not None]
    if not places or not _hosts(client.address).isdisjoint(place.host for place in places):
        return client
    pinned = fingerprint(load_certificate(pinned_pem))
    for place in places[:ADDRESSES_TRIED]:
        try:
            if fingerprint(presented(place, timeout_s=TRY_S)) == pinned:
                return client.at(place)
        except HostUnreachable as error:
            log.info("address_of_token_not_reached", address=place.normalised, reason=str(error))
    return client


def _address(text: str) -> LxdAddress | None:
    try:
        return parse(text)
    except InvalidRequest:
        return None


def _hosts(address: LxdAddress) -> set[str]:
    """The address as it is written, and the numbers that its name stands for."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        found = []
    return {address.host, *(str(place[0]) for *_, place in found)}


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
    """A certificate that is restricted to projects may add none, but may be exchanged for another in its own place:
    from then on the old one is not trusted."""
    try:
        found, etag = client.get_with_etag(path("certificates", own))
        client.put(path("certificates", own), {**_changeable(found), "certificate": certificate_pem}, etag=etag)
    except (NotTrusted, DriverFailed) as error:
        raise NotTrusted(
            f"LXD at {client.address.normalised} does not let a restricted certificate bring in another one. On that "
            f"server: {HOW_TO_TRUST} --restricted --projects PROJECT. LXD's words: {error}"
        ) from error
    log.info("restricted_certificate_exchanged", address=client.address.normalised, old=own)


def _changeable(certificate: Json) -> dict[str, Any]:
    return {key: certificate[key] for key in ("name", "type", "restricted", "projects") if key in certificate}


def untrust(client: Client, of: str) -> None:
    """`of` (SHA-256, hex) is on the trust list no more."""
    if not of or any(letter not in "0123456789abcdef" for letter in of.lower()):
        raise InvalidRequest("A fingerprint is the SHA-256 of a certificate in hex digits.")
    if client.find(path("certificates", of.lower())) is not None:
        client.delete(path("certificates", of.lower()))


def _not_yet(client: Client, what: str) -> str:
    return (
        f"LXD at {client.address.normalised} does not trust {what}. On that server: {HOW_TO_TRUST}; or give a trust "
        "token, which 'lxc config trust add --name NAME' prints there without a file."
    )
