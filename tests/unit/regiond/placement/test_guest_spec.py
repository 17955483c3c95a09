"""The guest definition that follows from requirements and placement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from attrs import evolve

from common.disks.volume_names import volume_name
from common.guests.guest_spec import GuestSpec, NicAddress
from common.values import DriverType, NicKind, OwnershipMarker
from regiond.machines.core.guest_spec import guest_spec
from regiond.placement.candidate import (
    Candidate,
    CandidateHugePages,
    CandidateInterface,
    CandidateNode,
    CandidateSubnet,
)
from regiond.placement.interface_parser import parse_interfaces
from regiond.placement.ranking import place
from regiond.placement.requirements import DEFAULT_ROOT_BYTES, PinRequirement, Requirements
from regiond.placement.storage_parser import parse_storage
from tests.unit.support import candidates
from tests.unit.support.candidates import storage_pool

INSTALLATION, MACHINE = UUID(int=1), UUID(int=2)
GB = 10**9


HOST = evolve(candidates.HOST, cores=8, driver=DriverType.SIMULATED.value, default_storage_pool_id=1)
TWO_POOLS = evolve(HOST, storage_pools=(storage_pool(), storage_pool(2, "fast")))


def interface(name: str = "default", kind: NicKind = NicKind.NETWORK, **more: Any) -> CandidateInterface:
    return CandidateInterface(**{"id": 1, "name": name, "kind": kind, "type": "bridge", **more})


ON_DEFAULT = {"interfaces": (interface(),)}


def spec_of(
    host: Candidate, storage: str = "", *, changes: Mapping[str, Any] = ON_DEFAULT, **requirements: object
) -> GuestSpec:
    required = Requirements(**{"cores": 2, "memory_mib": 2048, "disks": parse_storage(storage), **requirements})  # type: ignore[arg-type]  # each test passes fields of the right type
    host = evolve(host, **changes)
    return guest_spec(
        required,
        place(required, [host]).ranked[0],
        host,
        hostname="web",
        installation_id=INSTALLATION,
        machine_uuid=MACHINE,
        new_mac_address=lambda: "52:54:00:00:00:01",
        addresses={"10.1.0.20": NicAddress(address="10.1.0.20", prefix_length=24)},
    )


def test_equal_inputs_give_equal_definitions() -> None:
    assert spec_of(TWO_POOLS, "8,5(fast),3") == spec_of(TWO_POOLS, "8,5(fast),3")


def test_each_disk_has_its_pool_volume_and_serial() -> None:
    spec = spec_of(TWO_POOLS, "8,5(fast)")
    marker = OwnershipMarker(installation_id=INSTALLATION, machine_id=MACHINE)
    assert [(disk.volume, disk.pool_id, disk.size_bytes, disk.tags) for disk in spec.disks] == [
        (volume_name(marker, 0), "key-default", 8 * GB, ()),
        (volume_name(marker, 1), "key-fast", 5 * GB, ("fast",)),
    ]
    assert len({disk.serial for disk in spec.disks}) == 2
    assert spec.marker == marker


def test_disks_on_lxd_have_the_serials_of_lxd() -> None:
    spec = spec_of(evolve(HOST, driver=DriverType.LXD.value), "8,5,3")
    assert [disk.serial for disk in spec.disks] == ["lxd_root", "lxd_disk1", "lxd_disk2"]


def test_a_root_disk_of_any_size_has_the_default_size() -> None:
    assert [disk.size_bytes for disk in spec_of(HOST, "0").disks] == [DEFAULT_ROOT_BYTES]


def test_the_guest_boots_from_its_nic_with_the_hosts_architecture() -> None:
    spec = spec_of(evolve(HOST, architecture="arm64"), changes={"interfaces": (interface("lab"),)})
    assert spec.architecture == "arm64"
    (nic,) = spec.nics
    assert (nic.name, nic.boot, nic.source, nic.mac_address) == ("eth0", True, "lab", "52:54:00:00:00:01")


def test_nics_are_in_the_order_of_the_request() -> None:
    attachable = (
        interface("br0", NicKind.BRIDGE, subnets=(CandidateSubnet(id=7, name="", cidr="10.1.0.0/24"),)),
        interface("en1", NicKind.MACVLAN, id=2, type="physical"),
        interface("en2", NicKind.MACVLAN, id=3, type="physical", functions_total=4, functions_free=4),
        interface("en2.9", NicKind.MACVLAN, id=4, type="vlan", vid=9, functions_free=4, functions_total=4,
                  function_port="en2"),
    )  # fmt: skip
    text = "a:name=br0,ip=10.1.0.20;b:name=en1,mode=unconfigured;2:name=en2;d:name=en2.9"
    spec = spec_of(HOST, nics=parse_interfaces(text), changes={"interfaces": attachable})
    assert [(nic.name, nic.kind, nic.source, nic.boot, nic.configured) for nic in spec.nics] == [
        ("eth-a", NicKind.BRIDGE, "br0", True, True),
        ("eth-b", NicKind.MACVLAN, "en1", False, False),
        ("eth2", NicKind.SRIOV, "en2", False, True),
        ("eth-d", NicKind.SRIOV, "en2", False, True),
    ]
    assert [nic.vid for nic in spec.nics] == [None, None, None, 9]
    assert [nic.address and nic.address.address for nic in spec.nics] == ["10.1.0.20", None, None, None]
    assert spec.nics[1].macvlan_mode == "bridge"


def test_pins_and_pages_come_from_the_placement() -> None:
    node = CandidateNode(
        node_id=1, core_ids=(4, 5, 6, 7), free_core_ids=(4, 6, 7),
        pages=(CandidateHugePages(size_kib=2048, total=1024, free=1024),),
    )  # fmt: skip
    spec = spec_of(
        HOST, cores=2, pins=PinRequirement(count=2), huge_pages=True, changes={**ON_DEFAULT, "nodes": (node,)}
    )  # fmt: skip
    assert (spec.pinned_core_ids, spec.huge_page_size_kib, spec.numa_node_ids) == ((4, 6), 2048, (1,))
