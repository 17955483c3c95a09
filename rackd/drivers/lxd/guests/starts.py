"""Powers an instance, and applies while it is off what could not be changed while it ran."""

from __future__ import annotations

from common.values import DiskSize, GuestSize, PowerAction, PowerState
from rackd.drivers.lxd.guests import boot_disk, disk_growth, resizing
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.power import PowerControl
from rackd.drivers.lxd.inventory.ownership import Json


def switch(
    instances: Instances,
    found: Json,
    control: PowerControl,
    action: PowerAction,
    *,
    grace_s: float,
    size: GuestSize | None,
    disk_sizes: tuple[DiskSize, ...],
) -> PowerState:
    """Returns the state after `action`. A choice of the boot disk is applied in any case, sizes before a start."""
    postponed = boot_disk.is_postponed(found)
    starts = action in {PowerAction.ON, PowerAction.CYCLE}
    if starts and (postponed or size is not None or disk_sizes):
        if action is PowerAction.CYCLE:
            control.switch(PowerAction.OFF, grace_s=grace_s)
        if postponed:
            boot_disk.apply_postponed(instances, found)
        if size is not None:
            resizing.apply_before_start(instances, str(found["name"]), size)
        if disk_sizes:
            disk_growth.apply_before_start(instances, str(found["name"]), disk_sizes)
        return control.switch(PowerAction.ON, grace_s=grace_s)
    state = control.switch(action, grace_s=grace_s)
    if postponed:
        boot_disk.apply_postponed(instances, found)
    return state
