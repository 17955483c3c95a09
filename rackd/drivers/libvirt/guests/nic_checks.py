"""Checks before compose that the networks, bridges and interfaces of a guest's NICs exist."""

from __future__ import annotations

from common.errors import NotFound
from common.guest_spec import GuestSpec
from common.values import NicKind
from rackd.drivers.libvirt.connection.client import Client


def check_nic_sources(client: Client, spec: GuestSpec) -> None:
    """Raises NotFound, naming the missing source. libvirt itself reports it only when the guest starts."""
    sources = {(nic.kind, nic.source) for nic in spec.nics}
    for kind, name in sorted(sources):
        if kind is NicKind.NETWORK and client.network(name) is None:
            raise NotFound(f"The host has no network {name}.", network=name)
        if kind in {NicKind.BRIDGE, NicKind.MACVLAN} and not client.has_interface(name):
            what = "bridge" if kind is NicKind.BRIDGE else "interface"
            raise NotFound(f"The host has no {what} {name}.", interface=name)
