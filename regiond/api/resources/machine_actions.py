"""Actions on one machine: release, owner data, mark broken or fixed, update."""

from __future__ import annotations

from attrs import evolve

from common.errors import NotFound
from regiond.api.endpoint import Call, Endpoint, Find, Permission, Result
from regiond.api.field_types import Text, TextList
from regiond.api.fields import Field, Problems
from regiond.api.operation_wait import when_done
from regiond.api.replies import Reply, json_reply, list_reply
from regiond.api.resources.compose_fields import domain_problems
from regiond.api.resources.host_fields import HOSTNAME
from regiond.api.serializer import STR, array
from regiond.api.serializers.machines import MACHINE_JSON
from regiond.machines.model import MachineChange, MachineFilter, MachineState, MachineView
from regiond.operations.model import Operation

COMMENT = Field(name="comment", type=Text(max_length=4096), default="", doc="The reason; stored with the event.")
_MACHINE = Result(doc="The machine.", type=MACHINE_JSON)
_GROUP = Text(max_length=256, blank=None)


async def _release(call: Call) -> Reply:
    machine: MachineView | None = call.target
    system_id = call.path["system_id"]
    operation = await call.services.ownership.start_release(
        call.caller,
        system_id,
        comment=call.values["comment"],
        idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )

    async def released(_: Operation | None) -> Reply:
        found = await call.services.machines.list(MachineFilter(system_ids=(system_id,)))
        if found:
            return json_reply(MACHINE_JSON.encode(found[0]))
        if machine is None:
            raise NotFound(
                "No Machine matches the given query."
            )  # a repeat of the request after the machine was deleted
        return json_reply(MACHINE_JSON.encode(evolve(machine, state=MachineState.RELEASING)))

    return await released(None) if operation is None else await when_done(call, operation, released)


async def _release_all(call: Call) -> Reply:
    released = await call.services.ownership.start_release_all(
        call.caller, call.values["machines"], comment=call.values["comment"]
    )
    return json_reply(list(released))


async def _list_allocated(call: Call) -> Reply:
    wanted = MachineFilter(
        owners=(call.caller.username,), states=(MachineState.ALLOCATED,), system_ids=call.values["id"]
    )
    return list_reply(MACHINE_JSON.encode(machine) for machine in await call.services.machines.list(wanted))


async def _set_owner_data(call: Call) -> Reply:
    machine: MachineView = call.target
    changed = await call.services.ownership.set_owner_data(call.caller, machine.system_id, call.other_values)
    return json_reply(MACHINE_JSON.encode(changed))


async def _mark_broken(call: Call) -> Reply:
    machine: MachineView = call.target
    why = call.values["comment"] or call.values["error_description"]
    return json_reply(
        MACHINE_JSON.encode(await call.services.ownership.mark_broken(call.caller, machine.system_id, why))
    )


async def _mark_fixed(call: Call) -> Reply:
    machine: MachineView = call.target
    fixed = await call.services.ownership.mark_fixed(call.caller, machine.system_id, call.values["comment"])
    return json_reply(MACHINE_JSON.encode(fixed))


def _update_problems(call: Call) -> Problems:
    return domain_problems(call.values)


async def _update(call: Call) -> Reply:
    machine: MachineView = call.target
    change = MachineChange(
        hostname=call.values["hostname"],
        zone=call.values["zone"],
        pool=call.values["pool"],
        description=call.values["description"],
    )
    return json_reply(MACHINE_JSON.encode(await call.services.ownership.update(call.caller, machine.system_id, change)))


RELEASE_ALL = Endpoint(
    method="POST",
    op="release",
    permission=Permission.USER,
    fields=(
        Field(name="machines", type=TextList(max_length=64), required=True, doc="System id; may be repeated."),
        COMMENT,
    ),
    title="Release machines",
    doc=(
        "Releases all of them, or none if one cannot be released; ready machines are skipped. Answers at once: the "
        "machines are Releasing until they are Ready, or deleted if allocation had composed them."
    ),
    result=Result(doc="System ids of the machines that are released.", type=array(STR)),
    run=_release_all,
)
LIST_ALLOCATED = Endpoint(
    method="GET",
    op="list_allocated",
    permission=Permission.USER,
    fields=(Field(name="id", type=TextList(), default=(), doc="System id; may be repeated."),),
    title="List the machines that are allocated to you",
    result=Result(doc="The machines.", type=array(MACHINE_JSON)),
    run=_list_allocated,
)


def of_machine(find: Find) -> tuple[Endpoint, ...]:
    """The endpoints of one machine."""
    return tuple(endpoint(find) for endpoint in (_put, _post_release, _post_owner_data, _post_broken, _post_fixed))


def _put(find: Find) -> Endpoint:
    return Endpoint(
        method="PUT",
        permission=Permission.ADMIN,
        fields=(
            Field(
                name="hostname",
                type=HOSTNAME,
                doc="A new unique hostname. The name of the virtual machine on the host does not change.",
            ),
            Field(name="zone", type=_GROUP, doc="Name of a zone."),
            Field(name="pool", type=_GROUP, doc="Id or name of a resource pool."),
            Field(name="description", type=Text(max_length=4096), doc="Description."),
            Field(name="domain", type=Text(max_length=256, blank=None), doc="Id or name of the domain."),
        ),
        title="Change a machine",
        doc="Changes only the given fields, in Innkeeper; the virtual machine is not changed.",
        result=_MACHINE,
        find=find,
        check=_update_problems,
        run=_update,
    )


def _post_release(find: Find) -> Endpoint:
    return Endpoint(
        method="POST",
        op="release",
        permission=Permission.USER,
        fields=(COMMENT,),
        title="Release a machine",
        doc=(
            "Powers the machine off and clears its owner. A machine that allocation had composed is deleted. "
            "Releasing a ready machine is not an error."
        ),
        result=_MACHINE,
        find=find,
        outlives_target=True,
        run=_release,
    )


def _post_owner_data(find: Find) -> Endpoint:
    return Endpoint(
        method="POST",
        op="set_owner_data",
        permission=Permission.OWNER,
        other_keys=Field(
            name="key",
            type=Text(max_length=65536, strip=False),
            default="",
            doc="The value of this key; an empty value deletes the key.",
        ),
        title="Set owner data of a machine",
        doc="Stores any keys with text values until the machine is released. Other keys are not changed.",
        result=_MACHINE,
        find=find,
        run=_set_owner_data,
    )


def _post_broken(find: Find) -> Endpoint:
    return Endpoint(
        method="POST",
        op="mark_broken",
        permission=Permission.OWNER,
        fields=(
            COMMENT,
            Field(name="error_description", type=Text(max_length=4096), default="", doc="Same as comment."),
        ),
        title="Mark a machine broken",
        doc="It is not allocated until it is marked fixed. The virtual machine is not changed.",
        result=_MACHINE,
        find=find,
        run=_mark_broken,
    )


def _post_fixed(find: Find) -> Endpoint:
    return Endpoint(
        method="POST",
        op="mark_fixed",
        permission=Permission.OWNER,
        fields=(COMMENT,),
        title="Mark a machine fixed",
        doc="It returns to its previous state, or to New if the last refresh did not list its virtual machine.",
        result=_MACHINE,
        find=find,
        run=_mark_fixed,
    )
