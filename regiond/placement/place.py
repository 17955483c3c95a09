"""The decision: filters in a fixed order, each with a reason that holds numbers, then a score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Literal

from attrs import evolve

from common.units import BYTES_PER_GB
from regiond.placement.host_filters import excluded
from regiond.placement.model import DiskPlace, HostOffer, Placement, PoolOffer, Verdict, Wish, claimable
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
    blocked = excluded(wish, host) or _unusable(wish, host)
    if blocked is not None:
        return evolve(verdict, reasons=(blocked,))
    reasons = [reason for check in _CAPACITY for reason in [check(wish, host)] if reason is not None]
    assigned, storage_reason = assign_storage(wish.disks, host)
    if storage_reason is not None:
        reasons.append(storage_reason)
    if reasons:
        return evolve(verdict, reasons=tuple(reasons))
    return evolve(verdict, score=_headroom(wish, host), disks=assigned)


def _unusable(wish: Wish, host: HostOffer) -> str | None:
    """Why the host takes no machine at all, whatever its size."""
    if host.state == "removing":
        return "it is being removed"
    if host.cores is None or host.memory_mib is None:
        return "its capacity is unknown until its first good discovery"
    if wish.host_id is None and not host.reachable:
        return "no connected rack reaches it"
    if wish.architecture is not None and wish.architecture != host.architecture:
        return f"architecture: {wish.architecture} asked, the host is {host.architecture}"
    if wish.cpu_speed_mhz is not None and host.cpu_speed_mhz is not None and wish.cpu_speed_mhz > host.cpu_speed_mhz:
        return f"CPU speed: {wish.cpu_speed_mhz} MHz asked, the host has {host.cpu_speed_mhz} MHz"
    return None


def _cores(wish: Wish, host: HostOffer) -> str | None:
    total, ratio = host.cores or 0, host.cpu_over_commit_ratio
    if wish.cores > host.cores_left:
        return (
            f"cores: {wish.cores} asked, {max(0, host.cores_left)} of {total} × {ratio} = "
            f"{claimable(total, ratio)} left"
        )
    return f"cores: {wish.cores} asked, {total} are all that the host has" if wish.cores > total else None


def _memory(wish: Wish, host: HostOffer) -> str | None:
    total, ratio = host.memory_mib or 0, host.memory_over_commit_ratio
    if wish.memory_mib > host.memory_mib_left:
        return (
            f"memory: {wish.memory_mib} MiB asked, {max(0, host.memory_mib_left)} of {total} × {ratio} = "
            f"{claimable(total, ratio)} MiB left"
        )
    if wish.memory_mib > total:
        return f"memory: {wish.memory_mib} MiB asked, {total} MiB are all that the host has"
    return None


# Whatever the ratios, a machine that is larger than its host could never run there.
_CAPACITY: tuple[Callable[[Wish, HostOffer], str | None], ...] = (_cores, _memory)


def assign_storage(disks: Iterable[DiskWish], host: HostOffer) -> tuple[tuple[DiskPlace, ...], str | None]:
    """The storage pool of each disk, or a reason why one has none. Earlier disks use up room for later ones.

    Pools named by a tag come first and have no fallback; then the host's default pool, without fallback; a host
    without a default gives the first pool with room.
    """
    room = {pool.id: pool.room_bytes for pool in host.storage_pools}
    assigned: list[DiskPlace] = []
    for disk in disks:
        size_bytes = disk.size_bytes or DEFAULT_ROOT_BYTES
        candidates = _pools_for(disk, host)
        found = next((pool for pool in candidates if room[pool.id] >= size_bytes), None)
        if found is None:
            return (), _no_room(size_bytes, candidates, room)
        room[found.id] -= size_bytes
        place_of = DiskPlace(
            label=disk.label, size_bytes=size_bytes, tags=disk.tags, storage_pool_id=found.id, storage_pool=found.name
        )
        assigned.append(place_of)
    return tuple(assigned), None


def _pools_for(disk: DiskWish, host: HostOffer) -> list[PoolOffer]:
    named = [pool for pool in host.storage_pools if pool.name in disk.tags]
    if named:
        return named
    default = [pool for pool in host.storage_pools if pool.id == host.default_storage_pool_id]
    return default or list(host.storage_pools)


def _no_room(size_bytes: int, candidates: list[PoolOffer], room: Mapping[int, int]) -> str:
    most_bytes = max((room[pool.id] for pool in candidates), default=0)
    digits = next(digits for digits in range(1, 10) if _gb(size_bytes, digits) != _gb(most_bytes, digits))
    asked = f"storage: a disk of {_gb(size_bytes, digits)} GB asked"
    if not candidates:
        return f"{asked}, the host has no storage pool"
    left = ", ".join(
        f"{_gb(room[pool.id], digits)} of {_gb(pool.total_bytes, digits)} GB left in {pool.name}" for pool in candidates
    )
    return f"{asked}, {left}"


def _gb(size_bytes: int, digits: int) -> str:
    """With nine digits every byte tells."""
    return f"{Decimal(size_bytes) / BYTES_PER_GB:.{digits}f}"


def _headroom(wish: Wish, host: HostOffer) -> float:
    """The smaller share of cores and memory that would be left, 0…1, rounded so that equal hosts tie."""
    cores = claimable(host.cores or 0, host.cpu_over_commit_ratio)
    memory_mib = claimable(host.memory_mib or 0, host.memory_over_commit_ratio)
    return round(
        min((host.cores_left - wish.cores) / cores, (host.memory_mib_left - wish.memory_mib) / memory_mib),
        6,
    )
