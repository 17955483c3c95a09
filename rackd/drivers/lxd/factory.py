"""Opens an LxdDriver from a host's address and credentials."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization

from common.addresses.host_identity import check_pin
from common.addresses.lxd import parse
from common.errors import NotTrusted
from common.trust.certificates import fingerprint
from common.values import HostAccess, PeerIdentity
from rackd.drivers.contract import DriverSetup
from rackd.drivers.lxd.connection import tls
from rackd.drivers.lxd.connection.dialect import dialect_of_product
from rackd.drivers.lxd.connection.response_body import LargeBodies
from rackd.drivers.lxd.inventory.ownership import DEFAULT_PROJECT

if TYPE_CHECKING:
    from rackd.drivers.lxd.driver import LxdDriver

CERTIFICATE, KEY = "certificate", "key"  # in the credentials, both PEM
KIND = "tls-certificate"


def lxd_hosts(_: DriverSetup) -> LxdDriverFactory:
    """The entry point of this driver."""
    return LxdDriverFactory()


class LxdDriverFactory:
    """Opens LXD servers with a certificate and key for each server."""

    def __init__(self) -> None:
        self._large_bodies = LargeBodies()

    def identify(self, access: HostAccess) -> PeerIdentity:
        """Returns the certificate that the server presents before a login.

        Raises HostUnreachable, or InvalidRequest for a malformed address.
        """
        found = tls.presented(parse(access.address))
        return PeerIdentity(
            kind=KIND,
            fingerprint=fingerprint(found),
            material=found.public_bytes(serialization.Encoding.PEM).decode(),
        )

    def open(self, access: HostAccess) -> LxdDriver:
        """Returns a driver that has contacted nothing, since `trust` must work before the server trusts the
        certificate.

        Raises NotTrusted if the server's certificate is not pinned, or Innkeeper has no certificate and key for it.
        """
        # Only a rack with such hosts loads pylxd, and with it ws4py, which nobody uses here or maintains.
        from rackd.drivers.lxd.connection.client import Client, Scope  # noqa: PLC0415
        from rackd.drivers.lxd.driver import LxdDriver  # noqa: PLC0415

        address = parse(access.address)
        certificate, key = access.credentials.get(CERTIFICATE), access.credentials.get(KEY)
        if not certificate or not key:
            raise NotTrusted(f"Innkeeper has no certificate and key for {address.normalised} yet.")
        if access.pinned is None:
            raise NotTrusted(f"The certificate of {address.normalised} is not pinned yet.")
        check_pin(address.normalised, access.pinned)
        context = tls.context(pinned_pem=access.pinned, certificate_pem=certificate, key_pem=key)
        closing, large_body = threading.Event(), self._large_bodies.lock_of(access.pinned)
        return LxdDriver(
            Client(
                address,
                context,
                access.pinned,
                closing=closing,
                large_body=large_body,
                dialect=dialect_of_product(access.product),
            ),
            Scope(project=access.project or DEFAULT_PROJECT, member=access.member),
            own_pem=certificate,
            pinned_pem=access.pinned,
            closing=closing,
        )
