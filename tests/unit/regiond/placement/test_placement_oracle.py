"""Placement agrees with a brute-force oracle that tries every assignment and ignores the order of filters.

`ORACLE_EXAMPLES` sets the number of requests, each with its own fleet (default 500).
"""

from __future__ import annotations

import os
from random import Random

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from common.values import NicKind
from regiond.placement.candidate import Candidate, CandidateInterface
from regiond.placement.model import Evaluation, explain
from regiond.placement.nic_attachment import required_functions
from regiond.placement.ranking import place
from regiond.placement.reason_phrases import NAMED_IN_REASON
from regiond.placement.requirements import ANY_HOST, DiskRequirement, HostFilter, Requirements
from regiond.placement.storage_parser import parse_storage
from tests.placement.fleets import at_a_boundary, fleet, requirements
from tests.placement.oracle import NumaWay, fits, nic_ways, numa_ways, physical_cores, storage
from tests.placement.oracle_reasons import is_true
from tests.unit.support import candidates
from tests.unit.support.candidates import evaluated, storage_pool

HOSTS = 6
GB = 10**9
EXAMPLES = int(os.environ.get("ORACLE_EXAMPLES", "500"))


@settings(max_examples=EXAMPLES)
@given(random=st.randoms(use_true_random=True))
def test_placement_agrees_with_the_oracle_and_every_reason_is_true(random: Random) -> None:
    hosts = fleet(random, hosts=HOSTS)
    wanted = at_a_boundary(random, requirements(random, hosts=HOSTS), hosts)
    placement = place(wanted, hosts)
    by_id = {host.id: host for host in hosts}
    fitting = {host.id for host in hosts if fits(wanted, host)}
    assert {evaluation.host_id for evaluation in placement.ranked} == fitting, (wanted, hosts)
    assert len(placement.ranked) + len(placement.rejected) == HOSTS
    for evaluation in placement.ranked:
        check_storage(evaluation, wanted, by_id[evaluation.host_id])
        check_numa(evaluation, wanted, by_id[evaluation.host_id])
        check_nics(evaluation, wanted, by_id[evaluation.host_id])
    for evaluation in placement.rejected:
        for reason in evaluation.reasons:
            assert is_true(reason, wanted, by_id[evaluation.host_id]), (reason, wanted, by_id[evaluation.host_id])


def check_storage(evaluation: Evaluation, wanted: Requirements, host: Candidate) -> None:
    pools = storage(host, wanted.disks)
    assert pools is not None
    assert evaluation.storage_pool_ids == tuple(pool.id for pool in pools)
    assert [disk.storage_pool for disk in evaluation.disks] == [pool.name for pool in pools]


def check_numa(evaluation: Evaluation, wanted: Requirements, host: Candidate) -> None:
    """One of all possible assignments: with the smallest pages and, for a number of cores, on the node with the fewest
    free ones and on as few physical cores as possible."""
    ways = list(numa_ways(wanted, host))
    way = NumaWay(evaluation.pinned_core_ids, {(one.node_id, one.size_kib): one.pages for one in evaluation.pages})
    assert way in ways
    assert way.size_kib == min((other.size_kib for other in ways if other.size_kib), default=None)
    if wanted.pins is not None and wanted.pins.count is not None:
        same_size = [other for other in ways if other.size_kib == way.size_kib]
        nodes = {node.node_id: node for node in host.nodes}
        (node_id,) = way.nodes(host)
        assert len(nodes[node_id].free_core_ids) == min(
            len(nodes[other].free_core_ids) for one in same_size for other in one.nodes(host)
        )
        assert physical_cores(nodes[node_id], way.cores) == min(
            physical_cores(nodes[node_id], one.cores) for one in same_size if one.nodes(host) == {node_id}
        )


