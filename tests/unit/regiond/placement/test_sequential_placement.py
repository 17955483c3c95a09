"""Placing equal machines in sequence gives the same result as placing each after the claim of the last."""

from __future__ import annotations

from random import Random

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from common.values import NicKind
from regiond.placement.candidate import Candidate, CandidateInterface, CandidateStoragePool
from regiond.placement.model import Evaluation, PendingClaim, Placement
from regiond.placement.ranking import after_claim, place, place_sequentially, with_pending_claims
from regiond.placement.requirements import Requirements, Strategy
from regiond.placement.storage_parser import parse_storage
from tests.placement.fleets import fleet, requirements

HOSTS = 5
TIMES = 6
STRATEGIES: tuple[Strategy, ...] = ("spread", "pack")


@settings(max_examples=200)
@given(random=st.randoms(use_true_random=True), strategy=st.sampled_from(STRATEGIES))
def test_each_machine_sees_the_claims_of_those_before_it(random: Random, strategy: Strategy) -> None:
    hosts, wanted = fleet(random, hosts=HOSTS), requirements(random, hosts=HOSTS)
    expected = one_by_one(wanted, {host.id: host for host in hosts}, strategy)
    assert list(place_sequentially(wanted, hosts, TIMES, strategy=strategy)) == expected


@settings(max_examples=200)
@given(random=st.randoms(use_true_random=True), strategy=st.sampled_from(STRATEGIES))
def test_hosts_of_one_server_share_what_is_free(random: Random, strategy: Strategy) -> None:
    """Such as the projects of an LXD server, each with ratios and a reserve of its own."""
    hosts, wanted = fleet(random, hosts=HOSTS), requirements(random, hosts=HOSTS)
    shared = [evolve(host, server_id=host.id) for host in hosts]
    shared += [evolve(host, id=10 + host.id, name=f"other-{host.name}", cpu_over_commit_ratio=1.0) for host in shared]
    expected = one_by_one(wanted, {host.id: host for host in shared}, strategy)
    assert list(place_sequentially(wanted, shared, TIMES, strategy=strategy)) == expected


def test_a_claim_through_one_host_counts_on_the_others_of_its_server() -> None:
    """The server of hosts 1 and 2 has two cores: two machines fit there, not two on each host."""
    one = Candidate(
        id=1, name="one", state="ready", reachable=True, architecture="amd64", cores=2, memory_mib=8192, server_id=7,
        cores_claimed_here=0, memory_mib_claimed_here=0,
        storage_pools=(CandidateStoragePool(id=1, pool_key="p", name="p", total_bytes=10**12, free_bytes=10**12),),
        interfaces=(CandidateInterface(id=1, name="br0", kind=NicKind.BRIDGE, type="bridge"),),
    )  # fmt: skip
    hosts = [one, evolve(one, id=2, name="two"), evolve(one, id=3, name="three", server_id=8, cores=1)]
    wanted = Requirements(cores=1, memory_mib=1024, disks=parse_storage("8"))
    placed = place_sequentially(wanted, hosts, TIMES)
    assert sorted(found.chosen.host_id for found in placed if found.chosen is not None) == [1, 1, 3]
    pending = PendingClaim(requirements=wanted, evaluation=place(wanted, hosts[:1]).ranked[0], host=one)
    (other,) = with_pending_claims(hosts[1:2], [pending])
    assert (other.cores_claimed, other.cores_claimed_here) == (1, 0)


@settings(max_examples=100)
@given(random=st.randoms(use_true_random=True))
def test_pending_claims_are_subtracted_from_the_given_hosts(random: Random) -> None:
    hosts, wanted = fleet(random, hosts=HOSTS), requirements(random, hosts=HOSTS)
    expected_hosts = {host.id: host for host in hosts}
    placed = one_by_one(wanted, expected_hosts, "spread")
    pending = [PendingClaim(requirements=wanted, evaluation=one.chosen) for one in placed if one.chosen is not None]
    if placed[-1].chosen is not None and len(placed) == TIMES:  # the last one fits, but its claim was not applied
        expected_hosts[placed[-1].chosen.host_id] = after_claim(
            expected_hosts[placed[-1].chosen.host_id], wanted, placed[-1].chosen
        )
    assert with_pending_claims(hosts, pending) == tuple(expected_hosts[host.id] for host in hosts)
    assert with_pending_claims(hosts[1:], pending) == tuple(expected_hosts[host.id] for host in hosts[1:])


def one_by_one(wanted: Requirements, hosts: dict[int, Candidate], strategy: Strategy) -> list[Placement]:
    """Returns the placements that fit, or the one that does not; checks that nothing is assigned twice."""
    placed = [place(wanted, hosts.values(), strategy=strategy)]
    while len(placed) < TIMES and (taken := placed[-1].chosen) is not None:
        before = hosts[taken.host_id]
        for host in [*hosts.values()]:
            if host.id == before.id or (host.server_id is not None and host.server_id == before.server_id):
                hosts[host.id] = after_claim(host, wanted, taken)
        check(wanted, before, hosts[taken.host_id], taken)
        following = place(wanted, hosts.values(), strategy=strategy)
        if following.chosen is None:
            break
        placed.append(following)
    return placed


def check(wanted: Requirements, before: Candidate, host: Candidate, taken: Evaluation) -> None:
    assert host.cores_free == before.cores_free - wanted.cores >= 0
    assert host.memory_mib_free == before.memory_mib_free - (0 if wanted.huge_pages else wanted.memory_mib)
    free_bytes = {pool.id: pool.free_bytes for pool in host.storage_pools}
    assert all(size >= 0 for size in free_bytes.values())
    assert sum(pool.free_bytes for pool in before.storage_pools) - sum(free_bytes.values()) == sum(
        disk.size_bytes for disk in taken.disks
    )
    free = {core_id for node in host.nodes for core_id in node.free_core_ids}
    assert not free & {*taken.pinned_core_ids}
    pages = [(pages.size_kib, pages.free) for node in host.nodes for pages in node.pages]
    assert all(count >= 0 for _, count in pages)
    was_kib = sum(pages.size_kib * pages.free for node in before.nodes for pages in node.pages)
    assert was_kib - sum(size * count for size, count in pages) == 1024 * (
        wanted.memory_mib if wanted.huge_pages else 0
    )
    by_port = {(one.function_port or one.name): one.functions_free for one in host.interfaces}
    for one in before.interfaces:
        port = one.function_port or one.name
        used = sum(1 for nic in taken.nics if nic.function_port == port)
        assert by_port[port] == max(0, one.functions_free - used)
