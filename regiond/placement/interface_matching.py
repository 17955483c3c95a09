"""Matches the interfaces of a host against the conditions of a NIC, and explains a mismatch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address

from regiond.placement.candidate import Candidate, CandidateInterface, CandidateSubnet
from regiond.placement.network_selectors import Selector, parse_cidr, selector_of_key
from regiond.placement.reason_phrases import first_of
from regiond.placement.requirements import NO_SPACE, Condition, NicRequirement

_SUBNET_KEYS = ("subnet", "subnet_cidr")


def matching_interfaces(nic: NicRequirement, host: Candidate) -> list[CandidateInterface]:
    """Returns the usable interfaces that satisfy all conditions, in the host's order."""
    return [one for one in usable_interfaces(host) if _satisfies_all(nic, one, host)]


def usable_interfaces(host: Candidate) -> list[CandidateInterface]:
    return [one for one in host.interfaces if one.attachable and one.active]


def subnet_of(nic: NicRequirement, one: CandidateInterface) -> int | None:
    """Returns the id of the only subnet that satisfies the conditions; None if there are several or none."""
    subnets = _possible_subnets(nic, one)
    return subnets[0].id if len(subnets) == 1 else None


def describe_conditions(nic: NicRequirement) -> str:
    """Returns text such as `space dmz and not type bond`; empty without conditions."""
    ip = [] if nic.ip is None else [f"ip {nic.ip}"]
    return " and ".join([*ip, *(_describe(condition) for condition in nic.conditions)])


def mismatch(nic: NicRequirement, host: Candidate) -> str:
    """Returns why no interface matches: the first condition that none satisfies, and what they have instead."""
    usable = usable_interfaces(host)
    wanted = describe_conditions(nic)
    start = f"NIC {nic.label} needs an interface with {wanted}" if wanted else f"NIC {nic.label} needs an interface"
    if not usable:
        return f"{start}: {no_usable_interface(host)}"
    remaining = usable
    for number, condition in enumerate(nic.conditions):
        satisfying = [one for one in remaining if _satisfies(condition, one, host)]
        if not satisfying:
            found = _describe_found(condition, remaining, host)
            return f"{start}: {_describe_remaining(remaining, usable, nic.conditions[:number])} {found}"
        remaining = satisfying
    subnet = " and ".join(_describe(one) for one in nic.conditions if one.key in _SUBNET_KEYS and not one.negated)
    return f"{start}: {_describe_remaining(remaining, usable, nic.conditions)} not in a single subnet with {subnet}"


def no_usable_interface(host: Candidate) -> str:
    if not host.interfaces:
        return "the host has no interface"
    return f"none of the host's {len(host.interfaces)} interfaces is active and attachable"


def _satisfies_all(nic: NicRequirement, one: CandidateInterface, host: Candidate) -> bool:
    if not all(_satisfies(condition, one, host) for condition in nic.conditions):
        return False
    # An address belongs to one subnet, so that subnet must satisfy all subnet conditions.
    return nic.ip is None or not _subnet_conditions(nic) or bool(_possible_subnets(nic, one))


def _subnet_conditions(nic: NicRequirement) -> list[Condition]:
    return [condition for condition in nic.conditions if condition.key in _SUBNET_KEYS and not condition.negated]


def _possible_subnets(nic: NicRequirement, one: CandidateInterface) -> list[CandidateSubnet]:
    """Returns the subnets that satisfy every subnet condition."""
    conditions = _subnet_conditions(nic)
    return [
        subnet
        for subnet in one.subnets
        if all(
            any(selects_subnet(_selector(condition.key, value), subnet, one) for value in condition.values)
            for condition in conditions
        )
    ]


def _satisfies(condition: Condition, one: CandidateInterface, host: Candidate) -> bool:
    matches = any(_matches(condition.key, value, one, host) for value in condition.values)
    return matches is not condition.negated


def _matches(key: str, value: str, one: CandidateInterface, host: Candidate) -> bool:
    plain = _PLAIN.get(key)
    return plain(value, one, host) if plain is not None else is_selected(_selector(key, value), one)


_PLAIN: Mapping[str, Callable[[str, CandidateInterface, Candidate], bool]] = {
    "id": lambda value, one, _: int(value) == one.id,
    "name": lambda value, one, _: value == one.name,
    "hostname": lambda value, _, host: value == host.name,
    "type": lambda value, one, _: value == one.type,
    "tag": lambda value, one, _: set(value.split("&&")) <= set(one.tags),
    "link_speed": lambda value, one, _: (one.link_speed_mbps or 0) >= int(value),
}


