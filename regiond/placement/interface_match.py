"""Which interfaces of a host meet the conditions of a card, and what the others are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address

from regiond.networks.model import NO_SPACE
from regiond.placement.model import Condition, HostOffer, InterfaceOffer, NicWish, SubnetOffer
from regiond.placement.selectors import Selector, network, of_key

NAMED_IN_REASON = 5  # of more it counts the rest: a reason is repeated for every host it is true of

_OF_SUBNETS = ("subnet", "subnet_cidr")


def matching(nic: NicWish, host: HostOffer) -> list[InterfaceOffer]:
    """Those that a card can be attached to and that meet all conditions, in the host's order."""
    return [one for one in usable(host) if _meets_all(nic, one, host)]


def usable(host: HostOffer) -> list[InterfaceOffer]:
    return [one for one in host.interfaces if one.attachable and one.active]


def subnet_of(nic: NicWish, one: InterfaceOffer) -> int | None:
    """The id of the subnet that a card there is in: the one that the conditions leave, None when they leave several."""
    left = _subnets_left(nic, one)
    return left[0].id if len(left) == 1 else None


def asked(nic: NicWish) -> str:
    """`space dmz and not type bond`; empty when nothing was asked."""
    ip = [] if nic.ip is None else [f"ip {nic.ip}"]
    return " and ".join([*ip, *(_asked(condition) for condition in nic.conditions)])


def mismatch(nic: NicWish, host: HostOffer) -> str:
    """Why no interface of the host will do, naming the first condition that leaves none, and what was found."""
    there = usable(host)
    wanted = asked(nic)
    start = f"interfaces: {nic.label} asks for {wanted}" if wanted else f"interfaces: {nic.label} asked"
    if not there:
        return f"{start}: {nothing_usable(host)}"
    left = there
    for number, condition in enumerate(nic.conditions):
        met = [one for one in left if _meets(condition, one, host)]
        if not met:
            return f"{start}: {_counted(left, there, nic.conditions[:number])} {_found(condition, left, host)}"
        left = met
    together = " and ".join(_asked(one) for one in nic.conditions if one.key in _OF_SUBNETS and not one.negated)
    return f"{start}: {_counted(left, there, nic.conditions)} in no one subnet that is {together}"


def nothing_usable(host: HostOffer) -> str:
    if not host.interfaces:
        return "the host has no interface"
    return f"none of the host's {len(host.interfaces)} interfaces is active and can be attached to"


def _meets_all(nic: NicWish, one: InterfaceOffer, host: HostOffer) -> bool:
    if not all(_meets(condition, one, host) for condition in nic.conditions):
        return False
    # An address is of one subnet, so what is asked of its subnet has to be true of that one.
    return nic.ip is None or not _of_subnets(nic) or bool(_subnets_left(nic, one))


def _of_subnets(nic: NicWish) -> list[Condition]:
    return [condition for condition in nic.conditions if condition.key in _OF_SUBNETS and not condition.negated]


def _subnets_left(nic: NicWish, one: InterfaceOffer) -> list[SubnetOffer]:
    """Those that meet every condition about subnets at once."""
    conditions = _of_subnets(nic)
    return [
        subnet
        for subnet in one.subnets
        if all(
            any(_is_subnet(_selected(condition.key, value), subnet, one) for value in condition.values)
            for condition in conditions
        )
    ]


def _meets(condition: Condition, one: InterfaceOffer, host: HostOffer) -> bool:
    met = any(_is(condition.key, value, one, host) for value in condition.values)
    return met is not condition.negated


def _is(key: str, value: str, one: InterfaceOffer, host: HostOffer) -> bool:
    plain = _PLAIN.get(key)
    return plain(value, one, host) if plain is not None else _is_in(_selected(key, value), one)


_PLAIN: Mapping[str, Callable[[str, InterfaceOffer, HostOffer], bool]] = {
    "id": lambda value, one, _: int(value) == one.id,
    "name": lambda value, one, _: value == one.name,
    "hostname": lambda value, _, host: value == host.name,
    "type": lambda value, one, _: value == one.type,
    "tag": lambda value, one, _: set(value.split("&&")) <= set(one.tags),
    "link_speed": lambda value, one, _: (one.link_speed_mbps or 0) >= int(value),
}


def _selected(key: str, value: str) -> Selector:
    found = of_key(key, value)
    if found is None:
        raise ValueError(f"'{key}' is no key of interface constraints")
    return found


