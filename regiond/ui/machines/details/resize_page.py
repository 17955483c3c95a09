"""Changes the size, pins and huge pages of a VM, and tells before what changes when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.hosts.numa.numa_model import NumaNodeView
from regiond.ledger.model import DiscreteResources
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Permission
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit, read_edit
from regiond.ui.forms.refusal import NOT_REFUSED, Refusal
from regiond.ui.machines.details.frame import change_obstacle, host_of, read_vm
from regiond.ui.machines.details.resize_binding import Preview, preview_of, side
from regiond.ui.machines.details.resize_form import about_form, api_fields, form_fields, values_of
from regiond.ui.rendering.page import Visit, form_pages, redirect, redirect_with_note
from regiond.ui.texts import text


@frozen(kw_only=True)
class _Resized:
    """The VM, what it is bound to, and the NUMA nodes of its host if the user may see that."""

    machine: MachineView
    bound: DiscreteResources
    nodes: Sequence[NumaNodeView]


async def resize(visit: Visit) -> Reply:
    vm = await _read(visit)
    machine, current = vm.machine, values_of(vm.machine, vm.bound)
    path = {"system_id": machine.system_id}

    async def show(edit: Edit, refusal: Refusal, preview: Preview | None = None) -> Reply:
        return await _page(visit, vm, edit, refusal, preview)

    async def send(changes: Mapping[str, str]) -> Reply:
        edit = read_edit(visit.request, current)
        fields = api_fields(edit.values, changes)
        if not fields:
            return redirect("vms", machine.system_id)
        if visit.request.given("preview"):
            plan = await visit.act(MACHINE, "POST", "resize", path=path, fields={**fields, "dry_run": "true"})
            return await show(edit, NOT_REFUSED, preview_of(plan, machine.host_name or "", vm.nodes))
        answer = await visit.act(MACHINE, "POST", "resize", path=path, fields=fields)
        done = text("{hostname} is resized", hostname=machine.hostname)
        return redirect_with_note(visit, "vms", machine.system_id, answer=answer, text=done)

    return await forms.change(visit, current, show, send)


async def _read(visit: Visit) -> _Resized:
    machine = (await read_vm(visit)).machine
    host = await host_of(visit, machine)
    held = (await visit.services.machines.claims(machine)).discrete
    return _Resized(
        machine=machine,
        bound=evolve(held, functions={}),
        nodes=await visit.services.hosts.numa(host.id) if host else (),
    )


async def _page(visit: Visit, vm: _Resized, edit: Edit, refusal: Refusal, preview: Preview | None) -> Reply:
    machine = vm.machine
    is_bound = vm.bound != DiscreteResources()
    return await visit.page(
        "machines/resize.html",
        title=text("Resize {hostname}", hostname=machine.hostname),
        section="vms",
        status=refusal.status,
        vm=machine,
        obstacle=change_obstacle(visit.caller, machine),
        runs=machine.power_state != "off",
        is_bound=is_bound,
        bound=side(text("Now"), vm.bound, machine.host_name or "", vm.nodes) if is_bound else None,
        preview=preview,
        form_fields=form_fields(),
        edit=edit,
        problems=about_form(refusal.problems),
    )


PAGES = form_pages("vms/<system_id>/resize", resize, permission=Permission.OPERATOR)
