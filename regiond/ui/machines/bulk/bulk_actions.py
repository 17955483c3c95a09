"""Actions on many VMs at once, and the VMs that each leaves as they are, with the reason. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attrs import frozen

from common.errors import WrongState
from regiond.machines.core.ownership_rules import may_act, may_allocate, may_delete
from regiond.machines.values.bulk import DEFAULT_AT_ONCE
from regiond.machines.values.bulk import BulkAction as Task
from regiond.machines.values.lifecycle import MachineEvent, next_state
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import TRANSIENT, MachineState
from regiond.requests.caller import Caller
from regiond.ui.machines.machine_questions import CUTS_POWER, REPLACES_SYSTEM, RESTARTS, SHUTS_DOWN
from regiond.ui.texts import constant, text
from regiond.ui.words.vm_state_words import VM_STATE_WORDS

_LOCKED = constant("locked: unlock them first")
Reason = Callable[[MachineView], str | None]


def _locked(vm: MachineView) -> str | None:
    return _LOCKED if vm.locked else None


def _unless_power(wanted: str, reason: str) -> Reason:
    def decide(vm: MachineView) -> str | None:
        return reason if vm.power_state == wanted else _locked(vm) or _without_host(vm)

    return decide


def _without_host(vm: MachineView) -> str | None:
    return text("on no host") if vm.host_id is None else None


def _lock(vm: MachineView) -> str | None:
    return text("locked already") if vm.locked else None


def _release(vm: MachineView) -> str | None:
    if vm.state is MachineState.READY or (vm.owner is None and vm.state is not MachineState.FAILED):
        return text("not allocated")
    if vm.as_found:
        return text("adopted: release such a VM by itself, on its page")
    return _removal(vm, MachineEvent.RELEASE)


def _removal(vm: MachineView, event: MachineEvent) -> str | None:
    if vm.locked:
        return _LOCKED
    try:
        next_state(vm.state, event)
    except WrongState:
        return _state(vm)
    return None


def _state(vm: MachineView) -> str:
    return VM_STATE_WORDS[vm.state.value].lower()


def _may_deploy(caller: Caller, vm: MachineView) -> bool:
    """Stock is allocated to whoever deploys it."""
    return may_allocate(caller, vm) or may_act(caller, vm)


@frozen(kw_only=True)
class BulkAction:
    """`left` is why a VM is left as it is: it completes "is …".

    With `as_task` it is one task with a part for each VM; otherwise `method` and `op` are those of the API for one VM,
    which ends at once. `asks` is what the confirmation has: the `names`, besides them the `plan` of what is deleted,
    a choice of the `place`, pool and zone, the `image` of a deployment, the `size`, `disk`, `boot` order or `nic` with
    what it changes, or the `tags` to add and remove. Empty: a
    confirmation is needed only if some VMs are left, or if there are so many that it matters how many are changed at
    the same time. `may` is whether the user may do it with a VM.
    """

    key: str
    label: str
    done: str
    icon: str
    left: Reason
    as_task: Task | None = None
    method: str = "POST"
    op: str | None = None
    asks: str = ""
    effect: str = ""
    is_dangerous: bool = False
    is_typed: bool = False  # the name of one VM or the number of several
    for_admins: bool = False
    in_menu: bool = False  # of the changes of hardware, in place of a button of its own
    may: Callable[[Caller, MachineView], bool] = may_act


def _unchangeable(vm: MachineView) -> str | None:
    return _locked(vm) or _without_host(vm)


def _deploy(vm: MachineView) -> str | None:
    if vm.host_id is None or vm.locked:
        return _locked(vm) or _without_host(vm)
    try:
        next_state(vm.state, MachineEvent.DEPLOY)
    except WrongState:
        if vm.state is not MachineState.READY:
            return text("{state}: release it first", state=_state(vm))
    if vm.adopted or not vm.disks:
        return text("without a root disk that Innkeeper created")
    return None


def _rebuild(vm: MachineView) -> str | None:
    if vm.host_id is None or vm.locked:
        return _locked(vm) or _without_host(vm)
    try:
        next_state(vm.state, MachineEvent.REBUILD)
    except WrongState:
        return text("{state}: nothing to rebuild", state=_state(vm))
    return None


def _of_hardware(
    task: Task, key: str, label: str, done: str, icon: str, *, asks: str = "", left: Reason = _unchangeable
) -> BulkAction:
    return BulkAction(
        key=key,
        label=label,
        done=done,
        icon=icon,
        as_task=task,
        left=left,
        asks=asks or key,
        is_dangerous=task in {Task.REMOVE_DISK, Task.REMOVE_INTERFACE},
        is_typed=task is Task.REMOVE_DISK,
        in_menu=True,
    )


_CHANGED = constant("changed")
_HARDWARE = (
    _of_hardware(Task.RESIZE, "resize", constant("Resize"), constant("resized"), "settings", asks="size"),
    _of_hardware(Task.ADD_DISK, "disk", constant("Add disk"), constant("given a disk"), "disc"),
    _of_hardware(Task.GROW_DISK, "grow", constant("Grow a disk"), constant("given a larger disk"), "disc"),
    _of_hardware(Task.MOVE_DISK, "move", constant("Move a disk"), _CHANGED, "disc"),
    _of_hardware(Task.REMOVE_DISK, "remove_disk", constant("Remove a disk"), _CHANGED, "disc"),
    _of_hardware(Task.ADD_INTERFACE, "nic", constant("Add NIC"), constant("given a NIC"), "network"),
    _of_hardware(
        Task.CHANGE_INTERFACE, "network", constant("Change a NIC"), constant("given another network"), "network"
    ),
    _of_hardware(Task.REMOVE_INTERFACE, "remove_nic", constant("Remove a NIC"), _CHANGED, "network"),
    _of_hardware(Task.SET_BOOT, "boot", constant("Set boot order"), constant("given the boot order"), "settings"),
)
_ALL = (
    BulkAction(
        key="start",
        label=constant("Start"),
        done=constant("started"),
        icon="play",
        as_task=Task.POWER_ON,
        left=_unless_power("on", constant("running already")),
    ),
    BulkAction(
        key="stop",
        label=constant("Stop"),
        done=constant("stopped"),
        icon="stop",
        as_task=Task.POWER_OFF,
        left=_unless_power("off", constant("off already")),
        asks="names",
        effect=SHUTS_DOWN,
    ),
    BulkAction(
        key="off",
        label=constant("Power off"),
        done=constant("powered off by force"),
        icon="power",
        as_task=Task.FORCE_OFF,
        left=_unless_power("off", constant("off already")),
        asks="names",
        effect=CUTS_POWER,
        is_dangerous=True,
        is_typed=True,
    ),
    BulkAction(
        key="restart",
        label=constant("Restart"),
        done=constant("restarted"),
        icon="restart",
        as_task=Task.POWER_CYCLE,
        left=_unless_power("off", constant("off: start them instead")),
        asks="names",
        effect=RESTARTS,
    ),
    BulkAction(
        key="deploy",
        label=constant("Deploy"),
        done=constant("deployed"),
        icon="disc",
        as_task=Task.DEPLOY,
        left=_deploy,
        asks="image",
        may=_may_deploy,
    ),
    BulkAction(
        key="rebuild",
        label=constant("Rebuild"),
        done=constant("rebuilt"),
        icon="disc",
        as_task=Task.REBUILD,
        left=_rebuild,
        asks="image",
        effect=REPLACES_SYSTEM,
        is_dangerous=True,
        is_typed=True,
    ),
    *_HARDWARE,
    BulkAction(
        key="release",
        label=constant("Release"),
        done=constant("released"),
        icon="signout",
        as_task=Task.RELEASE,
        left=_release,
        asks="plan",
        is_dangerous=True,
        is_typed=True,
    ),
    BulkAction(key="lock", label=constant("Lock"), done=constant("locked"), icon="lock", op="lock", left=_lock),
    BulkAction(
        key="unlock",
        label=constant("Unlock"),
        done=constant("unlocked"),
        icon="key",
        op="unlock",
        left=lambda vm: None if vm.locked else text("not locked"),
    ),
    BulkAction(
        key="place",
        label=constant("Set pool or zone"),
        done=constant("changed"),
        icon="pools",
        method="PUT",
        left=_locked,
        asks="place",
        for_admins=True,
    ),
    BulkAction(
        key="tag",
        label=constant("Tag"),
        done=constant("tagged"),
        icon="tag",
        left=lambda _: None,
        asks="tags",
        for_admins=True,
    ),
    BulkAction(
        key="delete",
        label=constant("Delete"),
        done=constant("deleted"),
        icon="trash",
        as_task=Task.DELETE,
        left=lambda vm: _removal(vm, MachineEvent.DELETE),
        asks="plan",
        is_dangerous=True,
        is_typed=True,
        may=may_delete,
    ),
)
ACTIONS: Mapping[str, BulkAction] = {action.key: action for action in _ALL}


def offered(caller: Caller) -> tuple[BulkAction, ...]:
    """None of them to somebody who operates no pool."""
    if caller.operated_pools == frozenset():
        return ()
    return tuple(action for action in _ALL if caller.is_admin or not action.for_admins)


@frozen(kw_only=True)
class Left:
    """VMs that are left as they are, for one reason."""

    reason: str
    machines: tuple[MachineView, ...]


@frozen(kw_only=True)
class Split:
    """The selected VMs by what the action does with them. Each of them is in one part."""

    action: BulkAction
    changed: tuple[MachineView, ...]
    left: tuple[Left, ...]

    @property
    def machines(self) -> tuple[MachineView, ...]:
        return (*self.changed, *(machine for one in self.left for machine in one.machines))

    @property
    def total(self) -> int:
        return len(self.machines)

    @property
    def needs_confirmation(self) -> bool:
        many = self.action.as_task is not None and len(self.changed) > DEFAULT_AT_ONCE
        return bool(self.action.asks or self.left or not self.changed or many)


def split(action: BulkAction, machines: Iterable[MachineView], caller: Caller) -> Split:
    """Groups by reason in the order in which the reasons first appear; the order of the VMs is kept."""
    changed: list[MachineView] = []
    left: dict[str, list[MachineView]] = {}
    for machine in machines:
        reason = _reason(action, machine, caller)
        (changed if reason is None else left.setdefault(reason, [])).append(machine)
    return Split(
        action=action,
        changed=tuple(changed),
        left=tuple(Left(reason=reason, machines=tuple(found)) for reason, found in left.items()),
    )


def _reason(action: BulkAction, machine: MachineView, caller: Caller) -> str | None:
    if not action.may(caller, machine):
        return text("not yours")
    if machine.state in TRANSIENT:
        return text("{value}: wait until that has ended", value=_state(machine))
    return action.left(machine)
