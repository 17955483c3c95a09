"""What an owner and administrators do with a machine: give it back, keep data with it, mark it, change it."""

from __future__ import annotations

from attrs import evolve

from common.errors import InvalidRequest, NotFound
from regiond.api import machine_shapes, schemas
from regiond.api.encoding.groups import DOMAIN_ID, DOMAIN_NAME
from regiond.api.encoding.machines import encode_machine
from regiond.api.endpoint import Call, Endpoint, Find, Permission, Result
from regiond.api.fields import Field, Text, TextList
from regiond.api.replies import Reply, json_reply, list_reply
from regiond.api.resources.host_fields import HOSTNAME
from regiond.api.waiting import when_done
from regiond.field_words import no_choice
from regiond.machines.life import MachineState
from regiond.machines.model import MachineChange, MachineFilter, MachineView
from regiond.operations.model import Operation

COMMENT = Field(name="comment", kind=Text(longest=4096), default="", doc="Why; kept with the event.")
_MACHINE = Result(doc="The machine.", schema=machine_shapes.MACHINE)
_GROUP = Text(longest=256, blank=None)


async def _release(call: Call) -> Reply:
    machine: MachineView | None = call.target
    system_id = call.path["system_id"]
    operation = await call.services.keeping.start_release(
        call.caller,
        system_id,
        comment=call.values["comment"],
        idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )

    async def released(_: Operation | None) -> Reply:
        found = await call.services.machines.list(MachineFilter(system_ids=(system_id,)))
        if found:
            return json_reply(encode_machine(found[0]))
        if machine is None:
            raise NotFound("No Machine matches the given query.")  # it was destroyed before this was asked again
        return json_reply(encode_machine(evolve(machine, state=MachineState.RELEASING)))

    return await released(None) if operation is None else await when_done(call, operation, released)


async def _release_all(call: Call) -> Reply:
    released = await call.services.keeping.start_release_all(
        call.caller, call.values["machines"], comment=call.values["comment"]
    )
    return json_reply(list(released))


async def _list_allocated(call: Call) -> Reply:
    wanted = MachineFilter(
        owners=(call.caller.username,), states=(MachineState.ALLOCATED,), system_ids=call.values["id"]
    )
    return list_reply(encode_machine(machine) for machine in await call.services.machines.list(wanted))


async def _set_owner_data(call: Call) -> Reply:
    machine: MachineView = call.target
    changed = await call.services.keeping.set_owner_data(call.caller, machine.system_id, call.rest)
    return json_reply(encode_machine(changed))


async def _mark_broken(call: Call) -> Reply:
    machine: MachineView = call.target
    why = call.values["comment"] or call.values["error_description"]
    return json_reply(encode_machine(await call.services.keeping.mark_broken(call.caller, machine.system_id, why)))


async def _mark_fixed(call: Call) -> Reply:
    machine: MachineView = call.target
    fixed = await call.services.keeping.mark_fixed(call.caller, machine.system_id, call.values["comment"])
    return json_reply(encode_machine(fixed))


async def _update(call: Call) -> Reply:
    machine: MachineView = call.target
    if call.values["domain"] not in {None, str(DOMAIN_ID), DOMAIN_NAME}:
        raise InvalidRequest.of({"domain": [no_choice(call.values["domain"])]})
    change = MachineChange(
        hostname=call.values["hostname"],
        zone=call.values["zone"],
        pool=call.values["pool"],
        description=call.values["description"],
    )
    return json_reply(encode_machine(await call.services.keeping.update(call.caller, machine.system_id, change)))


RELEASE_ALL = Endpoint(
    method="POST",
    op="release",
    permission=Permission.USER,
    fields=(
        Field(name="machines", kind=TextList(longest=64), required=True, doc="System id; may be repeated."),
        COMMENT,
    ),
    title="Give machines back",
    doc=(
        "All of them, or none when one cannot be. Those that are free already are passed over. Answers at once; "
        "the machines are Releasing until they are Ready, or gone where allocation had composed them."
    ),
    result=Result(doc="System ids of the machines that are given back.", schema=schemas.array(schemas.STR)),
    run=_release_all,
)
LIST_ALLOCATED = Endpoint(
    method="GET",
    op="list_allocated",
    permission=Permission.USER,
    fields=(Field(name="id", kind=TextList(), default=(), doc="System id; may be repeated."),),
    title="List the machines that are allocated to you",
    result=Result(doc="The machines.", schema=schemas.array(machine_shapes.MACHINE)),
    run=_list_allocated,
)


def of_machine(find: Find) -> tuple[Endpoint, ...]:
    """The endpoints of one machine."""
    return (
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            fields=(
                Field(name="hostname", kind=HOSTNAME, doc="A new name, unique; its VM keeps the name that it has."),
                Field(name="zone", kind=_GROUP, doc="Name of a zone."),
                Field(name="pool", kind=_GROUP, doc="Id or name of a resource pool."),
                Field(name="description", kind=Text(longest=4096), doc="What it is for."),
                Field(name="domain", kind=Text(longest=256, blank=None), doc="Id or name of the one domain."),
            ),
            title="Change a machine",
            doc="What is left out stays. Its VM is not touched.",
            result=_MACHINE,
            find=find,
            run=_update,
        ),
        Endpoint(
            method="POST",
            op="release",
            permission=Permission.USER,
            fields=(COMMENT,),
            title="Give a machine back",
            doc=(
                "It is switched off, and is Ready for whoever comes next; a machine that allocation composed is "
                "destroyed. One that is free already is no error."
            ),
            result=_MACHINE,
            find=find,
            outlives_target=True,
            run=_release,
        ),
        Endpoint(
            method="POST",
            op="set_owner_data",
            permission=Permission.OWNER,
            rest=Field(name="key", kind=Text(longest=65536, stripped=False), default="", doc="Its value; empty: away."),
            title="Keep data with a machine",
            doc="Any keys with a text each, until it is released. Keys that are not named stay.",
            result=_MACHINE,
            find=find,
            run=_set_owner_data,
        ),
        Endpoint(
            method="POST",
            op="mark_broken",
            permission=Permission.OWNER,
            fields=(COMMENT, Field(name="error_description", kind=Text(longest=4096), default="", doc="As comment.")),
            title="Mark a machine broken",
            doc="Nobody is given it until it is marked fixed. Its VM is not touched.",
            result=_MACHINE,
            find=find,
            run=_mark_broken,
        ),
        Endpoint(
            method="POST",
            op="mark_fixed",
            permission=Permission.OWNER,
            fields=(COMMENT,),
            title="Mark a machine fixed",
            doc="It is what it was before; New when no look at its host has found its VM.",
            result=_MACHINE,
            find=find,
            run=_mark_fixed,
        ),
    )