def check_nics(evaluation: Evaluation, wanted: Requirements, host: Candidate) -> None:
    """The attachments are one of all possible combinations and do not exceed the free virtual functions."""
    assert len(evaluation.nics) == max(1, len(wanted.nics))
    if wanted.nics:
        ids = tuple(nic.interface_id for nic in evaluation.nics)
        assert ids in {tuple(one.id for one in chosen) for chosen in nic_ways(wanted, host)}
    free = {one.function_port: one.functions_free for one in host.interfaces}
    assert all(needed <= free[port] for port, needed in required_functions(evaluation.nics).items())


HOST = evolve(
    candidates.HOST,
    memory_mib=8192,
    storage_pools=(storage_pool(free_gb=8),),
    zone="east",
    pool="lab",
    tags=("ssd",),
    interfaces=(CandidateInterface(id=9, name="br0", kind=NicKind.BRIDGE, type="bridge", vlan_id=5001, vid=0),),
)
SMALL = Requirements(cores=1, memory_mib=1024, disks=parse_storage("root:8"))


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (HostFilter(host_ids=frozenset({2, 3})), "excluded by your host filter"),
        (HostFilter(not_host_ids=frozenset({1})), "excluded by your host filter"),
        (HostFilter(tried_host_ids=frozenset({1})), "this compose already failed here"),
        (HostFilter(zones=("north", "west")), "is in zone east, needs north or west"),
        (HostFilter(not_zones=("east",)), "is in zone east, which is excluded"),
        (HostFilter(pools=("web",)), "is in resource pool lab, needs web"),
        (HostFilter(tags=("ssd", "gpu")), "lacks the tag gpu"),
        (HostFilter(not_tags=("gpu", "ssd")), "has the excluded tag ssd"),
        (HostFilter(zones=("west",), tags=("gpu",)), "is in zone east, needs west"),
        (HostFilter(zones=tuple("abcdefg")), "is in zone east, needs a or b or c or d or e or 2 more"),
    ],
)
def test_a_filtered_host_is_rejected_with_the_reason(wanted: HostFilter, reason: str) -> None:
    assert evaluated(evolve(SMALL, hosts=wanted), HOST).reasons == (reason,)
    assert NAMED_IN_REASON == 5


def test_a_host_that_passes_all_filters_is_chosen() -> None:
    wanted = HostFilter(host_ids=frozenset({1}), zones=("west", "east"), not_pools=("web",), tags=("ssd",))
    assert evaluated(evolve(SMALL, hosts=wanted), HOST).fits
    assert evaluated(evolve(SMALL, hosts=ANY_HOST), HOST).fits


def test_a_machine_larger_than_the_host_never_fits() -> None:
    host = evolve(HOST, cpu_over_commit_ratio=10.0, memory_over_commit_ratio=10.0)
    assert evaluated(evolve(SMALL, cores=5, memory_mib=8193), host).reasons == (
        "needs 5 cores, the host has only 4",
        "needs 8193 MiB of memory, the host has only 8192",
    )


def test_a_small_shortage_of_storage_shows_enough_digits() -> None:
    wanted = evolve(SMALL, disks=(DiskRequirement(label="", size_bytes=8 * GB + 40_000_000, tags=()),))
    assert evaluated(wanted, HOST).reasons == ("needs a disk of 8.04 GB, 8.00 of 100.00 GB free in default",)


def test_the_explanation_names_host_and_storage_pools() -> None:
    explained = explain(place(SMALL, [HOST, evolve(HOST, id=2, name="b", zone="west", cores_claimed=4)]))
    assert explained == {
        "chosen": "a",
        "chosen_id": 1,
        "disks": [{"label": "root", "size": 8 * GB, "tags": [], "storage_pool": "default"}],
        "notes": [],
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
        "fitting": [{"host": "a", "host_id": 1, "score": 0.75, "unmet": []}],
        "rejected": [
            {
                "host": "b",
                "host_id": 2,
                "reasons": ["needs 1 core, 0 free (4 cores × ratio 1.0, 4 used)"],
                "checks": ["cores"],
            }
        ],
        "summarized": [],
    }
