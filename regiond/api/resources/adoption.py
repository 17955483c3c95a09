"""Adopting and forgetting, for the resources of hosts, virtual machines and machines."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import evolve

from common.errors import InvalidRequest, OperationPending
from regiond.api import machine_shapes, schemas, shapes
from regiond.api.encoding.adoption import encode_adopted, encode_forgotten
from regiond.api.encoding.machines import encode_machine
from regiond.api.endpoint import Call, Endpoint, Permission, Result
from regiond.api.fields import Boolean, Field, TextList
from regiond.api.replies import Reply, empty_reply, json_reply, list_reply
from regiond.api.resources.host_fields import HOSTNAME
from regiond.api.services import Services
from regiond.api.waiting import when_done
from regiond.hosts.model import GuestView, HostView
from regiond.machines.model import Adopted, AdoptRequest, MachineView
from regiond.operations.model import Operation

Find = Callable[[Services, Mapping[str, str]], Awaitable[Any]]

_HOSTNAME = Field(name="hostname", kind=HOSTNAME, doc="Hostname of the machine, for a single one; the guest's name.")


async def _adopt(call: Call) -> Reply:
    host: HostView = call.target
    names, everything = call.values["guests"], call.values["all"]
    if everything == bool(names):
        raise InvalidRequest.of({"guests": ["Name the virtual machines, or say all=true; not both."]})
    if call.values["hostname"] and len(names) != 1:
        raise InvalidRequest.of({"hostname": ["A hostname can be given to a single virtual machine only."]})
    request = AdoptRequest(guests=names, everything=everything, hostname=call.values["hostname"])
    adopted = await _start(call, host.id, request)
    if len(names) == 1 and adopted[0].operation is not None:

        async def done(operation: Operation) -> Reply:
            return json_reply([encode_adopted(evolve(adopted[0], operation=operation))])

        return await when_done(call, adopted[0].operation, done)
    if not call.respond_async:
        adopted = await _ended(call, adopted)
    return list_reply(encode_adopted(one) for one in adopted)


async def _start(call: Call, host_id: int, request: AdoptRequest) -> tuple[Adopted, ...]:
    return await call.services.adoption.start_adopt(call.caller, host_id, request, need_rack=not call.respond_async)


async def _ended(call: Call, adopted: tuple[Adopted, ...]) -> tuple[Adopted, ...]:
    """Each with its operation as it ended, however it did; those that take longer than a request waits go on."""
    until_s = time.monotonic() + call.info.wait_s
    ended = []
    for one in adopted:
        operation = one.operation
        if operation is not None and not operation.state.ended:
            try:
                left_s = max(0.1, until_s - time.monotonic())
                operation = await call.services.operations.wait(operation.id, timeout_s=left_s)
            except OperationPending:
                operation = await call.services.operations.read(operation.id)
        ended.append(evolve(one, operation=operation))
    return tuple(ended)


async def _adopt_guest(call: Call) -> Reply:
    guest: GuestView = call.target
    request = AdoptRequest(guests=(str(guest.id),), hostname=call.values["hostname"])
    adopted, *_ = await _start(call, guest.host_id, request)
    system_id = adopted.system_id or ""

    async def machine(_: Operation | None = None) -> Reply:
        return json_reply(encode_machine(await call.services.machines.read(system_id)))

    if adopted.operation is None:
        return await machine()
    return await when_done(call, adopted.operation, machine)


async def _forget(call: Call) -> Reply:
    machine: MachineView = call.target
    operation = await call.services.adoption.start_forget(
        call.caller, machine.system_id, need_rack=not call.respond_async
    )

    async def gone(_: Operation) -> Reply:
        return empty_reply()

    return await when_done(call, operation, gone)


async def _forgotten(call: Call) -> Reply:
    return json_reply([encode_forgotten(machine) for machine in await call.services.adoption.forgotten()])


def adopt(find: Find) -> Endpoint:
    """Of a VM host."""
    return Endpoint(
        method="POST",
        op="adopt",
        permission=Permission.ADMIN,
        fields=(
            Field(
                name="guests",
                kind=TextList(),
                default=(),
                doc="Name or id of a virtual machine on this host; may be repeated.",
            ),
            Field(name="all", kind=Boolean(), default=False, doc="All on this host that are not machines yet."),
            _HOSTNAME,
        ),
        title="Adopt virtual machines",
        doc=(
            "Virtual machines that were there before become machines, each by an operation of its own: they get "
            "Innkeeper's mark, and nothing else of them is changed or restarted."
        ),
        result=Result(doc="What became of each.", schema=schemas.array(shapes.ADOPTED)),
        find=find,
        run=_adopt,
    )


def adopt_guest(find: Find) -> Endpoint:
    """Of one virtual machine."""
    return Endpoint(
        method="POST",
        op="adopt",
        permission=Permission.ADMIN,
        fields=(_HOSTNAME,),
        title="Adopt a virtual machine",
        doc="It becomes a machine as it is; one that is a machine already is no error.",
        result=Result(doc="The machine.", schema=machine_shapes.MACHINE),
        find=find,
        run=_adopt_guest,
    )


def forget(find: Find) -> Endpoint:
    """Of one machine."""
    return Endpoint(
        method="POST",
        op="forget",
        permission=Permission.ADMIN,
        title="Forget a machine",
        doc="The inverse of adopting: its virtual machine stays on the host as it is and is Innkeeper's no more.",
        result=Result(doc="Nothing."),
        success=204,
        find=find,
        run=_forget,
    )


FORGOTTEN = Endpoint(
    method="GET",
    op="forgotten",
    permission=Permission.USER,
    title="List forgotten machines",
    doc=(
        "Machines whose VM host was removed while their virtual machines stayed there. They become machines again "
        "when the host is added again."
    ),
    result=Result(doc="The forgotten machines.", schema=schemas.array(machine_shapes.FORGOTTEN_MACHINE)),
    run=_forgotten,
)
