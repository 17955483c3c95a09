"""Checks that the host has the networks and interfaces on which NICs are to be."""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import NotFound
from common.guests.guest_spec import NicSpec
from common.values import NicKind
from rackd.drivers.libvirt.connection.client import Client


def check_sources(client: Client, nics: Iterable[NicSpec]) -> None:
    """Raises NotFound, naming the missing source. libvirt itself reports it only when the guest starts."""
    sources = {(nic.kind, nic.source) for nic in nics}
    for kind, name in sorted(sources):
        if kind is NicKind.NETWORK and client.network(name) is None:
            raise NotFound(f"The host has no network {name}.", network=name)
        if kind in {NicKind.BRIDGE, NicKind.MACVLAN} and not client.has_interface(name):
            what = "bridge" if kind is NicKind.BRIDGE else "interface"
            raise NotFound(f"The host has no {what} {name}.", interface=name)
