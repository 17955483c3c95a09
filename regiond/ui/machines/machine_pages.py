"""The page of one VM: its facts, its tasks, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterable

from regiond.api.replies import Reply
from regiond.attention.model import ObjectType
from regiond.images.model import split_architecture
from regiond.machines.model import MachineState, MachineView
from regiond.machines.values.devices import DeviceFilter
from regiond.operations.model import Operation, OperationKind
from regiond.ui.attention.attention_page import attention_of
from regiond.ui.autostart_words import AUTOSTART_WORDS
from regiond.ui.machines.machine_actions import (
    deployment_obstacle,
    may_abort,
    offered,
    owns,
    removals,
    sees_console,
)
from regiond.ui.page import Page, Visit
from regiond.ui.run_steps import run_steps

_MOST_TASKS = 20


async def show(visit: Visit) -> Reply:
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    tasks = await visit.services.operations.list(system_id=machine.system_id, limit=_MOST_TASKS, caller=visit.caller)
    deploying = _deploying(tasks)
    guest = None
    if machine.guest_id is not None:
        guest = await visit.services.hosts.guest(machine.guest_id, caller=visit.caller)
    return await visit.page(
        "machines/machine.html",
        title=machine.hostname,
        section="vms",
        vm=machine,
        guest=guest,
        devices=await visit.services.devices.list(DeviceFilter(parents=(machine.system_id,)), caller=visit.caller),
        tasks=tasks,
        actions=offered(visit.caller, machine),
        removals=removals(visit.caller, machine),
        may_deploy=deployment_obstacle(visit.caller, machine) is None,
        may_abort=may_abort(visit.caller, machine),
        deploying=deploying,
        steps=run_steps(await visit.services.operations.log(deploying.id), deploying.state) if deploying else (),
        image_title=await _image_title(visit, machine),
        may_see_console=sees_console(visit.caller, machine),
        failed_console=await failed_console(visit, machine),
        autostart_words=AUTOSTART_WORDS,
        attention=await attention_of(visit, object_type=ObjectType.VM, object_id=machine.system_id),
    )


def _deploying(tasks: Iterable[Operation]) -> Operation | None:
    return next((task for task in tasks if task.kind is OperationKind.DEPLOY and not task.state.ended), None)


async def failed_console(visit: Visit, machine: MachineView, *, operation_id: int | None = None) -> str:
    """The last lines of the console before its deployment failed; empty if the visitor may not see them."""
    if machine.state is not MachineState.FAILED_DEPLOYMENT or not owns(visit.caller, machine):
        return ""
    return await visit.services.consoles.of_failure(visit.caller, machine.system_id, operation_id=operation_id)


async def _image_title(visit: Visit, machine: MachineView) -> str:
    """Empty if there is none, or the catalogue has the image no more."""
    if not machine.osystem:
        return ""
    name, architecture = f"{machine.osystem}/{machine.distro_series}", split_architecture(machine.architecture)[0]
    images = await visit.services.images.list()
    return next((one.title for one in images if (one.name, one.architecture) == (name, architecture)), "")


PAGES = (Page(path="vms/<system_id>", handle=show),)
