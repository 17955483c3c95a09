"""Gives a guest another root disk by creating its instance again.

LXD 5.0 cannot write an image to the root disk of an instance. So the instance is deleted and created again with the
same name, id and config. A second instance, the placeholder, carries the marker and the config meanwhile, so that the
guest is never lost:

    create PLACEHOLDER, complete it ─▶ delete NAME ─▶ create NAME again, complete it ─▶ delete PLACEHOLDER

A retry continues from the placeholder if NAME is missing or incomplete, and begins again otherwise. Nothing is renamed:
LXD 5.0, killed while it renames an instance, can neither use nor rename it afterwards. Volumes other than the root disk
are separate from instances and stay. Snapshots of the instance are deleted with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import structlog
from attrs import evolve, field, frozen

from common.errors import DriverFailed, InnkeeperError, NameTaken, WrongState
from common.values import GuestRef, OwnershipMarker
from rackd.drivers.driver_errors import machine_not_found
from rackd.drivers.lxd.connection.client import Json, path
from rackd.drivers.lxd.connection.failures import Conflict
from rackd.drivers.lxd.guests import cloud_init
from rackd.drivers.lxd.guests.instance_config import CLOUD_INIT, CLOUD_INIT_DISK
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.nic_devices import with_leases
from rackd.drivers.lxd.inventory.boot_order import with_root_first
from rackd.drivers.lxd.inventory.ownership import (
    BOOT_DISK_KEY,
    BOOT_ONCE_KEY,
    BOOT_ORDER_KEY,
    COMPLETED_KEY,
    NO_UUID,
    REPLACES_KEY,
    UUID_KEY,
    VM,
    config_of,
    incomplete,
    is_incomplete,
    marker_of,
    replacement_name,
)
from rackd.drivers.lxd.inventory.power_states import STOPPED

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

TRIES = 3  # of the instance with the new root disk
# LXD 5.0 on a busy server now and then reads nothing, or only a later part, of what qemu-img says of an image, before
# it writes anything. The second is "invalid character ' ' in literal false (expecting 'a')", say.
OUTPUT_LOST = re.compile(r"unexpected end of JSON input|invalid character .+ (?:in literal|looking for|after)")
_OF_INSTANCE = frozenset({REPLACES_KEY, BOOT_DISK_KEY, BOOT_ORDER_KEY, BOOT_ONCE_KEY})
_RETAINED_VOLATILE = re.compile(r"volatile\.(?:uuid|[^.]+\.hwaddr)")


@frozen(kw_only=True)
class RootDisk:
    """The content of the new root disk, and the cloud-init keys of its guest; without `fingerprint` it is empty.

    `leases` has the static leases that the NICs get instead of those that they have, as `with_leases` takes them.
    """

    fingerprint: str | None
    cloud_init: Mapping[str, str]
    leases: Mapping[str, Mapping[str, str]] = field(factory=dict)

    @property
    def source(self) -> dict[str, str]:
        if self.fingerprint is None:
            return {"type": "none"}
        return {"type": "image", "fingerprint": self.fingerprint}


EMPTY = RootDisk(fingerprint=None, cloud_init={})


def stopped_instance(instances: Instances, guest: GuestRef) -> Json:
    """Returns the guest's instance, or its placeholder if an interrupted replacement has deleted the instance.

    Raises NotFound without the guest, WrongState while it runs.
    """
    found = instances.marked(name=guest.name, marker=guest.marker)
    placeholder = _placeholder(instances, guest.marker)
    if found is not None and placeholder is not None and not is_incomplete(placeholder):
        if found["name"] == placeholder["name"]:
            return placeholder
        if is_incomplete(found):
            log.warning("incomplete_guest_deleted", guest=found["name"])
            wait_until_idle(instances, found["name"])
            instances.delete(found["name"])
            return placeholder
    if found is None or found["name"] == replacement_name(guest.marker):
        raise machine_not_found(guest)
    if int(found["status_code"]) != STOPPED:
        raise WrongState(f"The guest '{found['name']}' runs.", name=found["name"])
    return found


def replace(instances: Instances, original: Json, root: RootDisk, marker: OwnershipMarker) -> str:
    """Replaces the root disk of what `stopped_instance` returned. If LXD cannot make the new one, it is empty.

    Returns the name of the instance.
    """
    placeholder = replacement_name(marker)
    name: str = config_of(original).get(REPLACES_KEY, original["name"])
    instances = evolve(instances, scope=instances.scope_of(original))  # the member that has its other disks
    if original["name"] != placeholder:
        _delete_leftover(instances, placeholder, marker)
        body = replacement_of(original, placeholder, EMPTY)
        _create(instances, {**body, "config": {**body["config"], REPLACES_KEY: name}})
        instances.delete(name)
    try:
        _create_repeatedly(instances, replacement_of(original, name, root))
    except DriverFailed as error:
        log.warning("root_disk_not_replaced", guest=name, reason=str(error))
        _restore_empty(instances, replacement_of(original, name, EMPTY), marker)
        raise
    instances.delete(placeholder)
    log.info("root_disk_replaced", guest=name, image=root.fingerprint)
    return name


def replacement_of(original: Json, name: str, root: RootDisk) -> dict[str, Any]:
    """Returns the body of `POST /1.0/instances`: the original's config and devices, with another root disk."""
    return {
        "name": name,
        "type": VM,
        "architecture": original["architecture"],
        "description": original.get("description") or "",
        "source": root.source,
        "profiles": original.get("profiles") or [],
        "config": {**config_for(original, root), COMPLETED_KEY: incomplete(uuid4().hex)},
        "devices": devices_for(original, root),
    }


