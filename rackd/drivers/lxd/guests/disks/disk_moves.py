"""Copies a custom volume of an instance that is off to another storage pool, and gives it the copy.

LXD copies no root disk without its instance: see `root_moves`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from common.disks.disk_content import CopiedDisk
from common.errors import DriverFailed, HostUnreachable, NotFound, WrongState
from common.guests.guest_spec import DiskSpec
from common.rpc.commands.host_commands import MAX_CALL_S
from common.values import GuestRef, PowerState
from rackd.drivers.disk_moves import changed_since, check_off
from rackd.drivers.driver_errors import disk_not_found
from rackd.drivers.lxd.connection.client import Client, Scope, path
from rackd.drivers.lxd.guests.disks import root_moves, volumes
from rackd.drivers.lxd.guests.disks.attached_disks import device_of, is_root, source_of, volumes_of
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.project_limits import limits_as_capacity
from rackd.drivers.lxd.guests.safeguards import check_no_saved_memory
from rackd.drivers.lxd.inventory.boot_order import Device
from rackd.drivers.lxd.inventory.ownership import Json
from rackd.drivers.lxd.inventory.power_states import power_of
from rackd.drivers.lxd.inventory.volume_index import parse_volume

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_COPYING = "copying storage volume"  # LXD's description of such an operation


def copy_disk(instances: Instances, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec) -> CopiedDisk:
    """Returns when the instance was last started. Raises as the driver contract says."""
    found = root_moves.settled(instances, guest)
    if device_of(found, copy.pool_id, copy.volume) is not None:
        return CopiedDisk(state="")
    device, entry = _disk(found, pool_id, volume)
    check_no_saved_memory(instances, found, what="its disks")
    state = str(found.get("last_used_at") or "")
    if is_root(entry):
        root_moves.check(instances, found, copy)
        return CopiedDisk(state=state)
    client, scope = instances.client, instances.scope_of(found)
    _check_own(client, found, device, volume)
    target, source = scope.member or "", source_of(found, volume)
    check_only_user(client, scope, found, pool_id, source)
    delete_incomplete(client, scope, copy)
    volumes.check_space(client, [(copy.pool_id, copy.size_bytes)], scope, what="The copy needs")
    try:
        copy_volume(client, scope, pool_id, source, copy)
        check_off(guest.name, power_of(int(instances.read(str(found["name"]))["status_code"])))
    except HostUnreachable:
        raise  # LXD may still copy; the next attempt replaces what it makes
    except BaseException:
        made = volumes.CreatedVolume(pool=copy.pool_id, name=copy.volume, location=target)
        volumes.undo(client, [made], scope)
        raise
    log.info("disk_copied", guest=found["name"], volume=volume, copy=copy.volume, pool=copy.pool_id)
    return CopiedDisk(state=state)


def copy_volume(client: Client, scope: Scope, pool_id: str, source: str, copy: DiskSpec) -> None:
    """Returns when LXD has made the volume `copy`, of the size of the source."""
    body = {
        "name": copy.volume,
        "type": "custom",
        "content_type": "block",
        "source": {"type": "copy", "pool": pool_id, "name": source},
    }
    with limits_as_capacity():
        client.post(
            path("storage-pools", copy.pool_id, "volumes", "custom"), body, wait_s=MAX_CALL_S,
            project=scope.project, target=scope.member or "",
        )  # fmt: skip


def check_only_user(client: Client, scope: Scope, found: Json, pool_id: str, source: str) -> None:
    """Raises WrongState if the volume is used by another instance than this one, and if it is a file system."""
    where = path("storage-pools", pool_id, "volumes", "custom", source)
    _check_unshared(client.get(where, project=scope.project, target=scope.member or ""), found, pool_id)


def use_copy(
    instances: Instances, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec, state: str
) -> PowerState:
    """Returns the power state. Raises as the driver contract says."""
    found = root_moves.settled(instances, guest)
    name, power = str(found["name"]), power_of(int(found["status_code"]))
    if device_of(found, copy.pool_id, copy.volume) is not None:
        return power
    device, entry = _disk(found, pool_id, volume)
    check_no_saved_memory(instances, found, what="its disks")
    if is_root(entry):
        root_moves.move(instances, found, guest, copy)
        return power
    _check_own(instances.client, found, device, volume)
    scope, source = instances.scope_of(found), source_of(found, copy.volume)
    where = path("storage-pools", copy.pool_id, "volumes", "custom", source)
    made = instances.client.find(where, project=scope.project, target=scope.member or "")
    if made is None:
        raise NotFound(
            f"{instances.client.place} has no volume {copy.volume} in the storage pool '{copy.pool_id}'.",
            volume=copy.volume,
        )
    _check_unshared(made, None, copy.pool_id)
    if str(found.get("last_used_at") or "") != state:
        raise changed_since(name, volume)
    instances.change(name, devices={device: {**entry, "pool": copy.pool_id, "source": source}}, config={})
    log.info("disk_moved", guest=name, device=device, volume=volume, copy=copy.volume, pool=copy.pool_id)
    return power


def _disk(found: Json, pool_id: str, volume: str) -> tuple[str, Device]:
    """Returns name and entry of the device of an instance that is off."""
    check_off(str(found["name"]), power_of(int(found["status_code"])))
    device = device_of(found, pool_id, volume)
    if device is None:
        raise disk_not_found(str(found["name"]), volume, volumes_of(found))
    entry: Device = found["expanded_devices"][device]
    return device, entry


def _check_own(client: Client, found: Json, device: str, volume: str) -> None:
    if device not in (found.get("devices") or {}):
        raise WrongState(
            f"{found['name']} has {volume} from one of its profiles, as {device}. Give it a device of its own: "
            f"{client.dialect.client} config device override.",
            name=found["name"],
        )


def _check_unshared(existing: Json, user: Json | None, pool_id: str) -> None:
    """Raises WrongState if the volume is used by another instance than `user`, and if it is a file system."""
    volume = parse_volume(existing, pool_id)
    own = set() if user is None else {str(user["name"])}
    names = {str(url).partition("?")[0].rpartition("/")[2] for url in existing.get("used_by") or ()}
    if names - own:
        raise WrongState(f"The volume {volume.name} is used by {', '.join(sorted(names - own))}.", volume=volume.name)
    if not volume.block:
        raise WrongState(f"The volume {volume.name} is no block device but a file system.", volume=volume.name)


def delete_incomplete(client: Client, scope: Scope, copy: DiskSpec) -> None:
    """Deletes what an earlier call left, once LXD no longer writes it."""
    target, where = scope.member or "", path("storage-pools", copy.pool_id, "volumes", "custom", copy.volume)
    existing = client.find(where, project=scope.project, target=target)
    if existing is None:
        return
    _check_unshared(existing, None, copy.pool_id)
    running = client.get("operations", recursion="1", project=scope.project) or {}
    for operation in running.get("running") or ():
        if _COPYING in str(operation.get("description", "")).lower():
            _wait(client, operation)
    log.warning("incomplete_copy_deleted", volume=copy.volume, pool=copy.pool_id)
    try:
        client.delete(where, project=scope.project, target=target)
    except NotFound:
        log.info("volume_already_deleted", volume=copy.volume, pool=copy.pool_id)  # by LXD, when its copying failed


def _wait(client: Client, operation: Mapping[str, Any]) -> None:
    try:
        client.wait(str(operation["id"]), MAX_CALL_S)
    except DriverFailed as error:
        log.info("earlier_copying_failed", reason=str(error))
