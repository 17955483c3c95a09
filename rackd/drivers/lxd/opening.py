"""How an LXD host is opened: from what the region knows of it to a driver."""

from __future__ import annotations

import threading

from cryptography.hazmat.primitives import serialization

from common.certificates import fingerprint
from common.errors import NotTrusted
from common.lxd_address import parse
from common.values import HostAccess, PeerIdentity
from rackd.drivers.lxd import tls
from rackd.drivers.lxd.client import Client
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.guests import DEFAULT_PROJECT
from rackd.drivers.lxd.survey import Place

CERTIFICATE, KEY = "certificate", "key"  # in the credentials, both PEM
KIND = "tls-certificate"


class LxdOpening:
    """Opens LXD servers by their address, with the certificate and key of that one server."""

    def identify(self, access: HostAccess) -> PeerIdentity:
        """The server's certificate, fetched without logging in. HostUnreachable, or InvalidRequest for the address."""
        found = tls.presented(parse(access.address))
        return PeerIdentity(
            kind=KIND,
            fingerprint=fingerprint(found),
            material=found.public_bytes(serialization.Encoding.PEM).decode(),
        )

    def open(self, access: HostAccess) -> LxdDriver:
        """A driver that has contacted nothing: asking to be trusted is one of the things it is for.

        NotTrusted when the server's certificate is not pinned yet, or we have no certificate and key for it.
        """
        address = parse(access.address)
        certificate, key = access.credentials.get(CERTIFICATE), access.credentials.get(KEY)
        if not certificate or not key:
            raise NotTrusted(f"There are no certificate and key for {address.normalised} yet.")
        if access.pinned is None:
            raise NotTrusted(f"The certificate of {address.normalised} is not trusted yet.")
        context = tls.context(pinned_pem=access.pinned, certificate_pem=certificate, key_pem=key)
        closing = threading.Event()
        return LxdDriver(
            Client(address, context, access.pinned, closing=closing),
            Place(project=access.project or DEFAULT_PROJECT, member=access.member),
            own_pem=certificate,
            pinned_pem=access.pinned,
            closing=closing,
        )
