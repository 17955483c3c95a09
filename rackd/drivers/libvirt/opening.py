"""How a libvirt host is opened: from what the region knows of it to a driver."""

from __future__ import annotations

from collections.abc import Callable

from common.errors import NotTrusted, Unsupported
from common.libvirt_address import LibvirtAddress, parse
from common.values import HostAccess, PeerIdentity
from rackd.drivers.libvirt import ssh
from rackd.drivers.libvirt.client import Client
from rackd.drivers.libvirt.driver import LibvirtDriver

SSH_KEY = "ssh_private_key"


class LibvirtOpening:
    """Opens `qemu:///…`, `qemu+ssh://`, `qemu+tls://` and `test:///default`.

    qemu+tls uses the certificates of libvirt's standard folders on the rack (/etc/pki/CA/cacert.pem,
    /etc/pki/libvirt/…): libvirt itself checks the host's against that CA, so there is nothing of ours to pin.
    """

    def identify(self, access: HostAccess) -> PeerIdentity | None:
        """The SSH host key that is offered; None for the other transports."""
        address = parse(access.address)
        return ssh.offered_key(address) if address.needs_ssh_key else None

    def open(self, access: HostAccess) -> LibvirtDriver:
        """A driver that is connected. NotTrusted before anything is contacted when the host's SSH key is not pinned
        yet or there is no key of ours; InvalidRequest for an address that is none."""
        driver = LibvirtDriver(connector(access), access.installation_id)
        try:
            driver.reach()
        except BaseException:
            driver.close()
            raise
        return driver


def connector(access: HostAccess) -> Callable[[], Client]:
    """Opens a connection to this host, each time it is called."""
    address = parse(access.address)
    if not address.needs_ssh_key:
        return lambda: Client.open(address.normalised)
    private_key, pinned = access.credentials.get(SSH_KEY), access.pinned
    if private_key is None:
        raise NotTrusted(f"There is no SSH key for {address.normalised} yet.")
    if pinned is None:
        raise NotTrusted(f"The SSH host key of {address.normalised} is not trusted yet.")
    return lambda: _open_over_ssh(address, private_key, pinned)


def _open_over_ssh(address: LibvirtAddress, private_key: str, pinned: str) -> Client:
    try:
        with ssh.connection_uri(address, private_key, pinned) as uri:
            return Client.open(uri)
    except Unsupported as error:
        raise Unsupported(
            f"The libvirt library of this rack is built without {ssh.TRANSPORT}, which qemu+ssh:// addresses need."
        ) from error
    except NotTrusted as error:
        raise ssh.explain(address, private_key, pinned, str(error)) from error
