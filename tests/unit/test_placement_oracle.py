"""Placement against a brute-force oracle, which tries every way there is and knows nothing of the order of filters.

`ORACLE_EXAMPLES` says how many requests, each on a fleet of its own: 500 unless it is set.
"""

from __future__ import annotations

import os
from random import Random

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from common.values import NicKind
from regiond.placement.host_filters import NAMED_IN_REASON
from regiond.placement.interfaces import needed_functions
from regiond.placement.model import ANY_HOST, HostFilter, HostOffer, InterfaceOffer, PoolOffer, Verdict, Wish
from regiond.placement.place import place
from regiond.placement.storage_text import DiskWish
from tests.fleets import fleet, wish
from tests.oracle import NumaWay, nic_ways, numa_ways, physical_cores, storage, takes
from tests.oracle_reasons import is_true

HOSTS = 6
GB = 10**9
EXAMPLES = int(os.environ.get("ORACLE_EXAMPLES", "500"))


@settings(max_examples=EXAMPLES)
@given(random=st.randoms(use_true_random=True))
def test_a_host_fits_exactly_when_the_oracle_says_so_and_every_refusal_is_true(random: Random) -> None:
    hosts, wanted = fleet(random, hosts=HOSTS), wish(random, hosts=HOSTS)
    placement = place(wanted, hosts)
    by_id = {host.id: host for host in hosts}
    fitting = {host.id for host in hosts if takes(wanted, host)}
    assert {verdict.host_id for verdict in placement.order} == fitting, (wanted, hosts)
    assert len(placement.order) + len(placement.refused) == HOSTS
    for verdict in placement.order:
        check_storage(verdict, wanted, by_id[verdict.host_id])
        check_numa(verdict, wanted, by_id[verdict.host_id])
        check_cards(verdict, wanted, by_id[verdict.host_id])
    for verdict in placement.refused:
        for reason in verdict.reasons:
            assert is_true(reason, wanted, by_id[verdict.host_id]), (reason, wanted, by_id[verdict.host_id])


def check_storage(verdict: Verdict, wanted: Wish, host: HostOffer) -> None:
    pools = storage(host, wanted.disks)
    assert pools is not None
    assert verdict.storage_pool_ids == tuple(pool.id for pool in pools)
    assert [disk.storage_pool for disk in verdict.disks] == [pool.name for pool in pools]


def check_numa(verdict: Verdict, wanted: Wish, host: HostOffer) -> None:
    """It is one of all ways: with the smallest pages, and for a number of cores on the node with the fewest that are
    enough, with as few physical cores as can be."""
    ways = list(numa_ways(wanted, host))
    way = NumaWay(verdict.pinned_core_ids, {(one.node_id, one.size_kib): one.pages for one in verdict.pages})
    assert way in ways
    assert way.size_kib == min((other.size_kib for other in ways if other.size_kib), default=None)
    if wanted.pins is not None and wanted.pins.count is not None:
        alike = [other for other in ways if other.size_kib == way.size_kib]
        nodes = {node.node_id: node for node in host.nodes}
        (node_id,) = way.nodes(host)
        assert len(nodes[node_id].free_core_ids) == min(
            len(nodes[other].free_core_ids) for one in alike for other in one.nodes(host)
        )
        assert physical_cores(nodes[node_id], way.cores) == min(
            physical_cores(nodes[node_id], one.cores) for one in alike if one.nodes(host) == {node_id}
        )


def check_cards(verdict: Verdict, wanted: Wish, host: HostOffer) -> None:
    """Each is on an interface that all ways to attach them have, and functions are not used up."""
    assert len(verdict.nics) == max(1, len(wanted.nics))
    if wanted.nics:
        ids = tuple(nic.interface_id for nic in verdict.nics)
        assert ids in {tuple(one.id for one in chosen) for chosen in nic_ways(wanted, host)}
    free = {one.function_port: one.functions_free for one in host.interfaces}
    assert all(needed <= free[port] for port, needed in needed_functions(verdict.nics).items())


# Examples -----------------------------------------------------------------------------------------------------------

