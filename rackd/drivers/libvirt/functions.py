"""Virtual functions for the cards of a new guest: which of a port's are free, found out at the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from common.errors import Busy, NotFound, OutOfCapacity
from common.values import GuestSpec, NicKind, NicSpec
from rackd.drivers.libvirt.client import Client
from rackd.drivers.libvirt.devices import Port, ports_of, taken_functions
from rackd.drivers.libvirt.nics import Function
from rackd.drivers.libvirt.trees import Element, attribute, parse, text_at


def choose(client: Client, spec: GuestSpec) -> Mapping[str, Function]:
    """A function for each card of `spec` that takes one, by its MAC address. Nothing is made or changed on the host.

    Where a libvirt network hands out the port's functions, that network chooses one at each start. Otherwise it is
    fixed here; to find one that no guest has, the definition of every guest is read: libvirt tells it no other way.
    NotFound when there is no such port, OutOfCapacity when no function of it is free.
    """
    cards = [nic for nic in spec.nics if nic.kind is NicKind.SRIOV]
    if not cards:
        return {}
    ports = {port.name: port for port in ports_of(client.node_devices())}
    networks = ports_of_networks(client.networks())
    fixed = [nic for nic in cards if nic.source not in networks]
    taken = set(taken_functions(_others(client, spec)) if fixed else ())
    found = {nic.mac_address: Function(network=networks[nic.source]) for nic in cards if nic.source in networks}
    for nic in fixed:
        address = _free(ports.get(nic.source), nic, taken, start=spec.mark.machine_id.int)
        taken.add(address)
        found[nic.mac_address] = Function(pci_address=address)
    return found


def check_still_free(client: Client, spec: GuestSpec, chosen: Mapping[str, Function]) -> None:
    """Busy when another guest was defined with one of these meanwhile. To be asked once `spec` itself is defined."""
    fixed = {function.pci_address for function in chosen.values() if function.pci_address}
    if fixed and (both := fixed & taken_functions(_others(client, spec))):
        raise Busy(f"Another guest was given the virtual function {min(both)} at the same time as {spec.name}.")


def ports_of_networks(networks: Iterable[tuple[str, bool]]) -> Mapping[str, str]:
    """Active networks that hand out the functions of a port, by that port. Each is told by its XML, and if active."""
    trees = [parse(xml, "a network") for xml, active in networks if active]
    return {
        attribute(tree, "forward/pf", "dev"): text_at(tree, "name")
        for tree in trees
        if attribute(tree, "forward", "mode") == "hostdev" and tree.find("forward/pf") is not None
    }


def _others(client: Client, spec: GuestSpec) -> list[Element]:
    own = str(spec.mark.machine_id)
    return [parse(domain.xml(), f"the guest {domain.name}") for domain in client.domains() if domain.uuid != own]


def _free(port: Port | None, nic: NicSpec, taken: set[str], *, start: int) -> str:
    """Racks that choose at the same time mostly choose different ones, since each starts at another place."""
    if port is None:
        raise NotFound(f"The host has no card with the port {nic.source}.", port=nic.source)
    free = [address for address in port.functions if address not in taken]
    if not free:
        raise OutOfCapacity(
            f"The port {nic.source} has no virtual function left for {nic.name}: {len(port.functions)} were made, and "
            "guests have them all. More are made by writing their number to "
            f"/sys/class/net/{nic.source}/device/sriov_numvfs, up to what the card can.",
            port=nic.source,
        )
    return free[start % len(free)]
