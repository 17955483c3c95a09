"""`machines/{system_id}/?op=add_disk`, `attach_disk` and others: a machine gets, changes and loses disks."""

from __future__ import annotations

from functools import partial

from common.units import BYTES_PER_GB
from regiond.api.declaration.dry_run import CHANGE_DOC, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint
from regiond.api.declaration.field_types import Boolean, Float, Integer, Text, TextList
from regiond.api.declaration.fields import Field, Format
from regiond.api.declaration.operation_wait import is_repeat
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.machines.hardware.hardware_changes import changing_hardware, plan_result
from regiond.api.resources.machines.machine_actions import MACHINE_RESULT
from regiond.api.resources.shared.lookups import find_machine
from regiond.api.serializers.deletion import DISK_PLAN_JSON
from regiond.api.serializers.machines import MACHINE_JSON
from regiond.machines.values.disk_references import named_disk
from regiond.machines.values.disks import DiskPlan, DiskToAdd, DiskToAttach, DiskToGrow, DiskToMove, DiskToRemove
from regiond.requests.caller import Permission

PLAN = plan_result(DISK_PLAN_JSON)
_LARGEST_GB = 1_000_000.0
SIZE = Field(
    "size",
    Float(minimum=0.001, maximum=_LARGEST_GB),
    "Size in GB of 10^9 bytes.",
    recorded=True,
    required=True,
    format=Format.DISKS_GB,
    example=20,
)
DISK = Field(
    "disk", Text(max_length=64), "Id, name (sdb) or label of the disk.", recorded=True, required=True, example="sdb"
)
KEEP = Field(
    "keep",
    Boolean(),
    "Keep the volume with its content: it is listed in kept-disks/, and can be attached to a machine of its host "
    "(default false: all data on it are deleted).",
    default=False,
)


def gigabytes(size_gb: float) -> int:
    """Returns the size in bytes."""
    return round(size_gb * BYTES_PER_GB)


def plan_reply(plan: DiskPlan) -> Reply:
    return json_reply(DISK_PLAN_JSON.encode(plan))


def disk_to_add(call: Call) -> DiskToAdd:
    return DiskToAdd(
        size_bytes=gigabytes(call.values["size"]), pool=call.values["pool"], tags=tuple(call.values["tags"])
    )


def _disk_id(call: Call) -> int:
    """Returns the id of the disk that the field names; 0 for a repeated request, whose disk may be gone by now.

    Raises NotFound and InvalidRequest.
    """
    return 0 if is_repeat(call) else named_disk(call.target.hostname, call.target.disks, call.values["disk"]).id


def _to_attach(call: Call) -> DiskToAttach:
    return DiskToAttach(kept_disk_id=call.values["kept_disk"])


def _to_grow(call: Call) -> DiskToGrow:
    return DiskToGrow(disk_id=_disk_id(call), size_bytes=gigabytes(call.values["size"]))


def _to_move(call: Call) -> DiskToMove:
    return DiskToMove(disk_id=_disk_id(call), pool=call.values["pool"])


def _to_remove(call: Call) -> DiskToRemove:
    return DiskToRemove(disk_id=_disk_id(call), keep=call.values["keep"])


async def _adopt(call: Call) -> Reply:
    machine = await call.services.machine_disks.adopt(call.caller, call.target.system_id, _disk_id(call))
    return json_reply(MACHINE_JSON.encode(machine))


async def _adoption_plan(call: Call) -> Reply:
    plan = await call.services.machine_disks.plan_adoption(call.caller, call.target.system_id, _disk_id(call))
    return plan_reply(plan)


POOL = Field(
    "pool",
    Text(max_length=256),
    "Storage pool of the host (default: one that a tag names, else the host's default pool).",
    recorded=True,
    default="",
    example="default",
)
_TAGS = Field("tags", TextList(), "A tag of the disk; repeatable.", recorded=True, default=(), example="ssd")
DISK_FIELDS = (SIZE, POOL, _TAGS)


_changing_disks = partial(changing_hardware, DISK_PLAN_JSON)
ADD_DISK = _changing_disks(
    "add_disk",
    disk_to_add,
    title="Add a disk to a machine",
    doc="The machine gets an empty disk, also while it runs. If its hypervisor cannot add one to a running VM, the "
    "request is rejected: shut the VM down first. Its space is claimed before.",
    fields=DISK_FIELDS,
)
ATTACH_DISK = _changing_disks(
    "attach_disk",
    _to_attach,
    title="Attach a kept disk to a machine",
    doc="The machine, on the host of the disk, gets it with its content. When the machine is deleted, the disk is "
    "kept again.",
    fields=(Field("kept_disk", Integer(minimum=1), "Id of the kept disk.", recorded=True, required=True, example=3),),
)
GROW_DISK = _changing_disks(
    "grow_disk",
    _to_grow,
    title="Make a disk of a machine larger",
    doc="What the hypervisor cannot do while the VM runs is pending: the disk shows it, claims it, and gets it "
    "when Innkeeper next starts the machine. The file system is grown in the guest. A disk never gets smaller.",
    fields=(DISK, SIZE),
)
MOVE_DISK = _changing_disks(
    "move_disk",
    _to_move,
    title="Move a disk of a machine to another storage pool",
    doc="The disk, also the first one, is copied to another storage pool of its host, with its content, while the "
    "machine is off; libvirt also copies a disk of a running machine, but not the first one. The space of the copy "
    "is claimed before. The volume of before is deleted only when the machine uses the complete copy; a failure "
    "leaves the disk where it was. A copy can take minutes: start it with Prefer: respond-async.",
    fields=(
        DISK,
        Field(
            "pool",
            Text(max_length=256),
            "Storage pool of the host to which the disk moves.",
            recorded=True,
            required=True,
            example="fast",
        ),
    ),
)
REMOVE_DISK = _changing_disks(
    "remove_disk",
    _to_remove,
    title="Remove a disk from a machine",
    doc="A running VM has to give the disk back: unmount it there first. If it does not, the request is rejected "
    "and nothing has changed. The first disk of a machine cannot be removed.",
    fields=(DISK, KEEP),
    destructive=True,
)
ADOPT_DISK = with_dry_run(
    Endpoint(
        method="POST",
        op="adopt_disk",
        permission=Permission.OWNER,
        title="Make a foreign disk the machine's own",
        doc="A disk that somebody attached on the hypervisor is `foreign`: it is shown and claimed, and Innkeeper "
        "never changes or deletes it. Its adoption changes nothing on the host; from then on the disk can be grown, "
        "moved, removed and kept as one that Innkeeper added. A disk that another VM uses too is rejected.",
        fields=(DISK,),
        result=MACHINE_RESULT,
        find=find_machine,
        run=_adopt,
    ),
    _adoption_plan,
    result=PLAN,
    doc=CHANGE_DOC,
)
OF_ONE = (ADD_DISK, ADOPT_DISK, ATTACH_DISK, GROW_DISK, MOVE_DISK, REMOVE_DISK)
