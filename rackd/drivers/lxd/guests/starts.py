"""Powers an instance, and applies while it is off what could not be changed while it ran."""

from __future__ import annotations

from attrs import frozen

from common.boot import BootOnce
from common.errors import WrongState
from common.guests.sizes import DiskSize, GuestSize
from common.values import PowerAction, PowerState
from rackd.drivers.lxd.guests import boot_order, resizing
from rackd.drivers.lxd.guests.disks import boot_disk, disk_growth
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.power import PowerControl
from rackd.drivers.lxd.guests.safeguards import check_power
from rackd.drivers.lxd.inventory.ownership import Json
from rackd.drivers.lxd.inventory.removal_facts import has_saved_memory
from rackd.drivers.resizing import before_start
from rackd.drivers.start_refusals import StartChange


@frozen(kw_only=True)
class StartChanges:
    """The changes of a guest before it starts."""

    size: GuestSize | None = None
    disk_sizes: tuple[DiskSize, ...] = ()
    boot_once: BootOnce | None = None

    @property
    def some(self) -> bool:
        return bool(self.size is not None or self.disk_sizes or self.boot_once is not None)


def switch(
    instances: Instances,
    found: Json,
    control: PowerControl,
    action: PowerAction,
    *,
    grace_s: float,
    changes: StartChanges,
) -> PowerState:
    """Returns the state after `action`. Choices of what to boot are applied in any case, `changes` before a start.

    Saved memory is restored into the instance as it is: the changes stay pending, as the choices do. Raises WrongState
    as `check_power`, before anything is changed.
    """
    check_power(instances, found, action)
    name = str(found["name"])
    if action in {PowerAction.ON, PowerAction.CYCLE} and has_saved_memory(found):
        _refuse(name, changes)
        return control.switch(PowerAction.ON, grace_s=grace_s)
    postponed = boot_disk.is_postponed(found) or boot_order.is_postponed(found)
    if action in {PowerAction.ON, PowerAction.CYCLE} and (postponed or changes.some):
        if action is PowerAction.CYCLE:
            control.switch(PowerAction.OFF, grace_s=grace_s)
        _prepare_boot(instances, found, changes.boot_once)
        if changes.size is not None:
            resizing.apply_before_start(instances, name, changes.size)
        if changes.disk_sizes:
            disk_growth.apply_before_start(instances, name, changes.disk_sizes)
        return control.switch(PowerAction.ON, grace_s=grace_s)
    state = control.switch(action, grace_s=grace_s)
    if postponed:
        _prepare_boot(instances, found, None)
    return state


def _refuse(name: str, changes: StartChanges) -> None:
    """Notes that the changes stay pending."""
    asked = {
        StartChange.SIZE: changes.size is not None,
        StartChange.DISK: bool(changes.disk_sizes),
        StartChange.BOOT: changes.boot_once is not None,
    }
    for change in (one for one, is_asked in asked.items() if is_asked):
        with before_start(name, change):
            raise WrongState(f"{name} goes on from its saved memory, with the size and the disks that it had.")


def _prepare_boot(instances: Instances, found: Json, once: BootOnce | None) -> None:
    """Changes nothing while the instance runs. Each step is one request, after which the next call continues."""
    name = str(found["name"])
    if once is None and not (boot_disk.is_postponed(found) or boot_order.is_postponed(found)):
        return
    if not boot_order.restore(instances, name, unless=None if once is None else once.key):
        return  # an interrupted call has prepared this start
    if boot_disk.is_postponed(found):
        boot_disk.apply_postponed(instances, found)
    boot_order.apply_postponed(instances, name)
    if once is not None:
        boot_order.apply_once(instances, name, once)
