"""The decision: filters in a fixed order, each with a reason that holds numbers, then a score."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from attrs import evolve

from common.units import BYTES_PER_GB
from regiond.placement.model import HostOffer, Placement, PoolOffer, Verdict, Wish, claimable
from regiond.placement.storage_text import DiskWish

Strategy = Literal["spread", "pack"]
DEFAULT_ROOT_BYTES = 8 * BYTES_PER_GB


def place(wish: Wish, hosts: Iterable[HostOffer], *, strategy: Strategy = "spread") -> Placement:
    """Judge every host. Nothing fitting is an answer (`chosen` is None), never an exception.

    `spread` prefers the host with the largest share of its claimable compute left afterwards, `pack` the smallest; ties
    go to the lower id, so the order of `hosts` never matters.
    """
    fitting: list[Verdict] = []
    refused: list[Verdict] = []
    for host in hosts:
        verdict = _judge(wish, host)
        (fitting if verdict.fits else refused).append(verdict)
    sign = -1.0 if strategy == "spread" else 1.0
    fitting.sort(key=lambda verdict: (sign * (verdict.score or 0.0), verdict.host_id))
    refused.sort(key=lambda verdict: verdict.host_id)
    return Placement(order=tuple(fitting), refused=tuple(refused))


def _judge(wish: Wish, host: HostOffer) -> Verdict:
    verdict = Verdict(host_id=host.id, host_name=host.name)
    blocked = _unusable(wish, host)
    if blocked is not None:
        return evolve(verdict, reasons=(blocked,))
    reasons = [reason for check in _CAPACITY for reason in [check(wish, host)] if reason is not None]
    assigned, storage_reason = assign_storage(wish.disks, host)
    if storage_reason is not None:
        reasons.append(storage_reason)
    if reasons:
        return evolve(verdict, reasons=tuple(reasons))
    return evolve(verdict, score=_headroom(wish, host), storage_pool_ids=assigned)


def _unusable(wish: Wish, host: HostOffer) -> str | None:
    """Why the host takes no machine at all, whatever its size."""
    if wish.host_id is not None and wish.host_id != host.id:
        return "not the host that was asked for"
    if host.state == "removing":
        return "it is being removed"
    if host.cores is None or host.memory_mib is None:
        return "its capacity is unknown until its first good discovery"
    if wish.host_id is None and not host.reachable:
        return "no connected rack reaches it"
    if wish.architecture is not None and wish.architecture != host.architecture:
        return f"architecture: {wish.architecture} asked, the host is {host.architecture}"
    return None


def _cores(wish: Wish, host: HostOffer) -> str | None:
    if wish.cores <= host.cores_left:
        return None
    return (
        f"cores: {wish.cores} asked, {max(0, host.cores_left)} of {host.cores} × {host.cpu_over_commit_ratio} = "
        f"{claimable(host.cores or 0, host.cpu_over_commit_ratio)} left"
    )


def _memory(wish: Wish, host: HostOffer) -> str | None:
    if wish.memory_mib <= host.memory_mib_left:
        return None
    return (
        f"memory: {wish.memory_mib} MiB asked, {max(0, host.memory_mib_left)} of {host.memory_mib} × "
        f"{host.memory_over_commit_ratio} = {claimable(host.memory_mib or 0, host.memory_over_commit_ratio)} MiB left"
    )


_CAPACITY: tuple[Callable[[Wish, HostOffer], str | None], ...] = (_cores, _memory)


def assign_storage(disks: Iterable[DiskWish], host: HostOffer) -> tuple[tuple[int, ...], str | None]:
    """The storage pool (id) of each disk, or a reason why one has none. Earlier disks use up room for later ones.

    Pools named by a tag come first and have no fallback; then the host's default pool, without fallback; a host
    without a default gives the first pool with room.
    """
    room = {pool.id: pool.room_bytes for pool in host.storage_pools}
    assigned: list[int] = []
    for disk in disks:
        size_bytes = disk.size_bytes or DEFAULT_ROOT_BYTES
        candidates = _pools_for(disk, host)
        found = next((pool for pool in candidates if room[pool.id] >= size_bytes), None)
        if found is None:
            return (), _no_room(size_bytes, candidates, room)
        room[found.id] -= size_bytes
        assigned.append(found.id)
    return tuple(assigned), None


def _pools_for(disk: DiskWish, host: HostOffer) -> list[PoolOffer]:
    named = [pool for pool in host.storage_pools if pool.name in disk.tags]
    if named:
        return named
    default = [pool for pool in host.storage_pools if pool.id == host.default_storage_pool_id]
    return default or list(host.storage_pools)


def _no_room(size_bytes: int, candidates: list[PoolOffer], room: dict[int, int]) -> str:
    asked = f"storage: a disk of {size_bytes / BYTES_PER_GB:.1f} GB asked"
    if not candidates:
        return f"{asked}, the host has no storage pool"
    left = ", ".join(
        f"{room[pool.id] / BYTES_PER_GB:.1f} of {pool.total_bytes / BYTES_PER_GB:.1f} GB left in {pool.name}"
        for pool in candidates
    )
    return f"{asked}, {left}"


def _headroom(wish: Wish, host: HostOffer) -> float:
    """The smaller share of cores and memory that would be left, 0…1, rounded so that equal hosts tie."""
    cores = claimable(host.cores or 0, host.cpu_over_commit_ratio)
    memory_mib = claimable(host.memory_mib or 0, host.memory_over_commit_ratio)
    return round(
        min((host.cores_left - wish.cores) / cores, (host.memory_mib_left - wish.memory_mib) / memory_mib),
        6,
    )
