"""The cards of a host: RAM with huge pages, cores with their arithmetic, pools, ports, NUMA nodes."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.hardware import NetworkDevice, NetworkPort
from common.hosts.capacity import Capacity, ResourceCapacity
from regiond.hosts.numa.numa_model import CoreUsage, NetworkDeviceUsage, NumaNodeView, PagesUsage, ServerUsage, Usage
from regiond.ui.hosts.host_summary import host_summary, pool_meters, sriov_ports
from regiond.ui.hosts.numa_cards import numa_cards
from regiond.ui.views import formats
from tests.unit.support.host_samples import HOST, IMAGES_CAPACITY, IMAGES_POOL, UNKNOWN_HOST

GIB = 1024


def test_a_host_that_was_never_read_has_no_cards() -> None:
    assert host_summary(evolve(UNKNOWN_HOST, capacity=None)) is None


def test_the_ring_has_general_memory_and_huge_pages_together() -> None:
    capacity = Capacity(
        memory_mib=ResourceCapacity(total=64 * GIB, claimable=56 * GIB, claimed=6 * GIB, elsewhere=1 * GIB),
        huge_pages={"1048576": ResourceCapacity(total=8, claimable=8, claimed=2)},
    )
    found = host_summary(evolve(HOST, capacity=capacity))
    assert found is not None
    assert (found.memory.free, found.memory.whole, found.memory.ours) == ("55", "64", "8")
    assert [(kind.name, kind.free, kind.total) for kind in found.memory_kinds] == [
        ("General", "49", "56"),
        ("Huge pages", "6", "8"),
    ]


def test_memory_that_is_over_says_by_how_much() -> None:
    memory = ResourceCapacity(total=4 * GIB, claimable=4 * GIB, claimed=6 * GIB)
    found = host_summary(evolve(HOST, capacity=Capacity(memory_mib=memory)))
    assert found is not None
    assert (found.memory.over, [kind.free for kind in found.memory_kinds]) == ("2", ["2 over"])


@pytest.mark.parametrize(
    ("ratio", "reserved", "note"), [(1, 0, ""), (1.5, 0, "4 × 1.5"), (1, 1, "(4 \N{MINUS SIGN} 1) × 1.0")]
)
def test_the_arithmetic_of_cores_is_shown_where_there_is_one(ratio: float, reserved: int, note: str) -> None:
    found = host_summary(evolve(HOST, cpu_over_commit_ratio=ratio, reserved_cores=reserved))
    assert found is not None
    assert found.cores_note == note


def test_pools_are_in_the_unit_of_the_largest_and_the_default_comes_first() -> None:
    large = ResourceCapacity(total=8 * 10**12, claimable=8 * 10**12, claimed=10**12)
    pools = (
        evolve(IMAGES_POOL, id=5, name="archive", is_default=False, capacity=large),
        IMAGES_POOL,
        evolve(IMAGES_POOL, id=6, name="gone", missing_since=HOST.created_at),
    )
    found = pool_meters(evolve(HOST, storage_pools=pools))
    assert [(pool.name, meter.free, meter.whole, meter.unit) for pool, meter in found] == [
        ("images", "0.09", "0.1", "TB"),
        ("archive", "7", "8", "TB"),
    ]
    assert formats.storage_scale(IMAGES_CAPACITY.claimable)[0] == "GB"


def test_a_port_with_virtual_functions_has_the_facts_of_its_device() -> None:
    capacity = Capacity(
        virtual_functions={"ens1f0": ResourceCapacity(total=8, claimable=8), "eth9": ResourceCapacity()}
    )
    known, unknown = sriov_ports(evolve(HOST, capacity=capacity))
    assert (known.name, known.node, known.pci_address, known.speed) == ("ens1f0", 0, "0000:3b:00.0", "10 Gbit/s")
    assert (unknown.name, unknown.product, unknown.speed) == ("eth9", "–", "–")


def test_a_node_has_a_meter_for_each_resource_that_it_has() -> None:
    device = NetworkDevice(pci_address="0000:10:00.0", ports=(NetworkPort(name="sim0"),))
    node = NumaNodeView(
        node_id=0,
        cores=CoreUsage(total=(0, 1, 2, 3), used_by_ours=(1, 2), used_by_others=(2,)),
        memory_mib=8 * GIB,
        general_mib=Usage(total=6 * GIB, used_by_ours=2 * GIB),
        huge_pages=(
            PagesUsage(size_kib=2048, pages=Usage(total=0)),
            PagesUsage(size_kib=1048576, pages=Usage(total=2)),
        ),
        network_devices=(NetworkDeviceUsage(device=device, functions=Usage(total=8, used_by_others=3)),),
        guest_ids=(),
        server=ServerUsage(cores=Usage(total=4), general_mib=Usage(total=6 * GIB)),
    )
    (card,) = numa_cards([node], [])
    assert [(one.name, one.note, one.meter.used, one.meter.free) for one in card.gauges] == [
        ("RAM", "GiB, general", "2", "4"),
        ("Pinned cores", "1–2", "2", "2"),
        ("Huge pages", "1 GiB each", "0", "2"),
        ("Virtual functions", "sim0", "3", "5"),
    ]
