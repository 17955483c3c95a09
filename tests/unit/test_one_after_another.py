"""Machines alike at one time are placed as they would be one by one, each after the claims of those before it."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from regiond.placement.model import HostOffer, Placement, Verdict, Wish
from regiond.placement.one_after_another import Taking, after, after_all, place_each
from regiond.placement.place import Strategy, place
from tests.fleets import fleet, wish

HOSTS = 5
TIMES = 6
STRATEGIES: tuple[Strategy, ...] = ("spread", "pack")


@settings(max_examples=200)
@given(random=st.randoms(use_true_random=True), strategy=st.sampled_from(STRATEGIES))
def test_each_is_placed_as_if_those_before_it_were_claimed(random: Random, strategy: Strategy) -> None:
    hosts, wanted = fleet(random, hosts=HOSTS), wish(random, hosts=HOSTS)
    expected = one_by_one(wanted, {host.id: host for host in hosts}, strategy)
    assert list(place_each(wanted, hosts, TIMES, strategy=strategy)) == expected


@settings(max_examples=100)
@given(random=st.randoms(use_true_random=True))
def test_what_is_under_way_is_left_out_of_what_hosts_have_whatever_hosts_were_looked_at(random: Random) -> None:
    hosts, wanted = fleet(random, hosts=HOSTS), wish(random, hosts=HOSTS)
    then = {host.id: host for host in hosts}
    placed = one_by_one(wanted, then, "spread")
    takings = [Taking(wish=wanted, verdict=one.chosen) for one in placed if one.chosen is not None]
    if placed[-1].chosen is not None and len(placed) == TIMES:  # the last one was placed, and nobody after it
        then[placed[-1].chosen.host_id] = after(then[placed[-1].chosen.host_id], wanted, placed[-1].chosen)
    assert after_all(hosts, takings) == tuple(then[host.id] for host in hosts)
    assert after_all(hosts[1:], takings) == tuple(then[host.id] for host in hosts[1:])


def one_by_one(wanted: Wish, hosts: dict[int, HostOffer], strategy: Strategy) -> list[Placement]:
    """All that fit, or the one refusal; nothing is given away that is not there."""
    placed = [place(wanted, hosts.values(), strategy=strategy)]
    while len(placed) < TIMES and (taken := placed[-1].chosen) is not None:
        before = hosts[taken.host_id]
        hosts[taken.host_id] = after(before, wanted, taken)
        check(wanted, before, hosts[taken.host_id], taken)
        following = place(wanted, hosts.values(), strategy=strategy)
        if following.chosen is None:
            break
        placed.append(following)
    return placed


def check(wanted: Wish, before: HostOffer, host: HostOffer, taken: Verdict) -> None:
    assert host.cores_left == before.cores_left - wanted.cores >= 0
    assert host.memory_mib_left == before.memory_mib_left - (0 if wanted.huge_pages else wanted.memory_mib)
    rooms = {pool.id: pool.room_bytes for pool in host.storage_pools}
    assert all(room >= 0 for room in rooms.values())
    assert sum(pool.room_bytes for pool in before.storage_pools) - sum(rooms.values()) == sum(
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
