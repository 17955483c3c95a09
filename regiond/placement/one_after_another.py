"""Several machines alike at one time: each is placed as if those before it had been claimed already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve, frozen

from regiond.placement.interfaces import needed_functions, port_of
from regiond.placement.model import HostOffer, InterfaceOffer, NicPlace, NodeOffer, Placement, PoolOffer, Verdict, Wish
from regiond.placement.place import Strategy, judge, place, rank


@frozen(kw_only=True)
class Taking:
    """A machine that may be on the host of the verdict already."""

    wish: Wish
    verdict: Verdict


def place_each(
    wish: Wish, hosts: Sequence[HostOffer], times: int, *, strategy: Strategy = "spread"
) -> tuple[Placement, ...]:
    """Up to `times` placements, at least one. It ends where nothing fits any more, unless that is the first one: what
    those before it leave is only known for certain when their claims are made.

    Every host is judged once, and again only the one that was taken.
    """
    placed = [place(wish, hosts, strategy=strategy)]
    left = {host.id: host for host in hosts}
    while len(placed) < times and (taken := placed[-1].chosen) is not None:
        left[taken.host_id] = after(left[taken.host_id], wish, taken)
        following = _judged_anew(placed[-1], judge(wish, left[taken.host_id]), strategy)
        if following.chosen is None:
            break
        placed.append(following)
    return tuple(placed)


def _judged_anew(placement: Placement, verdict: Verdict, strategy: Strategy) -> Placement:
    """`placement` with another verdict of the host that was chosen."""
    others = placement.order[1:]
    if verdict.fits:
        return evolve(placement, order=tuple(sorted((*others, verdict), key=rank(strategy))))
    refused = sorted((*placement.refused, verdict), key=lambda one: one.host_id)
    return evolve(placement, order=others, refused=tuple(refused))


def after_all(hosts: Iterable[HostOffer], takings: Iterable[Taking]) -> tuple[HostOffer, ...]:
    """What the hosts have to offer when all those machines are on them."""
    left = {host.id: host for host in hosts}
    for one in takings:
        if one.verdict.host_id in left:
            left[one.verdict.host_id] = after(left[one.verdict.host_id], one.wish, one.verdict)
    return tuple(left.values())


def after(host: HostOffer, wish: Wish, verdict: Verdict) -> HostOffer:
    """What the host has to offer when the machine is on it as `verdict` says."""
    return evolve(
        host,
        cores_claimed=host.cores_claimed + wish.cores,
        memory_mib_claimed=host.memory_mib_claimed + (0 if wish.huge_pages else wish.memory_mib),
        storage_pools=tuple(_pool_after(pool, verdict) for pool in host.storage_pools),
        nodes=tuple(_node_after(node, verdict) for node in host.nodes),
        interfaces=_interfaces_after(host.interfaces, verdict.nics),
    )


def _pool_after(pool: PoolOffer, verdict: Verdict) -> PoolOffer:
    taken_bytes = sum(disk.size_bytes for disk in verdict.disks if disk.storage_pool_id == pool.id)
    return evolve(pool, room_bytes=max(0, pool.room_bytes - taken_bytes)) if taken_bytes else pool


def _node_after(node: NodeOffer, verdict: Verdict) -> NodeOffer:
    taken = {pages.size_kib: pages.pages for pages in verdict.pages if pages.node_id == node.node_id}
    return evolve(
        node,
        free_core_ids=tuple(core_id for core_id in node.free_core_ids if core_id not in verdict.pinned_core_ids),
        pages=tuple(evolve(pages, free=pages.free - taken.get(pages.size_kib, 0)) for pages in node.pages),
    )


def _interfaces_after(interfaces: tuple[InterfaceOffer, ...], nics: Iterable[NicPlace]) -> tuple[InterfaceOffer, ...]:
    """Every interface that takes its functions from a port has as many less."""
    taken = needed_functions(nics)
    if not taken:
        return interfaces
    return tuple(
        evolve(one, functions_free=max(0, one.functions_free - taken.get(port_of(one), 0))) for one in interfaces
    )
