"""Derives new subnets and the VLAN of each interface from what a discovery run found. Pure.

One CIDR is one subnet, on whichever hosts it is found. What a user set is never changed. What was derived before stays
unless certain knowledge contradicts it, so an unchanged host changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from attrs import evolve

from common.values import NicKind
from regiond.networks.discovery.interface_facts import FoundInterface, InterfaceKey, InterfaceRecord, cidr_order
from regiond.networks.discovery.l2_segments import Component, VlanKey, VlanMap, components
from regiond.networks.discovery.model import KnownNetworks, KnownSubnet, NetworkChanges, NewSubnet
from regiond.networks.model import Address, Network


def compare(found: Sequence[FoundInterface], known: KnownNetworks) -> NetworkChanges:
    """Returns what is new in `found`. The result does not depend on the order of interfaces."""
    interfaces = {one.interface.key: one.interface for one in found}
    known, changed_kinds = _with_changed_kinds(interfaces, known)
    subnets = dict(known.subnets)
    vlans: dict[InterfaceKey, VlanKey] = {}
    for component in components(found):
        vlans |= _derive_vlans(component, interfaces, known, subnets)
    written = tuple(
        (interface, vlans.get(key)) for key, interface in interfaces.items() if _is_changed(interface, vlans, known)
    )
    missing = tuple(sorted(key for key, was in known.interfaces.items() if key not in interfaces and not was.missing))
    return NetworkChanges(
        changed_kinds=changed_kinds,
        subnets=tuple(
            NewSubnet(cidr=cidr, vlan=subnet.vlan) for cidr, subnet in subnets.items() if cidr not in known.subnets
        ),
        interfaces=written,
        missing=missing,
        gateways=_gateways(found, subnets),
        range_subnets=_range_subnets([*(interface.key for interface, _ in written), *missing], interfaces, known),
    )


def _with_changed_kinds(
    keys: Collection[InterfaceKey], known: KnownNetworks
) -> tuple[KnownNetworks, tuple[tuple[InterfaceKey, InterfaceKey], ...]]:
    """An interface stays the same one when its kind changes, as when a port gets virtual functions."""
    interfaces, changed = dict(known.interfaces), []
    free = {key[1]: key for key in sorted(interfaces) if key[0] != NicKind.NETWORK and key not in keys}
    for key in keys:
        if key not in interfaces and key[0] != NicKind.NETWORK and key[1] in free:
            was = free.pop(key[1])
            interfaces[key] = interfaces.pop(was)
            changed.append((was, key))
    return evolve(known, interfaces=interfaces), tuple(changed)


def _derive_vlans(
    component: Component,
    interfaces: Mapping[InterfaceKey, InterfaceRecord],
    known: KnownNetworks,
    subnets: dict[Network, KnownSubnet],
) -> dict[InterfaceKey, VlanKey]:
    """The VLAN of each interface.

    Adds the new subnets to `subnets`, each on the VLAN of its first interface: from then on that VLAN is certain, which
    can determine the VLANs of further interfaces. Hence the loop.
    """
    before = _vlans_before(component.keys, interfaces, known)
    while True:
        certain = _certain_vlans(component.keys, interfaces, known, subnets)
        new = next(_new_links(subnets, (interfaces[key] for key in component.keys)), None)
        if certain:
            vlans = component.vlans_from_certain(certain, before)
        elif new is None:
            return component.vlans_without_certain(before, default=True)
        else:
            vlans = component.vlans_without_certain(before, default=False)
            new = _first_placed(component, interfaces, subnets, vlans) or new
        if new is None:
            return vlans
        interface, cidr = new
        vlan = vlans.get(interface.key) or VlanKey(
            fabric=_next_fabric(subnets), vid=component.segment_of(interface.key).vid
        )
        subnets[cidr] = KnownSubnet(vlan=vlan)


def _vlans_before(
    keys: Iterable[InterfaceKey], interfaces: Mapping[InterfaceKey, InterfaceRecord], known: KnownNetworks
) -> VlanMap:
    """The VLANs that were derived before, unless the interface has another tag now."""
    found: dict[InterfaceKey, VlanKey] = {}
    for key in keys:
        was, vid = known.interfaces.get(key), interfaces[key].vid or 0
        if was is not None and was.vlan is not None and vid in (0, was.vlan.vid):
            found[key] = was.vlan
    return found


def _certain_vlans(
    keys: Iterable[InterfaceKey],
    interfaces: Mapping[InterfaceKey, InterfaceRecord],
    known: KnownNetworks,
    subnets: Mapping[Network, KnownSubnet],
) -> VlanMap:
    """The VLAN that a user set, else that of the first known subnet that the interface is in."""
    found: dict[InterfaceKey, VlanKey] = {}
    for key in keys:
        was = known.interfaces.get(key)
        if was is not None and was.vlan_set_by_user and was.vlan is not None:
            found[key] = was.vlan
            continue
        vlan = next((subnets[cidr].vlan for cidr, _ in interfaces[key].links if cidr in subnets), None)
        if vlan is not None:
            found[key] = vlan
    return found


def _new_links(
    subnets: Mapping[Network, KnownSubnet], interfaces: Iterable[InterfaceRecord]
) -> Iterator[tuple[InterfaceRecord, Network]]:
    for interface in interfaces:
        for cidr, _ in interface.links:
            if cidr not in subnets:
                yield interface, cidr


def _first_placed(
    component: Component,
    interfaces: Mapping[InterfaceKey, InterfaceRecord],
    subnets: Mapping[Network, KnownSubnet],
    vlans: VlanMap,
) -> tuple[InterfaceRecord, Network] | None:
    """The first new subnet on an interface whose VLAN was derived before: it decides for the whole component."""
    placed = [interfaces[key] for key in component.keys if key in vlans]
    return next(_new_links(subnets, placed), None)


def _next_fabric(subnets: Mapping[Network, KnownSubnet]) -> int:
    return min(0, *(subnet.vlan.fabric for subnet in subnets.values()), 0) - 1


def _is_changed(interface: InterfaceRecord, vlans: VlanMap, known: KnownNetworks) -> bool:
    was = known.interfaces.get(interface.key)
    return was is None or was.missing or (was.interface, was.vlan) != (interface, vlans.get(interface.key))


def _gateways(
    found: Iterable[FoundInterface], subnets: Mapping[Network, KnownSubnet]
) -> tuple[tuple[Network, Address], ...]:
    """The first reported gateway of each subnet that has none and for which a user set none."""
    reported: dict[Network, Address] = {}
    for one in found:
        for cidr, _ in one.interface.links:
            is_open = subnets[cidr].gateway is None and not subnets[cidr].gateway_set_by_user
            if one.gateway is not None and one.gateway in cidr and is_open:
                reported.setdefault(cidr, one.gateway)
    return tuple(sorted(reported.items(), key=lambda item: cidr_order(item[0])))


def _range_subnets(
    keys: Iterable[InterfaceKey], interfaces: Mapping[InterfaceKey, InterfaceRecord], known: KnownNetworks
) -> tuple[Network, ...]:
    """The subnets of interfaces on which a DHCP server assigns addresses, or did before."""
    cidrs: set[Network] = set()
    for key in keys:
        was = known.interfaces[key].interface if key in known.interfaces else None
        both = [one for one in (interfaces.get(key), was) if one is not None]
        if any(one.dhcp_ranges for one in both):
            cidrs.update(cidr for one in both for cidr, _ in one.links)
    return tuple(sorted(cidrs, key=cidr_order))
