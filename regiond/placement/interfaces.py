"""What each card of a machine is attached to on a host: bridge before bond before other, functions before macvlan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from common.values import DriverType, NicKind
from regiond.placement.functions import Shortage, assign_functions
from regiond.placement.interface_match import asked, matching, mismatch, nothing_usable, subnet_of, usable
from regiond.placement.interface_text import card_name
from regiond.placement.model import HostOffer, InterfaceOffer, NicPlace, NicWish

DEFAULT_CARD = "eth0"

_PREFERRED_NETWORKS = ("maas", "default")  # the names clients' hosts have had for years
_DEFAULT = NicWish(label=DEFAULT_CARD)
_MACVLAN_MODE = "bridge"
_BRIDGES = (NicKind.NETWORK, NicKind.BRIDGE)


def attach(nics: tuple[NicWish, ...], host: HostOffer) -> tuple[tuple[NicPlace, ...], str | None]:
    """The place of each card in the order of `nics`, or none and the reason. No `nics` means the default card.

    Of the matching interfaces the best one is taken: bridge, then bond, then other; with virtual functions before
    without; the highest id. When the best one takes a virtual function and has none free, another that matches and
    has one does. A card never gets less than that because functions have run out.
    """
    if not nics:
        place = default_attachment(host)
        return ((place,), None) if place is not None else ((), no_default(host))
    ranked: list[list[InterfaceOffer]] = []
    for nic in nics:
        found = sorted(matching(nic, host), key=_rank)
        if not found:
            return (), mismatch(nic, host)
        ranked.append(found)
    wanted = {
        number: [one for one in found if _takes_function(one)]
        for number, found in enumerate(ranked)
        if _takes_function(found[0])
    }
    chosen = _with_functions(wanted)
    if isinstance(chosen, Shortage):
        return (), _used_up(chosen, nics, host)
    return tuple(
        _place(nic.label, card_name(nic.label), chosen.get(number, found[0]), host, nic)
        for number, (nic, found) in enumerate(zip(nics, ranked, strict=True))
    ), None


def default_attachment(host: HostOffer) -> NicPlace | None:
    """The one card of a machine that asks for none. None when there is nothing to attach it to: see `no_default`.

    The network `maas`, then `default`, then the first managed network; then bridge, virtual function, macvlan, in each
    with DHCP first, then the newest. A libvirt host without any of them has QEMU's user-mode network, which
    reaches out and needs nothing of the host; it comes before interfaces of which nobody knows where they lead.
    """
    for one in _in_default_order(host):
        if one.kind is not NicKind.USER and (not _takes_function(one) or one.functions_free > 0):
            return _place("", DEFAULT_CARD, one, host, _DEFAULT)
    if host.driver == DriverType.LIBVIRT.value:
        return NicPlace(label="", name=DEFAULT_CARD, kind=NicKind.USER, source="")
    return None


def _in_default_order(host: HostOffer) -> Iterable[InterfaceOffer]:
    there = usable(host)
    managed = sorted((one for one in there if one.kind is NicKind.NETWORK), key=lambda one: one.id)
    bridges = [one for one in there if one.kind is NicKind.BRIDGE]
    for name in _PREFERRED_NETWORKS:
        yield from (one for one in [*managed, *bridges] if one.name == name)
    yield from managed
    known = (one for one in there if one.kind is not NicKind.NETWORK and _leads_somewhere(one, host))
    yield from sorted(known, key=_default_rank)


def no_default(host: HostOffer) -> str:
    """Why `default_attachment` has nothing."""
    there = usable(host)
    if not there:
        return f"interfaces: a card on the default network asked, {nothing_usable(host)}"
    return f"virtual functions: 1 asked for {DEFAULT_CARD}, {_left({port_of(one): one for one in there})}"


def _rank(one: InterfaceOffer) -> tuple[int, bool, int]:
    if one.type == "bridge" or one.kind in _BRIDGES:
        return 0, False, -one.id
    return (1 if one.type == "bond" else 2), not _takes_function(one), -one.id


def _default_rank(one: InterfaceOffer) -> tuple[bool, bool, bool, int]:
    return one.kind is not NicKind.BRIDGE, not _takes_function(one), not one.dhcp, -one.id


def _leads_somewhere(one: InterfaceOffer, host: HostOffer) -> bool:
    """libvirt tells every bridge and port of the server, also those of other hypervisors and of no use to guests."""
    if host.driver != DriverType.LIBVIRT.value:
        return True
    return one.dhcp or (one.kind is NicKind.BRIDGE and one.parent is not None)


def _takes_function(one: InterfaceOffer) -> bool:
    if one.kind is NicKind.SRIOV:
        return True
    return one.kind is NicKind.MACVLAN and one.type != "bridge" and one.functions_total > 0


def port_of(one: InterfaceOffer) -> str:
    """The name under which its virtual functions are counted."""
    return one.function_port or one.name


def _with_functions(wanted: Mapping[int, Sequence[InterfaceOffer]]) -> Mapping[int, InterfaceOffer] | Shortage:
    """The interface of each card that takes a function. Several interfaces may share a port, which counts once."""
    free = {port_of(one): one.functions_free for found in wanted.values() for one in found}
    ports = {number: list(dict.fromkeys(port_of(one) for one in found)) for number, found in wanted.items()}
    assigned = assign_functions(ports, free)
    if isinstance(assigned, Shortage):
        return assigned
    return {number: next(one for one in wanted[number] if port_of(one) == port) for number, port in assigned.items()}


def _used_up(shortage: Shortage, nics: Sequence[NicWish], host: HostOffer) -> str:
    cards = [nics[number] for number in shortage.cards]
    ports = {port_of(one): one for one in usable(host) if _takes_function(one) and port_of(one) in shortage.ports}
    wanted = [text for text in dict.fromkeys(asked(nic) for nic in cards) if text]
    condition = f" ({'; '.join(wanted)})" if wanted else ""
    return (
        f"virtual functions: {len(cards)} asked for {', '.join(nic.label for nic in cards)}{condition}, {_left(ports)}"
    )


def _left(ports: Mapping[str, InterfaceOffer]) -> str:
    return ", ".join(
        f"{one.functions_free} of {one.functions_total} left on {port}" for port, one in sorted(ports.items())
    )


def _place(label: str, name: str, one: InterfaceOffer, host: HostOffer, nic: NicWish) -> NicPlace:
    takes_function = _takes_function(one)
    macvlan = one.kind is NicKind.MACVLAN and not takes_function
    port = port_of(one) if takes_function else None
    return NicPlace(
        label=label,
        name=name,
        kind=NicKind.SRIOV if takes_function else one.kind,
        source=port or one.name,
        interface_id=one.id,
        vid=(one.vid or None) if takes_function and one.type == "vlan" else None,
        macvlan_mode=(host.default_macvlan_mode or _MACVLAN_MODE) if macvlan else None,
        vlan_id=one.vlan_id,
        subnet_id=subnet_of(nic, one),
        ip=nic.ip,
        configured=nic.configured,
        function_port=port,
    )


def needed_functions(places: Iterable[NicPlace]) -> Mapping[str, int]:
    """How many virtual functions of each port the places take: what is claimed for them."""
    needed: dict[str, int] = {}
    for place in places:
        if place.function_port is not None:
            needed[place.function_port] = needed.get(place.function_port, 0) + 1
    return needed
