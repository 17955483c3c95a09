"""The volumes of one machine: made in storage pools, found again, removed. Only volumes named after its mark."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

import structlog
from attrs import frozen

from common.errors import DriverFailed, InnkeeperError, NotFound, OutOfCapacity
from common.marks import mark_of_volume, seed_name
from common.values import DiskSpec, GuestSpec, Mark
from rackd.drivers.libvirt.client import Client
from rackd.drivers.libvirt.definition import MadeDisk, MadeSeed, seed_volume_xml, volume_xml
from rackd.drivers.libvirt.facts import POOL_TYPES
from rackd.drivers.libvirt.handles import Pool, Volume
from rackd.drivers.libvirt.trees import Element, bytes_at, parse, text_at

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ROUNDING_BYTES = 64 * 1024 * 1024  # LVM and ZFS round a volume's size up to their own units


@frozen(kw_only=True)
class Place:
    """A disk, its pool, and the volume that an earlier attempt left there."""

    disk: DiskSpec
    pool: Pool
    pool_type: str
    there: Volume | None


def places(client: Client, spec: GuestSpec) -> list[Place]:
    """Where each disk goes. Makes nothing; raises NotFound, DriverFailed (pool not usable) or OutOfCapacity."""
    found: list[Place] = []
    left: dict[str, int] = {}
    for disk in spec.disks:
        pool = client.pool(disk.pool_id)
        tree = parse(pool.xml(), f"the storage pool {pool.name}")
        pool_type = tree.get("type", "")
        if pool_type not in POOL_TYPES:
            raise DriverFailed(
                f"The storage pool {pool.name} is of type {pool_type}; guests' disks go into {', '.join(POOL_TYPES)}."
            )
        place = Place(disk=disk, pool=pool, pool_type=pool_type, there=_usable(pool, disk))
        if place.there is None:
            room = left.get(disk.pool_id)
            room = _room(pool, tree, disk) if room is None else room
            left[disk.pool_id] = _take(pool, disk, room)
        found.append(place)
    return found


def _usable(pool: Pool, disk: DiskSpec) -> Volume | None:
    """The volume of this disk from an earlier attempt. One of another size was never given to a guest: it goes."""
    volume = pool.volume(disk.volume)
    if volume is None:
        return None
    size = volume.capacity_bytes()
    if disk.size_bytes <= size < disk.size_bytes + ROUNDING_BYTES:
        return volume
    log.warning("half_made_volume_removed", volume=disk.volume, size_bytes=size, wanted_bytes=disk.size_bytes)
    volume.delete()
    return None


def _room(pool: Pool, tree: Element, disk: DiskSpec) -> int:
    """Bytes left in the pool; looked up anew where libvirt's last figure would not do."""
    left = bytes_at(tree, "available", unit="bytes") or 0
    if left >= disk.size_bytes:
        return left
    pool.refresh()
    return bytes_at(parse(pool.xml(), f"the storage pool {pool.name}"), "available", unit="bytes") or 0


def _take(pool: Pool, disk: DiskSpec, left_bytes: int) -> int:
    if disk.size_bytes > left_bytes:
        raise OutOfCapacity(
            f"The storage pool {pool.name} has {left_bytes} bytes left; the disk takes {disk.size_bytes}.",
            asked_bytes=disk.size_bytes,
            left_bytes=left_bytes,
        )
    return left_bytes - disk.size_bytes


def make(wanted: Iterable[Place], made: list[Volume]) -> tuple[MadeDisk, ...]:
    """The volumes, each there now. What this call makes is added to `made` at once, so that it can be undone."""
    disks = []
    for place in wanted:
        volume = place.there
        if volume is None:
            volume = place.pool.make(volume_xml(place.disk, place.pool_type), place.disk.volume)
            made.append(volume)
        disks.append(MadeDisk(spec=place.disk, path=volume.path(), block=place.pool_type != "dir"))
    return tuple(disks)


def make_seed(root: Place, mark: Mark, content: bytes, made: list[Volume]) -> MadeSeed:
    """The image that tells a guest its addresses, beside the root disk. One of an earlier attempt is made anew: it may
    be half written, and no guest has it yet."""
    name = seed_name(mark)
    there = root.pool.volume(name)
    if there is not None:
        there.delete()
    volume = root.pool.make(seed_volume_xml(name, len(content), root.pool_type), name)
    made.append(volume)
    volume.write(content)
    return MadeSeed(path=volume.path(), block=root.pool_type != "dir")


def undo(made: Iterable[Volume]) -> None:
    """As far as the host lets us: what stays is logged, and found again by its name."""
    for volume in made:
        try:
            volume.delete()
        except NotFound:
            continue
        except InnkeeperError as error:
            log.warning("volume_left_behind", volume=volume.name, reason=str(error))


def made_on(pool: Pool) -> defaultdict[str, set[str]]:
    """Which volumes of the pool, as libvirt knows it, need the one of that name: images on top, snapshots."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name, xml in pool.volume_definitions():
        below = text_at(parse(xml, f"the volume {name}"), "backingStore/path")
        if below:
            found[PurePosixPath(below).name].add(name)
    return found


def remove(client: Client, mark: Mark, volumes: Iterable[tuple[str, str]], in_use: set[str]) -> None:
    """Remove those of `volumes` (pool id, name) that carry `mark`, and the image for cloud-init that may be beside.

    What another guest has (`in_use`, paths) or another volume is made on, such as a linked clone, is left and logged.
    """
    ours: defaultdict[str, set[str]] = defaultdict(set)
    for pool_id, name in volumes:
        if mark_of_volume(name) == mark:
            ours[pool_id] |= {name, seed_name(mark)}
    for pool_id, names in sorted(ours.items()):
        try:
            _remove_from(client.pool(pool_id), names, in_use)
        except NotFound as error:
            log.info("storage_pool_was_gone", pool=pool_id, reason=str(error))


def _remove_from(pool: Pool, names: set[str], in_use: set[str]) -> None:
    above = made_on(pool)
    for name in sorted(names):
        try:
            volume = pool.volume(name)
            if volume is None:
                continue
            if volume.path() in in_use or above[name] - names:
                log.warning("shared_volume_left", volume=name, pool=pool.name, made_on_it=sorted(above[name] - names))
                continue
            volume.delete()
        except NotFound as error:
            log.info("volume_was_gone", volume=name, pool=pool.name, reason=str(error))
