"""Attaches volumes to an instance and detaches them, also while it runs.

LXD plugs a disk into a running VM, and takes it away without a question to the guest's system: what that has not yet
written is lost. A new LXD may refuse either while the VM runs.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import structlog
from attrs import evolve

from common.disks.device_names import lxd_device_name
from common.errors import DriverFailed, HostUnreachable, NotFound, WrongState
from common.guests.guest_spec import DiskSpec
from common.values import GuestRef, PowerState
from rackd.drivers.lxd.connection.client import path
from rackd.drivers.lxd.connection.failures import Conflict, PreconditionFailed, Unfinished, is_invalid
from rackd.drivers.lxd.guests import instance_config
from rackd.drivers.lxd.guests.device_removal import remove_devices
from rackd.drivers.lxd.guests.disks import volumes
from rackd.drivers.lxd.guests.disks.attached_disks import device_of, is_root, source_of
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.project_limits import limits_as_capacity
from rackd.drivers.lxd.guests.safeguards import check_no_saved_memory
from rackd.drivers.lxd.inventory.ownership import Json
from rackd.drivers.lxd.inventory.power_states import power_of
from rackd.drivers.lxd.inventory.volume_index import parse_volume

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def attach(instances: Instances, guest: GuestRef, disk: DiskSpec, index: int, *, create: bool) -> PowerState:
    """Returns the power state. Raises as the driver contract says."""
    found = instances.of_machine(guest)
    name, power = str(found["name"]), power_of(int(found["status_code"]))
    if device_of(found, disk.pool_id, disk.volume) is not None:
        return power
    check_no_saved_memory(instances, found, what="its disks")
    device = lxd_device_name(index)
    if device in found["expanded_devices"]:
        raise WrongState(
            f"The guest {name} already has a device {device}, which would be that of {disk.volume}.", name=name
        )
    named = evolve(disk, volume=source_of(found, disk.volume))
    scope = instances.scope_of(found)
    created: list[volumes.CreatedVolume] = []
    try:
        _find_or_make(instances, found, named, created, create=create)
        _plug(instances, found, device, named)
    except (HostUnreachable, Unfinished):
        raise  # LXD may still attach the volume, which the next attempt uses
    except BaseException:
        volumes.undo(instances.client, created, scope)  # LXD deletes none that an instance has
        raise
    log.info("disk_attached", guest=name, device=device, volume=disk.volume, pool=disk.pool_id, created=bool(created))
    return power


def _find_or_make(
    instances: Instances, found: Json, disk: DiskSpec, created: list[volumes.CreatedVolume], *, create: bool
) -> None:
    """Finds the volume on the instance's cluster member, or makes it there and appends it to `created`."""
    client, scope = instances.client, instances.scope_of(found)
    pool = path("storage-pools", disk.pool_id, "volumes", "custom")
    target = scope.member or ""
    where = f"{pool}/{path(disk.volume)}"
    existing: Json | None = client.find(where, project=scope.project, target=target)
    if existing is not None:
        _check_free(existing, disk, create=create)
        return
    if not create:
        raise NotFound(
            f"{client.place} has no volume {disk.volume} in the storage pool '{disk.pool_id}'.",
            volume=disk.volume,
        )
    volumes.check_space(client, [(disk.pool_id, disk.size_bytes)], scope, what="The disk needs")
    try:
        with limits_as_capacity():
            client.post(pool, instance_config.custom_volume(disk), project=scope.project, target=target)
        created.append(volumes.CreatedVolume(pool=disk.pool_id, name=disk.volume, location=target))
    except Conflict:
        log.info("volume_already_exists", volume=disk.volume, pool=disk.pool_id)  # created by another rack
        _check_free(client.get(where, project=scope.project, target=target), disk, create=create)


def _check_free(existing: Json, disk: DiskSpec, *, create: bool) -> None:
    volume = parse_volume(existing, disk.pool_id)
    where = f"The volume {disk.volume} in the storage pool {disk.pool_id}"
    users = sorted(urlsplit(str(url)).path.rpartition("/")[2] for url in existing.get("used_by") or ())
    if users:
        raise WrongState(f"{where} is used by {', '.join(users)}.", volume=disk.volume)
    if not volume.block:
        raise WrongState(f"{where} is no block device but a file system.", volume=disk.volume)
    if create and volume.size_bytes != disk.size_bytes:
        raise WrongState(
            f"{where} exists already, with {volume.size_bytes} bytes; the new disk would have {disk.size_bytes}.",
            volume=disk.volume,
        )


def _plug(instances: Instances, found: Json, device: str, disk: DiskSpec) -> None:
    name = str(found["name"])
    entry = instance_config.volume_device(disk)
    try:
        instances.change(name, devices={device: entry}, config={})
    except (PreconditionFailed, Unfinished):
        raise
    except DriverFailed as error:
        if _has(instances, name, disk.pool_id, disk.volume):
            log.info("guest_agent_not_notified", guest=name, reason=str(error))
            return
        if power_of(int(found["status_code"])) is PowerState.OFF or is_invalid(error):
            raise
        raise WrongState(
            f"{disk.volume} cannot be attached while {name} runs: {error} It can be attached while {name} is off.",
            name=name,
        ) from error


def detach(instances: Instances, guest: GuestRef, pool_id: str, volume: str) -> PowerState:
    """Returns the power state. Raises as the driver contract says, and WrongState for a root disk, which LXD cannot
    detach, and for a disk of a profile.
    """
    found = instances.of_machine(guest)
    name, power = str(found["name"]), power_of(int(found["status_code"]))
    device = device_of(found, pool_id, volume)
    if device is None:
        return power
    if is_root(found["expanded_devices"][device]):
        raise WrongState(f"{instances.product} cannot detach {volume}: it is the root disk of {name}.", name=name)
    check_no_saved_memory(instances, found, what="its disks")
    kept = remove_devices(
        instances, name, {device},
        what=volume, has=lambda one: device_of(one, pool_id, volume) is not None, runs=power is not PowerState.OFF,
    )  # fmt: skip
    if kept is not None:
        raise WrongState(
            f"{name} does not give {volume} back while it runs: {kept} It can be detached while {name} is off.",
            name=name,
        ) from kept
    log.info("disk_detached", guest=name, device=device, volume=volume, pool=pool_id)
    return power


def _has(instances: Instances, name: str, pool_id: str, volume: str) -> bool:
    return device_of(instances.read(name), pool_id, volume) is not None