def config_for(original: Json, root: RootDisk) -> dict[str, str]:
    """Returns the config of the guest with this root disk: what is not of the old one, and its cloud-init keys."""
    kept = {key: text for key, text in config_of(original).items() if _is_retained(key)}
    return {**kept, **root.cloud_init}


def _is_retained(key: str) -> bool:
    """Returns False for keys of one instance, image or deployment, but True for the id and the MAC addresses."""
    ended = key.startswith(("volatile.", "image.")) or key in _OF_INSTANCE or key in cloud_init.KEYS
    return _RETAINED_VOLATILE.fullmatch(key) is not None or not ended


def devices_for(original: Json, root: RootDisk) -> dict[str, Mapping[str, str]]:
    """Returns the devices of the guest with this root disk."""
    devices: dict[str, Mapping[str, str]] = {
        name: device for name, device in (original.get("devices") or {}).items() if name != CLOUD_INIT
    }
    devices = with_leases(devices, root.leases)
    devices = dict(with_root_first(devices, before_nics=root.fingerprint is not None))
    if root.cloud_init:
        devices[CLOUD_INIT] = CLOUD_INIT_DISK
    return devices


def _placeholder(instances: Instances, marker: OwnershipMarker) -> Json | None:
    where = path("instances", replacement_name(marker))
    found: Json | None = instances.client.find(where, project=instances.scope.project)
    return found if found is not None and marker_of(found) == marker else None


def _delete_leftover(instances: Instances, name: str, marker: OwnershipMarker) -> None:
    if instances.client.find(path("instances", name), project=instances.scope.project) is None:
        return
    if _placeholder(instances, marker) is None:
        raise NameTaken(f"The host already has an instance named {name} that Innkeeper did not create.", name=name)
    log.warning("leftover_placeholder_deleted", guest=name)
    wait_until_idle(instances, name)
    instances.delete(name)


def _create(instances: Instances, body: Mapping[str, Any]) -> None:
    """Creates the instance and completes it."""
    project = instances.scope.project
    name, uuid = str(body["name"]), body["config"].get(UUID_KEY, NO_UUID)
    try:
        instances.client.post("instances", body, project=project, target=instances.scope.member or "")
    except Conflict as error:
        raise DriverFailed(f"The host already has an instance named {name}.") from error
    instances.patch(name, {"config": {COMPLETED_KEY: uuid}})


def _create_repeatedly(instances: Instances, body: Mapping[str, Any]) -> None:
    """Creates the instance, and tries again if LXD has failed for a temporary reason."""
    for left in reversed(range(TRIES)):
        try:
            _create(instances, body)
        except DriverFailed as error:
            if not left or not OUTPUT_LOST.search(str(error)):
                raise
            log.info("root_disk_attempt_failed", guest=body["name"], attempts_left=left, reason=str(error))
        else:
            return


def _restore_empty(instances: Instances, body: Mapping[str, Any], marker: OwnershipMarker) -> None:
    """Creates the guest with an empty root disk, after it could not be created with another one. If that fails too, the
    placeholder stays, and the next call continues from it.
    """
    name = str(body["name"])
    try:
        found = instances.client.find(path("instances", name), project=instances.scope.project)
        if found is not None and marker_of(found) == marker and is_incomplete(found):
            instances.delete(name)
        _create(instances, body)
        instances.delete(replacement_name(marker))
    except InnkeeperError as error:
        log.warning("guest_not_restored", guest=name, reason=str(error))


def wait_until_idle(instances: Instances, name: str) -> None:
    """Waits for LXD to end what an interrupted call has begun, such as unpacking an image."""
    try:
        instances.wait_while_busy(name)
    except DriverFailed as error:
        log.info("interrupted_operation_failed", guest=name, reason=str(error))
