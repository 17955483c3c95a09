"""The decision: filters in a fixed order, each with a reason that holds numbers, then a score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Literal

from common.units import BYTES_PER_GB
from regiond.placement.host_filters import excluded
from regiond.placement.interfaces import attach
from regiond.placement.model import DiskPlace, HostOffer, Placement, PoolOffer, Verdict, Wish
from regiond.placement.numa_place import assign_numa
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
        verdict = judge(wish, host)
        (fitting if verdict.fits else refused).append(verdict)
    fitting.sort(key=rank(strategy))
    refused.sort(key=lambda verdict: verdict.host_id)
    return Placement(order=tuple(fitting), refused=tuple(refused))


def rank(strategy: Strategy) -> Callable[[Verdict], tuple[float, int]]:
    """The key of the order in which hosts that fit are preferred, the best first."""
    sign = -1.0 if strategy == "spread" else 1.0
    return lambda verdict: (sign * (verdict.score or 0.0), verdict.host_id)


def judge(wish: Wish, host: HostOffer) -> Verdict:
    """What is said of this one host, whatever others there are."""
    blocked = excluded(wish, host) or _unusable(wish, host)
    if blocked is not None:
        return Verdict(host_id=host.id, host_name=host.name, reasons=(blocked,))
    numa, numa_reasons = assign_numa(wish, host)
    disks, storage_reason = assign_storage(wish.disks, host)
    nics, interfaces_reason = attach(wish.nics, host)
    reasons = (_cores(wish, host), _memory(wish, host), *numa_reasons, storage_reason, interfaces_reason)
    lacks = tuple(reason for reason in reasons if reason is not None)
    if lacks:
        return Verdict(host_id=host.id, host_name=host.name, reasons=lacks)
    return Verdict(
        host_id=host.id,
        host_name=host.name,
        score=_headroom(wish, host),
        disks=disks,
        nics=nics,
        pinned_core_ids=numa.core_ids,
        pages=numa.pages,
        numa_node_ids=numa.node_ids,
    )


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


# Whatever the ratios, a machine that is larger than its host could never run there.


def _cores(wish: Wish, host: HostOffer) -> str | None:
    kept = (("reserved", host.reserved_cores),)
    if wish.cores > host.cores_left:
        whole = _without(host.cores or 0, kept, brackets=True)
        return (
            f"cores: {wish.cores} asked, {max(0, host.cores_left)} of {whole} × {host.cpu_over_commit_ratio} = "
            f"{host.cores_claimable} left"
        )
    if wish.cores > host.cores_for_machines:
        return f"cores: {wish.cores} asked, {_without(host.cores or 0, kept)} are all that the host has"
    return None


def _memory(wish: Wish, host: HostOffer) -> str | None:
    """A machine that is backed by huge pages needs no general memory."""
    if wish.huge_pages:
        return None
    kept = (("in huge pages", host.huge_memory_mib), ("reserved", host.reserved_memory_mib))
    if wish.memory_mib > host.memory_mib_left:
        whole = _without(host.memory_mib or 0, kept, brackets=True)
        return (
            f"memory: {wish.memory_mib} MiB asked, {max(0, host.memory_mib_left)} of {whole} × "
            f"{host.memory_over_commit_ratio} = {host.memory_mib_claimable} MiB left"
        )
    if wish.memory_mib > host.memory_mib_for_machines:
        whole = _without(host.memory_mib or 0, kept)
        return f"memory: {wish.memory_mib} MiB asked, {whole} MiB are all that the host has"
    return None


def _without(total: int, kept: Iterable[tuple[str, int]], *, brackets: bool = False) -> str:
    """`16`, or `16 - 2 reserved` where something is kept."""
    text = " - ".join([str(total), *(f"{amount} {what}" for what, amount in kept if amount)])
    return f"({text})" if brackets and " " in text else text


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
    """The smaller share of cores and general memory that would be left, 0…1, rounded so that equal hosts tie.

    Where all memory is in huge pages, only cores count.
    """
    cores, memory_mib = host.cores_claimable, host.memory_mib_claimable
    shares = [(cores - host.cores_claimed - wish.cores) / cores]
    if memory_mib:
        asked_mib = 0 if wish.huge_pages else wish.memory_mib
        shares.append((memory_mib - host.memory_mib_claimed - asked_mib) / memory_mib)
    return round(min(shares), 6)
