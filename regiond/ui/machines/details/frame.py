"""The frame of all pages of one VM: its head with the main action, the menu and the tabs."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from common.errors import InnkeeperError, NotFound
from regiond.api.replies import Reply
from regiond.attention.model import ObjectType
from regiond.hosts.model import GuestView, HostView
from regiond.machines.core.ownership_rules import check_may_change, may_act
from regiond.machines.hardware.disks.model import check_movable
from regiond.machines.values.disks import DiskView
from regiond.machines.values.model import MachineView
from regiond.operations.model import OPEN_STATES
from regiond.requests.caller import Caller
from regiond.ui.attention.attention_page import attention_of
from regiond.ui.machines.details.head_actions import HeadActions, head_actions
from regiond.ui.machines.machine_actions import removals, sees_console
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import constant
from regiond.ui.words.boot_words import boot_words
from regiond.ui.words.wanted_power_words import wanted_words

SUMMARY, NETWORK, STORAGE, CONSOLE, SCREEN, TASKS, EVENTS, CONFIGURATION = (
    "summary", "network", "storage", "console", "screen", "tasks", "events", "configuration",
)  # fmt: skip
TAB_NAMES = {
    SUMMARY: constant("Summary"),
    NETWORK: constant("Network"),
    STORAGE: constant("Storage"),
    CONSOLE: constant("Console"),
    SCREEN: constant("Screen"),
    TASKS: constant("Tasks"),
    EVENTS: constant("Events"),
    CONFIGURATION: constant("Configuration"),
}
_MOST_COUNTED = 100


@frozen(kw_only=True)
class Tab:
    """A page of the VM. `count` stands beside the name; None: no count."""

    key: str
    name: str
    count: int | None = None


@frozen(kw_only=True)
class Vm:
    """A VM as its pages read it. `guest` is what its host reports; None if the host does not list it."""

    machine: MachineView
    guest: GuestView | None


async def read_vm(visit: Visit) -> Vm:
    """Returns the VM of the page's address. Raises NotFound, also for one that the user may not see."""
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    guest = None
    if machine.guest_id is not None:
        guest = await visit.services.hosts.guest(machine.guest_id, caller=visit.caller)
    return Vm(machine=machine, guest=guest)


async def host_of(visit: Visit, machine: MachineView) -> HostView | None:
    """Returns None if the VM is on no host, or on one that the user may not see."""
    if machine.host_id is None:
        return None
    try:
        return await visit.services.hosts.read(machine.host_id, caller=visit.caller)
    except NotFound:
        return None


def change_obstacle(caller: Caller, machine: MachineView) -> str:
    """Returns why the caller cannot change the VM now; empty if nothing is in the way."""
    try:
        check_may_change(caller, machine)
    except InnkeeperError as error:
        return error.message
    return ""


def move_obstacle(machine: MachineView, disk: DiskView) -> str:
    """Returns why the disk cannot move now, such as that the VM runs; empty if nothing is in the way."""
    try:
        check_movable(machine, disk)
    except InnkeeperError as error:
        return error.message
    return ""


async def vm_page(visit: Visit, vm: Vm, tab: str, *, status: int = 200, **values: Any) -> Reply:
    """Returns the page of a tab."""
    machine, caller = vm.machine, visit.caller
    running = await visit.services.operations.list(
        system_id=machine.system_id, states=tuple(OPEN_STATES), limit=_MOST_COUNTED, caller=caller
    )
    actions: HeadActions = head_actions(caller, machine)
    return await visit.page(
        f"machines/tabs/{tab}.html",
        title=machine.hostname if tab == SUMMARY else f"{machine.hostname} – {TAB_NAMES[tab]}",
        section="vms",
        status=status,
        vm=machine,
        guest=vm.guest,
        tab=tab,
        tabs=_tabs(visit, machine, running=len(running)),
        head=actions,
        removals=removals(caller, machine),
        owns=may_act(caller, machine),
        may_change=not change_obstacle(caller, machine),
        may_see_console=sees_console(caller, machine),
        boot_words=boot_words,
        wanted_words=wanted_words,
        attention=await attention_of(visit, object_type=ObjectType.VM, object_id=machine.system_id),
        **values,
    )


def _tabs(visit: Visit, machine: MachineView, *, running: int) -> tuple[Tab, ...]:
    counts = {NETWORK: len(machine.nics), STORAGE: len(machine.disks), TASKS: running or None}
    shown = [key for key in TAB_NAMES if key not in (CONSOLE, SCREEN) or sees_console(visit.caller, machine)]
    return tuple(Tab(key=key, name=TAB_NAMES[key], count=counts.get(key)) for key in shown)
