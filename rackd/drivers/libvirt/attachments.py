"""Whether what a guest's cards are to be attached to is there. libvirt itself says so only when the guest starts."""

from __future__ import annotations

from common.errors import NotFound
from common.values import GuestSpec, NicKind
from rackd.drivers.libvirt.client import Client


def check_attachments(client: Client, spec: GuestSpec) -> None:
    """NotFound, naming it, for a network, bridge or interface that the host has not. Changes nothing."""
    wanted = {(nic.kind, nic.source) for nic in spec.nics}
    for kind, name in sorted(wanted):
        if kind is NicKind.NETWORK and client.network(name) is None:
            raise NotFound(f"The host has no network {name}.", network=name)
        if kind in {NicKind.BRIDGE, NicKind.MACVLAN} and not client.has_interface(name):
            what = "bridge" if kind is NicKind.BRIDGE else "interface"
            raise NotFound(f"The host has no {what} {name}.", interface=name)
