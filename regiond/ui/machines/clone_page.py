"""Clones a VM: a form with the name of the new one, and where its disks go."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import InnkeeperError
from common.guests.sizes import GuestSize
from common.words.operation_kinds import OperationKind
from regiond.api.replies import Reply
from regiond.api.resources.hosts.placement import MOST_AT_ONCE
from regiond.api.resources.machines.machines import MACHINE
from regiond.hosts.model import HostView
from regiond.machines.arrivals.clones.model import check_cloneable
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller
from regiond.ui.forms.form_field import FormField
from regiond.ui.machines.details.frame import host_of
from regiond.ui.machines.details.vm_form import FormFact, VmForm, vm_form
from regiond.ui.machines.disks.disk_form import pool_options
from regiond.ui.rendering.page import Visit, redirect, redirect_with_note
from regiond.ui.texts import text
from regiond.ui.views import formats

HOSTNAME, COUNT, CORES, MEMORY, STORAGE_POOL = "hostname", "count", "cores", "memory", "storage_pool"
_NAMES = (HOSTNAME, COUNT, CORES, MEMORY, STORAGE_POOL)


async def clone(visit: Visit, machine: MachineView) -> VmForm:
    request = visit.request

    async def send(values: Mapping[str, str]) -> Reply:
        answer = await visit.act(
            MACHINE, "POST", "clone",
            path={"system_id": machine.system_id},
            fields={name: values[name] or None for name in _NAMES},
            idempotency_key=request.given("once") or None,
        )  # fmt: skip
        task = await visit.services.operations.read(answer["id"], caller=visit.caller)
        if task.kind is OperationKind.BULK or not await visit.services.machines.announce(task):
            return redirect("tasks", task.id)
        return redirect_with_note(visit, "vms", task.system_id or "", task=task.id)

    values = {name: request.given(name, request.option(name)) for name in _NAMES}  # a link can have them
    whose = text(
        "It belongs to you. The system on its disks, if there is one, keeps the host name and keys that it has."
    )
    if machine.state is MachineState.DEPLOYED and machine.osystem:
        whose = text(
            "It is Deployed and belongs to you. At its first start cloud-init gives it its own host name, identity and "
            "SSH host keys, and your SSH keys."
        )
    return VmForm(
        title=text("Clone {hostname}", hostname=machine.hostname),
        obstacle=clone_obstacle(visit.caller, machine),
        facts=[
            FormFact(label=text("Host"), text=machine.host_name or ""),
            FormFact(label=text("Disks"), text=formats.storage(sum(disk.held_bytes for disk in machine.disks))),
        ],
        fields=_fields(machine, await host_of(visit, machine)),
        values={**values, COUNT: values[COUNT] or "1"},
        notes=[
            text(
                "The clone has copies of all disks, the same networks and tags, and its own MAC addresses. Its space "
                "is claimed at once."
            ),
            whose,
            text(
                "{name} cannot be started, changed or deleted meanwhile: large disks take minutes.",
                name=machine.hostname,
            ),
        ],
        button=text("Clone VM"),
        sent=send,
        sends_all=True,
        is_once=True,
    )


def clone_obstacle(caller: Caller, machine: MachineView) -> str:
    """Returns why the caller cannot clone the VM now, such as that it runs; empty if nothing is in the way."""
    try:
        check_cloneable(caller, machine)
    except InnkeeperError as error:
        return error.message
    return ""


def _fields(machine: MachineView, host: HostView | None) -> list[FormField]:
    size = machine.pending_size or GuestSize(cores=machine.cores, memory_mib=machine.memory_mib)
    return [
        FormField(
            name=HOSTNAME,
            label=text("Name"),
            optional=True,
            help=text("Left empty: two random words. Several clones of the name web are web-1, web-2 …"),
        ),
        FormField(
            name=COUNT, label=text("How many"), kind="number", minimum=1, help=text("At most {most}", most=MOST_AT_ONCE)
        ),
        FormField(
            name=CORES,
            label=text("Cores"),
            kind="number",
            minimum=1,
            optional=True,
            help=text("Left empty: {number}", number=size.cores),
        ),
        FormField(
            name=MEMORY,
            label=text("RAM in MiB"),
            kind="number",
            minimum=1024,
            optional=True,
            help=text("Left empty: {number}", number=size.memory_mib),
        ),
        FormField(
            name=STORAGE_POOL,
            label=text("Storage pool"),
            kind="choice",
            options=pool_options(host),
            none_label=text("As now"),
            optional=True,
            help=text("As now: the copy of each disk is in the storage pool of that disk"),
        ),
    ]


PAGES = vm_form("clone", clone)
