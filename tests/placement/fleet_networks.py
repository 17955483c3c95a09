"""Random networks of small fleets: host interfaces and NIC requirements."""

from __future__ import annotations

from random import Random

from attrs import frozen

from common.values import NicKind
from regiond.placement.candidate import CandidateInterface, CandidateSubnet
from regiond.placement.requirements import Condition, NicRequirement


@frozen
class KnownVlan:
    """A VLAN of fabric 0, with its subnet if it has one."""

    id: int
    vid: int
    name: str
    space_id: int | None = None
    space_name: str | None = None
    subnet: CandidateSubnet | None = None


SPACES = {1: "dmz", 2: "inside"}
VLANS = (
    KnownVlan(5001, 0, "untagged"),
    KnownVlan(6001, 101, "front", 1, "dmz", CandidateSubnet(id=1, name="front", cidr="10.1.0.0/24")),
    KnownVlan(6002, 102, "back", 2, "inside", CandidateSubnet(id=2, name="back", cidr="10.2.0.0/24")),
    KnownVlan(6003, 103, "other", 1, "dmz"),
)
_SHAPES = (
    (NicKind.NETWORK, "bridge"),
    (NicKind.BRIDGE, "bridge"),
    (NicKind.MACVLAN, "bond"),
    (NicKind.MACVLAN, "physical"),
    (NicKind.MACVLAN, "physical"),
    (NicKind.MACVLAN, "vlan"),
)


def interfaces(random: Random, first_id: int) -> tuple[CandidateInterface, ...]:
    """Up to five interfaces; a VLAN shares the virtual functions of the first port that has some."""
    created: list[CandidateInterface] = []
    for number in range(random.choice((0, 2, 3, 3, 4, 5, 5))):
        kind, type_ = random.choice(_SHAPES)
        port = next((one for one in created if one.type == "physical" and one.functions_total), None)
        created.append(_interface(random, first_id + number, f"if{number}", kind, type_, port))
    return tuple(created)


def _interface(
    random: Random, id_: int, name: str, kind: NicKind, type_: str, port: CandidateInterface | None
) -> CandidateInterface:
    vlan = random.choice((None, *VLANS))
    total = random.choice((0, 1, 2, 3)) if type_ == "physical" else 0
    free = random.randint(0, total)
    function_port = name if total else None
    if type_ == "vlan" and port is not None:
        total, free, function_port = port.functions_total, port.functions_free, port.name
    return CandidateInterface(
        id=id_,
        name=name,
        kind=kind,
        type=type_,
        attachable=random.randint(0, 9) > 0,
        active=random.randint(0, 9) > 0,
        dhcp=random.randint(0, 1) == 0,
        vid=vlan.vid if vlan is not None else None,
        vlan_id=vlan.id if vlan is not None else None,
        vlan_name=vlan.name if vlan is not None else None,
        fabric_id=0 if vlan is not None else None,
        fabric_name="fabric-0" if vlan is not None else None,
        space_id=vlan.space_id if vlan is not None else None,
        space_name=vlan.space_name if vlan is not None else None,
        subnets=(vlan.subnet,) if vlan is not None and vlan.subnet is not None else (),
        tags=tuple(tag for tag in ("fast", "new") if random.randint(0, 1)),
        link_speed_mbps=random.choice((None, 1000, 10000)),
        functions_total=total,
        functions_free=free,
        function_port=function_port,
    )


def nics(random: Random) -> tuple[NicRequirement, ...]:
    """Mostly none (the default NIC), otherwise up to three, mostly with one or two conditions."""
    nics = random.choice((0, 0, 0, 1, 1, 2, 3))
    return tuple(NicRequirement(label=f"n{number}", conditions=_conditions(random)) for number in range(nics))


def _conditions(random: Random) -> tuple[Condition, ...]:
    known = {
        "space": ("dmz", "inside", "undefined"),
        "vid": ("101", "102", "0"),
        "subnet": ("id:1", "id:2", "10.2.0.0/24"),
        "type": ("physical", "bridge", "vlan"),
        "tag": ("fast", "new", "fast&&new"),
        "link_speed": ("1000", "10000"),
    }
    keys = random.sample(sorted(known), random.choice((0, 0, 1, 1, 2)))
    return tuple(
        Condition(
            key=key,
            values=tuple(random.sample(known[key], random.choice((1, 1, 2)))),
            negated=key != "link_speed" and random.randint(0, 4) == 0,
        )
        for key in keys
    )
