"""Actions on one machine: release, owner data, mark broken or fixed, update."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import evolve

from common.errors import NotFound
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import machine_plan_reply, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Boolean, Text, TextList
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.operation_wait import STARTED, when_done
from regiond.api.declaration.request_cost import unless_few
from regiond.api.declaration.serializer import STR, array
from regiond.api.declaration.served import filled, given, serve, target
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.shared.affinity_fields import NEW_AFFINITY
from regiond.api.resources.shared.compose_fields import domain_problems
from regiond.api.resources.shared.host_fields import GROUP, HOSTNAME, autostart_field
from regiond.api.resources.shared.lookups import find_machine, machines_in_field
from regiond.api.serializers.machines import MACHINE_JSON
from regiond.machines.values.model import MachineView
from regiond.machines.values.requests import RELEASE_ADOPTED, MachineChange, ReleaseOptions
from regiond.machines.values.search import MachineFilter
from regiond.machines.values.states import MachineState
from regiond.operations.model import Operation
from regiond.requests.caller import Permission
from regiond.requests.validation_messages import no_object

COMMENT = Field(
    "comment",
    Text(max_length=4096),
    "The reason; stored with the event.",
    recorded=True,
    default="",
    example="planned maintenance",
)
ANY_KEY = Field(
    "key",
    Text(max_length=65536, strip=False),
    "The value of this key; an empty value deletes the key.",
    default="",
    example="A4",
)
_ALLOCATED = (
    MachineState.ALLOCATED,
    MachineState.DEPLOYING,
    MachineState.DEPLOYED,
    MachineState.FAILED_DEPLOYMENT,
)
RELEASE_OPTIONS = (
    Field(
        "erase",
        Boolean(),
        (
            "Empties all disks that Innkeeper created, not only the root disk of a deployed machine: each is deleted "
            "and created again."
        ),
        default=False,
    ),
    Field(
        "secure_erase",
        Boolean(),
        (
            "With erase: overwrites the disks first on storage where a new disk could show what an earlier one held "
            "(LVM without thin pools). Fails on LXD there."
        ),
        default=False,
    ),
    Field("quick_erase", Boolean(), "With erase: the same as erase alone.", default=False),
    Field(
        "force",
        Boolean(),
        "Powers a deployed machine off at once. Otherwise it has 30 s to shut down (a setting of the region).",
        default=False,
    ),
    Field(
        RELEASE_ADOPTED,
        Boolean(),
        "Also releases a machine that was adopted and not released since, which stops its guest. Without it: 409.",
        default=False,
    ),
)
_IGNORED = frozenset({"scripts"})
MACHINE_RESULT = Result(doc="The machine.", type=MACHINE_JSON)
_ID = target("system_id")
release_options = filled(
    ReleaseOptions,
    overwrite=lambda call: call.values["erase"] and call.values["secure_erase"],
    adopted=given(RELEASE_ADOPTED),
)


def machine_now(call: Call) -> Callable[[Operation], Awaitable[Reply]]:
    """Returns the `encode` of `when_done` that answers with the machine of the request as it is then."""

    async def encode(_: Operation) -> Reply:
        machine = await call.services.machines.read(call.target.system_id, caller=call.caller)
        return json_reply(MACHINE_JSON.encode(machine))

    return encode


async def _release(call: Call) -> Reply:
    """Answers with the released machine, also if it was ready before.

    A machine that the release deletes, or whose guest takes long to shut down, is Releasing.
    """
    machine: MachineView | None = call.target
    requested = call.path["system_id"]
    system_id = requested if machine is None else machine.system_id
    operation = await call.services.releases.start(
        call.caller,
        system_id,
        comment=call.values["comment"],
        options=release_options(call),
        idempotency_key=call.idempotency_key,
        need_rack=not call.respond_async,
    )

    async def released(_: Operation | None) -> Reply:
        found = await call.services.machines.list(MachineFilter(system_ids=(system_id,)), caller=call.caller)
        if found:
            return json_reply(MACHINE_JSON.encode(found[0]))
        if machine is None:
            # a repeat of the request after the machine was deleted
            raise NotFound(no_object("machine", requested))
        return json_reply(MACHINE_JSON.encode(evolve(machine, state=MachineState.RELEASING)))

    if operation is None:
        return await released(None)
    return await when_done(call, operation, released)


async def _release_plan(call: Call) -> Reply:
    """Answers the dry run. Raises NotFound also for a repeat of a request that deleted the machine."""
    system_id = call.path["system_id"] if call.target is None else call.target.system_id
    plan = await call.services.releases.plan(
        call.caller, system_id, options=release_options(call), need_rack=not call.respond_async
    )
    return machine_plan_reply(plan)


async def _release_all_plan(call: Call) -> Reply:
    plan = await call.services.releases.plan_all(call.caller, await named_machines(call), options=release_options(call))
    return machine_plan_reply(plan)


async def _release_all(call: Call) -> tuple[str, ...]:
    return await call.services.releases.start_all(
        call.caller, await named_machines(call), comment=call.values["comment"], options=release_options(call)
    )


async def named_machines(call: Call) -> list[str]:
    return await machines_in_field(call.services, call.values["machines"], field="machines")


def _allocated(call: Call) -> MachineFilter:
    return MachineFilter(owners=(call.caller.username,), states=_ALLOCATED, system_ids=call.values["id"])


async def _mark_broken(call: Call) -> MachineView:
    why = call.values["comment"] or call.values["error_description"]
    return await call.services.ownership.mark_broken(call.caller, call.target.system_id, why)


async def _mark_fixed(call: Call) -> MachineView:
    return await call.services.ownership.mark_fixed(call.caller, call.target.system_id, call.values["comment"])


def _update_problems(call: Call) -> Problems:
    swap_size = call.values["swap_size"]
    problems = domain_problems(call.values)
    if swap_size not in (None, "0"):
        reason = "Innkeeper makes no swap space: user data of the deployment does (swap: in #cloud-config)."
        problems["swap_size"] = [reason]
    return problems


RELEASE_ALL = with_dry_run(
    crud.action(
        "release",
        Result(doc="System ids of the machines that are released.", type=array(STR)),
        _release_all,
        title="Release machines",
        doc=(
            "Releases all of them, or none if one cannot be released; ready machines are skipped. Answers at once: the "
            "machines are Releasing until they are Ready, or deleted if allocation had composed them."
        ),
        fields=(
            Field(
                "machines",
                TextList(max_length=64),
                "System id or hostname; may be repeated.",
                recorded=True,
                default=(),
                example=("wdpx3n",),
            ),
            *RELEASE_OPTIONS,
            COMMENT,
        ),
        destructive=True,
        accepted=_IGNORED,
        permission=Permission.OPERATOR,
    ),
    _release_all_plan,
)
LIST_ALLOCATED = crud.list_of(
    MACHINE_JSON,
    serve(lambda s: s.machines.long_list, wanted=_allocated),
    op="list_allocated",
    fields=(Field("id", TextList(), "System id or hostname; may be repeated.", default=()),),
    title="List the machines that are allocated to you",
    expensive=unless_few((), named=("id",)),
    result="The machines.",
)
UPDATE = crud.update(
    MACHINE_RESULT,
    serve(lambda s: s.ownership.update, system_id=_ID, change=filled(MachineChange)),
    title="Change a machine",
    permission=Permission.OWNER,
    doc="Changes only the given fields, in Innkeeper; of the virtual machine only its autostart changes. Its owner "
    "changes the description; all else is for administrators.",
    fields=(
        Field(
            "hostname",
            HOSTNAME,
            "A new unique hostname. The name of the virtual machine on the host does not change.",
            recorded=True,
        ),
        Field("zone", GROUP, "Name of a zone.", recorded=True),
        Field("pool", GROUP, "Id or name of a resource pool.", recorded=True),
        Field("description", Text(max_length=4096), "Description.", example="build server"),
        autostart_field(
            "What becomes of the VM when its host starts: last-state (it runs again if it ran before), always, never, "
            "or default: as the host; an adopted VM then stays as it is. An operation sets it on the host."
        ),
        *NEW_AFFINITY,
        Field("domain", Text(max_length=256, blank=None), "Id or name of the domain.", recorded=True),
        Field(
            "swap_size",
            Text(max_length=64, blank=None),
            "Only 0: user data of the deployment makes the swap space of the guest.",
            recorded=True,
        ),
    ),
    find=find_machine,
    check=_update_problems,
)
RELEASE = with_dry_run(
    Endpoint(
        method="POST",
        op="release",
        permission=Permission.OPERATOR,
        fields=(*RELEASE_OPTIONS, COMMENT),
        title="Release a machine",
        doc=(
            "Powers the machine off, empties its root disk if it was deployed, and clears its owner. A machine that "
            "allocation had composed is deleted. A deployed machine shuts down first. After 5 s the answer is the "
            "machine in Releasing. Releasing a ready machine is no error. An adopted one needs release_adopted=true."
        ),
        result=MACHINE_RESULT,
        opens_operation=True,
        other_answers=(STARTED,),
        find=find_machine,
        outlives_target=True,
        destructive=True,
        accepted=_IGNORED,
        run=_release,
    ),
    _release_plan,
)
CLEAR_DEFAULT_GATEWAYS = crud.action(
    "clear_default_gateways",
    MACHINE_RESULT,
    serve(lambda s: s.machine_nics.clear_default_gateways, system_id=_ID),
    title="Forget which NICs have the default routes of a machine",
    doc="The first address whose subnet has a gateway decides again.",
    permission=Permission.OWNER,
    find=find_machine,
)
SET_OWNER_DATA = crud.action(
    "set_owner_data",
    MACHINE_RESULT,
    serve(lambda s: s.ownership.set_owner_data, system_id=_ID, data=lambda call: call.other_values),
    title="Set owner data of a machine",
    doc="Stores any keys with text values until the machine is released. Other keys are not changed.",
    other_keys=ANY_KEY,
    find=find_machine,
    permission=Permission.OWNER,
)
MARK_BROKEN = crud.action(
    "mark_broken",
    MACHINE_RESULT,
    _mark_broken,
    title="Mark a machine broken",
    doc="It is not allocated until it is marked fixed. The virtual machine is not changed.",
    fields=(
        COMMENT,
        Field("error_description", Text(max_length=4096), "Same as comment.", recorded=True, default=""),
    ),
    find=find_machine,
    permission=Permission.OWNER,
)
MARK_FIXED = crud.action(
    "mark_fixed",
    MACHINE_RESULT,
    _mark_fixed,
    title="Mark a machine fixed",
    doc="It returns to its previous state, or to New if the last refresh did not list its virtual machine.",
    fields=(COMMENT,),
    find=find_machine,
    permission=Permission.OWNER,
)
ACCEPT_OFF = crud.action(
    "accept_off",
    MACHINE_RESULT,
    serve(lambda s: s.wanted_powers.accept_off, system_id=_ID),
    title="Accept that a machine is off",
    doc=(
        "For a machine that should run and was found off, such as after its host was away: from now on it should be "
        "off. The virtual machine is not changed."
    ),
    find=find_machine,
    permission=Permission.OWNER,
)
LOCK = crud.action(
    "lock",
    MACHINE_RESULT,
    serve(lambda s: s.ownership.set_locked, "comment", system_id=_ID, locked=lambda _: True),
    title="Lock a machine",
    doc=(
        "Until it is unlocked, it is neither deleted, also not with its VM host, nor allocated, deployed, released, "
        "powered on or off, or changed. Any machine can be locked, in every state. 409 if it is locked already."
    ),
    fields=(COMMENT,),
    find=find_machine,
    permission=Permission.OWNER,
)
UNLOCK = crud.action(
    "unlock",
    MACHINE_RESULT,
    serve(lambda s: s.ownership.set_locked, "comment", system_id=_ID, locked=lambda _: False),
    title="Unlock a machine",
    doc="409 if it is not locked.",
    fields=(COMMENT,),
    find=find_machine,
    permission=Permission.OWNER,
)
