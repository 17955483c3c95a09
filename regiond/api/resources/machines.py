"""`machines/` and `machines/{system_id}/`: what was composed."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import NotFound
from common.values import PowerAction
from regiond.api import machine_shapes, schemas
from regiond.api.encoding.machines import encode_machine, encode_power
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.fields import Choice, Field, Text
from regiond.api.replies import Reply, empty_reply, json_reply, list_reply
from regiond.api.resources import adoption, allocating, machine_life
from regiond.api.resources.machine_filters import FILTERS, keeps, wanted
from regiond.api.services import Services
from regiond.api.waiting import when_done
from regiond.machines.model import MachineView
from regiond.operations.model import Operation

_MACHINE_RESULT = Result(doc="The machine.", schema=machine_shapes.MACHINE)
_COMMENT = Field(name="comment", kind=Text(longest=4096), doc="Accepted as other servers do; not kept.")
_SYSTEM_ID_LENGTH = 64


async def find_machine(services: Services, path: Mapping[str, str]) -> MachineView:
    system_id = path["system_id"]
    if len(system_id) > _SYSTEM_ID_LENGTH or not (system_id.isascii() and system_id.isprintable()):
        raise NotFound("No Machine matches the given query.")
    return await services.machines.read(system_id)


async def _list(call: Call) -> Reply:
    found = await call.services.machines.list(wanted(call.values))
    return list_reply(encode_machine(machine) for machine in found if keeps(machine, call.values))


async def _read(call: Call) -> Reply:
    return json_reply(encode_machine(call.target))


async def _delete(call: Call) -> Reply:
    operation = await call.services.machines.start_delete(
        call.caller,
        call.path["system_id"],
        idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )

    async def gone(_: Operation) -> Reply:
        return empty_reply()

    return await when_done(call, operation, gone)


async def _power(call: Call, action: PowerAction) -> Reply:
    machine: MachineView = call.target
    operation = await call.services.machines.start_power(
        call.caller,
        machine.system_id,
        action,
        idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )

    async def switched(_: Operation) -> Reply:
        return json_reply(encode_machine(await call.services.machines.read(machine.system_id)))

    return await when_done(call, operation, switched)


async def _power_on(call: Call) -> Reply:
    return await _power(call, PowerAction.ON)


async def _power_off(call: Call) -> Reply:
    return await _power(call, PowerAction.FORCE_OFF if call.values["stop_mode"] == "hard" else PowerAction.OFF)


async def _power_cycle(call: Call) -> Reply:
    return await _power(call, PowerAction.CYCLE)


async def _query_power(call: Call) -> Reply:
    machine: MachineView = call.target
    state = await call.services.machines.query_power(call.caller, machine.system_id)
    return json_reply({"state": encode_power(state)})


MACHINES = Resource(
    handler="MachinesHandler",
    path="machines/",
    doc="Machines: the virtual machines that Innkeeper manages.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            fields=FILTERS,
            title="List machines",
            doc="All that match every filter given; a filter may be repeated for alternatives.",
            result=Result(doc="The machines.", schema=schemas.array(machine_shapes.MACHINE)),
            run=_list,
        ),
        allocating.ALLOCATE,
        machine_life.RELEASE_ALL,
        machine_life.LIST_ALLOCATED,
        adoption.FORGOTTEN,
    ),
)
MACHINE = Resource(
    handler="MachineHandler",
    path="machines/{system_id}/",
    doc="One machine.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a machine",
            result=_MACHINE_RESULT,
            find=find_machine,
            run=_read,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            title="Delete a machine",
            doc="Its virtual machine and its disks are removed from the host; then the machine is gone.",
            result=Result(doc="Nothing."),
            success=204,
            find=find_machine,
            outlives_target=True,
            run=_delete,
        ),
        Endpoint(
            method="POST",
            op="power_on",
            permission=Permission.OWNER,
            fields=(_COMMENT,),
            title="Switch a machine on",
            result=_MACHINE_RESULT,
            find=find_machine,
            run=_power_on,
        ),
        Endpoint(
            method="POST",
            op="power_off",
            permission=Permission.OWNER,
            fields=(
                Field(
                    name="stop_mode",
                    kind=Choice(choices=("hard", "soft")),
                    default="soft",
                    doc="soft asks the guest and pulls the plug when it takes too long; hard pulls it at once.",
                ),
                _COMMENT,
            ),
            title="Switch a machine off",
            result=_MACHINE_RESULT,
            find=find_machine,
            run=_power_off,
        ),
        Endpoint(
            method="POST",
            op="power_cycle",
            permission=Permission.OWNER,
            fields=(_COMMENT,),
            title="Switch a machine off and on",
            result=_MACHINE_RESULT,
            find=find_machine,
            run=_power_cycle,
        ),
        Endpoint(
            method="GET",
            op="query_power_state",
            permission=Permission.USER,
            title="Ask the host whether a machine is on",
            result=Result(doc="on, off or unknown.", schema=machine_shapes.POWER_STATE),
            find=find_machine,
            run=_query_power,
        ),
        *machine_life.of_machine(find_machine),
        adoption.forget(find_machine),
    ),
)
RESOURCES = (MACHINES, MACHINE)
