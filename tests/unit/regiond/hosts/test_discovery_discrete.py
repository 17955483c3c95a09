"""The discovery diff: cores, memory and huge pages of NUMA nodes, and virtual functions, that guests have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from common.hosts.discovery import Discovery
from common.values import HugePages, NumaNode
from regiond.hosts.discovery.diff import compare
from regiond.hosts.discovery.model import ChangeKind
from regiond.hosts.discovery.snapshot import ServerSnapshot
from regiond.ledger.model import DiscreteResources, GuestClaims
from tests.unit.support.discovery_samples import (
    NETWORK_DEVICE,
    changes_of,
    discovery,
    function,
    guest,
    machine,
    record,
    snapshot,
    written,
)

TWO_NODES = tuple(
    NumaNode(node_id=number, core_ids=cores, memory_mib=4096, huge_pages=(HugePages(size_kib=1024**2, total=2),))
    for number, cores in enumerate([(0, 1), (2, 3)])
)
SERVER: dict[str, Any] = {"numa_nodes": TWO_NODES, "network_devices": (NETWORK_DEVICE,)}


def counted(
    *pins: int, pages: Mapping[str, int] | None = None, functions: Mapping[str, int] | None = None
) -> DiscreteResources:
    return DiscreteResources(pinned_core_ids=pins, huge_pages=pages or {}, functions=functions or {})


def after_run(found: Discovery, before: ServerSnapshot) -> ServerSnapshot:
    return written(before, compare(found, before))


def test_the_first_run_finds_discrete_resources_and_allocations() -> None:
    found = discovery(guest("a", pinned_core_ids=(2,), huge_pages_backed=True, nics=(function("sim0"),)), **SERVER)
    changes = compare(found, snapshot())
    assert changes.totals_written == {
        ("huge_pages", "0/1048576"): 2, ("huge_pages", "1/1048576"): 2, ("virtual_functions", "sim0"): 8,
    }  # fmt: skip
    assert [held for _, held in changes.allocations] == [
        GuestClaims(cores=1, memory_mib=0, discrete=counted(2, pages={"1/1048576": 1}, functions={"sim0": 1}))
    ]
    assert compare(found, written(snapshot(), changes)).none


def test_a_guest_pinned_on_its_host_reallocates_its_machine() -> None:
    plain, pinned = guest("a", machine=1), guest("a", machine=1, pinned_core_ids=(3,))
    before = after_run(discovery(plain, **SERVER), snapshot(machine(1)))
    changes = compare(discovery(pinned, **SERVER), before)
    assert (ChangeKind.REALLOCATED, 1) in changes_of(changes)
    assert [held.discrete for _, held in changes.allocations] == [counted(3)]


def test_huge_pages_stay_on_their_node_while_they_cover_the_guest() -> None:
    backed = guest("a", machine=1, huge_pages_backed=True)
    before = after_run(discovery(backed, **SERVER), snapshot(machine(1)))
    on_other_node = evolve(before, discrete={1: counted(pages={"1/1048576": 1})})
    assert compare(discovery(backed, **SERVER), on_other_node).none
    grown = compare(discovery(evolve(backed, memory_mib=3000), **SERVER), on_other_node)
    assert [held.discrete for _, held in grown.allocations] == [counted(pages={"0/1048576": 2, "1/1048576": 1})]


def test_allocations_on_other_cluster_members_use_nothing_here() -> None:
    """If they did, the node would seem full and the guest would get the last pages of the other one."""
    elsewhere = machine(2, on_this_host=False, on_this_server=False)
    there = {2: counted(pages={"0/1048576": 2}, functions={"sim0": 8})}
    found = discovery(guest("a", huge_pages_backed=True), **SERVER)
    changes = compare(found, snapshot(elsewhere, discrete=there))
    assert [held.discrete for _, held in changes.allocations] == [counted(pages={"0/1048576": 1})]
    moved = discovery(guest("b", machine=2, huge_pages_backed=True, memory_mib=2048, nics=(function(""),)), **SERVER)
    arrived = compare(moved, snapshot(elsewhere, discrete={2: counted(pages={"0/1048576": 2}, functions={"sim0": 1})}))
    assert arrived.allocations[0][1].discrete == counted(pages={"0/1048576": 2}, functions={"sim0": 1})


def test_a_guest_being_adopted_keeps_its_huge_pages() -> None:
    before = guest("a", huge_pages_backed=True, memory_mib=2048)
    adopting = machine(1, settled=False, state="adopting", adopted=True)
    then = snapshot(adopting, guests=[record(before)], discrete={record(before).key: counted(pages={"0/1048576": 2})})
    managed = guest("a", machine=1, huge_pages_backed=True, memory_mib=2048)
    changes = compare(discovery(managed, guest("b", huge_pages_backed=True), **SERVER), then)
    ((one, held),) = changes.allocations
    assert (one.name, held.discrete) == ("vm-b", counted(pages={"1/1048576": 1}))


def test_a_virtual_function_without_a_port_keeps_the_recorded_port() -> None:
    unreported = guest("a", machine=1, nics=(function(""),))
    before = after_run(discovery(unreported, **SERVER), snapshot(machine(1)))
    assert before.discrete == {}
    claimed = evolve(before, discrete={1: counted(functions={"sim0": 1})})
    assert compare(discovery(unreported, **SERVER), claimed).none


def test_allocations_missing_from_the_ledger_are_written() -> None:
    found = discovery(guest("a", machine=1, huge_pages_backed=True), guest("b", pinned_core_ids=(0,)), **SERVER)
    now = after_run(found, snapshot(machine(1)))
    migrated = evolve(now, discrete={}, discrete_totals={}, huge_memory_mib=0)
    changes = compare(found, migrated)
    assert changes.facts is not None
    assert [(one.name, held.memory_mib, held.discrete) for one, held in changes.allocations] == [
        ("vm-a", 0, counted(pages={"0/1048576": 1})), ("vm-b", 1024, counted(0)),
    ]  # fmt: skip
    assert compare(found, written(migrated, changes)).none


def test_a_resource_that_the_server_lost_has_total_zero() -> None:
    before = after_run(discovery(**SERVER), snapshot())
    changes = compare(discovery(), before)
    assert set(changes.totals_written.values()) == {0}
    assert compare(discovery(), written(before, changes)).none
