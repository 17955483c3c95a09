"""Adopting and forgetting, for the resources of hosts, virtual machines and machines."""

from __future__ import annotations

import time

from attrs import evolve

from common.errors import OperationPending
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import machine_plan_reply, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Boolean, Text, TextList
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.operation_wait import STARTED, begun, when_done, without_content
from regiond.api.declaration.serializer import array
from regiond.api.declaration.served import serve
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.shared.host_fields import HOSTNAME
from regiond.api.resources.shared.lookups import find_guest, find_host, find_machine
from regiond.api.serializers.adoption import ADOPTED_JSON, DETACHED_MACHINE_JSON, FORGOTTEN_MACHINE_JSON
from regiond.api.serializers.machines import MACHINE_JSON
from regiond.hosts.model import GuestView, HostView
from regiond.machines.values.adoption import Adopted
from regiond.machines.values.requests import AdoptRequest
from regiond.operations.model import Operation
from regiond.requests.caller import Permission

_HOSTNAME = Field(
    "hostname",
    HOSTNAME,
    (
        "Hostname of the machine, for a single virtual machine (default: the name of the guest). One that is a machine "
        "already is renamed."
    ),
    recorded=True,
    example="quick-fox",
)
_OWNER = Field(
    "owner",
    Text(max_length=150, blank=None),
    (
        "Name of the user to whom the machines belong (default: you). Of one that was adopted already and not released "
        "since, it changes the owner."
    ),
    recorded=True,
    example="ann",
)


def _adopt_problems(call: Call) -> Problems:
    problems: Problems = {}
    if call.values["all"] == bool(call.values["guests"]):
        problems["guests"] = ["Give either guests or all=true, not both."]
    elif call.values["hostname"] and len(call.values["guests"]) != 1:
        problems["hostname"] = ["A hostname requires exactly one virtual machine."]
    return problems


async def _adopt(call: Call) -> Reply:
    """Adopts guests. Answers one named guest like any operation, several with a list of outcomes and rejections."""
    host: HostView = call.target
    names, everything = call.values["guests"], call.values["all"]
    request = AdoptRequest(
        guests=names, everything=everything, hostname=call.values["hostname"], owner=call.values["owner"]
    )
    adopted = await _start(call, host.id, request)
    if len(names) == 1 and adopted[0].operation is not None:

        async def done(operation: Operation) -> Reply:
            return json_reply([ADOPTED_JSON.encode(evolve(adopted[0], operation=operation))])

        return await when_done(call, adopted[0].operation, done)
    if not call.respond_async:
        adopted = await _ended(call, adopted)
    return json_reply([ADOPTED_JSON.encode(one) for one in adopted])


async def _start(call: Call, host_id: int, request: AdoptRequest) -> tuple[Adopted, ...]:
    return await call.services.adoption.start_adopt(call.caller, host_id, request, need_rack=not call.respond_async)


async def _ended(call: Call, adopted: tuple[Adopted, ...]) -> tuple[Adopted, ...]:
    """Returns the outcomes with their operations at their end, or after `wait_s`; unfinished operations continue."""
    until_s = time.monotonic() + call.info.wait_s
    ended = []
    for one in adopted:
        operation = one.operation
        if operation is not None and not operation.state.ended:
            try:
                left_s = max(0.1, until_s - time.monotonic())
                operation = await call.services.operations.wait(operation.id, timeout_s=left_s, caller=call.caller)
            except OperationPending:
                operation = await call.services.operations.read(operation.id, caller=call.caller)
        ended.append(evolve(one, operation=operation))
    return tuple(ended)


async def _adopt_guest(call: Call) -> Reply:
    guest: GuestView = call.target
    request = AdoptRequest(guests=(str(guest.id),), hostname=call.values["hostname"], owner=call.values["owner"])
    adopted, *_ = await _start(call, guest.host_id, request)
    system_id = adopted.system_id or ""

    async def machine(_: Operation | None = None) -> Reply:
        return json_reply(MACHINE_JSON.encode(await call.services.machines.read(system_id, caller=call.caller)))

    if adopted.operation is None:
        return await machine()
    return await when_done(call, adopted.operation, machine)


async def _forget(call: Call) -> Reply:
    # A repeat of the request has no target if the machine is already forgotten.
    operation = await begun(call) or await call.services.adoption.start_forget(
        call.caller, call.target.system_id, need_rack=not call.respond_async, idempotency_key=call.idempotency_key
    )
    return await when_done(call, operation, without_content)


async def _forget_plan(call: Call) -> Reply:
    system_id, need_rack = call.target.system_id, not call.respond_async
    return machine_plan_reply(await call.services.adoption.forget_plan(call.caller, system_id, need_rack=need_rack))


ADOPT = Endpoint(
    method="POST",
    op="adopt",
    permission=Permission.ADMIN,
    fields=(
        Field(
            "guests",
            TextList(),
            "Name or id of a virtual machine on this host; may be repeated.",
            recorded=True,
            default=(),
            example=("quick-fox",),
        ),
        Field(
            "all",
            Boolean(),
            "Adopt all virtual machines of this host that are not machines (default false).",
            default=False,
        ),
        _HOSTNAME,
        _OWNER,
    ),
    title="Adopt virtual machines",
    doc=(
        "Makes existing virtual machines machines of Innkeeper, with one operation each. Adoption adds the "
        "ownership marker, changes nothing else and restarts nothing. The machines are Deployed, and yours."
    ),
    result=Result(doc="The outcome for each virtual machine.", type=array(ADOPTED_JSON)),
    other_answers=(STARTED,),
    find=find_host,
    check=_adopt_problems,
    run=_adopt,
)
ADOPT_GUEST = Endpoint(
    method="POST",
    op="adopt",
    permission=Permission.ADMIN,
    fields=(_HOSTNAME, _OWNER),
    title="Adopt a virtual machine",
    doc=(
        "Makes it a machine without changing it, which is Deployed and belongs to you. One that is a machine "
        "already is renamed if a hostname is given."
    ),
    result=Result(doc="The machine.", type=MACHINE_JSON),
    other_answers=(STARTED,),
    find=find_guest,
    run=_adopt_guest,
)
FORGET = with_dry_run(
    Endpoint(
        method="POST",
        op="forget",
        permission=Permission.ADMIN,
        title="Forget a machine",
        doc=(
            "The inverse of adopting: Innkeeper stops managing the virtual machine, which stays on the host unchanged. "
            "'machines forgotten' lists it until it is adopted again."
        ),
        result=crud.NOTHING,
        success=204,
        opens_operation=True,
        outlives_target=True,
        other_answers=(STARTED,),
        find=find_machine,
        destructive=True,
        run=_forget,
    ),
    _forget_plan,
)
DETACHED = crud.list_of(
    DETACHED_MACHINE_JSON,
    serve(lambda s: s.adoption.detached),
    op="detached",
    title="List detached machines",
    doc=(
        "Machines whose VM host was removed while their virtual machines remained there. Adding the host again "
        "restores them."
    ),
    result="The detached machines.",
)
FORGOTTEN = crud.list_of(
    FORGOTTEN_MACHINE_JSON,
    serve(lambda s: s.adoption.forgotten),
    op="forgotten",
    title="List forgotten machines",
    doc=(
        "Machines that the operation 'forget' removed and that were not adopted again, with the virtual machine that "
        "remained of each."
    ),
    result="The forgotten machines.",
)