HOST = HostOffer(
    id=1,
    name="a",
    state="ready",
    reachable=True,
    architecture="amd64",
    cores=4,
    memory_mib=8192,
    storage_pools=(PoolOffer(id=1, pool_key="k", name="default", total_bytes=100 * GB, room_bytes=8 * GB),),
    zone="east",
    pool="lab",
    tags=("ssd",),
    interfaces=(InterfaceOffer(id=9, name="br0", kind=NicKind.BRIDGE, type="bridge", vlan_id=5001, vid=0),),
)
SMALL = Wish(cores=1, memory_mib=1024, disks=(DiskWish(label="root", size_bytes=8 * GB, tags=()),))


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (HostFilter(host_ids=frozenset({2, 3})), "not one of the hosts that were asked for, 2 in number"),
        (HostFilter(zones=("north", "west")), "zone: north or west asked, the host is in east"),
        (HostFilter(not_zones=("east",)), "zone: not east asked, the host is in east"),
        (HostFilter(pools=("web",)), "resource pool: web asked, the host is in lab"),
        (HostFilter(tags=("ssd", "gpu")), "tags: ssd and gpu asked, the host has no gpu"),
        (HostFilter(not_tags=("gpu", "ssd")), "tags: not gpu or ssd asked, the host has ssd"),
        (HostFilter(zones=("west",), tags=("gpu",)), "zone: west asked, the host is in east"),
        (
            HostFilter(zones=tuple("abcdefg")),
            "zone: a or b or c or d or e or 2 more asked, the host is in east",
        ),
    ],
)
def test_a_host_that_was_not_asked_for_says_what_was_and_what_it_is(wanted: HostFilter, reason: str) -> None:
    (verdict,) = place(evolve(SMALL, hosts=wanted), [HOST]).refused
    assert verdict.reasons == (reason,)
    assert NAMED_IN_REASON == 5


def test_filters_that_the_host_passes_leave_it_in() -> None:
    wanted = HostFilter(host_ids=frozenset({1}), zones=("west", "east"), not_pools=("web",), tags=("ssd",))
    assert place(evolve(SMALL, hosts=wanted), [HOST]).chosen is not None
    assert place(evolve(SMALL, hosts=ANY_HOST), [HOST]).chosen is not None


def test_no_machine_is_larger_than_its_host_whatever_the_ratios() -> None:
    host = evolve(HOST, cpu_over_commit_ratio=10.0, memory_over_commit_ratio=10.0)
    (verdict,) = place(evolve(SMALL, cores=5, memory_mib=8193), [host]).refused
    assert verdict.reasons == (
        "cores: 5 asked, 4 are all that the host has",
        "memory: 8193 MiB asked, 8192 MiB are all that the host has",
    )


def test_a_lack_of_a_few_bytes_is_told_with_digits_enough_to_see_it() -> None:
    wanted = evolve(SMALL, disks=(DiskWish(label="", size_bytes=8 * GB + 40_000_000, tags=()),))
    (verdict,) = place(wanted, [HOST]).refused
    assert verdict.reasons == ("storage: a disk of 8.04 GB asked, 8.00 of 100.00 GB left in default",)


def test_the_explanation_names_host_and_storage_pools() -> None:
    explained = place(SMALL, [HOST, evolve(HOST, id=2, name="b", zone="west", cores_claimed=4)]).as_explanation()
    assert explained == {
        "chosen": "a",
        "chosen_id": 1,
        "disks": [{"label": "root", "size": 8 * GB, "tags": [], "storage_pool": "default"}],
        "nics": [
            {
                "label": "",
                "name": "eth0",
                "kind": "bridge",
                "interface": "br0",
                "interface_id": 9,
                "vlan": 5001,
                "vid": None,
                "subnet": None,
                "ip": None,
            }
        ],
        "pinned_cores": [],
        "huge_pages": [],
        "fitting": [{"host": "a", "host_id": 1, "score": 0.75}],
        "refused": [{"host": "b", "host_id": 2, "reasons": ["cores: 1 asked, 0 of 4 × 1.0 = 4 left"]}],
        "left_out": [],
    }
