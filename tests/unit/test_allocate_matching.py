"""Which disks and cards of a machine allocation means, and which machines it passes over."""

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
from regiond.machines.asked_machines import intent_of, parts_of, refusal_of
from regiond.machines.matching import assign, labels_as_made, labels_of
from regiond.machines.model import AllocateRequest, DiskView, MachineView, NicView
from regiond.networks.model import Subnet, Vlan
from regiond.placement.interface_text import parse_interfaces
from regiond.placement.model import InterfaceOffer, SubnetOffer
from tests.unit.api_samples import MACHINE

GB = 10**9
FRONT = Vlan(
    id=5001, vid=0, name="untagged", mtu=1500, fabric_id=0, fabric_name="fabric-0", space_id=4, space_name="dmz"
)
BACK = evolve(FRONT, id=5002, vid=10, name="back", space_id=None, space_name=None)
SUBNETS = {
    "br0": Subnet(id=1, name="front", cidr=ip_network("10.1.0.0/24"), vlan=FRONT),
    "br1": Subnet(id=2, name="back", cidr=ip_network("10.2.0.0/24"), vlan=BACK),
}
OFFERS = tuple(
    InterfaceOffer(
        id=number, name=name, kind=NicKind.BRIDGE, type="bridge", vid=subnet.vlan.vid, vlan_id=subnet.vlan.id,
        fabric_id=0, fabric_name="fabric-0", space_id=subnet.vlan.space_id, space_name=subnet.vlan.space_name,
        subnets=(SubnetOffer(id=subnet.id, name=subnet.name, cidr=str(subnet.cidr)),),
    )
    for number, (name, subnet) in enumerate(SUBNETS.items(), start=1)
)  # fmt: skip


def disk(index: int, gb: int, *tags: str, pool: str = "default") -> DiskView:
    return DiskView(
        id=30 + index, index=index, volume=f"v{index}", storage_pool_name=pool, storage_pool_key=pool,
        size_bytes=gb * GB, serial=f"s{index}", tags=tags,
    )  # fmt: skip


def card(index: int, source: str, **more: Any) -> NicView:
    subnet = SUBNETS.get(source)
    return NicView(
        id=40 + index, index=index, name=f"eth{index}", mac_address=f"52:54:00:00:00:0{index}", kind="bridge",
        source=source, vlan=None if subnet is None else subnet.vlan, subnet=subnet, **more,
    )  # fmt: skip


def machine(disks: Sequence[DiskView] = (), nics: Sequence[NicView] = ()) -> MachineView:
    return evolve(MACHINE, disks=tuple(disks), nics=tuple(nics))


def found(one: MachineView, offers: Sequence[InterfaceOffer] = OFFERS, **asked: Any) -> Any:
    return labels_of(one, parts_of(AllocateRequest(**asked)), offers)


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
def test_each_label_is_a_disk_of_its_own_the_smallest_that_will_do(storage: str, expected: Any) -> None:
    one = machine([disk(0, 8), disk(1, 20, "ssd"), disk(2, 10, pool="bulk")])
    labels = found(one, storage=storage)
    assert (None if labels is None else labels.disks) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
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
@pytest.mark.parametrize("offers", [OFFERS, ()], ids=["as-the-host-is", "interface-gone"])
def test_each_label_is_a_card_of_its_own_that_meets_its_conditions(
    asked: dict[str, Any], expected: Any, offers: Sequence[InterfaceOffer]
) -> None:
    one = machine(nics=[card(0, "br0", ip_address=ip_address("10.1.0.9"), mode="static"), card(1, "br1")])
    labels = found(one, offers, **asked)
    assert (None if labels is None else labels.nics) == expected


@given(
    st.lists(st.frozensets(st.integers(0, 4)), max_size=5),
    st.integers(0, 5),
)
def test_a_way_is_found_exactly_when_there_is_one(wishes: list[frozenset[int]], parts: int) -> None:
    there = list(range(parts))
    ways = [
        way
        for way in permutations(there, len(wishes))
        if all(part in wish for wish, part in zip(wishes, way, strict=True))
    ]
    got = assign(wishes, there, lambda wish, part: part in wish)
    assert (got is not None) == bool(ways)
    assert got is None or got in ways


def test_a_composed_machine_has_its_parts_in_the_order_of_the_wishes() -> None:
    request = AllocateRequest(storage="root:8,a:1,b:1(x)", interfaces="n:space=dmz", subnets=("back",))
    one = machine([disk(0, 8), disk(1, 1, "x"), disk(2, 1)], [card(0, "br0"), card(1, "br1")])
    labels = labels_as_made(one, parts_of(request))
    assert labels.disks == (("root", 30), ("b", 31), ("a", 32))
    assert labels.nics == (("n", 40),)


def test_what_is_composed_has_a_card_for_each_network_and_none_where_it_may_not_be() -> None:
    request = AllocateRequest(
        memory_mib=100, interfaces="a:name=br0", subnets=("back",), not_subnets=("space:4",), zones=("east",)
    )
    intent = intent_of(request)
    assert intent.request.interfaces == "a:name=br0,not_subnet=space:4;net0:subnet=back,not_subnet=space:4"
    assert (intent.request.memory_mib, intent.request.cores, intent.in_zone_of_host) == (1024, 1, True)
    only = intent_of(AllocateRequest(not_subnets=("1",), not_fabrics=("2",)))
    assert only.request.interfaces == "net0:not_subnet=1,not_fabric=2"
    for text in (intent.request.interfaces, only.request.interfaces):
        assert parse_interfaces(text)
    plain = intent_of(AllocateRequest())
    assert (plain.request.interfaces, plain.request.memory_mib, plain.in_zone_of_host) == ("", 2048, False)


@pytest.mark.parametrize("value", ["a,b", "x=y", "a;b", "id:x", "space:"])
@pytest.mark.parametrize("field", ["subnets", "not_subnets"])
def test_a_network_that_cannot_be_named_is_refused_by_its_field(field: str, value: str) -> None:
    asked: dict[str, Any] = {field: (value,)}
    with pytest.raises(InvalidRequest) as refused:
        parts_of(AllocateRequest(**asked))
    assert list(refused.value.fields) == [field]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "No machine available."),
        ({"agent_name": "juju"}, "No machine available."),
        ({"system_id": "abc"}, "No machine with system ID abc available."),
        (
            {"memory_mib": 8192, "cores": 4, "tags": ("a", "b")},
            "No available machine matches constraints: [('cpu_count', ['4']), ('mem', ['8192']), ('tags', ['a', 'b'])] "
            '(resolved to "cpu_count=4 mem=8192 tags=a,b").',
        ),
    ],
)
def test_the_refusal_is_in_the_words_that_clients_know(asked: dict[str, Any], said: str) -> None:
    assert refusal_of(AllocateRequest(**asked)) == said
