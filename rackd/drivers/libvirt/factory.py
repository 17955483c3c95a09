"""Opens a LibvirtDriver from a host's address and credentials."""

from __future__ import annotations

from collections.abc import Callable

from common.addresses.host_identity import check_pin
from common.addresses.libvirt import LibvirtAddress, parse
from common.errors import NotTrusted, Unsupported
from common.values import HostAccess, PeerIdentity
from rackd.drivers.contract import DriverSetup
from rackd.drivers.libvirt.connection import ssh
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.first_contact import require_answer
from rackd.drivers.libvirt.driver import LibvirtDriver

SSH_KEY = "ssh_private_key"


def libvirt_hosts(_: DriverSetup) -> LibvirtDriverFactory:
    """The entry point of this driver."""
    return LibvirtDriverFactory()


class LibvirtDriverFactory:
    """Opens `qemu:///…`, `qemu+ssh://`, `qemu+tls://` and `test:///default`.

    qemu+tls uses the certificates in libvirt's standard folders on the rack (/etc/pki/CA/cacert.pem,
    /etc/pki/libvirt/…). libvirt verifies the host with that CA, so Innkeeper pins nothing.
    """

    def identify(self, access: HostAccess) -> PeerIdentity | None:
        """Returns the SSH host key that the host presents; None for the other transports."""
        address = parse(access.address)
        return ssh.offered_key(address) if address.needs_ssh_key else None

    def open(self, access: HostAccess) -> LibvirtDriver:
        """Returns a connected driver. Raises InvalidRequest for a malformed address.

        Raises NotTrusted before it contacts the host if the SSH host key is not pinned or there is no private key.
        """
        driver = LibvirtDriver(connector(access), access.installation_id)
        try:
            driver.reach()
        except BaseException:
            driver.close()
            raise
        return driver


def connector(access: HostAccess) -> Callable[[], Client]:
    """Returns a function that opens a new connection to this host."""
    address = parse(access.address)
    if not address.needs_ssh_key:
        return lambda: _open(address)
    private_key, pinned = access.credentials.get(SSH_KEY), access.pinned
    if private_key is None:
        raise NotTrusted(f"Innkeeper has no SSH key for {address.normalised} yet.")
    if pinned is None:
        raise NotTrusted(f"The SSH host key of {address.normalised} is not pinned yet.")
    check_pin(address.normalised, pinned)
    return lambda: _open_over_ssh(address, private_key, pinned)


def _open(address: LibvirtAddress) -> Client:
    require_answer(address)
    return Client.open(address.normalised)


def _open_over_ssh(address: LibvirtAddress, private_key: str, pinned: str) -> Client:
    require_answer(address)
    try:
        with ssh.connection_uri(address, private_key, pinned) as uri:
            return Client.open(uri)
    except Unsupported as error:
        raise Unsupported(
            f"qemu+ssh:// addresses need libvirt with {ssh.TRANSPORT}, which this rack's libvirt library lacks."
        ) from error
    except NotTrusted as error:
        raise ssh.explain(address, private_key, pinned, str(error)) from error
