"""Grows the disks of an instance.

LXD 5.0 grows no volume that a running instance uses. It accepts another size of a running instance's root disk, shows
it, and grows the disk at the next start. So the driver leaves that disk alone while the instance runs: the region sends
the size with the next start. Newer LXD may grow the other volumes of a running instance.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from common.errors import DriverFailed, Unsupported
from common.guests.sizes import DiskSize, GrownDisk
from common.values import GuestRef, PowerState
from rackd.drivers.driver_errors import disk_not_found
from rackd.drivers.lxd.connection.client import path
from rackd.drivers.lxd.guests.disks import volumes
from rackd.drivers.lxd.guests.disks.attached_disks import device_of, is_root, volumes_of
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.project_limits import limits_as_capacity
from rackd.drivers.lxd.guests.safeguards import check_no_saved_memory
from rackd.drivers.lxd.inventory.boot_order import Device
from rackd.drivers.lxd.inventory.ownership import Json
from rackd.drivers.lxd.inventory.power_states import STOPPED, power_of
from rackd.drivers.lxd.inventory.volume_index import parse_volume
from rackd.drivers.resizing import before_start
from rackd.drivers.start_refusals import StartChange

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_IN_USE, _NOT_SUPPORTED = "in use", "not supported"  # in the texts with which LXD refuses


def grow(instances: Instances, guest: GuestRef, size: DiskSize) -> GrownDisk:
    """Returns the size that the disk has now. Raises as the driver contract says."""
    found = instances.of_machine(guest)
    check_no_saved_memory(instances, found, what="its disks")
    return GrownDisk(size_bytes=_grow(instances, found, size), power=power_of(int(found["status_code"])))


def apply_before_start(instances: Instances, name: str, sizes: Iterable[DiskSize]) -> None:
    """Grows disks of an instance that is off, unless LXD refuses it."""
    found = instances.read(name)
    if int(found["status_code"]) == STOPPED:
        for size in sizes:
            with before_start(name, StartChange.DISK):
                _grow(instances, found, size)


def _grow(instances: Instances, found: Json, size: DiskSize) -> int:
    name = str(found["name"])
    device = device_of(found, size.pool_id, size.volume)
    if device is None:
        raise disk_not_found(name, size.volume, volumes_of(found))
    entry: Device = found["expanded_devices"][device]
    try:
        with limits_as_capacity():
            return (
                _grow_root(instances, found, device, size)
                if is_root(entry)
                else _grow_volume(instances, found, entry, size)
            )
    except DriverFailed as error:
        if _NOT_SUPPORTED in str(error).lower():
            raise Unsupported(f"The storage pool {size.pool_id} cannot grow {size.volume}: {error}") from error
        raise


def _grow_root(instances: Instances, found: Json, device: str, size: DiskSize) -> int:
    name = str(found["name"])
    disks = instances.plain_guest(found).disks
    has = next(disk.size_bytes for disk in disks if disk.device == device)
    if not _has_more(instances, found, size, has):
        return has
    if power_of(int(found["status_code"])) is not PowerState.OFF:
        log.info("disk_not_grown_while_running", guest=name, volume=size.volume)
        return has
    entry = {**found["expanded_devices"][device], "size": str(size.size_bytes)}
    instances.change(name, devices={device: entry}, config={})
    log.info("disk_grown", guest=name, volume=size.volume, size_bytes=size.size_bytes)
    return size.size_bytes


def _grow_volume(instances: Instances, found: Json, entry: Device, size: DiskSize) -> int:
    client, scope = instances.client, instances.scope_of(found)
    target = scope.member or ""
    where = path("storage-pools", size.pool_id, "volumes", "custom", entry["source"])
    has = parse_volume(client.get(where, project=scope.project, target=target), size.pool_id).size_bytes
    if not _has_more(instances, found, size, has):
        return has
    try:
        client.patch(where, {"config": {"size": str(size.size_bytes)}}, project=scope.project, target=target)
    except DriverFailed as error:
        if power_of(int(found["status_code"])) is PowerState.OFF or _IN_USE not in str(error).lower():
            raise
        log.info("disk_not_grown_while_running", guest=found["name"], volume=size.volume, reason=str(error))
        return has
    log.info("disk_grown", guest=found["name"], volume=size.volume, size_bytes=size.size_bytes)
    return size.size_bytes


def _has_more(instances: Instances, found: Json, size: DiskSize, has: int) -> bool:
    """Returns whether the disk is to grow. Raises OutOfCapacity if the storage pool has too little space left."""
    more = size.size_bytes - has
    if more > 0:
        scope = instances.scope_of(found)
        volumes.check_space(instances.client, [(size.pool_id, more)], scope, what="To grow, the disk needs")
    return more > 0
