"""From a wish and a placement to a guest: which card it gets, and that a repeat makes the same guest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from attrs import evolve

from common.marks import volume_name
from common.values import DriverType, GuestSpec, Mark, NicAddress, NicKind
from regiond.machines.spec import guest_spec
from regiond.placement.interface_text import parse_interfaces
from regiond.placement.model import (
    HostOffer,
    InterfaceOffer,
    NodeOffer,
    PagesOffer,
    PinWish,
    PoolOffer,
    SubnetOffer,
    Wish,
)
from regiond.placement.place import DEFAULT_ROOT_BYTES, place
from regiond.placement.storage_text import parse_storage

INSTALLATION, MACHINE = UUID(int=1), UUID(int=2)
GB = 10**9


def storage_pool(number: int = 1, name: str = "default") -> PoolOffer:
    return PoolOffer(id=number, pool_key=f"key-{name}", name=name, total_bytes=100 * GB, room_bytes=100 * GB)


def host_offer(**changes: Any) -> HostOffer:
    fields: dict[str, Any] = {
        "id": 1, "name": "one", "state": "ready", "reachable": True, "architecture": "amd64", "cores": 8,
        "memory_mib": 8192, "driver": DriverType.SIMULATED.value, "storage_pools": (storage_pool(),),
        "default_storage_pool_id": 1,
    }  # fmt: skip
    return HostOffer(**{**fields, **changes})


def interface(name: str = "default", kind: NicKind = NicKind.NETWORK, **more: Any) -> InterfaceOffer:
    return InterfaceOffer(**{"id": 1, "name": name, "kind": kind, "type": "bridge", **more})


ON_DEFAULT = {"interfaces": (interface(),)}


def made(host: HostOffer, storage: str = "", *, offered: Mapping[str, Any] = ON_DEFAULT, **wish: object) -> GuestSpec:
    asked = Wish(**{"cores": 2, "memory_mib": 2048, "disks": parse_storage(storage), **wish})  # type: ignore[arg-type]  # each test names the fields it means
    offer = evolve(host, **offered)
    return guest_spec(
        asked,
        place(asked, [offer]).order[0],
        offer,
        hostname="web",
        installation_id=INSTALLATION,
        machine_uuid=MACHINE,
        new_mac_address=lambda: "52:54:00:00:00:01",
        addresses={"10.1.0.20": NicAddress(address="10.1.0.20", prefix_length=24)},
    )


def test_the_same_choices_make_the_same_guest() -> None:
    host = host_offer(storage_pools=(storage_pool(), storage_pool(2, "fast")))
    assert made(host, "8,5(fast),3") == made(host, "8,5(fast),3")


def test_each_disk_gets_its_pool_a_volume_of_its_own_and_a_serial() -> None:
    host = host_offer(storage_pools=(storage_pool(), storage_pool(2, "fast")))
    spec = made(host, "8,5(fast)")
    mark = Mark(installation_id=INSTALLATION, machine_id=MACHINE)
    assert [(disk.volume, disk.pool_id, disk.size_bytes, disk.tags) for disk in spec.disks] == [
        (volume_name(mark, 0), "key-default", 8 * GB, ()),
        (volume_name(mark, 1), "key-fast", 5 * GB, ("fast",)),
    ]
    assert len({disk.serial for disk in spec.disks}) == 2
    assert spec.mark == mark


def test_disks_on_lxd_have_the_serials_that_lxd_gives_them() -> None:
    spec = made(host_offer(driver=DriverType.LXD.value), "8,5,3")
    assert [disk.serial for disk in spec.disks] == ["lxd_root", "lxd_disk1", "lxd_disk2"]


def test_a_root_disk_of_any_size_gets_the_default_size() -> None:
    assert [disk.size_bytes for disk in made(host_offer(), "0").disks] == [DEFAULT_ROOT_BYTES]


def test_the_guest_boots_from_its_one_card_and_is_of_the_hosts_architecture() -> None:
    spec = made(host_offer(architecture="arm64"), offered={"interfaces": (interface("lab"),)})
    assert spec.architecture == "arm64"
    (nic,) = spec.nics
    assert (nic.name, nic.boot, nic.source, nic.mac_address) == ("eth0", True, "lab", "52:54:00:00:00:01")


def test_cards_are_what_was_asked_for_in_that_order() -> None:
    there = (
        interface("br0", NicKind.BRIDGE, subnets=(SubnetOffer(id=7, name="", cidr="10.1.0.0/24"),)),
        interface("en1", NicKind.MACVLAN, id=2, type="physical"),
        interface("en2", NicKind.MACVLAN, id=3, type="physical", functions_total=4, functions_free=4),
        interface("en2.9", NicKind.MACVLAN, id=4, type="vlan", vid=9, functions_free=4, functions_total=4,
                  function_port="en2"),
    )  # fmt: skip
    text = "a:name=br0,ip=10.1.0.20;b:name=en1,mode=unconfigured;2:name=en2;d:name=en2.9"
    spec = made(host_offer(), nics=parse_interfaces(text), offered={"interfaces": there})
    assert [(nic.name, nic.kind, nic.source, nic.boot, nic.configured) for nic in spec.nics] == [
        ("eth-a", NicKind.BRIDGE, "br0", True, True),
        ("eth-b", NicKind.MACVLAN, "en1", False, False),
        ("eth2", NicKind.SRIOV, "en2", False, True),
        ("eth-d", NicKind.SRIOV, "en2", False, True),
    ]
    assert [nic.vid for nic in spec.nics] == [None, None, None, 9]
    assert [nic.address and nic.address.address for nic in spec.nics] == ["10.1.0.20", None, None, None]
    assert spec.nics[1].macvlan_mode == "bridge"


def test_pins_and_pages_are_those_of_the_placement() -> None:
    node = NodeOffer(
        node_id=1, core_ids=(4, 5, 6, 7), free_core_ids=(4, 6, 7),
        pages=(PagesOffer(size_kib=2048, total=1024, free=1024),),
    )  # fmt: skip
    spec = made(
        host_offer(), cores=2, pins=PinWish(count=2), huge_pages=True, offered={**ON_DEFAULT, "nodes": (node,)}
    )  # fmt: skip
    assert (spec.pinned_core_ids, spec.huge_page_size_kib, spec.numa_node_ids) == ((4, 6), 2048, (1,))
