"""The tabs of a VM: summary, network, storage, tasks, events, configuration."""

from __future__ import annotations

from collections.abc import Iterable

from common.words.operation_kinds import OperationKind
from regiond.api.replies import Reply
from regiond.hosts.model import HostView
from regiond.images.model import split_architecture
from regiond.machines.core.ownership_rules import may_act
from regiond.machines.values.devices import DeviceFilter
from regiond.machines.values.model import MachineView
from regiond.operations.model import Operation
from regiond.ui.events.event_list import event_list
from regiond.ui.lists.list_scope import of_vm
from regiond.ui.lists.task_list import task_list
from regiond.ui.machines.details import nic_pages, notes_form
from regiond.ui.machines.details.disk_choices import disk_choices
from regiond.ui.machines.details.failed_console import failed_console
from regiond.ui.machines.details.frame import (
    CONFIGURATION,
    EVENTS,
    NETWORK,
    STORAGE,
    SUMMARY,
    TASKS,
    Vm,
    change_obstacle,
    host_of,
    read_vm,
    vm_page,
)
from regiond.ui.machines.details.placement_card import Chosen, Place, PlacementCard, chosen_by, placement_card
from regiond.ui.machines.details.shown_settings import lines_of
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.usage.usage_card import UsageCard, usage_card
from regiond.ui.views.run_steps import run_steps
from regiond.ui.words.autostart_words import AUTOSTART_WORDS

_ON_SUMMARY = 5


async def summary(visit: Visit) -> Reply:
    vm = await read_vm(visit)
    machine = vm.machine
    tasks = await visit.services.operations.list(
        system_id=machine.system_id, limit=_ON_SUMMARY + 1, caller=visit.caller
    )
    deploying = _deploying(tasks)
    host = await host_of(visit, machine)
    return await vm_page(
        visit,
        vm,
        SUMMARY,
        tasks=tasks[:_ON_SUMMARY],
        has_more_tasks=len(tasks) > _ON_SUMMARY,
        deploying=deploying,
        steps=run_steps(await visit.services.operations.log(deploying.id), deploying.state) if deploying else (),
        failed_console=await failed_console(visit, machine),
        image_title=await _image_title(visit, machine),
        placed=await _placed(visit, vm, host),
        chosen=await _chosen(visit, machine),
        sees_host=host is not None,
        usage=await _usage(visit, machine),
        edit=notes_form.unchanged(machine),
        problems={},
    )


async def _usage(visit: Visit, machine: MachineView) -> UsageCard | None:
    """Returns None for a VM that is on no host."""
    if machine.host_id is None:
        return None
    return usage_card(await visit.services.usages.of_machine(machine, history=True))


def _deploying(tasks: Iterable[Operation]) -> Operation | None:
    return next((task for task in tasks if task.kind is OperationKind.DEPLOY and not task.state.ended), None)


async def _placed(visit: Visit, vm: Vm, host: HostView | None) -> PlacementCard | None:
    machine = vm.machine
    if machine.host_id is None:
        return None
    return placement_card(
        Place(
            host_name=machine.host_name or "",
            guest=vm.guest,
            claims=await visit.services.machines.claims(machine),
            nodes=await visit.services.hosts.numa(host.id) if host else (),
            capacity=host.capacity if host else None,
            storage_pools={pool.id: pool.name for pool in host.storage_pools} if host else {},
        )
    )


async def _chosen(visit: Visit, machine: MachineView) -> Chosen | None:
    """Returns the compose that chose the host, as long as its task is kept: the first task of the VM."""
    first = await visit.services.operations.list(
        system_id=machine.system_id, oldest_first=True, limit=1, caller=visit.caller
    )
    composed = [task for task in first if task.kind is OperationKind.COMPOSE]
    return chosen_by(composed[0].id, composed[0].explanation, machine.host_name) if composed else None


async def _image_title(visit: Visit, machine: MachineView) -> str:
    """Empty if there is none, or the catalogue has the image no more."""
    if not machine.osystem:
        return ""
    name, architecture = f"{machine.osystem}/{machine.distro_series}", split_architecture(machine.architecture)[0]
    images = await visit.services.images.list()
    return next((one.title for one in images if (one.name, one.architecture) == (name, architecture)), "")


async def network(visit: Visit) -> Reply:
    vm = await read_vm(visit)
    devices = await visit.services.devices.list(DeviceFilter(parents=(vm.machine.system_id,)), caller=visit.caller)
    cannot = nic_pages.obstacle(visit.caller, vm.machine)
    return await vm_page(
        visit, vm, NETWORK, devices=devices, may_change_nics=not cannot,
        cannot_change_nics=cannot if may_act(visit.caller, vm.machine) else "",
    )  # fmt: skip


async def storage(visit: Visit) -> Reply:
    vm, services = await read_vm(visit), visit.services
    may_change = not change_obstacle(visit.caller, vm.machine)
    changes = disk_choices(vm.machine, services.hardware.installation_id, may_change=may_change)
    kept = await services.kept_disks.list(visit.caller, host_id=vm.machine.host_id) if changes.may_add else ()
    return await vm_page(visit, vm, STORAGE, changes=changes, kept_disks=kept)


async def tasks(visit: Visit) -> Reply:
    vm = await read_vm(visit)
    return await vm_page(visit, vm, TASKS, **await task_list(visit, of_vm(vm.machine.system_id, TASKS)))


async def events(visit: Visit) -> Reply:
    vm = await read_vm(visit)
    return await vm_page(visit, vm, EVENTS, **await event_list(visit, of_vm(vm.machine.system_id, EVENTS)))


async def configuration(visit: Visit) -> Reply:
    vm = await read_vm(visit)
    return await vm_page(
        visit,
        vm,
        CONFIGURATION,
        image_title=await _image_title(visit, vm.machine),
        autostart_words=AUTOSTART_WORDS,
        shown=tuple(lines_of(visit, vm.machine)),
        edit=notes_form.unchanged(vm.machine),
        problems={},
    )


PAGES = (
    Page(path="vms/<system_id>", handle=summary),
    Page(path="vms/<system_id>/network", handle=network),
    Page(path="vms/<system_id>/storage", handle=storage),
    Page(path="vms/<system_id>/tasks", handle=tasks),
    Page(path="vms/<system_id>/events", handle=events),
    Page(path="vms/<system_id>/configuration", handle=configuration),
)
