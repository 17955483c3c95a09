"""`nodes/{system_id}/blockdevices/`: the disks of machines, their tags, and the boot disk."""

from __future__ import annotations

import re
from collections.abc import Mapping

from common.errors import InvalidRequest
from common.values import PowerState
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import CHANGE_DOC, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.field_types import Integer, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, when_done, without_content
from regiond.api.replies import Reply, json_reply, text_reply
from regiond.api.resources.machines.hardware.disk_changes import PLAN, plan_reply
from regiond.api.resources.machines.hardware.hardware_changes import begun
from regiond.api.resources.shared.lookups import machine_of
from regiond.api.serializers.machines import BLOCK_DEVICE_JSON, BLOCK_SIZE, DiskOfMachine
from regiond.api.services import Services
from regiond.machines.values.disk_references import named_disk
from regiond.machines.values.disks import DiskToAdd, DiskToGrow, DiskToRemove
from regiond.machines.values.model import MachineView
from regiond.operations.model import Operation
from regiond.requests.caller import Permission

_BLOCK_DEVICE = Result(doc="The block device.", type=BLOCK_DEVICE_JSON)
_IN_ORDER = re.compile(r"[sv]d[a-z]{1,2}", re.ASCII)
_LARGEST_SIZE = 2**63 - 1  # the largest value of the column
_FIXED = "This property of a disk is fixed when it is created: add another disk."
_TAG = Field("tag", Text(max_length=256), "The tag.", recorded=True, required=True, example="ssd")


async def _find_machine(services: Services, path: Mapping[str, str]) -> MachineView:
    return await machine_of(services, path["system_id"])


async def find_disk(services: Services, path: Mapping[str, str]) -> DiskOfMachine:
    machine = await machine_of(services, path["system_id"])
    return DiskOfMachine(machine=machine, disk=named_disk(machine.hostname, machine.disks, path["id"]))


async def _disks(call: Call) -> list[DiskOfMachine]:
    machine: MachineView = call.target
    return [DiskOfMachine(machine=machine, disk=disk) for disk in machine.disks]


def _label(name: str) -> str:
    """Returns the label of a new disk; none for a name that the disks of machines have by their order."""
    return "" if _IN_ORDER.fullmatch(name) else name


async def _create(call: Call) -> Reply:
    machine: MachineView = call.target
    disk = DiskToAdd(size_bytes=call.values["size"], label=_label(call.values["name"]))
    operation = await begun(call, machine.system_id, disk)

    async def created(ended: Operation) -> Reply:
        now = await call.services.machines.read(machine.system_id, caller=call.caller)
        added = next(one for one in now.disks if one.volume == ended.result["volume"])
        return json_reply(BLOCK_DEVICE_JSON.encode(DiskOfMachine(machine=now, disk=added)))

    return await when_done(call, operation, created)


async def _delete(call: Call) -> Reply:
    found: DiskOfMachine | None = call.target  # None: a repeat of the request after the disk was removed
    system_id = call.path["system_id"] if found is None else found.machine.system_id
    change = DiskToRemove(disk_id=0 if found is None else found.disk.id, keep=False)
    return await when_done(call, await begun(call, system_id, change), without_content)


async def _deletion_plan(call: Call) -> Reply:
    found: DiskOfMachine = call.target
    change = DiskToRemove(disk_id=found.disk.id, keep=False)
    return plan_reply(await call.services.hardware.plan(call.caller, found.machine.system_id, change))


async def _update(call: Call) -> Reply:
    """Grows the disk. Raises InvalidRequest for other changes: clients send the values that they have read."""
    found: DiskOfMachine = call.target
    size_bytes: int | None = call.values["size"]
    if size_bytes is None or size_bytes in {0, found.disk.size_bytes, found.disk.held_bytes}:
        return json_reply(BLOCK_DEVICE_JSON.encode(_unchanged(call)))
    _unchanged(call)
    growth = DiskToGrow(disk_id=found.disk.id, size_bytes=size_bytes)
    operation = await begun(call, found.machine.system_id, growth)

    async def grown(_: Operation) -> Reply:
        return json_reply(BLOCK_DEVICE_JSON.encode(await find_disk(call.services, call.path)))

    return await when_done(call, operation, grown)


def _unchanged(call: Call) -> DiskOfMachine:
    """Returns the disk. Raises InvalidRequest for a value that cannot be changed."""
    found: DiskOfMachine = call.target
    has = {
        "name": found.name,
        "block_size": BLOCK_SIZE,
        "serial": found.disk.serial,
        "id_path": found.id_path or "",
        "model": "",
        "uuid": "",
    }
    wanted = {name: call.values[name] for name in has if call.values[name] not in (None, "")}
    problems = {name: [_FIXED] for name, value in wanted.items() if value != has[name]}
    if problems:
        raise InvalidRequest.of(problems)
    return found


async def _set_tag(call: Call, *, present: bool) -> DiskOfMachine:
    found: DiskOfMachine = call.target
    machine = await call.services.machine_disks.set_tag(
        call.caller, found.machine.system_id, found.disk.id, call.values["tag"], present=present
    )
    return DiskOfMachine(machine=machine, disk=next(one for one in machine.disks if one.id == found.disk.id))


