"""Finds the addresses of running guests among the DHCP leases of libvirt's networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import structlog
from attrs import evolve, field, frozen

from common.errors import DriverFailed, NotFound, Unsupported
from common.values import Guest, GuestNic, NicKind, PowerState
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.xml import attribute, parse, text_at

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@frozen(kw_only=True)
class ServedNetworks:
    """The active networks with a DHCP server. Guests attach to one of them, or to its bridge (`by_bridge`)."""

    names: frozenset[str]
    by_bridge: Mapping[str, str] = field(factory=dict)

    @classmethod
    def of(cls, networks: Iterable[tuple[str, bool]]) -> ServedNetworks:
        """Parses the XML of networks, each with whether it is active."""
        trees = [parse(xml, "a network") for xml, active in networks if active]
        served = [tree for tree in trees if tree.find("ip/dhcp") is not None]
        bridges = {attribute(tree, "bridge", "name"): text_at(tree, "name") for tree in served}
        return cls(names=frozenset(text_at(tree, "name") for tree in served), by_bridge=bridges)

    def network_of(self, nic: GuestNic) -> str | None:
        if nic.kind is NicKind.NETWORK and nic.source in self.names:
            return nic.source
        return self.by_bridge.get(nic.source) if nic.kind is NicKind.BRIDGE else None


def with_leases(client: Client, guests: Sequence[Guest], served: ServedNetworks) -> tuple[Guest, ...]:
    """Returns the guests, those that run and have a marker with their leased addresses.

    Makes one call, and one for each network with such guests; none without them.
    """
    wanted = {served.network_of(nic) for guest in guests if _is_wanted(guest) for nic in guest.nics} - {None}
    if not wanted:
        return tuple(guests)
    leases = _read(client, {name for name in wanted if name is not None})
    return tuple(_with_leases(guest, leases, served) if _is_wanted(guest) else guest for guest in guests)


def _is_wanted(guest: Guest) -> bool:
    return guest.power is PowerState.ON and guest.marker is not None


def _read(client: Client, names: Iterable[str]) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Returns the addresses by MAC address in lower case, by network. Omits networks that cannot be read."""
    found = {}
    for network in client.active_networks(names):
        try:
            leases = network.leases()
        except (NotFound, DriverFailed, Unsupported) as error:
            log.info("leases_not_read", network=network.name, reason=str(error))
            continue
        by_mac: dict[str, tuple[str, ...]] = {}
        for mac_address, address in leases:
            by_mac[mac_address.lower()] = (*by_mac.get(mac_address.lower(), ()), address)
        found[network.name] = by_mac
    return found


def _with_leases(guest: Guest, leases: Mapping[str, Mapping[str, tuple[str, ...]]], served: ServedNetworks) -> Guest:
    nics = []
    for nic in guest.nics:
        of_network = leases.get(served.network_of(nic) or "")
        known = nic if of_network is None else evolve(nic, addresses=of_network.get(nic.mac_address.lower(), ()))
        nics.append(known)
    return evolve(guest, nics=tuple(nics))
