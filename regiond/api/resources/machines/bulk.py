"""`machines/?op=bulk`: one operation that acts on many machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import evolve, field, frozen

from regiond.api.declaration.dry_run import machine_plan_reply, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Result
from regiond.api.declaration.field_types import Choice, Integer, Text, TextList
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.operation_wait import begun, started
from regiond.api.replies import Reply
from regiond.api.resources.machines.deployment import IMAGE_FIELDS
from regiond.api.resources.machines.hardware.boot import BOOT_FIELDS, boot_to_set
from regiond.api.resources.machines.hardware.disk_changes import (
    DISK,
    DISK_FIELDS,
    KEEP,
    POOL,
    SIZE,
    disk_to_add,
    gigabytes,
)
from regiond.api.resources.machines.hardware.nic_changes import INTERFACE, NIC_OF_MANY
from regiond.api.resources.machines.hardware.resize import SIZE_FIELDS, size_request
from regiond.api.resources.machines.machine_actions import RELEASE_OPTIONS, named_machines, release_options
from regiond.api.serializers.operations import OPERATION_JSON
from regiond.machines.values.bulk import DEFAULT_AT_ONCE, MAX_AT_ONCE, MAX_BULK_MACHINES, BulkAction, BulkChange
from regiond.machines.values.disks import NamedDisk
from regiond.machines.values.nics import NamedNic, NicToAdd
from regiond.machines.values.requests import DEFAULT_RELEASE, DeployRequest, ReleaseOptions
from regiond.requests.caller import Permission
from regiond.requests.validation_messages import REQUIRED


@frozen
class _Options:
    """The fields of one action, those of them that it needs, and the change of hardware that they ask for."""

    fields: tuple[Field, ...]
    required: tuple[str, ...] = field(default=(), kw_only=True)
    change: Callable[[Call], BulkChange] | None = field(default=None, kw_only=True)


_OPTIONS: Mapping[BulkAction, _Options] = {
    BulkAction.RELEASE: _Options(RELEASE_OPTIONS),
    BulkAction.DEPLOY: _Options(IMAGE_FIELDS),
    BulkAction.REBUILD: _Options(IMAGE_FIELDS),
    BulkAction.RESIZE: _Options(SIZE_FIELDS, change=size_request),
    BulkAction.ADD_DISK: _Options(DISK_FIELDS, required=("size",), change=disk_to_add),
    BulkAction.GROW_DISK: _Options(
        (DISK, SIZE),
        required=("disk", "size"),
        change=lambda call: NamedDisk(name=call.values["disk"], size_bytes=gigabytes(call.values["size"])),
    ),
    BulkAction.MOVE_DISK: _Options(
        (DISK, POOL),
        required=("disk", "pool"),
        change=lambda call: NamedDisk(name=call.values["disk"], pool=call.values["pool"]),
    ),
    BulkAction.REMOVE_DISK: _Options(
        (DISK, KEEP),
        required=("disk",),
        change=lambda call: NamedDisk(name=call.values["disk"], keep=call.values["keep"]),
    ),
    BulkAction.SET_BOOT: _Options(BOOT_FIELDS, change=boot_to_set),
    BulkAction.ADD_INTERFACE: _Options(
        (NIC_OF_MANY,), change=lambda call: NicToAdd(constraint=call.values["interfaces"])
    ),
    BulkAction.CHANGE_INTERFACE: _Options(
        (INTERFACE, NIC_OF_MANY),
        required=("interface", "interfaces"),
        change=lambda call: NamedNic(name=call.values["interface"], constraint=call.values["interfaces"]),
    ),
    BulkAction.REMOVE_INTERFACE: _Options(
        (INTERFACE,), required=("interface",), change=lambda call: NamedNic(name=call.values["interface"])
    ),
}
_NO_OPTIONS = _Options(())
_EITHER = "Give machines or stopped_by, not both."
_ACTIONS = tuple(action.value for action in BulkAction if action is not BulkAction.CLONE)
_FIELDS: Mapping[str, Field] = {
    one.name: one for action, options in _OPTIONS.items() if action is not BulkAction.RELEASE for one in options.fields
}
_ACTIONS_BY_FIELD: Mapping[str, tuple[BulkAction, ...]] = {
    one.name: tuple(
        action for action, others in _OPTIONS.items() if one.name in {other.name for other in others.fields}
    )
    for options in _OPTIONS.values()
    for one in options.fields
}


async def _start(call: Call) -> Reply:
    operation = await begun(call) or await call.services.bulk.start(
        call.caller,
        BulkAction(call.values["action"]),
        await _machines(call),
        at_once=call.values["at_once"],
        comment=call.values["comment"],
        release=_release_options(call),
        deploy=_deploy_request(call),
        change=_change(call),
        idempotency_key=call.idempotency_key,
    )
    return started(operation)


async def _plan(call: Call) -> Reply:
    action = BulkAction(call.values["action"])
    plan = await call.services.bulk.plan(
        call.caller,
        action,
        await _machines(call),
        release=_release_options(call),
        deploy=_deploy_request(call),
        change=_change(call),
    )
    return machine_plan_reply(plan)


async def _machines(call: Call) -> Sequence[str]:
    stopped_by = call.values["stopped_by"]
    if stopped_by is None:
        return await named_machines(call)
    return await call.services.bulk.stopped_by(call.caller, stopped_by)


def _release_options(call: Call) -> ReleaseOptions:
    return release_options(call) if call.values["action"] == BulkAction.RELEASE else DEFAULT_RELEASE


def _deploy_request(call: Call) -> DeployRequest:
    values, action = call.values, BulkAction(call.values["action"])
    if not action.deploys:
        return DeployRequest()
    return DeployRequest(
        osystem=values["osystem"], distro_series=values["distro_series"], encoded_user_data=values["user_data"],
        rebuild=action is BulkAction.REBUILD,
    )  # fmt: skip


def _options(call: Call) -> _Options:
    return _OPTIONS.get(BulkAction(call.values["action"]), _NO_OPTIONS)


def _change(call: Call) -> BulkChange | None:
    change_of = _options(call).change
    return None if change_of is None else change_of(call)


def _problems(call: Call) -> Problems:
    """Options of another action than the given one."""
    if "action" in call.invalid:
        return {}
    foreign = {
        name: [f"This is for the action {' or '.join(actions)}."]
        for name, actions in _ACTIONS_BY_FIELD.items()
        if call.values["action"] not in actions and call.values[name]
    }
    if bool(call.values["machines"]) == (call.values["stopped_by"] is not None) and "machines" not in call.invalid:
        return {"machines": [_EITHER if call.values["machines"] else REQUIRED], **foreign}
    if call.values["stopped_by"] is not None and call.values["action"] != BulkAction.POWER_ON:
        return {"stopped_by": ["This is for the action power_on."], **foreign}
    missing = {
        name: [REQUIRED] for name in _options(call).required if not call.values[name] and name not in call.invalid
    }
    return {**missing, **foreign}


BULK = with_dry_run(
    Endpoint(
        method="POST",
        op="bulk",
        permission=Permission.OPERATOR,
        title="Act on many machines",
        doc=(
            "Opens one operation, and for each machine an operation with it as `parent_id`, a few at a time. The "
            "failure of one machine does not stop the others; the operation fails in the end if one of them has, and "
            "names it. Answers at once. A resize needs `cores`, `memory` or both, add_disk a `size`, and set_boot an "
            "`order`; the dry run of these, of add_interface and of a rebuild tells for each machine what changes and "
            "when, or why it stays as it is. Who began an operation may cancel it: machines with which it has not "
            "begun are left."
        ),
        result=Result(doc="The operation, which has begun.", type=OPERATION_JSON),
        success=202,
        fields=(
            Field(
                "action",
                Choice(choices=_ACTIONS),
                f"One of {', '.join(_ACTIONS)}: as on one machine; power_off shuts down, by force after a timeout.",
                required=True,
                example="power_on",
            ),
            Field(
                "machines",
                TextList(max_length=64),
                f"System id or hostname; repeated, for at most {MAX_BULK_MACHINES}.",
                recorded=True,
                default=(),
                example=("wdpx3n",),
            ),
            Field(
                "stopped_by",
                Integer(minimum=1),
                "Of power_on, instead of machines: id of a bulk operation. Starts again those that it powered off and "
                "that ran before.",
            ),
            Field(
                "at_once",
                Integer(minimum=1, maximum=MAX_AT_ONCE),
                f"With how many machines at the same time, 1 to {MAX_AT_ONCE} (default {DEFAULT_AT_ONCE}).",
                default=DEFAULT_AT_ONCE,
            ),
            Field(
                "comment",
                Text(max_length=4096),
                "The reason of a release, deployment or rebuild; stored with the event of each machine.",
                recorded=True,
                default="",
            ),
            *(evolve(one, doc=f"Of a release. {one.doc}") for one in RELEASE_OPTIONS),
            *(
                evolve(one, doc=f"Of {' and '.join(_ACTIONS_BY_FIELD[name])}. {one.doc}", example=None, required=False)
                for name, one in _FIELDS.items()
            ),
        ),
        opens_operation=True,
        destructive=True,
        check=_problems,
        run=_start,
    ),
    _plan,
)
