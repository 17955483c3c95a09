"""Creates, finds and deletes the volumes of one machine, all named after its marker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import structlog
from attrs import frozen

from common.disks.volume_names import marker_of_volume, seed_name, serial_log_name, with_kept_logs
from common.errors import DriverFailed, HostUnreachable, InnkeeperError, NotFound, OutOfCapacity, WrongState
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.values import OwnershipMarker
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.storage_objects import Pool, Volume
from rackd.drivers.libvirt.definitions.disk_xml import PreparedDisk
from rackd.drivers.libvirt.definitions.domain_xml import volume_xml
from rackd.drivers.libvirt.definitions.seed_xml import PreparedSeed
from rackd.drivers.libvirt.guests.disks.dependents import dependents_of
from rackd.drivers.libvirt.guests.disks.pools import GuestPool, guest_pool
from rackd.drivers.libvirt.guests.disks.volume_users import VolumeUsers

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ROUNDING_BYTES = 64 * 1024 * 1024  # LVM and ZFS round volume sizes up to their own units


@frozen(kw_only=True)
class DiskTarget:
    """A disk, its pool, and the usable volume of an earlier attempt."""

    disk: DiskSpec
    pool: GuestPool
    existing: Volume | None


def find_targets(client: Client, spec: GuestSpec) -> list[DiskTarget]:
    """Creates nothing. Raises NotFound, DriverFailed (unsuitable pool) or OutOfCapacity."""
    targets: list[DiskTarget] = []
    available: dict[str, int] = {}
    for disk in spec.disks:
        pool = guest_pool(client, disk.pool_id)
        target = DiskTarget(disk=disk, pool=pool, existing=_existing_volume(pool.pool, disk))
        if target.existing is None:
            left_bytes = available.get(disk.pool_id)
            left_bytes = pool.available_bytes(disk.size_bytes) if left_bytes is None else left_bytes
            available[disk.pool_id] = _subtract(pool.pool, disk, left_bytes)
        targets.append(target)
    return targets


def _existing_volume(pool: Pool, disk: DiskSpec) -> Volume | None:
    """Returns the disk's volume of an earlier attempt. Deletes one of another size: no guest ever had it."""
    volume = pool.volume(disk.volume)
    if volume is None:
        return None
    size = volume.capacity_bytes()
    if is_size_of(disk, size):
        return volume
    log.warning("incomplete_volume_deleted", volume=disk.volume, size_bytes=size, wanted_bytes=disk.size_bytes)
    volume.delete()
    return None


def is_size_of(disk: DiskSpec, size_bytes: int) -> bool:
    """Returns whether a new volume for `disk` can have this size."""
    return disk.size_bytes <= size_bytes < disk.size_bytes + ROUNDING_BYTES


def _subtract(pool: Pool, disk: DiskSpec, left_bytes: int) -> int:
    check_fits(pool, disk.size_bytes, left_bytes)
    return left_bytes - disk.size_bytes


def check_fits(pool: Pool, wanted_bytes: int, left_bytes: int, what: str = "The disk needs") -> None:
    """Raises OutOfCapacity."""
    if wanted_bytes > left_bytes:
        raise OutOfCapacity(
            f"{what} {wanted_bytes} bytes; the storage pool {pool.name} has {left_bytes} left.",
            requested_bytes=wanted_bytes,
            left_bytes=left_bytes,
        )


def create(
    targets: Iterable[DiskTarget], created: list[Volume], make: Callable[[DiskTarget], Volume | None] | None = None
) -> tuple[PreparedDisk, ...]:
    """Returns a disk for each target. Appends each new volume to `created` at once, so that it can be undone.

    `make` fills volumes with content; those for which it returns None are empty.
    """
    disks = []
    for target in targets:
        volume = target.existing
        if volume is None:
            volume = None if make is None else make(target)
            volume = create_empty(target.pool, target.disk) if volume is None else volume
            created.append(volume)
        disks.append(PreparedDisk(spec=target.disk, path=volume.path(), block=target.pool.has_block_devices))
    return tuple(disks)


def create_empty(pool: GuestPool, disk: DiskSpec) -> Volume:
    return pool.pool.create(volume_xml(disk.volume, disk.size_bytes, pool.type), disk.volume)


