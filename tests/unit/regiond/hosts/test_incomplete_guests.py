"""A guest whose details the driver could not read has its recorded pins, huge pages and NICs."""

from __future__ import annotations

from uuid import UUID

import pytest
from attrs import evolve

from common.hardware import NetworkDevice, NetworkPort
from common.values import Guest, GuestDisk, GuestNic, HugePages, NicKind, NumaNode, OwnershipMarker
from regiond.hosts.discovery.diff import compare
from regiond.hosts.discovery.snapshot import ServerSnapshot
from regiond.ledger.model import DiscreteResources
from tests.unit.support.discovery_samples import GIB, INSTALLATION, discovery, facts, guest, machine, record, snapshot

MACHINE = UUID(int=1001)
NODE = NumaNode(node_id=0, core_ids=(0, 1), memory_mib=8192, huge_pages=(HugePages(size_kib=2048, total=1024),))
NETWORK_DEVICE = NetworkDevice(virtual_functions=4, ports=(NetworkPort(name="eth3"),))
HOLDS = DiscreteResources(pinned_core_ids=(1,), huge_pages={"0/2048": 512}, functions={"eth3": 1})
TOTALS = {("huge_pages", "0/2048"): 1024, ("virtual_functions", "eth3"): 4}
FULL = guest(
    str(MACHINE),
    name="vm-1",
    marker=OwnershipMarker(installation_id=INSTALLATION, machine_id=MACHINE),
    architecture="amd64",
    pinned_core_ids=(1,),
    huge_pages_backed=True,
    disks=(GuestDisk(device="vda", size_bytes=GIB, pool_id="default", serial="first"),),
    nics=(GuestNic(mac_address="52:54:00:00:00:01", kind=NicKind.SRIOV, source="eth3"),),
    generation=4,
)
LISTED = evolve(
    FULL,
    architecture="",
    pinned_core_ids=(),
    huge_pages_backed=False,
    disks=(evolve(FULL.disks[0], serial=None),),
    nics=(),
    generation=None,
    is_complete=False,
)


def before(*rows: Guest) -> ServerSnapshot:
    found = facts(numa_nodes=(NODE,), network_devices=(NETWORK_DEVICE,))
    return snapshot(
        machine(1),
        guests=[record(one, 1) for one in rows],
        facts=evolve(found, storage_pools=()),
        discrete={1: HOLDS},
        discrete_totals=TOTALS,
        huge_memory_mib=2048,
    )


def allocation_after(found: Guest, known_before: ServerSnapshot) -> DiscreteResources:
    """The machine's allocation after a discovery run that finds the guest in this form."""
    changes = compare(discovery(found, numa_nodes=(NODE,), network_devices=(NETWORK_DEVICE,)), known_before)
    return changes.allocations[0][1].discrete if changes.allocations else HOLDS


@pytest.mark.parametrize("rows", [(FULL,), ()], ids=["snapshot", "found again"])
def test_an_unread_guest_has_its_recorded_allocation(rows: tuple[Guest, ...]) -> None:
    assert allocation_after(LISTED, before(*rows)) == HOLDS


def test_an_unread_known_guest_is_no_change() -> None:
    assert compare(discovery(LISTED, numa_nodes=(NODE,), network_devices=(NETWORK_DEVICE,)), before(FULL)).none


def test_a_read_guest_loses_what_it_no_longer_has() -> None:
    assert allocation_after(evolve(LISTED, is_complete=True), before(FULL)) == DiscreteResources()


def test_an_unread_new_foreign_guest_has_only_what_was_read() -> None:
    foreign = evolve(LISTED, marker=None, name="theirs", guest_id="theirs")
    changes = compare(discovery(foreign, numa_nodes=(NODE,)), before())
    assert [(one.pinned_core_ids, one.nics) for one in changes.guests_written] == [((), ())]
