"""The rows of `vm-hosts capacity`: what is free of what is claimable, of the fleet, each zone and each pool."""

from __future__ import annotations

from attrs import evolve

from innkeeper.output.special_tables import numa_rows
from innkeeper.output.tables import Paper, rendered
from regiond.api.serializers.vm_hosts.capacity import CAPACITY_JSON, FLEET_CAPACITY_JSON, NUMA_NODE_JSON
from regiond.ledger.capacity_totals import fleet_capacity
from tests.unit.answers import ANSWERS
from tests.unit.support.host_samples import COUNTED, HOST


def test_the_capacity_table_has_a_row_for_each_group() -> None:
    plain = FLEET_CAPACITY_JSON.encode(fleet_capacity([COUNTED]))
    head, *rows, _, _, _ = rendered(plain, "vm-hosts capacity", Paper(width=80)).lines
    assert head == "of            hosts  servers  free cores  free memory GiB  free storage GB"
    assert [row.split() for row in rows] == [
        [*of.split(), "1", "1", "0/4", "25.5/30.0", "91/100"] for of in ("fleet", "zone default", "pool default")
    ]


def test_unreachable_servers_are_counted_only_where_there_are_some() -> None:
    plain = FLEET_CAPACITY_JSON.encode(fleet_capacity([evolve(COUNTED, state="unreachable")]))
    head, fleet, *_ = rendered(plain, "vm-hosts capacity").lines
    assert head.split()[:4] == ["of", "hosts", "servers", "unreachable"]
    assert fleet.split()[:4] == ["fleet", "1", "0", "1"]


def test_free_of_all_numa_nodes_is_what_composes_can_get() -> None:
    nodes = [NUMA_NODE_JSON.encode(node) for node in ANSWERS["hosts.numa"]]
    assert HOST.capacity is not None
    nodes[0]["server"]["capacity"] = CAPACITY_JSON.encode(HOST.capacity)
    cores, memory = [row for row in numa_rows(nodes) if row["node"] == "all"]
    assert (cores["total"], cores["free"]) == (8, HOST.capacity.cores.free)
    assert memory["free"] == HOST.capacity.memory_mib.free