def create_seed(pool: GuestPool, marker: OwnershipMarker, content: bytes, created: list[Volume]) -> PreparedSeed:
    """Creates the cloud-init seed image in the pool of the root disk.

    Replaces the image of an earlier attempt, which may be incomplete. No running guest has it.
    """
    name = seed_name(marker)
    delete_from(pool.pool, name)
    volume = pool.pool.create(volume_xml(name, len(content), pool.type), name)
    created.append(volume)
    volume.write(content)
    return PreparedSeed(path=volume.path(), block=pool.has_block_devices)


def delete_seed(pool: GuestPool, marker: OwnershipMarker) -> None:
    """Idempotent."""
    delete_from(pool.pool, seed_name(marker))


def create_serial_log(pool: GuestPool, marker: OwnershipMarker, created: list[Volume]) -> str | None:
    """Returns the path of the file for the guest's serial output, which virtlogd writes; None in a pool of devices.

    The empty file makes it a volume: libvirt notices new files only when it reads the whole pool again.
    """
    if pool.has_block_devices:
        return None
    name = serial_log_name(marker)
    volume = pool.pool.volume(name)
    if volume is None:
        volume = pool.pool.create(volume_xml(name, 0, pool.type), name)
        created.append(volume)
    return volume.path()


def delete_from(pool: Pool, name: str) -> bool:
    """Returns whether it deleted the volume. Idempotent."""
    volume = pool.volume(name)
    if volume is None:
        return False
    try:
        volume.delete()
    except NotFound:
        log.info("volume_already_deleted", volume=name, pool=pool.name)
        return False
    return True


def undo(created: Iterable[Volume]) -> None:
    """Deletes these volumes. Logs those that cannot be deleted; discovery finds them again by name."""
    for volume in created:
        try:
            volume.delete()
        except NotFound:
            continue
        except InnkeeperError as error:
            log.warning("volume_not_deleted", volume=volume.name, reason=str(error))


def volumes_to_delete(
    client: Client, marker: OwnershipMarker, volumes: Iterable[tuple[str, str]]
) -> list[tuple[Pool, set[str]]]:
    """Returns, with their pools, those of `volumes` (pool id, name) that belong to `marker`, its seed and serial log.

    Raises WrongState for an inactive storage pool: what is there could not be deleted with the rest.
    """
    owned: defaultdict[str, set[str]] = defaultdict(set)
    for pool_id, name in volumes:
        if marker_of_volume(name) == marker:
            owned[pool_id].add(name)
    companions = {seed_name(marker), *with_kept_logs(serial_log_name(marker))}
    found = []
    for pool_id, names in sorted(owned.items()):
        try:
            found.append((client.pool(pool_id), names | companions))
        except NotFound as error:
            log.info("storage_pool_not_found", pool=pool_id, reason=str(error))
        except DriverFailed as error:
            raise WrongState(
                f"Nothing was deleted: {', '.join(sorted(names))} could not be deleted with the rest. {error} If what "
                "was stored there is lost, remove the pool: virsh pool-undefine. Then delete again.",
                volumes=sorted(names),
            ) from error
    return found


def delete(client: Client, volumes: Iterable[tuple[Pool, set[str]]], users: VolumeUsers, *, but: str = "") -> None:
    """Deletes these volumes. Idempotent. Logs and does not delete those of `users` except the guest `but`, and those
    that another volume depends on.

    Raises what the host raises for a volume that it does not delete, after the others are deleted.
    """
    failures: list[InnkeeperError] = []
    for pool, names in volumes:
        try:
            pool.refresh()  # shows the older parts of the serial log
        except DriverFailed as error:  # a copy to the pool runs; discovery finds what remains
            log.info("storage_pool_not_refreshed", pool=pool.name, reason=str(error))
        dependents = dependents_of(client, pool, names)
        for name in sorted(names):
            others = users.of_volume(pool, name) - {but} | (dependents[name] - names)
            if others:
                log.warning("shared_volume_not_deleted", volume=name, pool=pool.name, users=sorted(others))
                continue
            try:
                delete_from(pool, name)
            except HostUnreachable:
                raise
            except InnkeeperError as error:
                failures.append(error)
    for failure in failures:
        raise failure