async def _set_boot_disk(call: Call) -> Reply:
    found: DiskOfMachine = call.target
    operation = await call.services.machine_disks.start_set_boot_disk(
        call.caller, found.machine.system_id, found.disk.id, idempotency_key=call.idempotency_key
    )

    async def is_set(operation: Operation) -> Reply:
        power = operation.result.get("power_state", found.machine.power_state)
        note = f": {found.machine.hostname} boots from {found.name} at its next start."
        return text_reply("OK" if power == PowerState.OFF else f"OK{note}")

    return text_reply("OK") if operation is None else await when_done(call, operation, is_set)


BLOCK_DEVICES = Resource(
    handler="BlockDevicesHandler",
    path="nodes/{system_id}/blockdevices/",
    doc="The disks of a machine.",
    endpoints=(
        crud.list_of(
            BLOCK_DEVICE_JSON,
            _disks,
            title="List the block devices of a machine",
            result="The block devices.",
            find=_find_machine,
        ),
        Endpoint(
            method="POST",
            permission=Permission.OWNER,
            title="Add a block device to a machine",
            doc="An empty disk in the host's default storage pool: add_disk of the machine names another one. The "
            "guest's system finds it by its serial number, which Innkeeper chooses.",
            fields=(
                Field("name", Text(max_length=64), "A label of the disk.", recorded=True, default="", example="data"),
                Field(
                    "size",
                    Integer(minimum=1, maximum=_LARGEST_SIZE, unit="bytes"),
                    "Its size in bytes.",
                    recorded=True,
                    required=True,
                    example=20_000_000_000,
                ),
                Field("block_size", Integer(minimum=0, unit="bytes"), "Ignored: 512."),
                Field("serial", Text(max_length=256), "Ignored."),
                Field("id_path", Text(max_length=4096), "Ignored."),
                Field("model", Text(max_length=256), "Ignored."),
            ),
            opens_operation=True,
            other_answers=(STARTED,),
            result=_BLOCK_DEVICE,
            find=_find_machine,
            run=_create,
        ),
    ),
)
BLOCK_DEVICE = Resource(
    handler="BlockDeviceHandler",
    path="nodes/{system_id}/blockdevices/{id}/",
    doc="One disk of a machine, by its id or name.",
    endpoints=(
        crud.read_target(_BLOCK_DEVICE, find_disk, title="Read a block device"),
        Endpoint(
            method="PUT",
            permission=Permission.OWNER,
            title="Update a block device",
            doc="With a larger size, the disk grows, as with grow_disk of the machine. The other fields are for "
            "clients that send what they have read: another value is rejected.",
            fields=(
                Field("name", Text(max_length=64), "Its name.", recorded=True, example="sda"),
                Field("size", Integer(minimum=0, maximum=_LARGEST_SIZE, unit="bytes"), "Its size in bytes."),
                Field("block_size", Integer(minimum=0, unit="bytes"), "Its block size in bytes."),
                Field("serial", Text(max_length=256), "Its serial number."),
                Field("id_path", Text(max_length=4096), "Its path in the guest."),
                Field("model", Text(max_length=256), "Its model: unknown."),
                Field("uuid", Text(max_length=64), "Its UUID: unknown.", recorded=True),
            ),
            opens_operation=True,
            other_answers=(STARTED,),
            result=_BLOCK_DEVICE,
            find=find_disk,
            run=_update,
        ),
        with_dry_run(
            Endpoint(
                method="DELETE",
                permission=Permission.OWNER,
                title="Remove a block device from a machine",
                doc="All data on it are deleted: remove_disk of the machine can keep them. A running VM has to give "
                "the disk back first; the first disk of a machine cannot be removed.",
                result=crud.NOTHING,
                success=204,
                opens_operation=True,
                other_answers=(STARTED,),
                find=find_disk,
                outlives_target=True,
                run=_delete,
            ),
            _deletion_plan,
            result=PLAN,
            doc=CHANGE_DOC,
        ),
        *(
            crud.action(
                op,
                _BLOCK_DEVICE,
                run,
                title=title,
                doc="The storage constraints of allocations name tags of disks.",
                permission=Permission.OWNER,
                fields=(_TAG,),
                find=find_disk,
            )
            for op, run, title in (
                ("add_tag", lambda call: _set_tag(call, present=True), "Add a tag to a disk"),
                ("remove_tag", lambda call: _set_tag(call, present=False), "Remove a tag from a disk"),
            )
        ),
        Endpoint(
            method="POST",
            op="set_boot_disk",
            permission=Permission.OWNER,
            title="Set the boot disk of a machine",
            doc="The machine tries this disk before its other ones from its next start on. An operation changes the "
            "boot order on the host. A machine that boots from a NIC first continues to do so. A deployment, and the "
            "release of a deployed machine, make the first disk the boot disk again.",
            opens_operation=True,
            other_answers=(STARTED,),
            result=Result(doc="OK. For a running machine, with a note that the change takes effect at its next start."),
            find=find_disk,
            run=_set_boot_disk,
        ),
    ),
)
RESOURCES = (BLOCK_DEVICES, BLOCK_DEVICE)
