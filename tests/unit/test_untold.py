"""A look that could not read a guest's definition takes no pins, pages or cards from it."""

from __future__ import annotations

from uuid import UUID

import pytest
from attrs import evolve

from common.hardware import NetworkCard, NetworkPort
from common.values import Guest, GuestDisk, GuestNic, HugePages, Mark, NicKind, NumaNode
from regiond.hosts.intake import compare
from regiond.hosts.known import Known
from regiond.ledger.model import Counted
from tests.unit.intake_findings import GIB, OURS, discovery, facts, guest, known, machine, row

MACHINE = UUID(int=1001)
NODE = NumaNode(node_id=0, core_ids=(0, 1), memory_mib=8192, huge_pages=(HugePages(size_kib=2048, total=1024),))
CARD = NetworkCard(virtual_functions=4, ports=(NetworkPort(name="eth3"),))
HOLDS = Counted(pinned_core_ids=(1,), huge_pages={"0/2048": 512}, functions={"eth3": 1})
TOTALS = {("huge_pages", "0/2048"): 1024, ("virtual_functions", "eth3"): 4}
FULL = guest(
    str(MACHINE),
    name="vm-1",
    mark=Mark(installation_id=OURS, machine_id=MACHINE),
    architecture="amd64",
    pinned_core_ids=(1,),
    huge_pages_backed=True,
    disks=(GuestDisk(device="vda", size_bytes=GIB, pool_id="default", serial="first"),),
    nics=(GuestNic(mac_address="52:54:00:00:00:01", kind=NicKind.SRIOV, source="eth3"),),
)
LISTED = evolve(
    FULL,
    architecture="",
    pinned_core_ids=(),
    huge_pages_backed=False,
    disks=(evolve(FULL.disks[0], serial=None),),
    nics=(),
    fully_told=False,
)


def before(*rows: Guest) -> Known:
    found = facts(numa_nodes=(NODE,), network_cards=(CARD,))
    return known(
        machine(1),
        guests=[row(one, 1) for one in rows],
        facts=evolve(found, storage_pools=()),
        counted={1: HOLDS},
        counted_totals=TOTALS,
        huge_memory_mib=2048,
    )


def look(found: Guest, known_before: Known) -> Counted:
    """What the machine holds after a look that finds it like this."""
    changes = compare(discovery(found, numa_nodes=(NODE,), network_cards=(CARD,)), known_before)
    return changes.held[0][1].counted if changes.held else HOLDS


@pytest.mark.parametrize("rows", [(FULL,), ()], ids=["known", "found again"])
def test_a_machine_keeps_what_it_holds_through_a_look_that_could_not_read_it(rows: tuple[Guest, ...]) -> None:
    assert look(LISTED, before(*rows)) == HOLDS


def test_a_look_that_could_not_read_a_known_guest_is_no_news() -> None:
    assert compare(discovery(LISTED, numa_nodes=(NODE,), network_cards=(CARD,)), before(FULL)).none


def test_what_a_guest_that_was_read_does_not_have_is_gone() -> None:
    assert look(evolve(LISTED, fully_told=True), before(FULL)) == Counted()


def test_a_foreign_guest_of_which_nothing_is_known_stays_as_it_was_told() -> None:
    foreign = evolve(LISTED, mark=None, name="theirs", guest_id="theirs")
    changes = compare(discovery(foreign, numa_nodes=(NODE,)), before())
    assert [(one.pinned_core_ids, one.nics) for one in changes.guests_written] == [((), ())]
