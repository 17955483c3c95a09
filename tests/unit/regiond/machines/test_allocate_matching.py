"""Which machines match device constraints, and which disk and NIC belong to each label."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from itertools import permutations
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from common.values import NicKind
from regiond.machines.arrivals.allocation.constraints import compose_intent, device_constraints, no_match
from regiond.machines.arrivals.allocation.matching import assign, labels_as_composed, match_labels
from regiond.machines.values.disks import DiskView
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicView
from regiond.machines.values.requests import AllocateRequest
from regiond.networks.model import Subnet, Vlan
from regiond.placement.candidate import CandidateInterface, CandidateSubnet
from regiond.placement.interface_parser import parse_interfaces
from tests.unit.support.machine_samples import MACHINE

GB = 10**9
FRONT = Vlan(
    id=5001, vid=0, name="untagged", mtu=1500, fabric_id=0, fabric_name="fabric-0", space_id=4, space_name="dmz"
)
BACK = evolve(FRONT, id=5002, vid=10, name="back", space_id=None, space_name=None)
SUBNETS = {
    "br0": Subnet(id=1, name="front", cidr=ip_network("10.1.0.0/24"), vlan=FRONT),
    "br1": Subnet(id=2, name="back", cidr=ip_network("10.2.0.0/24"), vlan=BACK),
}
INTERFACES = tuple(
    CandidateInterface(
        id=number, name=name, kind=NicKind.BRIDGE, type="bridge", vid=subnet.vlan.vid, vlan_id=subnet.vlan.id,
        fabric_id=0, fabric_name="fabric-0", space_id=subnet.vlan.space_id, space_name=subnet.vlan.space_name,
        subnets=(CandidateSubnet(id=subnet.id, name=subnet.name, cidr=str(subnet.cidr)),),
    )
    for number, (name, subnet) in enumerate(SUBNETS.items(), start=1)
)  # fmt: skip


def disk(index: int, gb: int, *tags: str, pool: str = "default") -> DiskView:
    return DiskView(
        id=30 + index, index=index, volume=f"v{index}", storage_pool_name=pool, storage_pool_key=pool,
        size_bytes=gb * GB, serial=f"s{index}", tags=tags,
    )  # fmt: skip


def nic(index: int, source: str, **more: Any) -> NicView:
    subnet = SUBNETS.get(source)
    return NicView(
        id=40 + index, index=index, name=f"eth{index}", mac_address=f"52:54:00:00:00:0{index}", kind="bridge",
        source=source, vlan=None if subnet is None else subnet.vlan, subnet=subnet, **more,
    )  # fmt: skip


def machine(disks: Sequence[DiskView] = (), nics: Sequence[NicView] = ()) -> MachineView:
    return evolve(MACHINE, disks=tuple(disks), nics=tuple(nics))


def found(one: MachineView, on_host: Sequence[CandidateInterface] = INTERFACES, **fields: Any) -> Any:
    return match_labels(one, device_constraints(AllocateRequest(**fields)), on_host)


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ("", ()),
        ("root:0", (("root", 30),)),
        ("root:8", (("root", 30),)),
        ("root:9", None),
        ("root:0,a:5,b:5", (("root", 30), ("a", 32), ("b", 31))),
        ("root:0,a:5(ssd),b:5", (("root", 30), ("a", 31), ("b", 32))),
        ("root:0,a:5,b:5(ssd)", (("root", 30), ("b", 31), ("a", 32))),
        ("root:0,a:5(bulk)", (("root", 30), ("a", 32))),
        ("root:0,a:5(ssd,bulk)", None),
        ("root:0,a:1,b:1,c:1", None),
        ("8", ()),
    ],
)
def test_each_label_has_its_own_disk_the_smallest_that_fits(storage: str, expected: Any) -> None:
    one = machine([disk(0, 8), disk(1, 20, "ssd"), disk(2, 10, pool="bulk")])
    labels = found(one, storage=storage)
    assert (None if labels is None else labels.disks) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"interfaces": "x:space=dmz"}, (("x", 40),)),
        ({"interfaces": "x:space=undefined"}, (("x", 41),)),
        ({"interfaces": "x:subnet_cidr=10.2.0.0/24;y:name=br0"}, (("x", 41), ("y", 40))),
        ({"interfaces": "x:fabric=0;y:subnet=1"}, (("x", 41), ("y", 40))),
        ({"interfaces": "x:space=dmz;y:space=4"}, None),
        ({"interfaces": "x:not_space=dmz"}, (("x", 41),)),
        ({"interfaces": "x:ip=10.1.0.9"}, (("x", 40),)),
        ({"interfaces": "x:ip=10.1.0.8"}, None),
        ({"interfaces": "x:mode=unconfigured"}, None),
        ({"subnets": ("space:4", "back")}, ()),
        ({"subnets": ("7",)}, None),
        ({"not_subnets": ("space:4",)}, None),
        ({"not_subnets": ("7",), "fabrics": ("fabric-0",)}, ()),
        ({"not_fabrics": ("0",)}, None),
    ],
)
@pytest.mark.parametrize("on_host", [INTERFACES, ()], ids=["interface-present", "interface-missing"])
def test_each_label_has_its_own_nic_that_satisfies_its_conditions(
    fields: dict[str, Any], expected: Any, on_host: Sequence[CandidateInterface]
) -> None:
    one = machine(nics=[nic(0, "br0", ip_address=ip_address("10.1.0.9"), mode="static"), nic(1, "br1")])
    labels = found(one, on_host, **fields)
    assert (None if labels is None else labels.nics) == expected


@given(
    st.lists(st.frozensets(st.integers(0, 4)), max_size=5),
    st.integers(0, 5),
)
def test_an_assignment_is_found_exactly_when_one_exists(required: list[frozenset[int]], devices: int) -> None:
    present = list(range(devices))
    assignments = [
        assignment
        for assignment in permutations(present, len(required))
        if all(device in allowed for allowed, device in zip(required, assignment, strict=True))
    ]
    result = assign(required, present, lambda allowed, device: device in allowed)
    assert (result is not None) == bool(assignments)
    assert result is None or result in assignments


def test_a_composed_machine_has_its_devices_in_request_order() -> None:
    request = AllocateRequest(storage="root:8,a:1,b:1(x)", interfaces="n:space=dmz", subnets=("back",))
    one = machine([disk(0, 8), disk(1, 1, "x"), disk(2, 1)], [nic(0, "br0"), nic(1, "br1")])
    labels = labels_as_composed(one, device_constraints(request))
    assert labels.disks == (("root", 30), ("b", 31), ("a", 32))
    assert labels.nics == (("n", 40),)


def test_a_composed_machine_has_a_nic_per_requested_network() -> None:
    request = AllocateRequest(
        memory_mib=100, interfaces="a:name=br0", subnets=("back",), not_subnets=("space:4",), zones=("east",)
    )
    intent = compose_intent(request)
    assert intent.request.interfaces == "a:name=br0,not_subnet=space:4;net0:subnet=back,not_subnet=space:4"
    assert (intent.request.memory_mib, intent.request.cores, intent.request.zone) == (1024, 1, None)
    only = compose_intent(AllocateRequest(not_subnets=("1",), not_fabrics=("2",)))
    assert only.request.interfaces == "net0:not_subnet=1,not_fabric=2"
    for text in (intent.request.interfaces, only.request.interfaces):
        assert parse_interfaces(text)
    plain = compose_intent(AllocateRequest())
    assert (plain.request.interfaces, plain.request.memory_mib) == ("", 2048)


@pytest.mark.parametrize("value", ["a,b", "x=y", "a;b", "id:x", "space:"])
@pytest.mark.parametrize("field", ["subnets", "not_subnets"])
def test_an_invalid_network_name_is_rejected_by_field(field: str, value: str) -> None:
    fields: dict[str, Any] = {field: (value,)}
    with pytest.raises(InvalidRequest) as error:
        device_constraints(AllocateRequest(**fields))
    assert list(error.value.fields) == [field]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "No machine available."),
        ({"agent_name": "juju"}, "No machine available."),
        ({"system_id": "abc"}, "No machine with system ID abc available."),
        (
            {"memory_mib": 8192, "cores": 4, "tags": ("a", "b")},
            "No available machine matches cpu_count=4, mem=8192, tags=a,b.",
        ),
    ],
)
def test_the_message_names_the_constraints(fields: dict[str, Any], message: str) -> None:
    assert no_match(AllocateRequest(**fields)) == message
