"""Details of machines that MAAS's clients read and set: power parameters, annotations and more."""

from __future__ import annotations

from typing import Any

from common.errors import WrongState
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import TextList
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, when_done
from regiond.api.declaration.serializer import OBJECT, STR, mapping, nullable
from regiond.api.declaration.served import given, serve, target
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.machines.machine_actions import ANY_KEY, COMMENT, MACHINE_RESULT
from regiond.api.resources.machines.node_actions import of_one
from regiond.api.resources.shared.lookups import find_machine, find_machine_or_host
from regiond.api.serializers.machines import MACHINE_JSON
from regiond.machines.values.states import MachineState
from regiond.operations.model import Operation
from regiond.requests.caller import Permission


async def _token(_: Call) -> Any:
    return None


async def _commission(call: Call) -> Reply:
    system_id = call.target.system_id
    operation = await call.services.ownership.start_commission(
        call.caller, system_id, comment=call.values["comment"], idempotency_key=call.idempotency_key
    )

    async def commissioned(now: Operation) -> Reply:
        machine = await call.services.machines.read(system_id, caller=call.caller)
        if now.state.ended and machine.state in (MachineState.NEW, MachineState.MISSING):
            raise WrongState(
                f"{machine.host_name} does not list a virtual machine of {machine.hostname}: restore it there and "
                "commission the machine again, or delete the machine."
            )
        return json_reply(MACHINE_JSON.encode(machine))

    return await when_done(call, operation, commissioned)


ALL_POWER_PARAMETERS = crud.read(
    Result(doc="By system id: address of the VM host, name of the VM there and project.", type=mapping(mapping(STR))),
    serve(lambda s: s.machines.power_parameters, system_ids=given("id")),
    op="power_parameters",
    title="Read how machines are reached on their VM hosts",
    fields=(Field("id", TextList(), "System id; may be repeated (default: all machines).", default=()),),
    expensive=True,
    permission=Permission.ADMIN,
)
GET_TOKEN = crud.read(
    Result(doc="null: machines have no API keys of their own.", type=nullable(OBJECT)),
    _token,
    op="get_token",
    title="Read the API key of a machine",
    find=find_machine_or_host,
)
SET_WORKLOAD_ANNOTATIONS = crud.action(
    "set_workload_annotations",
    MACHINE_RESULT,
    serve(
        lambda s: s.ownership.set_workload_annotations,
        system_id=target("system_id"),
        annotations=lambda call: call.other_values,
    ),
    title="Set workload annotations of a machine",
    doc="Stores any keys with text values until the machine is released, apart from the owner data.",
    other_keys=ANY_KEY,
    find=find_machine,
    permission=Permission.OWNER,
)
COMMISSION = Endpoint(
    method="POST",
    op="commission",
    permission=Permission.OWNER,
    title="Commission a machine",
    doc=(
        "Refreshes its VM host. A machine that is New or Failed commissioning becomes Ready, without owner, if its "
        "virtual machine exists; a Ready one stays Ready."
    ),
    fields=(COMMENT,),
    accepted=frozenset({
        "commissioning_scripts", "enable_ssh", "parameters", "skip_bmc_config", "skip_networking", "skip_storage",
        "testing_scripts",
    }),
    result=MACHINE_RESULT,
    opens_operation=True,
    other_answers=(STARTED,),
    find=find_machine,
    expensive=True,
    run=_commission,
)  # fmt: skip
OF_ONE = (*of_one(find_machine_or_host, "machine"), GET_TOKEN, SET_WORKLOAD_ANNOTATIONS, COMMISSION)
