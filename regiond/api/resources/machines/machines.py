"""`machines/` and `machines/{system_id}/`: the VMs that Innkeeper manages."""

from __future__ import annotations

from collections.abc import Callable

from common.collected import collected
from common.values import PowerAction, PowerState
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import CHANGE_DOC, machine_plan_reply, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.extension import api_extensions
from regiond.api.declaration.field_types import Choice, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, when_done, without_content
from regiond.api.declaration.request_cost import unless_few
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.hosts import adoption
from regiond.api.resources.machines import (
    allocation,
    bulk,
    clone,
    console,
    deployment,
    machine_actions,
    machine_details,
    node_actions,
    rebuild,
    usage,
)
from regiond.api.resources.machines.hardware import exports
from regiond.api.resources.machines.hardware.hardware_changes import plan_result
from regiond.api.resources.machines.machine_actions import MACHINE_RESULT, machine_now
from regiond.api.resources.machines.machine_filters import FILTERS, OF_THE_PAGE
from regiond.api.resources.machines.machine_list import PAGING, list_machines
from regiond.api.resources.shared.lookups import find_machine, find_machine_or_host, find_machine_to_read
from regiond.api.serializers.deletion import POWER_PLAN_JSON
from regiond.api.serializers.machines import MACHINE_JSON, POWER_STATE_JSON
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Permission

_COMMENT = Field(
    "comment",
    Text(max_length=4096),
    "Accepted for compatibility; ignored.",
    recorded=True,
    example="planned maintenance",
)
_STOP_MODE = Field(
    "stop_mode",
    Choice(choices=("hard", "soft")),
    "hard forces the guest off; soft shuts it down, by force after a timeout (default soft).",
    default="soft",
)


async def _delete(call: Call) -> Reply:
    requested = call.path["system_id"]
    machine: MachineView | None = call.target  # None: a repeat of the request after the machine was deleted
    operation = await call.services.machines.start_delete(
        call.caller,
        requested if machine is None else machine.system_id,
        idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )
    return await when_done(call, operation, without_content)


async def _deletion_plan(call: Call) -> Reply:
    system_id = call.path["system_id"] if call.target is None else call.target.system_id
    plan = await call.services.machines.deletion_plan(call.caller, system_id, need_rack=not call.respond_async)
    return machine_plan_reply(plan)


async def _power(call: Call, action: PowerAction) -> Reply:
    machine: MachineView = call.target
    operation = await call.services.machines.start_power(
        call.caller,
        machine.system_id,
        action,
        idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )
    return await when_done(call, operation, machine_now(call))


async def _power_plan(call: Call, action: PowerAction) -> Reply:
    plan = await call.services.machines.power_plan(
        call.caller, call.target.system_id, action, need_rack=not call.respond_async
    )
    return json_reply(POWER_PLAN_JSON.encode(plan))


def _off(call: Call) -> PowerAction:
    return PowerAction.FORCE_OFF if call.values["stop_mode"] == "hard" else PowerAction.OFF


async def _query_power(call: Call) -> PowerState:
    machine: MachineView = call.target
    if machine.is_vm_host:
        return PowerState(machine.power_state)
    return await call.services.machines.query_power(call.caller, call.target.system_id)


def _power_endpoint(
    op: str, action: Callable[[Call], PowerAction], *, title: str, fields: tuple[Field, ...] = ()
) -> Endpoint:
    endpoint = Endpoint(
        method="POST",
        op=op,
        permission=Permission.OWNER,
        fields=(*fields, _COMMENT),
        title=title,
        result=MACHINE_RESULT,
        opens_operation=True,
        other_answers=(STARTED,),
        find=find_machine,
        run=lambda call: _power(call, action(call)),
    )
    return with_dry_run(
        endpoint, lambda call: _power_plan(call, action(call)), result=plan_result(POWER_PLAN_JSON), doc=CHANGE_DOC
    )


MACHINES = Resource(
    handler="MachinesHandler",
    path="machines/",
    doc="Machines: the virtual machines that Innkeeper manages.",
    endpoints=(
        crud.list_of(
            MACHINE_JSON,
            list_machines,
            title="List machines",
            doc="Lists machines that match every filter; repeated values of a filter are alternatives.",
            fields=(*FILTERS, *PAGING),
            expensive=unless_few(OF_THE_PAGE, named=("id", "hostname")),
            result="The machines.",
        ),
        allocation.ALLOCATE,
        machine_actions.RELEASE_ALL,
        bulk.BULK,
        machine_actions.LIST_ALLOCATED,
        *node_actions.OF_MACHINES,
        machine_details.ALL_POWER_PARAMETERS,
        adoption.DETACHED,
        adoption.FORGOTTEN,
    ),
)
MACHINE = Resource(
    handler="MachineHandler",
    path="machines/{system_id}/",
    doc="One machine, by its system id or hostname.",
    endpoints=(
        crud.read_target(
            MACHINE_RESULT,
            find_machine_to_read,
            title="Read a machine",
        ),
        with_dry_run(
            Endpoint(
                method="DELETE",
                permission=Permission.OWNER,
                title="Delete a machine",
                doc=(
                    "Deletes the virtual machine and its disks from the host, then the machine. Answers after 8 s if "
                    "that takes longer: the machine is Releasing until it is gone. A repeated request waits for the "
                    "same deletion."
                ),
                result=crud.NOTHING,
                success=204,
                opens_operation=True,
                other_answers=(STARTED,),
                find=find_machine,
                outlives_target=True,
                accepted=frozenset({"force"}),
                run=_delete,
            ),
            _deletion_plan,
        ),
        _power_endpoint("power_on", lambda _: PowerAction.ON, title="Power a machine on"),
        _power_endpoint("power_off", _off, title="Power a machine off", fields=(_STOP_MODE,)),
        _power_endpoint("power_cycle", lambda _: PowerAction.CYCLE, title="Power a machine off and on"),
        crud.read(
            Result(doc="on, off or unknown.", type=POWER_STATE_JSON),
            _query_power,
            op="query_power_state",
            title="Query the power state of a machine from its host",
            find=find_machine_or_host,
        ),
        *collected("regiond.api.resources.machines.hardware", "OF_ONE", Endpoint),
        machine_actions.UPDATE,
        machine_actions.RELEASE,
        machine_actions.SET_OWNER_DATA,
        machine_actions.CLEAR_DEFAULT_GATEWAYS,
        machine_actions.MARK_BROKEN,
        machine_actions.MARK_FIXED,
        machine_actions.ACCEPT_OFF,
        machine_actions.LOCK,
        machine_actions.UNLOCK,
        *machine_details.OF_ONE,
        deployment.DEPLOY,
        deployment.ABORT,
        rebuild.REBUILD,
        clone.CLONE,
        exports.EXPORT,
        *[one for extension in api_extensions() for one in extension.of_machine],
        usage.USAGE,
        console.LOG,
        console.CONNECT,
        console.SCREEN,
        adoption.FORGET,
    ),
)
RESOURCES = (MACHINES, MACHINE)
