"""Changes the order in which an instance tries its devices: for all its starts, or for one.

As for the [boot disk](boot_disk.py), a running instance gets another order only when it is next off. An instance that
is started in another order once keeps the priorities of later starts in its config. Devices and config change in one
request, so that an interrupted call leaves no priorities without their restoration.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import structlog

from common.boot import (
    BootDevice,
    BootOnce,
    BootOrder,
    BootOrders,
    begins_with,
    completed,
    joined,
    missing_text,
    parsed,
)
from common.errors import WrongState
from common.values import GuestRef
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory.boot_order import BootedOnce, order_of, with_order
from rackd.drivers.lxd.inventory.ownership import BOOT_ONCE_KEY, BOOT_ORDER_KEY, Json, config_of
from rackd.drivers.lxd.inventory.power_states import STOPPED
from rackd.drivers.start_order import before_boot

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def set_order(instances: Instances, guest: GuestRef, order: BootOrder, *, check_only: bool) -> BootOrders:
    """Returns the orders then. Raises as the driver contract says."""
    found = instances.of_machine(guest)
    name = str(found["name"])
    current = instances.guest(found)
    present, pending = current.boot_order or (), current.pending_boot_order
    _check(name, present, order)
    runs = int(found["status_code"]) != STOPPED
    if check_only:
        return BootOrders(order=present, pending=pending, runs=runs)
    if runs:
        pending = () if begins_with(present, order) else completed(order, present)
        if config_of(found).get(BOOT_ORDER_KEY, "") != joined(pending):
            instances.change_config(name, {BOOT_ORDER_KEY: joined(pending)})
            log.info("boot_order_postponed", guest=name, order=pending)
    else:
        restore(instances, name)
        _apply(instances, name, order)
        present, pending = instances.guest(instances.read(name)).boot_order or (), ()
    return BootOrders(order=present, pending=pending, runs=runs)


def is_postponed(found: Json) -> bool:
    """Returns whether something is to be changed while the instance is off."""
    return not {BOOT_ORDER_KEY, BOOT_ONCE_KEY}.isdisjoint(config_of(found))


def restore(instances: Instances, name: str, *, unless: str | None = None) -> bool:
    """Gives an instance that is off the priorities of before a start in another order. Idempotent.

    Returns False, with nothing changed, if that order has the key `unless`: the instance is yet to be started so.
    """
    current = instances.read(name)
    text = config_of(current).get(BOOT_ONCE_KEY, "")
    once = BootedOnce.parse(text)
    if once is not None and once.key == unless:
        return False
    if text and int(current["status_code"]) == STOPPED:
        devices = {} if once is None else once.restored(current["expanded_devices"])
        instances.change(name, devices=devices, config={BOOT_ONCE_KEY: ""})
        log.info("boot_order_restored", guest=name, devices=sorted(devices))
    return True


def apply_postponed(instances: Instances, name: str) -> None:
    """Applies the order that was chosen while the instance ran, if it is off, unless it lacks a device by now."""
    current = instances.read(name)
    text = config_of(current).get(BOOT_ORDER_KEY, "")
    if text and int(current["status_code"]) == STOPPED:
        present = order_of(current["expanded_devices"], _disks(instances, current))
        _apply(instances, name, tuple(kind for kind in parsed(text) if kind in present))


def apply_once(instances: Instances, name: str, once: BootOnce) -> None:
    """Gives an instance that is off the order for one start, unless it lacks a device by now."""
    with before_boot(name):
        current = instances.read(name)
        if int(current["status_code"]) == STOPPED:
            devices, disks = current["expanded_devices"], _disks(instances, current)
            _check(name, order_of(devices, disks), once.order)
            changed = with_order(devices, disks, once.order)
            record = BootedOnce.of(once.key, devices, changed)
            instances.change(name, devices=changed, config={BOOT_ONCE_KEY: record.text()})
            log.info("boot_order_changed_once", guest=name, devices=sorted(changed))


def _apply(instances: Instances, name: str, order: BootOrder) -> None:
    current = instances.read(name)
    changed = with_order(current["expanded_devices"], _disks(instances, current), order)
    config = {BOOT_ORDER_KEY: ""} if BOOT_ORDER_KEY in config_of(current) else {}
    if changed or config:
        instances.change(name, devices=changed, config=config)
        log.info("boot_order_changed", guest=name, devices=sorted(changed))


def _disks(instances: Instances, instance: dict[str, Any]) -> Collection[str]:
    return {disk.device for disk in instances.guest(instance).disks}


def _check(name: str, present: Collection[BootDevice], order: BootOrder) -> None:
    missing = [kind for kind in order if kind not in present]
    if missing:
        raise WrongState(missing_text(name, missing), name=name)
