"""Moves an instance, and with it its root disk, to another storage pool.

LXD copies the instance under another name, deletes the one of before, and renames the copy. If LXD is killed, both are
left, or the complete copy alone. Seen in LXD 5.0.2: the copy has the same `volatile.uuid`, but a new id for cloud-init,
which would configure the guest anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog

from common.errors import InnkeeperError, Unsupported
from common.guests.guest_spec import DiskSpec
from common.rpc.commands.host_commands import MAX_CALL_S
from common.values import GuestRef
from rackd.drivers.lxd.connection.capabilities import extension_of
from rackd.drivers.lxd.connection.client import path
from rackd.drivers.lxd.guests.disks import volumes
from rackd.drivers.lxd.guests.disks.attached_disks import is_root
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.project_limits import limits_as_capacity
from rackd.drivers.lxd.inventory.config_values import is_true
from rackd.drivers.lxd.inventory.ownership import MOVE_PREFIXES, Json, config_of, id_of, marker_of
from rackd.drivers.lxd.inventory.power_states import STOPPED

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_SHARED = "security.shared"  # of a volume
_SHARED_BY_US = "user.innkeeper.shared"  # of one that is shared only while its instance moves
_CLOUD_INIT_ID = "volatile.cloud-init.instance-id"
_CLOUD_INIT_ID_BEFORE = "user.innkeeper.cloud-init-id"  # while the instance moves


def check(instances: Instances, found: Json, copy: DiskSpec) -> None:
    """Raises Unsupported, NotFound or OutOfCapacity if the server cannot move the instance to the storage pool."""
    if not instances.capabilities.pool_moves:
        raise Unsupported(
            f"{instances.client.place} cannot move the root disk of {found['name']}: it lacks the "
            f"API extension {extension_of('pool_moves')}. Upgrade {instances.product}."
        )
    scope = instances.scope_of(found)
    volumes.check_space(instances.client, [(copy.pool_id, copy.size_bytes)], scope, what="The copy needs")


def move(instances: Instances, found: Json, guest: GuestRef, copy: DiskSpec) -> None:
    """Moves the instance, which is off. Raises as `check`."""
    name = str(found["name"])
    check(instances, found, copy)
    _delete_incomplete(instances, found, guest, copy)
    cloud_init_id = config_of(found).get(_CLOUD_INIT_ID)
    if cloud_init_id is not None:
        instances.change_config(name, {_CLOUD_INIT_ID_BEFORE: cloud_init_id})
    body = {"name": name, "pool": copy.pool_id, "migration": True}
    with limits_as_capacity(), instances.independent_volumes(found), _shared_volumes(instances, found):
        instances.client.post(path("instances", name), body, wait_s=MAX_CALL_S, project=instances.scope.project)
    _restore_cloud_init_id(instances, instances.read(name))
    log.info("root_disk_moved", guest=name, pool=copy.pool_id)


@contextmanager
def _shared_volumes(instances: Instances, found: Json) -> Iterator[None]:
    """Lets the copy of the instance have its volumes too, while it moves, where a volume belongs to one instance."""
    try:
        for where, config in _guarded_volumes(instances, found):
            if not is_true(config.get(_SHARED)):
                _configure_volume(instances, found, where, {_SHARED: "true", _SHARED_BY_US: "true"})
        yield
    finally:
        _end_sharing(instances, found)


def _end_sharing(instances: Instances, found: Json) -> None:
    """Undoes what a move has done to the volumes of the instance, also one that was interrupted."""
    try:
        for where, config in _guarded_volumes(instances, found):
            if config.get(_SHARED_BY_US):
                _configure_volume(instances, found, where, {_SHARED: "", _SHARED_BY_US: ""})
    except InnkeeperError as error:  # two instances may have one until the move is repeated
        log.warning("volumes_stay_shared", guest=found["name"], reason=str(error))


def _guarded_volumes(instances: Instances, found: Json) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yields path and config of each volume of the instance, if only one instance may have it."""
    if not instances.capabilities.dialect.guards_volumes:
        return
    scope = instances.scope_of(found)
    for disk in (found.get("expanded_devices") or {}).values():
        if disk.get("type") == "disk" and disk.get("pool") and disk.get("source") and not is_root(disk):
            where = path("storage-pools", disk["pool"], "volumes", "custom", disk["source"])
            volume = instances.client.find(where, project=scope.project, target=scope.member or "")
            if volume is not None and volume.get("content_type") == "block":
                yield where, volume.get("config") or {}


def _configure_volume(instances: Instances, found: Json, where: str, config: Mapping[str, str]) -> None:
    scope = instances.scope_of(found)
    instances.client.patch(where, {"config": config}, project=scope.project, target=scope.member or "")


def settled(instances: Instances, guest: GuestRef) -> Json:
    """Returns the instance, once LXD does nothing with it. Completes what a killed LXD had done of a move.

    Raises NotFound without it.
    """
    if instances.wait_while_busy(guest.name):
        log.info("guest_was_busy", guest=guest.name)
    found = instances.of_machine(guest)
    name = str(found["name"])
    if name.startswith(MOVE_PREFIXES):  # LXD had deleted the instance, so this copy is complete
        instances.client.post(path("instances", name), {"name": guest.name}, project=instances.scope.project)
        log.info("moved_guest_renamed", guest=guest.name, copy=name)
        found = instances.read(guest.name)
    _end_sharing(instances, found)
    return _restore_cloud_init_id(instances, found)


def _restore_cloud_init_id(instances: Instances, found: Json) -> Json:
    before = config_of(found).get(_CLOUD_INIT_ID_BEFORE)
    if before is None:
        return found
    instances.change_config(str(found["name"]), {_CLOUD_INIT_ID: before, _CLOUD_INIT_ID_BEFORE: ""})
    return instances.read(str(found["name"]))


def _delete_incomplete(instances: Instances, found: Json, guest: GuestRef, copy: DiskSpec) -> None:
    """Deletes the copies that a killed LXD has left: the instance itself is still there, and they are the same one."""
    for one in instances.candidates(name=guest.name, marker=guest.marker):
        name = str(one["name"])
        roots = [device for device in (one.get("expanded_devices") or {}).values() if is_root(device)]
        if (
            name.startswith(MOVE_PREFIXES)
            and name != found["name"]
            and (marker_of(one), id_of(one)) == (guest.marker, id_of(found))
            and [root.get("pool") for root in roots] == [copy.pool_id]
            and int(one["status_code"]) == STOPPED
        ):
            log.warning("incomplete_copy_deleted", guest=guest.name, copy=name, pool=copy.pool_id)
            instances.delete(name)
