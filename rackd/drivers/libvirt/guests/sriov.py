"""Assigns free SR-IOV virtual functions to the NICs of a guest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from common.errors import Busy, NotFound, OutOfCapacity
from common.guests.guest_spec import NicSpec
from common.values import GuestRef, NicKind
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.definitions.nic_xml import VirtualFunction
from rackd.drivers.libvirt.inventory.node_devices import Port, ports_of, ports_of_networks, taken_functions
from rackd.drivers.libvirt.xml import Element, parse


def choose(client: Client, guest: GuestRef, nics: Iterable[NicSpec]) -> Mapping[str, VirtualFunction]:
    """Returns a virtual function for each SR-IOV NIC of `nics`, by MAC address. Changes nothing on the host.

    If a libvirt network assigns the port's functions, it chooses one at each start. Otherwise the choice is fixed
    here, after reading the XML of every domain: libvirt offers no other way to find a free function.

    Raises NotFound if the port does not exist, OutOfCapacity if none of its functions is free.
    """
    wanted = [nic for nic in nics if nic.kind is NicKind.SRIOV]
    if not wanted:
        return {}
    ports = {port.name: port for port in ports_of(client.node_devices())}
    networks = ports_of_networks(client.networks())
    fixed = [nic for nic in wanted if nic.source not in networks]
    taken = set(taken_functions(_trees(client)) if fixed else ())
    chosen = {
        nic.mac_address: VirtualFunction(network=networks[nic.source]) for nic in wanted if nic.source in networks
    }
    for nic in fixed:
        address = _free_function(ports.get(nic.source), nic, taken, start=guest.marker.machine_id.int)
        taken.add(address)
        chosen[nic.mac_address] = VirtualFunction(pci_address=address)
    return chosen


def check_still_free(client: Client, guest: GuestRef, chosen: Mapping[str, VirtualFunction]) -> None:
    """Raises Busy if another guest was defined with one of these functions. Call it after the guest has them."""
    fixed = {function.pci_address for function in chosen.values() if function.pci_address}
    if fixed and (shared := fixed & taken_functions(_trees(client, besides=guest))):
        raise Busy(f"Another guest received the virtual function {min(shared)} at the same time as {guest.name}.")


def _trees(client: Client, *, besides: GuestRef | None = None) -> list[Element]:
    own = None if besides is None else str(besides.marker.machine_id)
    return [parse(domain.xml(), f"the guest {domain.name}") for domain in client.domains() if domain.uuid != own]


def _free_function(port: Port | None, nic: NicSpec, taken: set[str], *, start: int) -> str:
    """Starts at a different function for each machine, so that concurrent racks rarely choose the same one."""
    if port is None:
        raise NotFound(f"The host has no network port {nic.source}.", port=nic.source)
    free = [address for address in port.functions if address not in taken]
    if not free:
        raise OutOfCapacity(
            f"The port {nic.source} has no free virtual function for the NIC {nic.name}: guests use all "
            f"{len(port.functions)}. To create more, write their number to "
            f"/sys/class/net/{nic.source}/device/sriov_numvfs on the host.",
            port=nic.source,
        )
    return free[start % len(free)]