def _is_in(wanted: Selector, one: InterfaceOffer) -> bool:
    """Whether the interface is in what is wanted: a fabric, a space, a VLAN, or a subnet that it has a link in."""
    match wanted.of:
        case "fabric":
            return _is_fabric(wanted, one)
        case "space":
            return _is_space(wanted, one)
        case "vlan":
            return _is_vlan(wanted, one)
        case "subnet":
            return any(_is_subnet(wanted, subnet, one) for subnet in one.subnets)


def _is_fabric(wanted: Selector, one: InterfaceOffer) -> bool:
    own = {"id": _text(one.fabric_id), "name": one.fabric_name, "class": one.fabric_class}
    return own[wanted.by] == wanted.value


def _is_space(wanted: Selector, one: InterfaceOffer) -> bool:
    if wanted.by == "none":
        return one.space_id is None and one.vlan_id is not None
    return (_text(one.space_id) if wanted.by == "id" else one.space_name) == wanted.value


def _is_vlan(wanted: Selector, one: InterfaceOffer) -> bool:
    if wanted.within is not None:
        return _is_in(wanted.within, one)
    own = {"id": _text(one.vlan_id), "vid": _text(one.vid), "name": one.vlan_name}
    return own[wanted.by] == wanted.value


def _is_subnet(wanted: Selector, subnet: SubnetOffer, one: InterfaceOffer) -> bool:
    if wanted.within is not None:
        return _is_in(wanted.within, one)
    if wanted.by == "cidr":
        return network(subnet.cidr) == network(wanted.value)
    if wanted.by == "ip":
        return ip_address(wanted.value) in network(subnet.cidr)
    return (str(subnet.id) if wanted.by == "id" else subnet.name) == wanted.value


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _asked(condition: Condition) -> str:
    key = condition.key.replace("_", " ")
    values = " or ".join(_few(condition.values))
    if condition.key == "link_speed":
        return f"{key} of at least {values} Mb/s"
    return f"{'not ' if condition.negated else ''}{key} {values}"


def _counted(left: Sequence[InterfaceOffer], there: Sequence[InterfaceOffer], met: Sequence[Condition]) -> str:
    if len(there) == 1:
        return "the host's one interface is"
    if len(left) == len(there):
        return f"the host's {len(there)} interfaces are"
    conditions = " and ".join(_asked(condition) for condition in met)
    number, meet, are = ("1", "meets", "is") if len(left) == 1 else (f"{len(left)}", "meet", "are")
    return f"of the host's {len(there)} interfaces {number} {meet} {conditions} and {are}"


def _found(condition: Condition, left: Sequence[InterfaceOffer], host: HostOffer) -> str:
    """What these are, in the words of the condition: goes on after "are"."""
    if condition.key == "hostname":
        return f"those of {host.name}"
    before, show = _SHOWN[condition.key]
    found = sorted({text for one in left for text in show(one)})
    return f"{before}{', '.join(_few(found))}".strip()


def _few(texts: Sequence[str]) -> list[str]:
    hidden = len(texts) - NAMED_IN_REASON
    return [*texts[:NAMED_IN_REASON], f"{hidden} more"] if hidden > 0 else list(texts)


def _or(text: str | None, otherwise: str) -> Iterable[str]:
    return [text or otherwise]


def _fabric_text(one: InterfaceOffer) -> Iterable[str]:
    return _or(one.fabric_name, "no known fabric")


def _subnet_texts(one: InterfaceOffer) -> Iterable[str]:
    return [subnet.cidr for subnet in one.subnets] or ["no known subnet"]


def _vlan_text(one: InterfaceOffer) -> Iterable[str]:
    if one.vid is None:
        return ["no known VLAN"]
    named = f" ({one.vlan_name})" if one.vlan_name else ""
    return [f"VID {one.vid}{named}"]


def _speed_text(one: InterfaceOffer) -> Iterable[str]:
    return ["unknown speed"] if one.link_speed_mbps is None else [f"{one.link_speed_mbps} Mb/s"]


_SHOWN: Mapping[str, tuple[str, Callable[[InterfaceOffer], Iterable[str]]]] = {
    "id": ("", lambda one: [str(one.id)]),
    "name": ("", lambda one: [one.name]),
    "type": ("", lambda one: [one.type or "unknown"]),
    "tag": ("", lambda one: [f"tagged {tag}" for tag in one.tags] or ["without tags"]),
    "link_speed": ("of ", _speed_text),
    "space": ("in ", lambda one: _or(one.space_name, NO_SPACE)),
    "fabric": ("in ", _fabric_text),
    "fabric_class": ("in fabrics of class ", lambda one: _or(one.fabric_class, "none")),
    "vlan": ("in ", _vlan_text),
    "vid": ("in ", _vlan_text),
    "subnet": ("in ", _subnet_texts),
    "subnet_cidr": ("in ", _subnet_texts),
}
