"""What a look at a host teaches about networks: subnets to make, and on which VLAN each interface is. Pure.

One CIDR is one subnet, wherever it is seen. What people have said is never changed, and what was learned before stays
as long as nothing that is certain speaks against it: a look that finds what the last one found teaches nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from attrs import evolve, field, frozen

from common.values import NicKind
from regiond.networks.findings import Found, FoundInterface, Key, cidr_order
from regiond.networks.model import Address, Network
from regiond.networks.segments import Component, Places, VlanPlace, components


@frozen(kw_only=True)
class KnownInterface:
    interface: FoundInterface
    vlan: VlanPlace | None = None
    vlan_chosen: bool = False  # by a person
    missing: bool = False


@frozen(kw_only=True)
class KnownSubnet:
    vlan: VlanPlace
    gateway: Address | None = None
    gateway_chosen: bool = False  # by a person, who may also have said that there is none


@frozen(kw_only=True)
class Known:
    """The interfaces of the host, and of all subnets those that were found on it now."""

    interfaces: Mapping[Key, KnownInterface] = field(factory=dict)
    subnets: Mapping[Network, KnownSubnet] = field(factory=dict)


@frozen(kw_only=True)
class NewSubnet:
    cidr: Network
    vlan: VlanPlace


@frozen(kw_only=True)
class Lessons:
    """What has to be written. `other_kinds` are interfaces under the keys that they had and have; `ranged` are subnets
    of which learned ranges may be others now."""

    other_kinds: tuple[tuple[Key, Key], ...] = ()
    subnets: tuple[NewSubnet, ...] = ()
    interfaces: tuple[tuple[FoundInterface, VlanPlace | None], ...] = ()
    missing: tuple[Key, ...] = ()
    gateways: tuple[tuple[Network, Address], ...] = ()
    ranged: tuple[Network, ...] = ()

    @property
    def none(self) -> bool:
        return self == Lessons()


def decide(found: Sequence[Found], known: Known) -> Lessons:
    """What is new in `found`; in an order that depends on nothing but what it is."""
    interfaces = {one.interface.key: one.interface for one in found}
    known, other_kinds = _with_other_kinds(interfaces, known)
    subnets = dict(known.subnets)
    places: dict[Key, VlanPlace] = {}
    for component in components(found):
        places |= _learn(component, interfaces, known, subnets)
    written = tuple(
        (interface, places.get(key)) for key, interface in interfaces.items() if _is_news(interface, places, known)
    )
    missing = tuple(sorted(key for key, was in known.interfaces.items() if key not in interfaces and not was.missing))
    return Lessons(
        other_kinds=other_kinds,
        subnets=tuple(
            NewSubnet(cidr=cidr, vlan=subnet.vlan) for cidr, subnet in subnets.items() if cidr not in known.subnets
        ),
        interfaces=written,
        missing=missing,
        gateways=_gateways(found, subnets),
        ranged=_ranged([*(interface.key for interface, _ in written), *missing], interfaces, known),
    )


def _with_other_kinds(keys: Collection[Key], known: Known) -> tuple[Known, tuple[tuple[Key, Key], ...]]:
    """An interface of the server is the same one whatever guests get of it now, such as a port that can be divided."""
    interfaces, changed = dict(known.interfaces), []
    free = {key[1]: key for key in sorted(interfaces) if key[0] != NicKind.NETWORK and key not in keys}
    for key in keys:
        if key not in interfaces and key[0] != NicKind.NETWORK and key[1] in free:
            was = free.pop(key[1])
            interfaces[key] = interfaces.pop(was)
            changed.append((was, key))
    return evolve(known, interfaces=interfaces), tuple(changed)


def _learn(
    component: Component,
    interfaces: Mapping[Key, FoundInterface],
    known: Known,
    subnets: dict[Network, KnownSubnet],
) -> dict[Key, VlanPlace]:
    """Where the interfaces are; adds the subnets that this makes, each on the VLAN of the first that is in it."""
    before = _before(component.keys, interfaces, known)
    while True:
        seeds = _seeds(component.keys, interfaces, known, subnets)
        new = next(_not_in(subnets, (interfaces[key] for key in component.keys)), None)
        if seeds:
            places = component.known(seeds, before)
        elif new is None:
            return component.guessed(before, default=True)
        else:
            places = component.guessed(before, default=False)
            new = _likeliest(component, interfaces, subnets, places) or new
        if new is None:
            return places
        interface, cidr = new
        made = places.get(interface.key) or VlanPlace(
            fabric=_next_fabric(subnets), vid=component.segment_of(interface.key).vid
        )
        subnets[cidr] = KnownSubnet(vlan=made)


def _before(keys: Iterable[Key], interfaces: Mapping[Key, FoundInterface], known: Known) -> Places:
    """What was learned of them, unless they have another tag now."""
    found: dict[Key, VlanPlace] = {}
    for key in keys:
        was, vid = known.interfaces.get(key), interfaces[key].vid or 0
        if was is not None and was.vlan is not None and vid in (0, was.vlan.vid):
            found[key] = was.vlan
    return found


def _seeds(
    keys: Iterable[Key],
    interfaces: Mapping[Key, FoundInterface],
    known: Known,
    subnets: Mapping[Network, KnownSubnet],
) -> Places:
    """What is certain: where a person put an interface, and else where the first subnet is that it is in."""
    found: dict[Key, VlanPlace] = {}
    for key in keys:
        was = known.interfaces.get(key)
        if was is not None and was.vlan_chosen and was.vlan is not None:
            found[key] = was.vlan
            continue
        there = next((subnets[cidr].vlan for cidr, _ in interfaces[key].links if cidr in subnets), None)
        if there is not None:
            found[key] = there
    return found


def _not_in(
    subnets: Mapping[Network, KnownSubnet], interfaces: Iterable[FoundInterface]
) -> Iterator[tuple[FoundInterface, Network]]:
    for interface in interfaces:
        for cidr, _ in interface.links:
            if cidr not in subnets:
                yield interface, cidr


def _likeliest(
    component: Component,
    interfaces: Mapping[Key, FoundInterface],
    subnets: Mapping[Network, KnownSubnet],
    places: Places,
) -> tuple[FoundInterface, Network] | None:
    """Where one with a new network was before, all that hangs together with it is."""
    were = [interfaces[key] for key in component.keys if key in places]
    return next(_not_in(subnets, were), None)


def _next_fabric(subnets: Mapping[Network, KnownSubnet]) -> int:
    return min(0, *(subnet.vlan.fabric for subnet in subnets.values()), 0) - 1


def _is_news(interface: FoundInterface, places: Places, known: Known) -> bool:
    was = known.interfaces.get(interface.key)
    return was is None or was.missing or (was.interface, was.vlan) != (interface, places.get(interface.key))


def _gateways(found: Iterable[Found], subnets: Mapping[Network, KnownSubnet]) -> tuple[tuple[Network, Address], ...]:
    """Of subnets that have none yet, the first that is told."""
    told: dict[Network, Address] = {}
    for one in found:
        for cidr, _ in one.interface.links:
            open_to_say = subnets[cidr].gateway is None and not subnets[cidr].gateway_chosen
            if one.gateway is not None and one.gateway in cidr and open_to_say:
                told.setdefault(cidr, one.gateway)
    return tuple(sorted(told.items(), key=lambda item: cidr_order(item[0])))


def _ranged(keys: Iterable[Key], interfaces: Mapping[Key, FoundInterface], known: Known) -> tuple[Network, ...]:
    """The subnets of interfaces on which something hands out addresses, or did."""
    cidrs: set[Network] = set()
    for key in keys:
        was = known.interfaces[key].interface if key in known.interfaces else None
        both = [one for one in (interfaces.get(key), was) if one is not None]
        if any(one.dhcp_ranges for one in both):
            cidrs.update(cidr for one in both for cidr, _ in one.links)
    return tuple(sorted(cidrs, key=cidr_order))
