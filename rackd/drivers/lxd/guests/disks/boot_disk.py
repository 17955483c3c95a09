"""Chooses the disk that an instance boots from first.

LXD applies another `boot.priority` to a running instance by unplugging the device and plugging it in again. So the
choice for a running instance waits in its config, until Innkeeper next finds the instance off, or starts it.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from common.values import GuestRef, PowerState
from rackd.drivers.driver_errors import disk_not_found
from rackd.drivers.lxd.guests import boot_order
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory.boot_order import Device, with_first_disk
from rackd.drivers.lxd.inventory.ownership import BOOT_DISK_KEY, Json, config_of
from rackd.drivers.lxd.inventory.power_states import STOPPED, power_of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def choose(instances: Instances, guest: GuestRef, pool_id: str, volume: str) -> PowerState:
    """Returns the power state. Idempotent. Raises NotFound without the guest or the disk."""
    found = instances.of_machine(guest)
    if boot_order.is_postponed(found) and int(found["status_code"]) == STOPPED:
        boot_order.restore(instances, str(found["name"]))
        found = instances.of_machine(guest)
    disks = instances.guest(found).disks
    chosen = next(
        (disk.device for disk in disks if (disk.pool_id, disk.volume or disk.device) == (pool_id, volume)), None
    )
    if chosen is None:
        raise disk_not_found(str(found["name"]), volume, (disk.volume or disk.device for disk in disks))
    changed = with_first_disk(found["expanded_devices"], {disk.device for disk in disks}, chosen)
    status = int(found["status_code"])
    if status == STOPPED:
        _apply(instances, found, changed)
    else:
        _postpone(instances, found, chosen if changed else "")
    return power_of(status)


def is_postponed(found: Json) -> bool:
    return BOOT_DISK_KEY in config_of(found)


def apply_postponed(instances: Instances, found: Json) -> None:
    """Applies the choice that was made while the instance ran, if it is off, unless it no longer has the disk."""
    current = instances.read(str(found["name"]))
    if int(current["status_code"]) == STOPPED:
        chosen = config_of(current).get(BOOT_DISK_KEY, "")
        disks = {disk.device for disk in instances.guest(current).disks}
        changed = with_first_disk(current["expanded_devices"], disks, chosen) if chosen in disks else {}
        _apply(instances, current, changed)


def _apply(instances: Instances, found: Json, changed: Mapping[str, Device]) -> None:
    config = {BOOT_DISK_KEY: ""} if BOOT_DISK_KEY in config_of(found) else {}
    if changed or config:
        instances.change(str(found["name"]), devices=changed, config=config)
        log.info("boot_order_changed", guest=found["name"], devices=sorted(changed))


def _postpone(instances: Instances, found: Json, device: str) -> None:
    """Stores the choice; none for the disk that boots first anyway."""
    if config_of(found).get(BOOT_DISK_KEY, "") != device:
        instances.change_config(str(found["name"]), {BOOT_DISK_KEY: device})
        log.info("boot_disk_postponed", guest=found["name"], device=device)
