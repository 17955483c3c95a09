"""`machines/` and `machines/{system_id}/`: the VMs that Innkeeper manages."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import NotFound
from common.values import PowerAction
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.field_types import Choice, Text
from regiond.api.fields import Field
from regiond.api.operation_wait import when_done
from regiond.api.replies import Reply, empty_reply, json_reply, list_reply
from regiond.api.resources import adoption, allocation, machine_actions
from regiond.api.resources.machine_filters import FILTERS, machine_filter, matches
from regiond.api.serializer import array
from regiond.api.serializers.machines import MACHINE_JSON, POWER_STATE_JSON
from regiond.api.services import Services
from regiond.machines.model import MachineView
from regiond.operations.model import Operation

_MACHINE_RESULT = Result(doc="The machine.", type=MACHINE_JSON)
_COMMENT = Field(name="comment", type=Text(max_length=4096), doc="Accepted for compatibility; ignored.")
_SYSTEM_ID_LENGTH = 64


async def find_machine(services: Services, path: Mapping[str, str]) -> MachineView:
    system_id = path["system_id"]
    if len(system_id) > _SYSTEM_ID_LENGTH or not (system_id.isascii() and system_id.isprintable()):
        raise NotFound("No Machine matches the given query.")
    return await services.machines.read(system_id)


async def _list(call: Call) -> Reply:
    found = await call.services.machines.list(machine_filter(call.values))
    return list_reply(MACHINE_JSON.encode(machine) for machine in found if matches(machine, call.values))


async def _read(call: Call) -> Reply:
    return json_reply(MACHINE_JSON.encode(call.target))


async def _delete(call: Call) -> Reply:
    operation = await call.services.machines.start_delete(
        call.caller,
        call.path["system_id"],
        idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )

    async def deleted(_: Operation) -> Reply:
        return empty_reply()

    return await when_done(call, operation, deleted)


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
        return json_reply(MACHINE_JSON.encode(await call.services.machines.read(machine.system_id)))

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
    return json_reply(POWER_STATE_JSON.encode(state))


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
            doc="Lists machines that match every filter; repeated values of a filter are alternatives.",
            result=Result(doc="The machines.", type=array(MACHINE_JSON)),
            run=_list,
        ),
        allocation.ALLOCATE,
        machine_actions.RELEASE_ALL,
        machine_actions.LIST_ALLOCATED,
        adoption.DETACHED,
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
            doc="Deletes the virtual machine and its disks from the host, then the machine.",
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
            title="Power a machine on",
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
                    type=Choice(choices=("hard", "soft")),
                    default="soft",
                    doc="hard forces the guest off; soft shuts it down, by force after a timeout (default soft).",
                ),
                _COMMENT,
            ),
            title="Power a machine off",
            result=_MACHINE_RESULT,
            find=find_machine,
            run=_power_off,
        ),
        Endpoint(
            method="POST",
            op="power_cycle",
            permission=Permission.OWNER,
            fields=(_COMMENT,),
            title="Power a machine off and on",
            result=_MACHINE_RESULT,
            find=find_machine,
            run=_power_cycle,
        ),
        Endpoint(
            method="GET",
            op="query_power_state",
            permission=Permission.USER,
            title="Query the power state of a machine from its host",
            result=Result(doc="on, off or unknown.", type=POWER_STATE_JSON),
            find=find_machine,
            run=_query_power,
        ),
        *machine_actions.of_machine(find_machine),
        adoption.forget(find_machine),
    ),
)
RESOURCES = (MACHINES, MACHINE)