def _selector(key: str, value: str) -> Selector:
    found = selector_of_key(key, value)
    if found is None:
        raise ValueError(f"'{key}' is not a key of interface constraints")
    return found


def is_selected(wanted: Selector, one: CandidateInterface) -> bool:
    """Whether the interface is in the selected fabric, space or VLAN, or in one of the selected subnets."""
    match wanted.of:
        case "fabric":
            return _selects_fabric(wanted, one)
        case "space":
            return _selects_space(wanted, one)
        case "vlan":
            return _selects_vlan(wanted, one)
        case "subnet":
            return any(selects_subnet(wanted, subnet, one) for subnet in one.subnets)


def _selects_fabric(wanted: Selector, one: CandidateInterface) -> bool:
    own = {"id": _text(one.fabric_id), "name": one.fabric_name, "class": one.fabric_class}
    return own[wanted.by] == wanted.value


def _selects_space(wanted: Selector, one: CandidateInterface) -> bool:
    if wanted.by == "none":
        return one.space_id is None and one.vlan_id is not None
    return (_text(one.space_id) if wanted.by == "id" else one.space_name) == wanted.value


def _selects_vlan(wanted: Selector, one: CandidateInterface) -> bool:
    if wanted.within is not None:
        return is_selected(wanted.within, one)
    own = {"id": _text(one.vlan_id), "vid": _text(one.vid), "name": one.vlan_name}
    return own[wanted.by] == wanted.value


def selects_subnet(wanted: Selector, subnet: CandidateSubnet, one: CandidateInterface) -> bool:
    """Whether the selector of subnets selects this subnet of the interface."""
    if wanted.within is not None:
        return is_selected(wanted.within, one)
    if wanted.by == "cidr":
        return parse_cidr(subnet.cidr) == parse_cidr(wanted.value)
    if wanted.by == "ip":
        return ip_address(wanted.value) in parse_cidr(subnet.cidr)
    return (str(subnet.id) if wanted.by == "id" else subnet.name) == wanted.value


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _describe(condition: Condition) -> str:
    key = condition.key.replace("_", " ")
    values = " or ".join(first_of(condition.values))
    if condition.key == "link_speed":
        return f"{key} of at least {values} Mb/s"
    return f"{'not ' if condition.negated else ''}{key} {values}"


def _describe_remaining(
    remaining: Sequence[CandidateInterface], usable: Sequence[CandidateInterface], satisfied: Sequence[Condition]
) -> str:
    if len(usable) == 1:
        return "the host's one interface is"
    if len(remaining) == len(usable):
        return f"the host's {len(usable)} interfaces are"
    conditions = " and ".join(_describe(condition) for condition in satisfied)
    number, have, are = ("1", "has", "is") if len(remaining) == 1 else (f"{len(remaining)}", "have", "are")
    return f"of the host's {len(usable)} interfaces {number} {have} {conditions} and {are}"


def _describe_found(condition: Condition, remaining: Sequence[CandidateInterface], host: Candidate) -> str:
    """Returns what these interfaces have for the key of the condition: continues a sentence after "are"."""
    if condition.key == "hostname":
        return f"those of {host.name}"
    before, describe = _FOUND[condition.key]
    found = sorted({text for one in remaining for text in describe(one)})
    return f"{before}{', '.join(first_of(found))}".strip()


def _or(text: str | None, otherwise: str) -> Iterable[str]:
    return [text or otherwise]


def _fabric_text(one: CandidateInterface) -> Iterable[str]:
    return _or(one.fabric_name, "no known fabric")


def _subnet_texts(one: CandidateInterface) -> Iterable[str]:
    return [subnet.cidr for subnet in one.subnets] or ["no known subnet"]


def _vlan_text(one: CandidateInterface) -> Iterable[str]:
    if one.vid is None:
        return ["no known VLAN"]
    named = f" ({one.vlan_name})" if one.vlan_name else ""
    return [f"VID {one.vid}{named}"]


def _speed_text(one: CandidateInterface) -> Iterable[str]:
    return ["unknown speed"] if one.link_speed_mbps is None else [f"{one.link_speed_mbps} Mb/s"]


_FOUND: Mapping[str, tuple[str, Callable[[CandidateInterface], Iterable[str]]]] = {
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
